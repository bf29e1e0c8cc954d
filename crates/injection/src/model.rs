//! A linear model over the windows of a mail, trained by the crate `trainer`.
//!
//! Two views of a window are weighed: which pieces of words stand in it, and which meanings in which
//! combination. What the worst windows say, and what the rules say, is added up with weights that are
//! never negative, so more text can only raise the score.

use std::ops::Range;

use crate::{
    features::{CONCEPT_BITS, Features, MULTIPLIER, combinations},
    forest::Forest,
    grams::GRAM_BITS,
};

const MAGIC: &[u8; 8] = b"posthse3";
/// What is told of a mail; see `Signals`.
pub const SIGNALS: usize = 7;
/// Below it, a window is innocent and its exact place does not matter.
const FLOOR: f32 = -6.0;
/// Above it, a window is worse than any mail and it does not matter how much.
const CEILING: f32 = 10.0;
/// How much what the rules say of a window counts beside what its words say.
const RULED: f32 = 0.5;
/// Windows like those of attacks that are counted, and what one counts at most.
const MAX_BREADTH: f32 = 16.0;
const MAX_WINDOW: f32 = 4.0;
/// What it adds to a window that it stood in a code: no person writes sentences so.
const DISGUISE: f32 = 1.2;
/// Octets that make a whole window.
const WINDOW: f32 = 130.0;
/// What only tells of attacks scores no more: to be looked at, and just no risk.
pub const TOLD: f64 = 0.45;

/// The weights, each in one octet.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub grams: Table,
    pub concepts: Table,
    pub forest: Forest,
    /// For each signal, not negative.
    pub fusion: [f32; SIGNALS],
    /// From what the signals add up to, to the score: both rise.
    pub curve: Vec<(f32, f32)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub weights: Vec<i8>,
    pub scale: f32,
    pub bias: f32,
}

/// What the windows and rules say of a mail. More of any makes it more suspicious.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signals {
    /// The worst window by its pieces of words.
    pub grams: f32,
    /// The worst window by its meanings and how they follow each other.
    pub concepts: f32,
    /// The worst window by which meanings it has and has not.
    pub forest: f32,
    /// The worst window by all of these.
    pub both: f32,
    /// The worst window by that and by what the rules say of it.
    pub ruled: f32,
    /// How much of the text is like that.
    pub breadth: f32,
    /// The log-odds of what the rules say.
    pub rules: f32,
}

/// What is said of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    pub all: Signals,
    /// Without what is told of attacks.
    pub own: Signals,
    /// The octets of the folded text that say it loudest.
    pub loudest: Option<Range<usize>>,
}

impl Default for Signals {
    fn default() -> Signals {
        Signals {
            grams: FLOOR,
            concepts: FLOOR,
            forest: FLOOR,
            both: FLOOR,
            ruled: FLOOR,
            breadth: 0.0,
            rules: Signals::NO_RULE,
        }
    }
}

impl Signals {
    /// What the rules say if they say nothing.
    pub(crate) const NO_RULE: f32 = -2.5;

    pub fn list(&self) -> [f32; SIGNALS] {
        [self.grams, self.concepts, self.forest, self.both, self.ruled, self.breadth, self.rules]
    }

    pub fn worst(self, other: Signals) -> Signals {
        Signals {
            grams: self.grams.max(other.grams),
            concepts: self.concepts.max(other.concepts),
            forest: self.forest.max(other.forest),
            both: self.both.max(other.both),
            ruled: self.ruled.max(other.ruled),
            breadth: self.breadth.max(other.breadth),
            rules: self.rules.max(other.rules),
        }
    }

    /// Takes account of a window whose breadth is its share of the text.
    fn take(&mut self, window: &Signals) {
        self.grams = self.grams.max(window.grams);
        self.concepts = self.concepts.max(window.concepts);
        self.forest = self.forest.max(window.forest);
        self.both = self.both.max(window.both);
        self.ruled = self.ruled.max(window.ruled);
        self.breadth += window.both.clamp(0.0, MAX_WINDOW) * window.breadth;
    }

    pub(crate) fn of_rules(score: f64) -> f32 {
        let score = score.clamp(0.0025, 0.9975);
        ((score / (1.0 - score)).ln() as f32).max(Signals::NO_RULE)
    }
}

/// What the meanings of some windows say: the same ones come often.
struct Known {
    slots: Vec<Option<(u64, Meant)>>,
}

/// What the meanings of a window say together.
#[derive(Clone, Copy)]
struct Meant {
    /// The sum of the weights of their combinations, and how many those are.
    sum: i32,
    count: usize,
    forest: f32,
}

impl Default for Known {
    fn default() -> Known {
        Known { slots: vec![None; 256] }
    }
}

impl Known {
    fn get(&mut self, concepts: u64, meant: impl Fn(u64) -> Meant) -> Meant {
        let slot = &mut self.slots[(concepts.wrapping_mul(MULTIPLIER) >> 56) as usize];
        match slot {
            Some((of, known)) if *of == concepts => *known,
            _ => slot.insert((concepts, meant(concepts))).1,
        }
    }
}

