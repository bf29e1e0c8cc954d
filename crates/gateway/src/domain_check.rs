//! Looks at a domain's records, on demand and by itself, and says what that makes of the domain.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bus::Directory;
use store::{Checked, Domain, DomainStatus, RecordCheck, Recorded, Writer};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    dns_records::{self, Finding, Names, Purpose, Wanted},
    resolver::Resolver,
    time::now_micros,
};

const MINUTE: i64 = 60 * 1_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// After so long without success nobody is at work on it any more.
const GIVE_UP_AFTER: i64 = 7 * DAY;

/// A verified domain's ownership record may be gone for so many daily looks.
const MOST_MISSES: i64 = 3;

/// Longer than a look takes.
const LEASE: i64 = MINUTE;

/// So many domains are looked at at once, in all of this process.
const CONCURRENCY: usize = 16;

/// What a look came to.
pub(crate) enum Looked {
    Domain(Box<Domain>),
    /// Another account has proved it first.
    Taken,
    /// It was deleted meanwhile.
    Gone,
}

/// What a look touches. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Checker {
    resolver: Resolver,
    writer: Writer,
    directory: Directory,
    names: Names,
    slots: Arc<Semaphore>,
    every: Duration,
}

impl Checker {
    pub(crate) fn new(
        config: &Config,
        writer: Writer,
        directory: Directory,
    ) -> anyhow::Result<Checker> {
        Ok(Checker {
            resolver: Resolver::new(&config.dns)?,
            writer,
            directory,
            names: Names::new(config),
            slots: Arc::new(Semaphore::new(CONCURRENCY)),
            every: Duration::from_secs(config.domain_check_seconds),
        })
    }

    pub(crate) fn wanted(&self, domain: &Domain) -> Vec<Wanted> {
        dns_records::wanted(domain, &self.names)
    }

    pub(crate) fn next_selector(&self, domain: &Domain) -> String {
        dns_records::next_selector(domain, &self.names)
    }

    /// When a new domain is looked at for the first time.
    pub(crate) fn first_check_at(&self) -> i64 {
        now_micros() + micros(jittered(self.every))
    }

    /// Looks now. `on_demand` looks take nothing away. Keys whose records are found sign from then on.
    pub(crate) async fn look(&self, domain: &Domain, on_demand: bool) -> anyhow::Result<Looked> {
        let _slot = self.slots.acquire().await.context("wait for a turn")?;
        let (looked, are_next_there) = self.look_once(domain, on_demand).await?;
        if let Looked::Domain(recorded) = &looked
            && let Some(next) = recorded.next_keys.as_ref().filter(|_| are_next_there)
            && recorded.status == DomainStatus::Verified
            && let Some(changed) = self.writer.finish_rotation(&domain.id, &next.selector).await?
        {
            tracing::info!(domain.id, "the domain's new DKIM keys sign");
            // What was found was of other keys.
            return Ok(self.look_once(&changed, on_demand).await?.0);
        }
        Ok(looked)
    }

    /// And whether the records of the next keys are there.
    async fn look_once(&self, domain: &Domain, on_demand: bool) -> anyhow::Result<(Looked, bool)> {
        let mut wanted = self.wanted(domain);
        wanted.retain(|it| it.said.is_none());
        let answers = self.resolver.ask(&wanted).await;
        let findings: Vec<_> = wanted
            .iter()
            .zip(&answers)
            .map(|(wanted, answer)| (wanted, dns_records::judge(wanted, answer)))
            .collect();
        let every = micros(jittered(self.every));
        let checked = conclude(domain, &findings, on_demand, now_micros(), every);
        let looked = match self.writer.record_check(&domain.id, &checked).await? {
            Recorded::Gone => Looked::Gone,
            Recorded::Domain(recorded) => {
                self.serve(&recorded).await;
                Looked::Domain(recorded)
            }
            Recorded::Taken => {
                self.writer.record_check(&domain.id, &taken(checked)).await?;
                Looked::Taken
            }
        };
        Ok((looked, are_next_there(&findings)))
    }

    /// Storage would, too, at its next round.
    async fn serve(&self, domain: &Domain) {
        if domain.status == DomainStatus::Verified
            && let Err(err) = self.directory.add_domain(&domain.domain).await
        {
            tracing::warn!(domain.id, "enter a verified domain into the directory: {err:#}");
        }
    }

    /// Looks at what is due until told to stop. Several gateways share the work.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        loop {
            let pause = tokio::select! {
                did = self.look_at_one() => match did {
                    Ok(true) => Duration::ZERO,
                    Ok(false) => self.every / 6,
                    Err(err) => {
                        tracing::warn!("look at a domain's records: {err:#}");
                        self.every / 2
                    }
                },
                () = stop.cancelled() => return,
            };
            tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => (),
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look_at_one(&self) -> anyhow::Result<bool> {
        let Some(domain) = self.writer.claim_domain(LEASE).await? else { return Ok(false) };
        self.look(&domain, false).await?;
        Ok(true)
    }
}

