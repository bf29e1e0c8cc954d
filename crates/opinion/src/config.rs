//! `config.json`, as far as it is the same for all kinds of models.

use std::collections::BTreeMap;

use candle_transformers::models::{debertav2, modernbert};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error,
    folder::{CONFIG, Folder},
};

/// What a model is, and what it needs.
pub(crate) struct Config {
    pub(crate) labels: Vec<String>,
    pub(crate) vocabulary: usize,
    /// The most tokens it reads at once.
    pub(crate) positions: usize,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Deberta(Box<debertav2::Config>),
    ModernBert(modernbert::Config),
}

/// The fields that decide what else there is.
#[derive(Deserialize)]
struct Head {
    model_type: String,
    #[serde(default)]
    id2label: BTreeMap<usize, String>,
    vocab_size: usize,
    hidden_size: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
}

impl Config {
    pub(crate) fn read(folder: &Folder) -> Result<Config, Error> {
        let whole: Value = folder.config()?;
        let unsuitable = |what: String| folder.unsuitable(CONFIG, what);
        let unread = |source| Error::Json { path: folder.file(CONFIG), source };
        let head: Head = serde_json::from_value(whole.clone()).map_err(unread)?;
        if head.num_attention_heads == 0
            || !head.hidden_size.is_multiple_of(head.num_attention_heads)
        {
            let (size, heads) = (head.hidden_size, head.num_attention_heads);
            return Err(unsuitable(format!("hidden_size {size} is no multiple of {heads} heads")));
        }
        if head.id2label.len() < 2 || !head.id2label.keys().copied().eq(0..head.id2label.len()) {
            return Err(unsuitable(
                "id2label does not name two labels or more from 0 on: it is no classifier of texts"
                    .into(),
            ));
        }
        let kind = match head.model_type.as_str() {
            "deberta-v2" => Kind::Deberta(Box::new(deberta(folder, whole)?)),
            "modernbert" => Kind::ModernBert(modernbert(folder, whole, &head)?),
            other => {
                return Err(unsuitable(format!(
                    "model_type is {other:?}; \"deberta-v2\" (also DeBERTa-v3) and \"modernbert\" can be used"
                )));
            }
        };
        Ok(Config {
            labels: head.id2label.into_values().collect(),
            vocabulary: head.vocab_size,
            positions: head.max_position_embeddings,
            kind,
        })
    }
}

fn deberta(folder: &Folder, whole: Value) -> Result<debertav2::Config, Error> {
    let config: debertav2::Config = serde_json::from_value(whole)
        .map_err(|source| Error::Json { path: folder.file(CONFIG), source })?;
    // candle has no such layer.
    if config.conv_kernel_size.is_some_and(|it| it > 0) {
        let what = "conv_kernel_size is not 0: DeBERTa with a convolution cannot be computed here";
        return Err(folder.unsuitable(CONFIG, what));
    }
    for (field, is_there) in [
        ("pooler_hidden_size", config.pooler_hidden_size.is_some()),
        ("pooler_dropout", config.pooler_dropout.is_some()),
        ("pooler_hidden_act", config.pooler_hidden_act.is_some()),
    ] {
        if !is_there {
            let what = format!("{field} is missing: the model has no head to classify with");
            return Err(folder.unsuitable(CONFIG, what));
        }
    }
    Ok(config)
}

fn modernbert(folder: &Folder, mut whole: Value, head: &Head) -> Result<modernbert::Config, Error> {
    for field in ["attention_bias", "mlp_bias", "norm_bias", "classifier_bias"] {
        if whole[field] == Value::Bool(true) {
            let what = format!("{field} is set: such a ModernBERT cannot be computed here");
            return Err(folder.unsuitable(CONFIG, what));
        }
    }
    // Since version 5 transformers writes these elsewhere.
    for (field, kind) in
        [("global_rope_theta", "full_attention"), ("local_rope_theta", "sliding_attention")]
    {
        let theta = whole["rope_parameters"][kind]["rope_theta"].clone();
        if whole[field].is_null() && theta.is_number() {
            whole[field] = theta;
        }
    }
    for (field, default) in
        [("global_attn_every_n_layers", Value::from(3)), ("layer_norm_eps", Value::from(1e-5))]
    {
        if whole[field].is_null() {
            whole[field] = default;
        }
    }
    let pooling = match whole["classifier_pooling"].as_str() {
        None | Some("cls") => modernbert::ClassifierPooling::CLS,
        Some("mean") => modernbert::ClassifierPooling::MEAN,
        Some(other) => {
            return Err(folder.unsuitable(CONFIG, format!("classifier_pooling is {other:?}")));
        }
    };
    let mut config: modernbert::Config = serde_json::from_value(whole)
        .map_err(|source| Error::Json { path: folder.file(CONFIG), source })?;
    if config.global_attn_every_n_layers == 0 {
        return Err(folder.unsuitable(CONFIG, "global_attn_every_n_layers is 0"));
    }
    let labels = head.id2label.iter();
    config.classifier_config = Some(modernbert::ClassifierConfig {
        id2label: labels.clone().map(|(n, it)| (n.to_string(), it.clone())).collect(),
        label2id: labels.map(|(n, it)| (it.clone(), n.to_string())).collect(),
        classifier_pooling: pooling,
    });
    Ok(config)
}