impl Heard {
    pub fn worst(self, other: Heard) -> Heard {
        let louder = other.all.both > self.all.both;
        Heard {
            all: self.all.worst(other.all),
            own: self.own.worst(other.own),
            loudest: if louder { other.loudest } else { self.loudest },
        }
    }
}

impl Table {
    /// The log-odds of so many features whose weights add up to this.
    fn odds(&self, sum: i32, count: usize) -> f32 {
        self.bias + sum as f32 * self.scale / (count.max(1) as f32).sqrt()
    }
}

/// Before each feature, the sum of the weights of those before.
fn running(table: &Table, features: &[u32]) -> Vec<i32> {
    let mut sum = 0;
    let mut sums = Vec::with_capacity(features.len() + 1);
    sums.push(0);
    for it in features {
        sum += i32::from(table.weights[*it as usize]);
        sums.push(sum);
    }
    sums
}

impl Model {
    /// The one that comes with this crate.
    pub(crate) fn built_in() -> Model {
        Model::from_bytes(include_bytes!("model.bin")).expect("the trainer wrote it")
    }

    /// What the windows of a text say.
    pub fn signals(&self, features: &Features) -> Heard {
        let mut heard = Heard::default();
        let mut known = Known::default();
        let sums = running(&self.grams, &features.grams);
        let rows = running(&self.concepts, &features.rows);
        let disguise = if features.disguised { DISGUISE } else { 0.0 };
        let mut windows = features.windows.iter().peekable();
        while let Some(window) = windows.next() {
            let meant = known.get(window.concepts, |it| self.meant(it));
            let sum_of = |sums: &[i32], range: &Range<usize>| sums[range.end] - sums[range.start];
            let grams = self.grams.odds(sum_of(&sums, &window.grams), window.grams.len());
            let sum = meant.sum + sum_of(&rows, &window.rows);
            let concepts = self.concepts.odds(sum, meant.count + window.rows.len());
            let (grams, concepts) = (grams.clamp(FLOOR, CEILING), concepts.clamp(FLOOR, CEILING));
            let forest = meant.forest.clamp(FLOOR, CEILING);
            let both = (grams / 2.0 + (concepts + forest) / 4.0 + disguise).min(CEILING);
            if both > heard.all.both {
                heard.loudest = Some(window.range.clone());
            }
            // What stands in this window and in no later one.
            let next = windows.peek().filter(|it| it.scale == window.scale);
            let end = next.map_or(window.range.end, |it| it.range.start);
            let own = (end - window.range.start) as f32 / WINDOW;
            let share = if window.scale == 0 { own.min(1.0) } else { 0.0 };
            let ruled = both + RULED * (window.rules - Signals::NO_RULE);
            let told = Signals {
                grams,
                concepts,
                forest,
                both,
                ruled,
                breadth: share,
                ..Signals::default()
            };
            heard.all.take(&told);
            if !window.told {
                heard.own.take(&told);
            }
        }
        for it in [&mut heard.all, &mut heard.own] {
            it.breadth = it.breadth.min(MAX_BREADTH).sqrt();
        }
        heard
    }

    fn meant(&self, concepts: u64) -> Meant {
        let (mut sum, mut count) = (0, 0);
        combinations(concepts, |it| {
            sum += i32::from(self.concepts.weights[it as usize]);
            count += 1;
        });
        Meant { sum, count, forest: self.forest.odds(concepts) }
    }

    /// What the signals add up to.
    pub fn sum(&self, signals: &Signals) -> f32 {
        signals.list().iter().zip(self.fusion).map(|(it, weight)| it * weight).sum()
    }

    /// The score of a mail, 0 to 1: what is told of attacks counts up to a bound.
    pub fn judge(&self, heard: &Heard) -> f64 {
        self.score(self.sum(&heard.own)).max(self.score(self.sum(&heard.all)).min(TOLD))
    }

    /// 0 to 1.
    pub fn score(&self, sum: f32) -> f64 {
        let at = self.curve.partition_point(|it| it.0 <= sum);
        let score = match (at.checked_sub(1).map(|it| self.curve[it]), self.curve.get(at)) {
            (Some(from), Some(to)) => {
                from.1 + (to.1 - from.1) * (sum - from.0) / (to.0 - from.0).max(f32::EPSILON)
            }
            (Some(last), None) => last.1,
            (None, Some(first)) => first.1,
            (None, None) => 0.0,
        };
        f64::from(score)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut octets = MAGIC.to_vec();
        let mut number = |it: f32| octets.extend(it.to_le_bytes());
        for it in [&self.grams, &self.concepts] {
            number(it.scale);
            number(it.bias);
        }
        self.fusion.iter().for_each(|it| number(*it));
        number(self.curve.len() as f32);
        for (sum, score) in &self.curve {
            number(*sum);
            number(*score);
        }
        self.forest.write(&mut octets);
        for it in [&self.grams, &self.concepts] {
            octets.extend(it.weights.iter().map(|it| it.cast_unsigned()));
        }
        octets
    }