/// The RSA record is; the other one has to be where its like is there now, so that nothing gets worse.
fn are_next_there(findings: &[(&Wanted, Finding)]) -> bool {
    let is_good =
        |purpose| findings.iter().any(|(it, found)| it.purpose == purpose && found.is_good());
    is_good(Purpose::DkimNext)
        && (is_good(Purpose::DkimNextEd25519) || !is_good(Purpose::DkimEd25519))
}

/// What a domain becomes by what was found.
fn conclude(
    domain: &Domain,
    findings: &[(&Wanted, Finding)],
    on_demand: bool,
    now: i64,
    every: i64,
) -> Checked {
    let is_complete = findings.iter().all(|(wanted, it)| it.is_good() || !wanted.is_required);
    let ownership = findings.iter().find(|(it, _)| it.purpose == Purpose::Ownership);
    let is_disowned = ownership.is_some_and(|(_, it)| it.is_gone());
    let is_owned = ownership.is_some_and(|(_, it)| it.is_good());
    let age = now - domain.created_at;
    let misses = match domain.status {
        DomainStatus::Verified if is_disowned && !on_demand => domain.misses + 1,
        DomainStatus::Verified if !is_owned => domain.misses,
        _ => 0,
    };
    let (status, next) = match domain.status {
        DomainStatus::Verified if misses >= MOST_MISSES => (DomainStatus::Failed, None),
        DomainStatus::Verified => (DomainStatus::Verified, Some(pause(domain, now, every))),
        _ if is_complete => (DomainStatus::Verified, Some(DAY)),
        DomainStatus::Failed => (DomainStatus::Failed, None),
        DomainStatus::PendingVerification if age > GIVE_UP_AFTER => (DomainStatus::Failed, None),
        DomainStatus::PendingVerification => {
            let pause = if age < DAY { every } else { every.max(HOUR) };
            (DomainStatus::PendingVerification, Some(pause))
        }
    };
    Checked {
        status,
        checks: findings.iter().map(|(wanted, it)| remembered(domain, wanted, it)).collect(),
        misses,
        next_check_at: next.map(|it| now + it),
    }
}

/// Until a verified domain is looked at again: soon while new keys are awaited.
fn pause(domain: &Domain, now: i64, every: i64) -> i64 {
    match domain.next_keys.as_ref().map(|it| now - it.since) {
        Some(age) if age < DAY => every,
        Some(age) if age < GIVE_UP_AFTER => every.max(HOUR),
        _ => DAY,
    }
}

/// What was good stays so while the DNS does not answer.
fn remembered(domain: &Domain, wanted: &Wanted, finding: &Finding) -> RecordCheck {
    let check = finding.check(wanted.purpose);
    if let Finding::Unreachable(_) = finding {
        let before = domain.checks.iter().find(|it| it.name == check.name);
        if let Some(before) = before.filter(|it| it.status == "verified") {
            return before.clone();
        }
    }
    check
}

fn taken(checked: Checked) -> Checked {
    let mut checks = checked.checks;
    if let Some(ownership) = checks.iter_mut().find(|it| it.name == Purpose::Ownership.as_str()) {
        ownership.status = "wrong".to_owned();
        ownership.reason = TAKEN.to_owned();
    }
    Checked { status: DomainStatus::Failed, checks, next_check_at: None, ..checked }
}

pub(crate) const TAKEN: &str = "Another account of this service has proved that this domain is its \
                                own; it has to delete it first.";

/// By up to a fifth, so that gateways and domains do not keep step.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.8 + 0.4 * fastrand::f64())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(DAY)
}

#[cfg(test)]
mod tests {
    use store::PublicKeys;

    use super::*;

    const NOW: i64 = 100 * DAY;

    fn domain(status: DomainStatus, age: i64, misses: i64) -> Domain {
        Domain {
            id: "dom_1".to_owned(),
            account_id: "acct_1".to_owned(),
            domain: "customer.example".to_owned(),
            status,
            checks: vec![Finding::Good.check(Purpose::Mx)],
            dkim_selector: "ph1".to_owned(),
            rsa_public: vec![1],
            ed25519_public: vec![2],
            created_at: NOW - age,
            verified_at: None,
            checked_at: None,
            misses,
            next_keys: None,
            retired_keys: Vec::new(),
        }
    }

    /// All good but the one.
    fn look(domain: &Domain, bad: Option<(Purpose, Finding)>, on_demand: bool) -> Checked {
        let wanted = dns_records::wanted(domain, &Names::new(&Config::default()));
        let findings: Vec<_> = wanted
            .iter()
            .map(|it| match &bad {
                Some((purpose, finding)) if *purpose == it.purpose => (it, finding.clone()),
                _ => (it, Finding::Good),
            })
            .collect();
        conclude(domain, &findings, on_demand, NOW, 3 * MINUTE)
    }

