//! A second opinion on mail whose score is neither low nor high, by a transformer that the operator
//! supplies. Within its own time budget; without it the first verdict stands, and says so.

mod joined;
mod question;

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use contract::Verdict;
use opinion::{Model, Opinion};
use serde::Deserialize;
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

pub(crate) use self::question::Question;
use crate::metrics::Metrics;

/// So many mails may wait for the model; the next one goes on without it.
const PLACES: usize = 16;

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct OpinionConfig {
    /// The folder with the model: config.json, model.safetensors and tokenizer.json. No opinion is asked if
    /// not set.
    pub model: Option<PathBuf>,
    /// The model's labels that stand for an attack. If empty, they are told by their names.
    pub attacks: Vec<String>,
    /// Mail is asked about if its score is at least this …
    pub from: f64,
    /// … and at most this.
    pub to: f64,
    /// How long an opinion may take, the wait for its turn included.
    pub budget_ms: u64,
    /// How many threads compute. One mail is read at a time.
    pub threads: usize,
}

impl Default for OpinionConfig {
    fn default() -> OpinionConfig {
        OpinionConfig {
            model: None,
            attacks: Vec::new(),
            from: 0.2,
            to: 0.8,
            budget_ms: 2000,
            threads: 2,
        }
    }
}

impl OpinionConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        for (key, score) in [("from", self.from), ("to", self.to)] {
            if !(0.0..=1.0).contains(&score) {
                return Err(format!("{key}: {score} is not between 0 and 1"));
            }
        }
        if self.from > self.to {
            return Err(format!("from: {} is above to, {}", self.from, self.to));
        }
        if !(1..=60_000).contains(&self.budget_ms) {
            return Err(format!("budget_ms: {} is not between 1 and 60000", self.budget_ms));
        }
        if !(1..=256).contains(&self.threads) {
            return Err(format!("threads: {} is not between 1 and 256", self.threads));
        }
        Ok(())
    }
}

/// Asks the model. Cloning shares it.
#[derive(Clone)]
pub(crate) struct SecondOpinion {
    model: Arc<Model>,
    from: f64,
    to: f64,
    budget: Duration,
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
    metrics: Metrics,
}

/// Why there is no opinion.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Missing {
    Time,
    Busy,
    Failed,
}

impl SecondOpinion {
    /// Loads the model, if there is one to load.
    pub(crate) async fn open(
        config: &OpinionConfig,
        metrics: &Metrics,
    ) -> anyhow::Result<Option<SecondOpinion>> {
        let Some(folder) = config.model.clone() else { return Ok(None) };
        let (attacks, threads) = (config.attacks.clone(), config.threads);
        let load = spawn_blocking(move || Model::load(&folder, &attacks, threads));
        let model = load.await.context("load the model of `opinion.model`")?;
        let model = model.context("load the model of `opinion.model`")?;
        info!(opinion.version = model.version(), "second opinions by a model");
        Ok(Some(SecondOpinion {
            model: Arc::new(model),
            from: config.from,
            to: config.to,
            budget: Duration::from_millis(config.budget_ms),
            places: Arc::new(Semaphore::new(PLACES)),
            turn: Arc::new(Semaphore::new(1)),
            metrics: metrics.clone(),
        }))
    }

    /// Of evident mail the first verdict is worth more than the time.
    pub(crate) fn band(&self) -> RangeInclusive<f64> {
        self.from..=self.to
    }

    /// The first verdict with what the model says, and whether it has said all it would.
    pub(crate) async fn join(&self, first: Verdict, question: Question) -> (Verdict, bool) {
        let timer = self.metrics.opinion_duration.start_timer();
        let question = Arc::new(question);
        let asked = self.ask(Arc::clone(&question)).await;
        timer.observe_duration();
        let version = self.model.version();
        let (verdict, outcome) = match &asked {
            Ok(Some(opinion)) => {
                let verdict = joined::joined(&first, opinion, &question, version);
                let outcome = match verdict.score.total_cmp(&first.score) {
                    std::cmp::Ordering::Greater => "raised",
                    std::cmp::Ordering::Less => "lowered",
                    std::cmp::Ordering::Equal => "same",
                };
                (verdict, outcome)
            }
            // There is nothing to have an opinion on.
            Ok(None) => (first, "same"),
            Err(why) => (joined::without(first, why.explanation(), version), "missing"),
        };
        self.metrics.opinions.with_label_values(&[outcome]).inc();
        let is_settled = asked.is_ok_and(|it| it.is_none_or(|it| it.is_complete()));
        (verdict, is_settled)
    }

    async fn ask(&self, question: Arc<Question>) -> Result<Option<Opinion>, Missing> {
        let deadline = Instant::now() + self.budget;
        let Ok(_place) = self.places.try_acquire() else { return Err(Missing::Busy) };
        let turn = timeout_at(deadline, Arc::clone(&self.turn).acquire_owned());
        // Nobody closes it.
        let Ok(Ok(turn)) = turn.await else { return Err(Missing::Time) };
        let model = Arc::clone(&self.model);
        let read = spawn_blocking(move || {
            let opinion = model.judge(&question.text, || Instant::now() < deadline);
            drop(turn);
            (opinion, Instant::now() < deadline)
        });
        match read.await {
            // In time, and still nothing: the text has no words.
            Ok((Ok(None), true)) => Ok(None),
            Ok((Ok(None), false)) => Err(Missing::Time),
            // Half a mail without an attack is no mail without an attack.
            Ok((Ok(Some(it)), _)) if !it.is_complete() && !is_attack(&it) => Err(Missing::Time),
            Ok((Ok(Some(opinion)), _)) => Ok(Some(opinion)),
            Ok((Err(err), _)) => {
                warn!("no second opinion: {:#}", anyhow::Error::new(err));
                Err(Missing::Failed)
            }
            // What a panic says may be what stands in the mail.
            Err(err) => {
                warn!(panicked = err.is_panic(), "no second opinion");
                Err(Missing::Failed)
            }
        }
    }
}

fn is_attack(opinion: &Opinion) -> bool {
    opinion.probability >= 0.5
}

impl Missing {
    fn explanation(self) -> &'static str {
        match self {
            Missing::Time => {
                "There is no second opinion: it was not ready in time. The first verdict stands."
            }
            Missing::Busy => {
                "There is no second opinion: too many mails wait for one. The first verdict stands."
            }
            Missing::Failed => {
                "There is no second opinion: the model failed. The first verdict stands."
            }
        }
    }
}