    /// `None` for what `to_bytes` did not write.
    pub fn from_bytes(octets: &[u8]) -> Option<Model> {
        let mut rest = octets.strip_prefix(MAGIC)?;
        let mut number = || {
            let (it, after) = rest.split_first_chunk()?;
            rest = after;
            Some(f32::from_le_bytes(*it)).filter(|it| it.is_finite())
        };
        let mut tables = Vec::new();
        for _ in 0..2 {
            tables.push((number()?, number()?));
        }
        let mut fusion = [0.0; SIGNALS];
        for it in &mut fusion {
            *it = number()?;
        }
        let knots = number()? as usize;
        let mut curve = Vec::new();
        for _ in 0..knots {
            curve.push((number()?, number()?));
        }
        let (forest, rest) = Forest::read(rest)?;
        if rest.len() != (1 << GRAM_BITS) + (1 << CONCEPT_BITS) {
            return None;
        }
        let weights: Vec<i8> = rest.iter().map(|it| it.cast_signed()).collect();
        let (grams, concepts) = weights.split_at(1 << GRAM_BITS);
        let table = |at: usize, weights: &[i8]| {
            let (scale, bias) = tables[at];
            Table { weights: weights.to_vec(), scale, bias }
        };
        Some(Model { grams: table(0, grams), concepts: table(1, concepts), forest, fusion, curve })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::features::Window;

    fn model() -> Model {
        let table = |bits: u32| Table { weights: vec![1; 1 << bits], scale: 0.5, bias: -1.0 };
        Model {
            grams: table(GRAM_BITS),
            concepts: table(CONCEPT_BITS),
            forest: Forest::default(),
            fusion: [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5],
            curve: vec![(-1.0, 0.0), (1.0, 0.5), (2.0, 1.0)],
        }
    }

    #[test]
    fn octets_tell_the_whole_model() {
        let octets = model().to_bytes();
        assert_eq!(Model::from_bytes(&octets), Some(model()));
        assert_eq!(Model::from_bytes(&octets[..octets.len() - 1]), None);
        assert_eq!(Model::from_bytes(b""), None);
    }

    /// Stored verdicts name the version, so another model may not go by the same one.
    #[test]
    fn another_model_is_another_version() {
        let digest =
            include_bytes!("model.bin").iter().fold(0xcbf2_9ce4_8422_2325_u64, |all, it| {
                (all ^ u64::from(*it)).wrapping_mul(0x0100_0000_01b3)
            });
        assert_eq!((crate::VERSION, digest), ("5", 0x3df6_2c2f_5575_321a));
    }

    #[test]
    fn the_curve_is_followed_and_not_left() {
        for (sum, score) in [(-9.0, 0.0), (-1.0, 0.0), (0.0, 0.25), (1.5, 0.75), (9.0, 1.0)] {
            assert!((model().score(sum) - score).abs() < 1e-6, "{sum}");
        }
    }

    fn window(grams: Range<usize>, concepts: u64, told: bool) -> Window {
        let rules = Signals::NO_RULE;
        Window { range: grams.clone(), grams, rows: 0..0, scale: 0, concepts, told, rules }
    }

    #[test]
    fn the_worst_window_speaks() {
        let windows = vec![window(0..1, 0, false), window(0..4, 1, false)];
        let features = Features { grams: vec![1; 8], windows, ..Features::default() };
        let heard = model().signals(&features);
        assert_eq!(heard.loudest, Some(0..4));
        assert_eq!((heard.all.grams, heard.all.concepts), (0.0, -0.5));
        assert_eq!(heard.all, heard.own);
    }

    #[test]
    fn what_rules_say_counts_where_they_say_it() {
        let ruled = |first: f32, second: f32| {
            let mut windows = vec![window(0..1, 0, false), window(0..4, 1, false)];
            (windows[0].rules, windows[1].rules) = (first, second);
            let features = Features { grams: vec![1; 8], windows, ..Features::default() };
            model().signals(&features).all.ruled
        };
        let apart = ruled(0.0, Signals::NO_RULE);
        let together = ruled(Signals::NO_RULE, 0.0);
        assert!(ruled(Signals::NO_RULE, Signals::NO_RULE) < together);
        assert!(apart < together, "{apart} {together}");
    }

    #[test]
    fn what_is_told_counts_up_to_a_bound() {
        let windows = vec![window(0..1, 0, false), window(0..8, 7, true)];
        let features = Features { grams: vec![1; 8], windows, ..Features::default() };
        let mut model = model();
        model.fusion = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        model.curve = vec![(-2.0, 0.0), (-0.5, 0.2), (0.0, 0.9)];
        let heard = model.signals(&features);
        assert!(heard.own.both < heard.all.both);
        assert!(model.score(model.sum(&heard.all)) > TOLD);
        assert_eq!(model.judge(&heard), TOLD);
    }
}
