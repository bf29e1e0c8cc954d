//! The directory knows whose tokens are good, so that intake can check logins: what the database says
//! of them is followed here.

use std::time::Duration;

use bus::Directory;
use service::Process;
use store::{Reader, Token, Writer};
use tokio::time::{MissedTickBehavior, interval};

use crate::house::now;

/// How long a token that an operator made or revoked goes unnoticed.
const ROUND: Duration = Duration::from_secs(1);

/// A round reads what changed since the one before, and so much again: the clocks of those who write
/// differ, and their transactions take time.
const OVERLAP_MICROS: i64 = 30 * 1_000_000;

/// Everything is looked at once in so many rounds, which is an hour.
const ALL_EVERY: u64 = 3600;

/// Tokens that are worth nothing are kept for so long.
const KEPT_MICROS: i64 = 30 * 24 * 60 * 60 * 1_000_000;

/// Tokens read at once.
const PAGE: i64 = 500;

pub(crate) struct Tokens {
    pub(crate) directory: Directory,
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) process: Process,
}

impl Tokens {
    /// Goes on until shutdown; what fails is done in a later round.
    pub(crate) async fn keep(&self) -> anyhow::Result<()> {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut done, mut since) = (0_u64, 0);
        let mut is_failing = false;
        loop {
            tokio::select! {
                _ = rounds.tick() => (),
                () = self.process.shutdown.cancelled() => return Ok(()),
            }
            let began = now();
            let outcome = tokio::select! {
                outcome = self.follow(since) => outcome,
                () = self.process.shutdown.cancelled() => return Ok(()),
            };
            match outcome {
                Ok(()) => {
                    done += 1;
                    self.forget(since, began).await;
                    let is_all_due = done.is_multiple_of(ALL_EVERY);
                    since = if is_all_due { 0 } else { began - OVERLAP_MICROS };
                    is_failing = false;
                }
                // Said once, not every other second of an outage.
                Err(err) if !is_failing => {
                    tracing::warn!("tokens not brought to the directory: {err:#}");
                    is_failing = true;
                }
                Err(_) => (),
            }
        }
    }

    async fn follow(&self, since: i64) -> anyhow::Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.reader.token_changes(since, after.as_deref(), PAGE).await?;
            for token in &page {
                self.put_right(token).await?;
            }
            let Some(last) = page.into_iter().last() else { return Ok(()) };
            after = Some(last.hash);
        }
    }

    async fn put_right(&self, token: &Token) -> anyhow::Result<()> {
        if token.is_good_at(now()) {
            self.directory.add_token(&token.hash, &token.account_id, &token.grant).await
        } else {
            self.directory.remove_token(&token.hash).await
        }
    }

    /// Lets go of what is long over, once a round has looked at everything, so that the directory has
    /// none of it.
    async fn forget(&self, since: i64, now: i64) {
        if since != 0 {
            return;
        }
        if let Err(err) = self.writer.forget_tokens(now - KEPT_MICROS).await {
            tracing::warn!("forget tokens: {:#}", anyhow::Error::from(err));
        }
    }
}
