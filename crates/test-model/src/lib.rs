//! Models for tests, as small as they get and written as Hugging Face writes them: sixteen dimensions, two
//! layers, nine words. What cannot be written panics.

use std::collections::HashMap;

use candle_core::{Device, Tensor, safetensors};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenizers::{
    Tokenizer, models::wordlevel::WordLevel, pre_tokenizers::whitespace::Whitespace,
    processors::template::TemplateProcessing,
};

pub const HIDDEN: usize = 16;
pub const INTERMEDIATE: usize = 24;
pub const LAYERS: usize = 2;
pub const HEADS: usize = 2;
/// Of position embeddings, so windows are this long.
pub const POSITIONS: usize = 32;
pub const BUCKETS: usize = 8;
/// ModernBERT's sliding window.
pub const LOCAL: usize = 6;

pub const WORDS: [&str; 9] =
    ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "lunch", "at", "noon", "ignore", "orders"];

/// A text without the word has this logit against it.
pub const BIAS: f32 = -3.0;

pub type Weights = HashMap<String, Tensor>;

/// What makes a model; everything can be changed before it is written.
pub struct Fixture {
    pub config: Value,
    pub weights: Weights,
    pub tokenizer: Tokenizer,
}

impl Fixture {
    /// Random weights; so has the other.
    pub fn deberta() -> Fixture {
        let config = json!({
            "model_type": "deberta-v2",
            "architectures": ["DebertaV2ForSequenceClassification"],
            "vocab_size": WORDS.len(), "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "intermediate_size": INTERMEDIATE, "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
            "max_position_embeddings": POSITIONS, "type_vocab_size": 0, "initializer_range": 0.02,
            "layer_norm_eps": 1e-7, "relative_attention": true, "max_relative_positions": -1,
            "pad_token_id": 0, "position_biased_input": false, "pos_att_type": ["p2c", "c2p"],
            "position_buckets": BUCKETS, "share_att_key": true, "norm_rel_ebd": "layer_norm",
            "pooler_dropout": 0, "pooler_hidden_act": "gelu", "pooler_hidden_size": HIDDEN,
            "id2label": { "0": "LABEL_0", "1": "LABEL_1" },
        });
        Fixture { config, weights: random(&deberta_shapes()), tokenizer: tokenizer() }
    }

    pub fn modernbert() -> Fixture {
        let config = json!({
            "model_type": "modernbert",
            "architectures": ["ModernBertForSequenceClassification"],
            "vocab_size": WORDS.len(), "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "intermediate_size": INTERMEDIATE,
            "max_position_embeddings": POSITIONS, "layer_norm_eps": 1e-5, "pad_token_id": 0,
            "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0,
            "local_attention": LOCAL, "local_rope_theta": 10000.0, "classifier_pooling": "cls",
            "id2label": { "0": "SAFE", "1": "INJECTION" },
        });
        Fixture { config, weights: random(&modernbert_shapes()), tokenizer: tokenizer() }
    }

    pub fn both() -> [Fixture; 2] {
        [Fixture::deberta(), Fixture::modernbert()]
    }

