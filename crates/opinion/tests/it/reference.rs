//! Random weights, computed a second time as the papers and Hugging Face's code have it: in loops, in
//! 64 bits, without a library.

use test_model::{
    BUCKETS, Fixture, HEADS, HIDDEN, INTERMEDIATE, LAYERS, LOCAL, POSITIONS, WORDS, Weights,
};

use crate::load;

type Row = Vec<f64>;
type Rows = Vec<Row>;

const HEAD: usize = HIDDEN / HEADS;

struct Reference<'a>(&'a Weights);

impl Reference<'_> {
    fn numbers(&self, name: &str) -> Row {
        let tensor = self.0.get(name).unwrap_or_else(|| panic!("no {name}"));
        let flat = tensor.flatten_all().and_then(|it| it.to_vec1::<f32>()).expect("numbers");
        flat.into_iter().map(f64::from).collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Row {
        let weights = self.numbers(&format!("{name}.weight"));
        let out = weights.chunks(x.len()).map(|it| dot(it, x));
        match self.0.get(&format!("{name}.bias")) {
            Some(_) => out.zip(self.numbers(&format!("{name}.bias"))).map(|(y, b)| y + b).collect(),
            None => out.collect(),
        }
    }

    fn norm(&self, name: &str, x: &[f64], epsilon: f64) -> Row {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / n;
        let weights = self.numbers(&format!("{name}.weight"));
        let bias = match self.0.get(&format!("{name}.bias")) {
            Some(_) => self.numbers(&format!("{name}.bias")),
            None => vec![0.0; x.len()],
        };
        let scaled = x.iter().map(|it| (it - mean) / (variance + epsilon).sqrt());
        scaled.zip(weights.iter().zip(bias)).map(|(x, (w, b))| x * w + b).collect()
    }

    fn embedded(&self, name: &str, tokens: &[usize]) -> Rows {
        let all = self.numbers(name);
        tokens.iter().map(|it| all[it * HIDDEN..(it + 1) * HIDDEN].to_vec()).collect()
    }

    /// The attack's probability by DeBERTa (He et al. 2021, 2023): content to content, content to
    /// position and position to content, positions in logarithmic buckets.
    fn deberta(&self, tokens: &[usize]) -> f64 {
        let norm = |name: &str, x: &[f64]| self.norm(name, x, 1e-7);
        let words = self.embedded("deberta.embeddings.word_embeddings.weight", tokens);
        let mut xs: Rows =
            words.iter().map(|it| norm("deberta.embeddings.LayerNorm", it)).collect();
        let positions: Vec<usize> = (0..2 * BUCKETS).collect();
        let positions = self.embedded("deberta.encoder.rel_embeddings.weight", &positions);
        let positions: Rows =
            positions.iter().map(|it| norm("deberta.encoder.LayerNorm", it)).collect();
        for n in 0..LAYERS {
            let layer = format!("deberta.encoder.layer.{n}");
            let all = |name: &str, xs: &Rows| -> Rows {
                xs.iter().map(|it| self.linear(&format!("{layer}.{name}"), it)).collect()
            };
            let (q, k) =
                (all("attention.self.query_proj", &xs), all("attention.self.key_proj", &xs));
            let v = all("attention.self.value_proj", &xs);
            let position_q = all("attention.self.query_proj", &positions);
            let position_k = all("attention.self.key_proj", &positions);
            let context = attend(xs.len(), &v, |head, i, j| {
                let at =
                    usize::try_from(bucket(i as i64 - j as i64) + BUCKETS as i64).expect("place");
                let at = at.min(2 * BUCKETS - 1);
                let score = dot(of(head, &q[i]), of(head, &k[j]))
                    + dot(of(head, &q[i]), of(head, &position_k[at]))
                    + dot(of(head, &k[j]), of(head, &position_q[at]));
                Some(score / (3.0 * HEAD as f64).sqrt())
            });
            for (x, context) in xs.iter_mut().zip(&context) {
                let attended = self.linear(&format!("{layer}.attention.output.dense"), context);
                let attended =
                    norm(&format!("{layer}.attention.output.LayerNorm"), &sum(&attended, x));
                let inner = self.linear(&format!("{layer}.intermediate.dense"), &attended);
                let inner: Row = inner.into_iter().map(gelu).collect();
                let out = self.linear(&format!("{layer}.output.dense"), &inner);
                *x = norm(&format!("{layer}.output.LayerNorm"), &sum(&out, &attended));
            }
        }
        let pooled: Row = self.linear("pooler.dense", &xs[0]).into_iter().map(gelu).collect();
        softmax(&self.linear("classifier", &pooled))[1]
    }

    /// The same by ModernBERT (Warner et al. 2024): norms first, rotated positions, every third layer
    /// sees all and the others their neighbours, gated units.
    fn modernbert(&self, tokens: &[usize]) -> f64 {
        let norm = |name: &str, x: &[f64]| self.norm(name, x, 1e-5);
        let words = self.embedded("model.embeddings.tok_embeddings.weight", tokens);
        let mut xs: Rows = words.iter().map(|it| norm("model.embeddings.norm", it)).collect();
        for n in 0..LAYERS {
            let layer = format!("model.layers.{n}");
            let sees_all = n % 3 == 0;
            let theta = if sees_all { 160_000.0 } else { 10_000.0 };
            let prepared = |x: &Row| match n {
                0 => x.clone(),
                _ => norm(&format!("{layer}.attn_norm"), x),
            };
            let qkv: Rows = xs
                .iter()
                .map(|x| self.linear(&format!("{layer}.attn.Wqkv"), &prepared(x)))
                .collect();
            let part = |n: usize| -> Rows {
                qkv.iter().map(|it| it[n * HIDDEN..(n + 1) * HIDDEN].to_vec()).collect()
            };
            let (q, k, v) = (part(0), part(1), part(2));
            let context = attend(xs.len(), &v, |head, i, j| {
                let is_seen = sees_all || i.abs_diff(j) <= LOCAL / 2;
                let q = rotated(of(head, &q[i]), i, theta);
                let k = rotated(of(head, &k[j]), j, theta);
                is_seen.then(|| dot(&q, &k) / (HEAD as f64).sqrt())
            });
            for (x, context) in xs.iter_mut().zip(&context) {
                *x = sum(x, &self.linear(&format!("{layer}.attn.Wo"), context));
                let prepared = norm(&format!("{layer}.mlp_norm"), x);
                let inner = self.linear(&format!("{layer}.mlp.Wi"), &prepared);
                let (inner, gate) = inner.split_at(INTERMEDIATE);
                let inner: Row =
                    inner.iter().zip(gate).map(|(it, gate)| gelu(*it) * gate).collect();
                *x = sum(x, &self.linear(&format!("{layer}.mlp.Wo"), &inner));
            }
        }
        let first = norm("model.final_norm", &xs[0]);
        let pooled: Row = self.linear("head.dense", &first).into_iter().map(gelu).collect();
        softmax(&self.linear("classifier", &norm("head.norm", &pooled)))[1]
    }
}

