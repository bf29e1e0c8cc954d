//! What cannot be used is refused before the first mail, with the file's name and a way out.

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use test_model::Fixture;

use crate::{load, load_from};

fn told(err: &dyn std::error::Error) -> String {
    let source = err.source().map(|it| format!(": {it}")).unwrap_or_default();
    format!("{err}{source}")
}

#[track_caller]
fn refused(fixture: &Fixture, words: &[&str]) {
    let err = told(&load(fixture).err().expect("refuse"));
    for word in words {
        assert!(err.contains(word), "{word:?} is missing in: {err}");
    }
}

#[track_caller]
fn refused_config(mut fixture: Fixture, field: &str, value: Value, words: &[&str]) {
    fixture.config[field] = value;
    refused(&fixture, &[&["config.json"], words].concat());
}

#[test]
fn every_file_is_needed() {
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let folder = Fixture::deberta().write();
        std::fs::remove_file(folder.path().join(name)).expect("remove");
        let err = told(&load_from(folder.path()).err().expect("refuse"));
        assert!(err.contains(&format!("/{name}")) && err.contains("Hugging Face"), "{err}");
    }
    let err = told(&load_from("/nowhere/model".as_ref()).err().expect("refuse"));
    assert!(err.contains("/nowhere/model/config.json"), "{err}");
}

#[test]
fn damaged_files_are_named() {
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let folder = Fixture::modernbert().write();
        let path = folder.path().join(name);
        let octets = std::fs::read(&path).expect("read");
        std::fs::write(&path, &octets[..octets.len() / 2]).expect("cut");
        let err = told(&load_from(folder.path()).err().expect("refuse"));
        assert!(err.contains(&format!("/{name}")), "{err}");
    }
}

#[test]
fn other_kinds_of_models_are_refused() {
    let bert = ["model_type is \"bert\"", "deberta-v2", "modernbert"];
    refused_config(Fixture::deberta(), "model_type", json!("bert"), &bert);
    refused_config(Fixture::deberta(), "conv_kernel_size", json!(3), &["convolution"]);
    refused_config(Fixture::deberta(), "pooler_hidden_size", Value::Null, &["pooler_hidden_size"]);
    refused_config(Fixture::deberta(), "num_attention_heads", json!(0), &["0 heads"]);
    refused_config(Fixture::deberta(), "id2label", json!({ "0": "score" }), &["id2label"]);
    refused_config(Fixture::deberta(), "id2label", json!({ "0": "a", "2": "b" }), &["id2label"]);
    let labels = json!({ "0": "positive", "1": "negative" });
    refused_config(Fixture::deberta(), "id2label", labels, &["opinion.attacks", "positive"]);
    refused_config(Fixture::modernbert(), "attention_bias", json!(true), &["attention_bias"]);
    refused_config(Fixture::modernbert(), "classifier_pooling", json!("max"), &["\"max\""]);
    refused_config(Fixture::modernbert(), "local_attention", Value::Null, &[]);
}

#[test]
fn parts_of_different_models_are_refused() {
    let mut wide = Fixture::deberta();
    wide.config["hidden_size"] = json!(32);
    refused(&wide, &["model.safetensors", "config.json"]);
    let mut few = Fixture::deberta();
    few.config["vocab_size"] = json!(4);
    refused(&few, &["tokenizer.json", "9 words", "4"]);
    let mut gap = Fixture::modernbert();
    gap.weights.remove("model.layers.1.attn_norm.weight");
    refused(&gap, &["model.safetensors", "attn_norm"]);
    let mut swapped = Fixture::modernbert();
    swapped.weights = Fixture::deberta().weights;
    refused(&swapped, &["model.safetensors"]);
}

#[test]
fn a_tokenizer_without_a_first_token_is_refused() {
    let mut bare = Fixture::deberta();
    bare.tokenizer
        .with_post_processor(None::<tokenizers::processors::template::TemplateProcessing>);
    refused(&bare, &["tokenizer.json", "in front"]);
}

#[test]
fn weights_that_are_no_numbers_are_found_at_the_start() {
    for (fixture, name) in [
        (Fixture::deberta(), "pooler.dense.bias"),
        (Fixture::modernbert(), "model.final_norm.weight"),
    ] {
        let mut fixture = fixture;
        let nan = Tensor::full(f32::NAN, fixture.weights[name].shape(), &Device::Cpu);
        fixture.weights.insert(name.to_owned(), nan.expect("tensor"));
        refused(&fixture, &["no probability"]);
    }
}

/// As version 5 of transformers writes it.
#[test]
fn newer_configurations_are_read() {
    let mut fixture = Fixture::modernbert();
    let before = load(&fixture).expect("load").judge("lunch at noon", || true).expect("compute");
    let config = fixture.config.as_object_mut().expect("object");
    let global = config.remove("global_rope_theta").expect("there");
    let local = config.remove("local_rope_theta").expect("there");
    fixture.config["rope_parameters"] = json!({
        "full_attention": { "rope_theta": global }, "sliding_attention": { "rope_theta": local },
    });
    let after = load(&fixture).expect("load").judge("lunch at noon", || true).expect("compute");
    assert_eq!(before, after);
}
