//! MTA-STS (RFC 8461): domains say over HTTPS which exchangers are theirs, and that mail to them goes over
//! verified TLS or waits.
//!
//! What was fetched is kept for as long as it says, in a bucket that all senders share: whoever can
//! suppress DNS answers must not be able to switch a known policy off, nor by waiting for a restart.

mod fetch;
mod policy;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use bus::Bucket;
use data_encoding::BASE64URL_NOPAD;
use hickory_resolver::proto::rr::{RData, RecordType};
use prometheus::{IntCounterVec, Opts, Registry};
use rustls::ClientConfig;
use tokio::{sync::OwnedMutexGuard, time::timeout};

use self::{
    fetch::Fetcher,
    policy::{Mode, Policy},
};
use crate::{
    config::{Config, TlsPolicy},
    dns::{self, Answer, Dns},
    exchange::Exchange,
    memory::Memory,
    reply::Outcome,
    smtp::{Target, tls},
};

/// How long what the bucket has on a domain is not looked for again.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A policy host that failed is left alone for so long (section 3.3).
const FAILED_MEMORY: Duration = Duration::from_secs(5 * 60);

/// The longest that a policy may say it holds: the memory is no shorter.
const KNOWN_MEMORY: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A policy is fetched again after so long even if its `id` is the same, so that it does not run out
/// (section 10.2).
const STALE_AFTER_SECONDS: u64 = 24 * 60 * 60;

const DNS_PATIENCE: Duration = Duration::from_secs(30);

const MEMORY_CAPACITY: usize = 10_000;

pub(crate) struct MtaSts {
    dns: Dns,
    fetcher: Fetcher,
    is_enabled: bool,
    /// Shared with the other senders, if there are others.
    bucket: Option<Bucket>,
    known: Memory<Known>,
    failed: Memory<()>,
    turns: Turns,
    verified: Arc<ClientConfig>,
    metrics: Metrics,
}

#[derive(Clone)]
struct Known {
    kept: Option<Arc<Kept>>,
    looked_at: Instant,
}

/// A policy as it was fetched.
#[derive(Debug, PartialEq)]
pub(crate) struct Kept {
    id: String,
    /// In seconds since 1970.
    fetched_at: u64,
    text: String,
    policy: Policy,
}

struct Metrics {
    deliveries: IntCounterVec,
    fetches: IntCounterVec,
}

impl MtaSts {
    pub(crate) fn new(config: &Config, dns: Dns, registry: &Registry) -> anyhow::Result<MtaSts> {
        let verified = tls::verified(config.mta_sts.ca_file.as_deref())?;
        let tls = Arc::clone(&verified);
        Ok(MtaSts {
            fetcher: Fetcher { dns: dns.clone(), port: config.mta_sts.port, tls },
            dns,
            is_enabled: config.mta_sts.enabled,
            bucket: None,
            known: Memory::new(KNOWN_MEMORY, MEMORY_CAPACITY),
            failed: Memory::new(FAILED_MEMORY, MEMORY_CAPACITY),
            turns: Turns::default(),
            verified,
            metrics: Metrics::new(registry)?,
        })
    }

    pub(crate) fn share(&mut self, bucket: Bucket) {
        self.bucket = Some(bucket);
    }

    /// The policy that holds for mail to a domain now.
    pub(crate) async fn policy(&self, domain: &str) -> Option<Arc<Kept>> {
        if !self.is_enabled || domain.starts_with('[') {
            return None;
        }
        let (id, kept) = tokio::join!(self.id(domain), self.kept(domain));
        match id {
            Some(id) if !is_current(kept.as_deref(), &id) => self.renew(domain, &id, kept).await,
            // Without a record, what is kept holds all the same (section 3.1).
            _ => kept,
        }
    }

