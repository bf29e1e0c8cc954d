//! A second opinion on a text, by a local transformer: files in, a probability out.
//!
//! Reads a folder as Hugging Face publishes it (`config.json`, `model.safetensors`, `tokenizer.json`) of a
//! sequence classifier of the kinds DeBERTa-v2/v3 and ModernBERT. No network, no clock, no state: the same
//! text always gets the same probability. Whoever asks keeps the time and says when to stop.

mod config;
mod error;
mod folder;
mod labels;
mod network;
mod windows;

use std::{ops::Range, path::Path};

use rayon::{ThreadPool, ThreadPoolBuilder};

pub use crate::error::Error;
use crate::{config::Config, folder::Folder, network::Network, windows::Windows};

/// A classifier, loaded and found to work.
pub struct Model {
    name: String,
    version: String,
    windows: Windows,
    network: Network,
    /// For each of its labels, whether it stands for an attack.
    attacks: Vec<bool>,
    /// Its own, so that a model takes no more of the machine than it was given.
    pool: ThreadPool,
}

/// What a model thinks of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Opinion {
    /// 0 to 1, of the window that looks worst, that it is an attack. As the model says it, which is
    /// calibrated on nothing of ours.
    pub probability: f64,
    /// Where that window is: octets into the text.
    pub span: Range<usize>,
    /// How many windows the text has, and how many of them were read.
    pub windows: usize,
    pub read: usize,
}

impl Opinion {
    /// Nothing of the text was left out.
    pub fn is_complete(&self) -> bool {
        self.read == self.windows
    }
}

impl Model {
    /// Loads the model in a folder. `attacks` are the labels that stand for an attack, if they cannot
    /// be told by their names; `threads` is how many of its own it computes with.
    pub fn load(folder: &Path, attacks: &[String], threads: usize) -> Result<Model, Error> {
        let folder = Folder::new(folder);
        let config = Config::read(&folder)?;
        let attacks = labels::attacks(&folder, &config.labels, attacks)?;
        let windows = Windows::read(&folder, &config)?;
        let (weights, digest) = folder.weights()?;
        let network = Network::load(&folder, &config, weights)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("opinion-{n}"))
            .build()
            .map_err(Error::Threads)?;
        let version = format!("{}@{digest}", folder.name());
        let model = Model { name: folder.name(), version, windows, network, attacks, pool };
        // What does not fit together shows here, and not at the first mail.
        model.judge("A trial.", || true)?;
        Ok(model)
    }

    /// The folder's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, `@`, and the beginning of the SHA-256 of the weights.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Reads window after window while `go_on` says so. `None` if nothing was read: there are no words,
    /// or no window was allowed.
    pub fn judge(
        &self,
        text: &str,
        mut go_on: impl FnMut() -> bool + Send,
    ) -> Result<Option<Opinion>, Error> {
        let windows = self.windows.of(text)?;
        let mut opinion: Option<Opinion> = None;
        for (n, window) in windows.iter().enumerate() {
            if !go_on() {
                break;
            }
            let probabilities = self.pool.install(|| self.network.probabilities(&window.tokens))?;
            let attacks = probabilities.iter().zip(&self.attacks).filter(|it| *it.1);
            let probability: f64 = attacks.map(|it| it.0).sum::<f64>().min(1.0);
            let worst = opinion.as_ref().filter(|it| it.probability >= probability);
            opinion = Some(Opinion {
                probability: worst.map_or(probability, |it| it.probability),
                span: worst.map_or_else(|| window.span.clone(), |it| it.span.clone()),
                windows: windows.len(),
                read: n + 1,
            });
        }
        Ok(opinion)
    }
}
