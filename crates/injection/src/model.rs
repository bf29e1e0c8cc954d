//! A linear model over the windows of a mail, trained by the crate `trainer`.
//!
//! Two views of a window are weighed: which pieces of words stand in it, and which meanings in which
//! combination. What the worst windows say, and what the rules say, is added up with weights that are
//! never negative, so more text can only raise the score.

use std::ops::Range;

use crate::features::{CONCEPT_BITS, Features, GRAM_BITS, Window, combinations};

const MAGIC: &[u8; 8] = b"posthse1";
/// What is told of a mail; see `Signals`.
pub const SIGNALS: usize = 6;
/// Below it, a window is innocent and its exact place does not matter.
const FLOOR: f32 = -6.0;
/// Above it, a window is worse than any mail and it does not matter how much.
const CEILING: f32 = 10.0;

/// The weights, each in one octet.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub grams: Table,
    pub concepts: Table,
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
    /// The worst window by its pieces of words, of each scale.
    pub grams: [f32; 2],
    /// The worst window by its meanings.
    pub concepts: [f32; 2],
    /// The worst window by both.
    pub both: f32,
    /// The log-odds of what the rules say.
    pub rules: f32,
}

impl Default for Signals {
    fn default() -> Signals {
        Signals { grams: [FLOOR; 2], concepts: [FLOOR; 2], both: FLOOR, rules: FLOOR }
    }
}

impl Signals {
    pub fn list(&self) -> [f32; SIGNALS] {
        let [a, b] = self.grams;
        let [c, d] = self.concepts;
        [a, b, c, d, self.both, self.rules]
    }

    pub fn worst(self, other: Signals) -> Signals {
        let max = |a: [f32; 2], b: [f32; 2]| [a[0].max(b[0]), a[1].max(b[1])];
        Signals {
            grams: max(self.grams, other.grams),
            concepts: max(self.concepts, other.concepts),
            both: self.both.max(other.both),
            rules: self.rules.max(other.rules),
        }
    }

    pub(crate) fn of_rules(score: f64) -> f32 {
        let score = score.clamp(0.0025, 0.9975);
        ((score / (1.0 - score)).ln() as f32).max(FLOOR)
    }
}

impl Table {
    fn sum(&self, indices: &[u32]) -> i64 {
        indices.iter().map(|it| i64::from(self.weights[*it as usize])).sum()
    }
}

impl Model {
    /// The one that comes with this crate.
    pub(crate) fn built_in() -> Model {
        Model::from_bytes(include_bytes!("model.bin")).expect("the trainer wrote it")
    }

    /// What the windows of a text say, and which of them says it loudest, by its octets in the folded
    /// text.
    pub fn signals(&self, features: &Features) -> (Signals, Option<Range<usize>>) {
        let mut signals = Signals::default();
        let mut loudest = None;
        let mut known = (0u64, self.concepts.bias);
        let sums = self.running(&features.grams);
        for window in &features.windows {
            if window.concepts != known.0 {
                known = (window.concepts, self.of_concepts(window.concepts));
            }
            let grams = self.of_grams(&sums, window);
            let (grams, concepts) = (grams.clamp(FLOOR, CEILING), known.1.clamp(FLOOR, CEILING));
            let scale = window.scale;
            signals.grams[scale] = signals.grams[scale].max(grams);
            signals.concepts[scale] = signals.concepts[scale].max(concepts);
            let both = (grams + concepts) / 2.0;
            if both > signals.both {
                signals.both = both;
                loudest = Some(window.range.clone());
            }
        }
        (signals, loudest)
    }

    /// Before each gram, the sum of the weights of those before.
    fn running(&self, grams: &[u32]) -> Vec<i32> {
        let mut sum = 0;
        let mut sums = Vec::with_capacity(grams.len() + 1);
        sums.push(0);
        for it in grams {
            sum += i32::from(self.grams.weights[*it as usize]);
            sums.push(sum);
        }
        sums
    }

    fn of_grams(&self, sums: &[i32], window: &Window) -> f32 {
        let sum = sums[window.grams.end] - sums[window.grams.start];
        let count = window.grams.len().max(1) as f32;
        self.grams.bias + sum as f32 * self.grams.scale / count.sqrt()
    }

    fn of_concepts(&self, concepts: u64) -> f32 {
        let mut indices = Vec::with_capacity(64);
        combinations(concepts, |it| indices.push(it));
        let count = indices.len().max(1) as f32;
        self.concepts.bias + self.concepts.sum(&indices) as f32 * self.concepts.scale / count.sqrt()
    }

    /// What the signals add up to.
    pub fn sum(&self, signals: &Signals) -> f32 {
        signals.list().iter().zip(self.fusion).map(|(it, weight)| it * weight).sum()
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
        if rest.len() != (1 << GRAM_BITS) + (1 << CONCEPT_BITS) {
            return None;
        }
        let weights: Vec<i8> = rest.iter().map(|it| it.cast_signed()).collect();
        let (grams, concepts) = weights.split_at(1 << GRAM_BITS);
        let table = |at: usize, weights: &[i8]| {
            let (scale, bias) = tables[at];
            Table { weights: weights.to_vec(), scale, bias }
        };
        Some(Model { grams: table(0, grams), concepts: table(1, concepts), fusion, curve })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let table = |bits: u32| Table { weights: vec![1; 1 << bits], scale: 0.5, bias: -1.0 };
        Model {
            grams: table(GRAM_BITS),
            concepts: table(CONCEPT_BITS),
            fusion: [0.0, 0.25, 0.5, 0.75, 1.0, 2.0],
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
        assert_eq!((crate::VERSION, digest), ("3", 0x6144_263b_91dc_01b7));
    }

    #[test]
    fn the_curve_is_followed_and_not_left() {
        for (sum, score) in [(-9.0, 0.0), (-1.0, 0.0), (0.0, 0.25), (1.5, 0.75), (9.0, 1.0)] {
            assert!((model().score(sum) - score).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn the_worst_window_speaks() {
        let window = |grams: Range<usize>, concepts| Window {
            range: grams.clone(),
            grams,
            scale: 0,
            concepts,
        };
        let features =
            Features { grams: vec![1; 8], windows: vec![window(0..1, 0), window(0..4, 1)] };
        let (signals, loudest) = model().signals(&features);
        assert_eq!(loudest, Some(0..4));
        assert_eq!(signals.grams, [0.0, FLOOR]);
        assert_eq!(signals.concepts, [-0.5, FLOOR]);
    }
}
