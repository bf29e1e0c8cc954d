//! Weights by which one word decides, so that what comes out can be told by hand.

use candle_core::{DType, Device, Tensor};

use crate::fixture::{Fixture, HIDDEN, POSITIONS, WORDS};

/// A text without the word has this logit against it.
const BIAS: f32 = -3.0;

/// All words are 0 but one, which is (1, -1, 0, …). Every position passes the mean of all on to the first,
/// norms bring that to its full size, and the head looks at its first number.
fn driven_by(word: &str, fixture: Fixture) -> Fixture {
    let mut fixture = fixture;
    let at = WORDS.iter().position(|it| *it == word).expect("a word");
    for (name, tensor) in &mut fixture.weights {
        let shape = tensor.dims().to_vec();
        let diagonal = |from: usize, value: f32| {
            let columns = shape[1];
            let number =
                move |n: usize| if n / columns == from + n % columns { value } else { 0.0 };
            (0..shape[0] * columns).map(number).collect::<Vec<f32>>()
        };
        let count: usize = shape.iter().product();
        let numbers = match name.as_str() {
            "classifier.bias" => vec![0.0, BIAS],
            "classifier.weight" => {
                (0..count).map(|n| if n == HIDDEN { 10.0 } else { 0.0 }).collect()
            }
            it if it.contains("orm.weight") => vec![1.0; count],
            it if it.contains("word_embeddings") || it.contains("tok_embeddings") => {
                let first = at * HIDDEN;
                let number = |n| {
                    [(first, 1.0), (first + 1, -1.0)]
                        .iter()
                        .find(|it| it.0 == n)
                        .map_or(0.0, |it| it.1)
                };
                (0..count).map(number).collect()
            }
            // Values, which come third.
            it if it.contains("Wqkv") => diagonal(2 * HIDDEN, 1.0),
            it if it.contains("value_proj.weight")
                || it.contains("attention.output.dense.weight")
                || it.contains("attn.Wo")
                || it.contains("pooler.dense.weight")
                || it.contains("head.dense") =>
            {
                diagonal(0, 1.0)
            }
            _ => vec![0.0; count],
        };
        *tensor = Tensor::from_vec(numbers, shape.as_slice(), &Device::Cpu).expect("tensor");
    }
    fixture
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn one_word_decides() {
    for fixture in Fixture::both() {
        let model = driven_by("ignore", fixture).load().expect("load");
        let of = |text: &str| model.judge(text, || true).expect("compute").expect("words");
        let without = of("lunch at noon").probability;
        assert!((without - sigmoid(f64::from(BIAS))).abs() < 1e-6, "{without}");
        // The first number is at least gelu(√8) = 2.82 in both.
        let with = of("lunch at noon ignore orders").probability;
        assert!(with > sigmoid(10.0 * 2.8 - 3.0) - 1e-6, "{with}");
    }
}

#[test]
fn the_worst_window_counts_wherever_it_is() {
    for fixture in Fixture::both() {
        let model = driven_by("ignore", fixture).load().expect("load");
        for before in [0, 10, 29, 30, 31, 100, 400] {
            let text = format!("{}ignore{}", "lunch ".repeat(before), " noon".repeat(90));
            let opinion = model.judge(&text, || true).expect("compute").expect("words");
            assert!(opinion.probability > 0.99, "after {before}: {opinion:?}");
            assert!(text[opinion.span.clone()].contains("ignore"), "after {before}: {opinion:?}");
            assert!(opinion.is_complete() && opinion.windows > 3, "{opinion:?}");
        }
    }
}

/// What begins in one window and ends in the next is whole in one.
#[test]
fn windows_overlap() {
    let model = Fixture::deberta().load().expect("load");
    let opinion = model.judge(&"lunch ".repeat(300), || true).expect("compute").expect("words");
    // 30 words fit between the two tokens of the model's own; each window repeats 7 of the last.
    let (room, step) = (POSITIONS - 2, 23);
    assert_eq!(opinion.windows, (300usize - room).div_ceil(step) + 1);
}

#[test]
fn the_same_text_is_always_judged_the_same() {
    let text = "ignore orders at lunch ".repeat(40);
    for fixture in Fixture::both() {
        let judge = || {
            let model = fixture.load().expect("load");
            let opinions: Vec<_> =
                (0..3).map(|_| model.judge(&text, || true).expect("compute")).collect();
            assert!(opinions.windows(2).all(|it| it[0] == it[1]));
            opinions[0].clone()
        };
        assert_eq!(judge(), judge());
    }
}

#[test]
fn stops_when_it_is_told_to() {
    let model = driven_by("ignore", Fixture::modernbert()).load().expect("load");
    let text = format!("{}ignore", "lunch ".repeat(200));
    assert_eq!(model.judge(&text, || false).expect("no time"), None);
    let mut left = 2;
    let opinion = model.judge(&text, || {
        left -= 1;
        left >= 0
    });
    let opinion = opinion.expect("compute").expect("some");
    assert!(opinion.read == 2 && !opinion.is_complete(), "{opinion:?}");
    assert!(opinion.probability < 0.1, "what was not read says nothing: {opinion:?}");
    assert_eq!(model.judge(" \n", || true).expect("compute"), None);
}

#[test]
fn the_version_is_the_name_and_the_weights() {
    let fixture = Fixture::deberta();
    let folder = fixture.write();
    let model = crate::fixture::load(folder.path()).expect("load");
    let (name, digest) = model.version().split_once('@').expect("two parts");
    assert_eq!(name, model.name());
    assert_eq!(digest.len(), 12);
    let again = fixture.load().expect("load");
    assert_eq!(again.version().split_once('@').map(|it| it.1), Some(digest));
    let other = driven_by("noon", fixture).load().expect("load");
    assert_ne!(other.version().split_once('@').map(|it| it.1), Some(digest));
}

/// As many are published.
#[test]
fn weights_may_have_16_bits() {
    for fixture in Fixture::both() {
        let mut fixture = driven_by("ignore", fixture);
        for tensor in fixture.weights.values_mut() {
            *tensor = tensor.to_dtype(DType::F16).expect("narrow");
        }
        let model = fixture.load().expect("load");
        let opinion = model.judge("please ignore", || true).expect("compute").expect("words");
        assert!(opinion.probability > 0.99);
    }
}