    /// Where mail may go under a policy, and how.
    pub(crate) fn targets(
        &self,
        kept: Option<&Kept>,
        exchanges: Vec<Exchange>,
    ) -> Result<Vec<Target>, Outcome> {
        let policy = kept.map(|it| &it.policy);
        let Some(policy) = policy.filter(|it| it.mode != Mode::None) else {
            return Ok(exchanges.into_iter().map(Target::from).collect());
        };
        let is_named = |it: &Exchange| policy.names(&it.host);
        let allowed = exchanges.iter().filter(|it| is_named(it)).count();
        self.metrics.note_delivery(policy.mode, allowed > 0);
        if policy.mode == Mode::Testing {
            return Ok(exchanges.into_iter().map(Target::from).collect());
        }
        if allowed == 0 {
            let hosts: Vec<_> = exchanges.iter().map(|it| it.host.as_str()).collect();
            let why = format!("MTA-STS: the domain's policy names none of {}", hosts.join(", "));
            return Err(Outcome::delayed("4.7.0", why));
        }
        let verified = |exchange| Target {
            tls: TlsPolicy::Required,
            verified: Some(Arc::clone(&self.verified)),
            ..Target::from(exchange)
        };
        Ok(exchanges.into_iter().filter(is_named).map(verified).collect())
    }

    async fn id(&self, domain: &str) -> Option<String> {
        let name = dns::fqdn(&format!("_mta-sts.{domain}")).ok()?;
        let text = |data: &RData| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        };
        let answer = timeout(DNS_PATIENCE, self.dns.records(&name, RecordType::TXT, text)).await;
        match answer {
            Ok(Ok(Answer::Records(texts))) => policy::id(texts.iter().map(Vec::as_slice)),
            _ => None,
        }
    }

    /// What was fetched before and has not run out.
    async fn kept(&self, domain: &str) -> Option<Arc<Kept>> {
        let known = self.known.recall(domain);
        let mut kept = known.as_ref().and_then(|it| it.kept.clone());
        if let Some(bucket) = &self.bucket
            && known.is_none_or(|it| it.looked_at.elapsed() >= LOOK_EVERY)
        {
            match bucket.get(&key(domain)).await {
                Ok(found) => {
                    let found = found.and_then(|it| Kept::read(&it)).map(Arc::new);
                    kept = found.or(kept);
                    self.learn(domain, kept.clone());
                }
                Err(err) => tracing::warn!("look for an MTA-STS policy: {err:#}"),
            }
        }
        kept.filter(|it| !it.has_run_out())
    }

    /// The policy as its host has it now; what is kept, if that fails.
    async fn renew(&self, domain: &str, id: &str, kept: Option<Arc<Kept>>) -> Option<Arc<Kept>> {
        let _turn = self.turns.take(domain).await;
        // Whoever had the turn before may have fetched it.
        let known = self.known.recall(domain).and_then(|it| it.kept);
        if is_current(known.as_deref(), id) {
            return known;
        }
        let failure = format!("{domain} {id}");
        if self.failed.recall(&failure).is_some() {
            return kept;
        }
        let fetched = self.fetcher.fetch(domain).await;
        let fetched = fetched.and_then(|text| Kept::new(id, text).context("read a policy"));
        self.metrics.note_fetch(fetched.is_ok());
        match fetched {
            Ok(fetched) => {
                let fetched = Arc::new(fetched);
                self.learn(domain, Some(Arc::clone(&fetched)));
                if let Some(bucket) = &self.bucket
                    && let Err(err) = bucket.put(&key(domain), fetched.write().into()).await
                {
                    tracing::warn!("keep an MTA-STS policy: {err:#}");
                }
                Some(fetched)
            }
            Err(err) => {
                tracing::debug!("fetch an MTA-STS policy: {err:#}");
                self.failed.learn(&failure, ());
                kept
            }
        }
    }

    fn learn(&self, domain: &str, kept: Option<Arc<Kept>>) {
        self.known.learn(domain, Known { kept, looked_at: Instant::now() });
    }
}

/// Whether what is kept is what the domain's record announces.
fn is_current(kept: Option<&Kept>, id: &str) -> bool {
    kept.is_some_and(|it| it.id == id && it.age() < STALE_AFTER_SECONDS && !it.has_run_out())
}

