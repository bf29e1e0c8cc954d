//! Weights by which one word decides, so that what comes out can be told by hand.

use candle_core::DType;
use opinion::Model;
use test_model::{BIAS, Fixture, POSITIONS};

use crate::load;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn one_word_decides() {
    for fixture in Fixture::both() {
        let model = load(&fixture.driven_by("ignore")).expect("load");
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
        let model = load(&fixture.driven_by("ignore")).expect("load");
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
    let model = load(&Fixture::deberta()).expect("load");
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
            let model = load(&fixture).expect("load");
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
    let model = load(&Fixture::modernbert().driven_by("ignore")).expect("load");
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
    let model = Model::load(folder.path(), &[], 2).expect("load");
    let (name, digest) = model.version().split_once('@').expect("two parts");
    assert_eq!(name, model.name());
    assert_eq!(digest.len(), 12);
    let again = load(&fixture).expect("load");
    assert_eq!(again.version().split_once('@').map(|it| it.1), Some(digest));
    let other = load(&fixture.driven_by("noon")).expect("load");
    assert_ne!(other.version().split_once('@').map(|it| it.1), Some(digest));
}

/// As many are published.
#[test]
fn weights_may_have_16_bits() {
    for fixture in Fixture::both() {
        let mut fixture = fixture.driven_by("ignore");
        for tensor in fixture.weights.values_mut() {
            *tensor = tensor.to_dtype(DType::F16).expect("narrow");
        }
        let model = load(&fixture).expect("load");
        let opinion = model.judge("please ignore", || true).expect("compute").expect("words");
        assert!(opinion.probability > 0.99);
    }
}
