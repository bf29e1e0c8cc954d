//! Learns weights from mails whose passages are known to be innocent or not.
//!
//! A mail that carries an injection is guilty by some of its windows only: first those of its payload,
//! and once there are weights, those that the weights find the worst. Innocent mails give windows at
//! random, and then the ones that look worst. All of it is seeded and in one order, so the same data
//! give the same octets.

use std::ops::Range;

use fastrand::Rng;
use injection::{
    CONCEPT_BITS, Extract, GRAM_BITS, Model, SIGNALS, Table, Window, combinations, fold,
};

use crate::{
    lines::Line,
    trees::{self, Row},
};

/// A labelled mail as the model sees it.
pub(crate) struct Mail {
    pub(crate) line: Line,
    pub(crate) extract: Extract,
    /// Counts more than another mail of its label.
    pub(crate) weight: f32,
}

/// Weights before they are squeezed into octets.
#[derive(Clone)]
pub(crate) struct Weights {
    pub(crate) grams: Vec<f32>,
    pub(crate) gram_bias: f32,
    pub(crate) concepts: Vec<f32>,
    pub(crate) concept_bias: f32,
}

#[derive(Clone, Copy)]
struct Example {
    mail: u32,
    passage: u32,
    window: u32,
    attack: bool,
    weight: f32,
}

const ROUNDS: usize = 2;
/// How often the examples of a round are gone through; those of the first are only a beginning.
const EPOCHS: [usize; 1 + ROUNDS] = [1, 1, 2];
/// How much of a weight is lost for its size.
const GRAM_DECAY: f32 = 1e-4;
const CONCEPT_DECAY: f32 = 1e-3;
const GRAM_RATE: f32 = 0.12;
const CONCEPT_RATE: f32 = 0.05;
/// Windows that are taken of an innocent mail.
const RANDOM: usize = 3;
const WORST: usize = 4;
/// Folded octets by which a payload is found again.
const KEY: usize = 48;

/// What a model learns of mails; how its signals add up is for others to say.
pub(crate) fn learn(mails: &[&Mail], seed: u64) -> Model {
    let weights = weights(mails, seed);
    let mut rng = Rng::with_seed(seed);
    let mut examples = next_examples(mails, &weights, &mut rng);
    balance(&mut examples);
    let rows: Vec<Row> = examples
        .iter()
        .map(|it| {
            let passage = &mails[it.mail as usize].extract.passages[it.passage as usize];
            let window = &passage.features.windows[it.window as usize];
            (window.concepts, it.attack, it.weight)
        })
        .collect();
    let forest = trees::grow(&rows, &mut rng);
    let (grams, concepts) = weights.tables();
    Model { grams, concepts, forest, fusion: [1.0; SIGNALS], curve: Vec::new() }
}

fn weights(mails: &[&Mail], seed: u64) -> Weights {
    let mut rng = Rng::with_seed(seed);
    let mut learner = Learner::new();
    let mut examples = first_examples(mails, &mut rng);
    learner.fit(mails, &mut examples, EPOCHS[0], &mut rng);
    for epochs in &EPOCHS[1..] {
        let mut examples = next_examples(mails, &learner.weights(), &mut rng);
        learner.fit(mails, &mut examples, *epochs, &mut rng);
    }
    learner.weights()
}

fn windows(mail: &Mail) -> impl Iterator<Item = (u32, u32, &Window)> {
    mail.extract.passages.iter().enumerate().flat_map(|(passage, it)| {
        let windows = it.features.windows.iter().enumerate();
        windows.map(move |(at, window)| (passage as u32, at as u32, window))
    })
}

fn first_examples(mails: &[&Mail], rng: &mut Rng) -> Vec<Example> {
    let mut examples = Vec::new();
    for (at, mail) in mails.iter().enumerate() {
        let attack = mail.line.is_attack();
        let mut chosen: Vec<(u32, u32)> = if attack {
            payload_windows(mail)
        } else {
            windows(mail).map(|it| (it.0, it.1)).collect()
        };
        rng.shuffle(&mut chosen);
        chosen.truncate(RANDOM);
        push(&mut examples, at, mail, &chosen);
    }
    examples
}

