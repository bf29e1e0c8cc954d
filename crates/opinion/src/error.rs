use std::path::PathBuf;

use thiserror::Error;

/// Why there is no model, or no opinion. Each names the file and a way out.
#[derive(Debug, Error)]
pub enum Error {
    #[error(
        "cannot read {path}: a model is a folder with config.json, model.safetensors and tokenizer.json, \
         as Hugging Face has them"
    )]
    Read { path: PathBuf, source: std::io::Error },

    #[error("{path} has {size_bytes} octets, more than the {most} that are read")]
    Size { path: PathBuf, size_bytes: u64, most: u64 },

    #[error("{path} is not what it should be: fetch it again")]
    Json { path: PathBuf, source: serde_json::Error },

    /// The model is of a kind or has a part that is not computed here.
    #[error("{path}: {what}")]
    Unsuitable { path: PathBuf, what: String },

    #[error("{path} is no tokenizer that can be used: {what}")]
    Tokenizer { path: PathBuf, what: String },

    #[error("{path} does not fit config.json: fetch both anew from one revision of the model")]
    Weights { path: PathBuf, source: candle_core::Error },

    #[error("cannot start the threads to compute with")]
    Threads(#[source] rayon::ThreadPoolBuildError),

    #[error("cannot cut the text into windows: {0}")]
    Cut(String),

    #[error("cannot compute")]
    Compute(#[source] candle_core::Error),

    /// Weights that are damaged, or overflow.
    #[error("the model computes what is no probability")]
    NoProbability,
}