impl Kept {
    fn new(id: &str, text: String) -> Option<Kept> {
        let policy = policy::parse(&text)?;
        Some(Kept { id: id.to_owned(), fetched_at: now(), text, policy })
    }

    fn age(&self) -> u64 {
        now().saturating_sub(self.fetched_at)
    }

    fn has_run_out(&self) -> bool {
        self.age() >= self.policy.max_age_seconds
    }

    /// The `id` and the time on one line, then the text.
    fn write(&self) -> String {
        format!("{} {}\n{}", self.id, self.fetched_at, self.text)
    }

    fn read(octets: &[u8]) -> Option<Kept> {
        let (first, text) = std::str::from_utf8(octets).ok()?.split_once('\n')?;
        let (id, fetched_at) = first.split_once(' ')?;
        let kept = Kept::new(id, text.to_owned())?;
        Some(Kept { fetched_at: fetched_at.parse().ok()?, ..kept })
    }
}

fn key(domain: &str) -> String {
    BASE64URL_NOPAD.encode(domain.as_bytes())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// One at a time for each domain: a mail that finds its policy being fetched waits for it.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    async fn take(&self, domain: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, it| it.strong_count() > 0);
            match turns.get(domain).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::default();
                    turns.insert(domain.to_owned(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}

impl Metrics {
    fn new(registry: &Registry) -> anyhow::Result<Metrics> {
        let deliveries = IntCounterVec::new(
            Opts::new(
                "mail_out_mta_sts_deliveries_total",
                "Attempts under an MTA-STS policy, by whether it names an exchanger that is there.",
            ),
            &["mode", "result"],
        )
        .context("create metric")?;
        let fetches = IntCounterVec::new(
            Opts::new("mail_out_mta_sts_fetches_total", "MTA-STS policies asked for."),
            &["result"],
        )
        .context("create metric")?;
        registry.register(Box::new(deliveries.clone())).context("register metric")?;
        registry.register(Box::new(fetches.clone())).context("register metric")?;
        for (mode, result) in [
            ("enforce", "named"),
            ("enforce", "not_named"),
            ("testing", "named"),
            ("testing", "not_named"),
        ] {
            _ = deliveries.with_label_values(&[mode, result]);
        }
        ["fetched", "failed"].iter().for_each(|it| _ = fetches.with_label_values(&[it]));
        Ok(Metrics { deliveries, fetches })
    }

    fn note_delivery(&self, mode: Mode, is_allowed: bool) {
        let mode = if mode == Mode::Enforce { "enforce" } else { "testing" };
        let result = if is_allowed { "named" } else { "not_named" };
        self.deliveries.with_label_values(&[mode, result]).inc();
    }

    fn note_fetch(&self, has_succeeded: bool) {
        let result = if has_succeeded { "fetched" } else { "failed" };
        self.fetches.with_label_values(&[result]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 100\n";

    #[test]
    fn what_is_kept_comes_back() {
        let kept = Kept::new("id1", TEXT.to_owned()).expect("a policy");
        assert_eq!(Kept::read(kept.write().as_bytes()), Some(kept));
        for octets in [&b""[..], b"id1", b"id1 x\nversion: STSv1", b"id1 5\nnonsense", b"\xff"] {
            assert_eq!(Kept::read(octets), None);
        }
    }

    #[test]
    fn a_policy_runs_out() {
        let mut kept = Kept::new("id1", TEXT.to_owned()).expect("a policy");
        assert!(is_current(Some(&kept), "id1") && !is_current(Some(&kept), "id2"));
        assert!(!is_current(None, "id1"));
        kept.fetched_at -= 101;
        assert!(kept.has_run_out() && !is_current(Some(&kept), "id1"));
    }

    #[tokio::test]
    async fn turns_are_of_one_domain() {
        let turns = Turns::default();
        let first = turns.take("a.test").await;
        let _other = turns.take("b.test").await;
        let second = turns.take("a.test");
        tokio::pin!(second);
        assert!(timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(first);
        second.await;
        assert_eq!(turns.0.lock().expect("not poisoned").len(), 2);
    }
}