fn push(examples: &mut Vec<Example>, at: usize, mail: &Mail, chosen: &[(u32, u32)]) {
    let weight = mail.weight / chosen.len().max(1) as f32;
    examples.extend(chosen.iter().map(|(passage, window)| Example {
        mail: at as u32,
        passage: *passage,
        window: *window,
        attack: mail.line.is_attack(),
        weight,
    }));
}

/// The windows that the payload fills for the most part, if it is found.
fn payload_windows(mail: &Mail) -> Vec<(u32, u32)> {
    let Some(payload) = &mail.line.payload else { return Vec::new() };
    let payload = fold(payload.trim());
    let key = &payload[..payload.floor_char_boundary(KEY.min(payload.len()))];
    if key.is_empty() {
        return Vec::new();
    }
    let mut chosen = Vec::new();
    for (at, passage) in mail.extract.passages.iter().enumerate() {
        let Some(start) = passage.text.find(key) else { continue };
        let payload = start..start + payload.len();
        let inside = passage.features.windows.iter().enumerate().filter(|(_, it)| {
            let shared = shared(&it.range, &payload);
            shared * 2 > it.range.len() || shared * 10 > payload.len() * 7
        });
        chosen.extend(inside.map(|it| (at as u32, it.0 as u32)));
    }
    chosen
}