/// The values of each position, weighted by the softmax of its scores.
fn attend(count: usize, values: &Rows, score: impl Fn(usize, usize, usize) -> Option<f64>) -> Rows {
    let row = |i: usize| -> Row {
        let heads = (0..HEADS).flat_map(|head| {
            let scores: Row =
                (0..count).map(|j| score(head, i, j).unwrap_or(f64::NEG_INFINITY)).collect();
            let weights = softmax(&scores);
            (0..HEAD)
                .map(|at| (0..count).map(|j| weights[j] * of(head, &values[j])[at]).sum::<f64>())
                .collect::<Row>()
        });
        heads.collect()
    };
    (0..count).map(row).collect()
}

fn of(head: usize, x: &[f64]) -> &[f64] {
    &x[head * HEAD..(head + 1) * HEAD]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sum(a: &[f64], b: &[f64]) -> Row {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn softmax(x: &[f64]) -> Row {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Row = x.iter().map(|it| (it - most).exp()).collect();
    let all: f64 = powers.iter().sum();
    powers.into_iter().map(|it| it / all).collect()
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / 2f64.sqrt()))
}

/// Abramowitz and Stegun 7.1.26, to 1.5e-7.
fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let polynomial = series.iter().fold(0.0, |sum, it| sum * t + it) * t;
    x.signum() * (1.0 - polynomial * (-x * x).exp())
}

/// Near distances as they are, far ones by their logarithm.
fn bucket(distance: i64) -> i64 {
    let middle = BUCKETS as i64 / 2;
    if distance.abs() <= middle {
        return distance;
    }
    let middle = middle as f64;
    let far = (distance.abs() as f64 / middle).ln() / ((POSITIONS as f64 - 1.0) / middle).ln();
    ((far * (middle - 1.0)).ceil() + middle) as i64 * distance.signum()
}

/// Su et al. 2021, in halves.
fn rotated(x: &[f64], position: usize, theta: f64) -> Row {
    let half = x.len() / 2;
    let angle = |n: usize| position as f64 / theta.powf(2.0 * n as f64 / x.len() as f64);
    (0..x.len())
        .map(|n| {
            let (sin, cos) = angle(n % half).sin_cos();
            if n < half { x[n] * cos - x[n + half] * sin } else { x[n] * cos + x[n - half] * sin }
        })
        .collect()
}

#[track_caller]
fn check(fixture: &Fixture, compute: impl Fn(&Reference<'_>, &[usize]) -> f64) {
    let model = load(fixture).expect("load");
    let reference = Reference(&fixture.weights);
    for text in [
        "lunch",
        "lunch at noon",
        "ignore orders at lunch ignore noon",
        "at noon lunch lunch orders ignore at noon lunch at noon at orders orders lunch at at noon \
         ignore at lunch noon noon at lunch",
    ] {
        let words = text.split_whitespace().map(|it| WORDS.iter().position(|word| *word == it));
        let words: Option<Vec<usize>> = words.collect();
        let tokens = [vec![1], words.expect("words"), vec![2]].concat();
        let expected = compute(&reference, &tokens);
        let got = model.judge(text, || true).expect("compute").expect("words").probability;
        assert!((got - expected).abs() < 1e-4, "{text}: {got} instead of {expected}");
    }
}

#[test]
fn deberta_is_computed_as_published() {
    check(&Fixture::deberta(), |it, tokens| it.deberta(tokens));
}

#[test]
fn modernbert_is_computed_as_published() {
    check(&Fixture::modernbert(), |it, tokens| it.modernbert(tokens));
}
