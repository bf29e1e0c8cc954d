//! A token is revoked → its connections at NATS end. What happened while no gateway was there is made
//! up for at the start, and everything is looked at again from time to time.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_nats::Client;
use nats_login::LoginName;
use prometheus::IntCounter;
use store::Reader;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{server, tokens};
use crate::time::now_micros;

/// A token is worth nothing two seconds after it was revoked.
const ROUND: Duration = Duration::from_millis(700);

/// The clocks of those who write differ, and their transactions take time.
const OVERLAP_MICROS: i64 = 30 * 1_000_000;

/// A login that was looked up before the token was revoked may be answered after that.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Longer than what is read again and again.
const REMEMBERED: Duration = Duration::from_secs(90);

/// All connections are looked at once in so many rounds, which is five minutes.
const ALL_EVERY: u64 = 430;

pub(super) struct Revocation {
    client: Client,
    reader: Reader,
    kicks: IntCounter,
    /// Which revoked tokens are known, and since when.
    seen: Mutex<HashMap<LoginName, Instant>>,
}

impl Revocation {
    pub(super) fn new(client: Client, reader: Reader, kicks: IntCounter) -> Revocation {
        Revocation { client, reader, kicks, seen: Mutex::new(HashMap::new()) }
    }

    pub(super) async fn run(&self, stop: &CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut done, mut since) = (0_u64, now_micros() - OVERLAP_MICROS);
        let mut is_failing = false;
        loop {
            tokio::select! {
                _ = rounds.tick() => (),
                () = stop.cancelled() => return,
            }
            let began = now_micros();
            let round = async {
                self.follow(since).await?;
                if done.is_multiple_of(ALL_EVERY) { self.look_at_all().await } else { Ok(()) }
            };
            let outcome = tokio::select! {
                outcome = round => outcome,
                () = stop.cancelled() => return,
            };
            match outcome {
                Ok(()) => {
                    done += 1;
                    since = began - OVERLAP_MICROS;
                    is_failing = false;
                }
                // Said once, not in every round of an outage.
                Err(err) if !is_failing => {
                    tracing::warn!("connections of revoked tokens not ended: {err:#}");
                    is_failing = true;
                }
                Err(_) => (),
            }
        }
    }

    async fn follow(&self, since: i64) -> anyhow::Result<()> {
        let due = self.due(tokens::revoked(&self.reader, since).await?);
        // The servers look for one; several are found faster among all.
        let found = match &due[..] {
            [] => return Ok(()),
            [name] => server::connections(&self.client, Some(name)).await?,
            _ => server::connections(&self.client, None).await?,
        };
        self.end(found.into_iter().filter(|it| due.contains(&it.user))).await
    }

    /// Those that are not known for long.
    fn due(&self, revoked: Vec<LoginName>) -> Vec<String> {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, since| now.duration_since(*since) < REMEMBERED);
        let is_due = |name: &LoginName| {
            let since = seen.entry(name.clone()).or_insert(now);
            now.duration_since(*since) < AFTERMATH
        };
        revoked.into_iter().filter(is_due).map(|it| it.to_string()).collect()
    }

    async fn look_at_all(&self) -> anyhow::Result<()> {
        let mut of: HashMap<LoginName, Vec<server::Connection>> = HashMap::new();
        for connection in server::connections(&self.client, None).await? {
            // Not ours to judge: the service's own users are in this account too.
            let Ok(name) = connection.user.parse::<LoginName>() else { continue };
            of.entry(name).or_default().push(connection);
        }
        for (name, connections) in of {
            if tokens::hash(&self.reader, &name).await?.is_none() {
                self.end(connections).await?;
            }
        }
        Ok(())
    }

    async fn end(
        &self,
        connections: impl IntoIterator<Item = server::Connection>,
    ) -> anyhow::Result<()> {
        for connection in connections {
            server::kick(&self.client, &connection).await?;
            self.kicks.inc();
        }
        Ok(())
    }
}