    fn missing(purpose: Purpose) -> Option<(Purpose, Finding)> {
        Some((purpose, Finding::Missing("why".to_owned())))
    }

    #[test]
    fn every_required_record_verifies() {
        use DomainStatus::{PendingVerification as Pending, Verified};
        let new = domain(Pending, HOUR, 0);
        assert_eq!(look(&new, None, false).status, Verified);
        assert_eq!(look(&new, missing(Purpose::DkimEd25519), false).status, Verified);
        for purpose in
            [Purpose::Ownership, Purpose::Mx, Purpose::Spf, Purpose::Dkim, Purpose::Dmarc]
        {
            let checked = look(&new, missing(purpose), false);
            assert_eq!((checked.status, checked.next_check_at), (Pending, Some(NOW + 3 * MINUTE)));
        }
        let silent = Some((Purpose::Spf, Finding::Unreachable("why".to_owned())));
        assert_eq!(look(&new, silent, false).status, Pending);
    }

    #[test]
    fn looks_less_often_and_gives_up() {
        use DomainStatus::{Failed, PendingVerification as Pending, Verified};
        let checked = look(&domain(Pending, 2 * DAY, 0), missing(Purpose::Mx), false);
        assert_eq!(checked.next_check_at, Some(NOW + HOUR));
        let checked = look(&domain(Pending, 8 * DAY, 0), missing(Purpose::Mx), false);
        assert_eq!((checked.status, checked.next_check_at), (Failed, None));
        assert_eq!(look(&domain(Failed, 8 * DAY, 0), None, true).status, Verified);
    }

    #[test]
    fn only_lasting_loss_of_the_ownership_record_takes_a_domain_away() {
        use DomainStatus::{Failed, Verified};
        let checked = look(&domain(Verified, DAY, 2), missing(Purpose::Mx), false);
        assert_eq!((checked.status, checked.misses), (Verified, 0));
        let gone = || missing(Purpose::Ownership);
        let checked = look(&domain(Verified, DAY, 1), gone(), false);
        assert_eq!((checked.status, checked.misses), (Verified, 2));
        assert_eq!(look(&domain(Verified, DAY, 2), gone(), true).status, Verified);
        assert_eq!(look(&domain(Verified, DAY, 2), gone(), false).status, Failed);
        let silent = Some((Purpose::Ownership, Finding::Unreachable("why".to_owned())));
        let checked = look(&domain(Verified, DAY, 2), silent, false);
        assert_eq!((checked.status, checked.misses), (Verified, 2));
    }

    fn rotating(age: i64) -> Domain {
        let next = PublicKeys {
            selector: "ph2".to_owned(),
            rsa_public: vec![3],
            ed25519_public: vec![4],
            since: NOW - age,
        };
        Domain { next_keys: Some(next), ..domain(DomainStatus::Verified, 90 * DAY, 0) }
    }

    #[test]
    fn awaited_keys_are_looked_for_often() {
        let next = |age| look(&rotating(age), None, false).next_check_at.expect("again") - NOW;
        assert_eq!(next(MINUTE), 3 * MINUTE);
        assert_eq!(next(2 * DAY), HOUR);
        assert_eq!(next(8 * DAY), DAY);
        let missing = look(&rotating(MINUTE), missing(Purpose::DkimNext), false);
        assert_eq!(missing.status, DomainStatus::Verified);
    }

    #[test]
    fn new_keys_sign_when_receivers_can_know_them() {
        use Purpose::{DkimEd25519, DkimNext, DkimNextEd25519};
        let check = |missing: &[Purpose], expected: bool| {
            let wanted = dns_records::wanted(&rotating(MINUTE), &Names::new(&Config::default()));
            let findings = wanted.iter().map(|it| match missing.contains(&it.purpose) {
                true => (it, Finding::Missing("why".to_owned())),
                false => (it, Finding::Good),
            });
            assert_eq!(are_next_there(&findings.collect::<Vec<_>>()), expected, "{missing:?}");
        };
        check(&[], true);
        check(&[DkimNext], false);
        check(&[DkimNextEd25519], false);
        check(&[DkimNextEd25519, DkimEd25519], true);
        check(&[DkimNext, DkimEd25519], false);
    }

    #[test]
    fn what_was_good_stays_so_in_silence() {
        let silent = |purpose| Some((purpose, Finding::Unreachable("why".to_owned())));
        let domain = domain(DomainStatus::Verified, DAY, 0);
        let status = |checked: Checked, purpose: Purpose| {
            let check = checked.checks.into_iter().find(|it| it.name == purpose.as_str());
            check.expect("a check").status
        };
        assert_eq!(status(look(&domain, silent(Purpose::Mx), false), Purpose::Mx), "verified");
        assert_eq!(status(look(&domain, silent(Purpose::Spf), false), Purpose::Spf), "unreachable");
    }
}