fn shared(a: &Range<usize>, b: &Range<usize>) -> usize {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

/// The worst windows of each mail, and of innocent ones some others.
fn next_examples(mails: &[&Mail], weights: &Weights, rng: &mut Rng) -> Vec<Example> {
    let mut examples = Vec::new();
    for (at, mail) in mails.iter().enumerate() {
        let attack = mail.line.is_attack();
        let mut chosen = if attack { payload_windows(mail) } else { Vec::new() };
        if chosen.is_empty() {
            chosen = windows(mail).map(|it| (it.0, it.1)).collect();
        }
        let mut ranked: Vec<(f32, (u32, u32))> = chosen
            .into_iter()
            .map(|it| {
                let features = &mail.extract.passages[it.0 as usize].features;
                let window = &features.windows[it.1 as usize];
                (
                    weights.grams(&features.grams, window)
                        + weights.concepts(&features.rows, window),
                    it,
                )
            })
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut others = ranked.split_off(ranked.len().min(WORST));
        if !attack {
            rng.shuffle(&mut others);
            ranked.extend(others.into_iter().take(RANDOM));
        }
        let chosen: Vec<(u32, u32)> = ranked.into_iter().map(|it| it.1).collect();
        push(&mut examples, at, mail, &chosen);
    }
    examples
}

impl Weights {
    pub(crate) fn grams(&self, grams: &[u32], window: &Window) -> f32 {
        let own = &grams[window.grams.clone()];
        let sum: f32 = own.iter().map(|it| self.grams[*it as usize]).sum();
        self.gram_bias + sum / (own.len().max(1) as f32).sqrt()
    }

    pub(crate) fn concepts(&self, rows: &[u32], window: &Window) -> f32 {
        let (mut sum, mut count) = (0.0, 0.0f32);
        let mut add = |it: u32| {
            sum += self.concepts[it as usize];
            count += 1.0;
        };
        rows[window.rows.clone()].iter().for_each(|it| add(*it));
        combinations(window.concepts, add);
        self.concept_bias + sum / count.max(1.0).sqrt()
    }

    /// In octets.
    pub(crate) fn tables(&self) -> (Table, Table) {
        (squeezed(&self.grams, self.gram_bias), squeezed(&self.concepts, self.concept_bias))
    }
}

fn squeezed(weights: &[f32], bias: f32) -> Table {
    // Few weights are large; those are cut so that the many keep their differences.
    let mut sizes: Vec<f32> = weights.iter().map(|it| it.abs()).filter(|it| *it > 0.0).collect();
    sizes.sort_by(f32::total_cmp);
    let largest = sizes.get(sizes.len() * 9995 / 10000).copied().unwrap_or(1.0);
    let scale = largest / 127.0;
    let weights = weights.iter().map(|it| (it / scale).round().clamp(-127.0, 127.0) as i8);
    Table { weights: weights.collect(), scale, bias }
}

/// Goes on from what it knows with every round of examples.
struct Learner {
    grams: Descent,
    concepts: Descent,
}

impl Learner {
    fn new() -> Learner {
        Learner {
            grams: Descent::new(GRAM_BITS, GRAM_RATE, GRAM_DECAY),
            concepts: Descent::new(CONCEPT_BITS, CONCEPT_RATE, CONCEPT_DECAY),
        }
    }

    fn fit(&mut self, mails: &[&Mail], examples: &mut [Example], epochs: usize, rng: &mut Rng) {
        balance(examples);
        let (mut combined, mut kept) = (Vec::new(), Vec::new());
        for _ in 0..epochs {
            rng.shuffle(examples);
            for it in examples.iter() {
                let mail = mails[it.mail as usize];
                let features = &mail.extract.passages[it.passage as usize].features;
                let window = &features.windows[it.window as usize];
                let own = &features.grams[window.grams.clone()];
                // Half of the pieces, and each time others, so that no few of them decide alone.
                let salt = rng.u32(..);
                kept.clear();
                kept.extend(own.iter().filter(|it| is_kept(**it, salt)));
                let share = 2.0 / (own.len().max(1) as f32).sqrt();
                self.grams.step(&kept, share, it.attack, it.weight);
                combined.clear();
                combinations(window.concepts, |it| combined.push(it));
                combined.extend(&features.rows[window.rows.clone()]);
                let share = 1.0 / (combined.len().max(1) as f32).sqrt();
                self.concepts.step(&combined, share, it.attack, it.weight);
            }
        }
    }

    fn weights(&self) -> Weights {
        let own = |it: &Descent| it.weights.iter().map(|it| it[0]).collect();
        Weights {
            grams: own(&self.grams),
            gram_bias: self.grams.bias,
            concepts: own(&self.concepts),
            concept_bias: self.concepts.bias,
        }
    }
}

fn is_kept(gram: u32, salt: u32) -> bool {
    (gram ^ salt).wrapping_mul(0x9e37_79b1).wrapping_mul(0x85eb_ca6b) >> 31 == 0
}

/// Both labels weigh the same, and an example weighs 1 on average.
fn balance(examples: &mut [Example]) {
    for attack in [true, false] {
        let sum: f32 = examples.iter().filter(|it| it.attack == attack).map(|it| it.weight).sum();
        let factor = examples.len() as f32 / 2.0 / sum.max(f32::EPSILON);
        for it in examples.iter_mut().filter(|it| it.attack == attack) {
            it.weight *= factor;
        }
    }
}

/// Logistic regression by stochastic gradient descent with a rate for each weight (AdaGrad).
struct Descent {
    /// Each with the sum of the squares of its gradients, beside it because both are needed at once.
    weights: Vec<[f32; 2]>,
    bias: f32,
    bias_squares: f32,
    rate: f32,
    decay: f32,
}

impl Descent {
    fn new(bits: u32, rate: f32, decay: f32) -> Descent {
        Descent {
            weights: vec![[0.0, 1e-4]; 1 << bits],
            bias: 0.0,
            bias_squares: 1e-4,
            rate,
            decay,
        }
    }

    fn step(&mut self, indices: &[u32], value: f32, attack: bool, weight: f32) {
        let sum: f32 = indices.iter().map(|it| self.weights[*it as usize][0]).sum();
        let odds = self.bias + sum * value;
        let target = if attack { 1.0 } else { 0.0 };
        let error = (1.0 / (1.0 + (-odds).exp()) - target) * weight.min(8.0);
        for it in indices {
            let [own, squares] = &mut self.weights[*it as usize];
            let gradient = error * value + self.decay * *own;
            *squares += gradient * gradient;
            *own -= self.rate * gradient / squares.sqrt();
        }
        self.bias_squares += error * error;
        self.bias -= self.rate * error / self.bias_squares.sqrt();
    }
}