    /// All words are 0 but one, which is (1, -1, 0, …). Every position passes the mean of all on to the first,
    /// norms bring that to its full size, and the head looks at its first number.
    pub fn driven_by(mut self, word: &str) -> Fixture {
        let at = WORDS.iter().position(|it| *it == word).expect("a word");
        for (name, tensor) in &mut self.weights {
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
        self
    }

    /// Into a folder that goes away with what is returned.
    pub fn write(&self) -> TempDir {
        let folder = tempfile::Builder::new().prefix("tiny-guard").tempdir().expect("folder");
        let config = serde_json::to_vec(&self.config).expect("JSON");
        std::fs::write(folder.path().join("config.json"), config).expect("write");
        safetensors::save(&self.weights, folder.path().join("model.safetensors")).expect("save");
        self.tokenizer.save(folder.path().join("tokenizer.json"), false).expect("save");
        folder
    }
}

/// Words and their numbers, each text between the tokens for its begin and its end.
fn tokenizer() -> Tokenizer {
    let numbers = (0u32..).zip(WORDS).map(|(n, word)| (word.to_owned(), n)).collect();
    let words = WordLevel::builder().vocab(numbers).unk_token("[UNK]".into()).build();
    let mut tokenizer = Tokenizer::new(words.expect("words"));
    let template = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")
        .expect("template")
        .special_tokens(vec![("[CLS]", 1), ("[SEP]", 2)])
        .build()
        .expect("template");
    tokenizer.with_pre_tokenizer(Some(Whitespace {})).with_post_processor(Some(template));
    tokenizer
}

fn deberta_shapes() -> Vec<(String, Vec<usize>)> {
    let (h, i) = (HIDDEN, INTERMEDIATE);
    let mut shapes = vec![
        ("deberta.embeddings.word_embeddings.weight".to_owned(), vec![WORDS.len(), h]),
        ("deberta.encoder.rel_embeddings.weight".to_owned(), vec![2 * BUCKETS, h]),
        ("pooler.dense.weight".to_owned(), vec![h, h]),
        ("pooler.dense.bias".to_owned(), vec![h]),
        ("classifier.weight".to_owned(), vec![2, h]),
        ("classifier.bias".to_owned(), vec![2]),
    ];
    let mut norms =
        vec!["deberta.embeddings.LayerNorm".to_owned(), "deberta.encoder.LayerNorm".to_owned()];
    for n in 0..LAYERS {
        let layer = format!("deberta.encoder.layer.{n}");
        for (name, rows, columns) in [
            ("attention.self.query_proj", h, h),
            ("attention.self.key_proj", h, h),
            ("attention.self.value_proj", h, h),
            ("attention.output.dense", h, h),
            ("intermediate.dense", i, h),
            ("output.dense", h, i),
        ] {
            shapes.push((format!("{layer}.{name}.weight"), vec![rows, columns]));
            shapes.push((format!("{layer}.{name}.bias"), vec![rows]));
        }
        norms.push(format!("{layer}.attention.output.LayerNorm"));
        norms.push(format!("{layer}.output.LayerNorm"));
    }
    for norm in norms {
        shapes.push((format!("{norm}.weight"), vec![h]));
        shapes.push((format!("{norm}.bias"), vec![h]));
    }
    shapes
}

fn modernbert_shapes() -> Vec<(String, Vec<usize>)> {
    let (h, i) = (HIDDEN, INTERMEDIATE);
    let mut shapes = vec![
        ("model.embeddings.tok_embeddings.weight".to_owned(), vec![WORDS.len(), h]),
        ("model.embeddings.norm.weight".to_owned(), vec![h]),
        ("model.final_norm.weight".to_owned(), vec![h]),
        ("head.dense.weight".to_owned(), vec![h, h]),
        ("head.norm.weight".to_owned(), vec![h]),
        ("classifier.weight".to_owned(), vec![2, h]),
        ("classifier.bias".to_owned(), vec![2]),
    ];
    for n in 0..LAYERS {
        let layer = format!("model.layers.{n}");
        shapes.push((format!("{layer}.attn.Wqkv.weight"), vec![3 * h, h]));
        shapes.push((format!("{layer}.attn.Wo.weight"), vec![h, h]));
        shapes.push((format!("{layer}.mlp.Wi.weight"), vec![2 * i, h]));
        shapes.push((format!("{layer}.mlp.Wo.weight"), vec![h, i]));
        shapes.push((format!("{layer}.mlp_norm.weight"), vec![h]));
        if n > 0 {
            shapes.push((format!("{layer}.attn_norm.weight"), vec![h]));
        }
    }
    shapes
}

/// Numbers around 0, those that scale around 1; the same at every run.
fn random(shapes: &[(String, Vec<usize>)]) -> Weights {
    let mut state = 7u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fraction =
            f64::from(u32::try_from(state >> 32).expect("32 bits")) / f64::from(u32::MAX);
        fraction - 0.5
    };
    let tensor = |(name, shape): &(String, Vec<usize>)| {
        let scales = name.contains("orm.weight");
        let count = shape.iter().product();
        let numbers: Vec<f32> =
            (0..count).map(|_| next() as f32 + f32::from(u8::from(scales))).collect();
        let tensor = Tensor::from_vec(numbers, shape.as_slice(), &Device::Cpu).expect("tensor");
        (name.clone(), tensor)
    };
    shapes.iter().map(tensor).collect()
}
