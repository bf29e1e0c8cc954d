//! One delivery attempt: a mail, one destination, and what became of each recipient there.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bus::{Board, Bucket};
use contract::{Action, DeliveryDue, DeliveryReported, OnUnknown, RecipientReport};
use mail::Address;
use prometheus::Registry;
use tokio::{net::lookup_host, time::timeout};

use crate::{
    capture::{self, Capture},
    config::{Config, TlsPolicy},
    content,
    dns::Dns,
    dot::Dot,
    exchange::{Exchange, Exchanges},
    metrics::{self, Metrics},
    mta_sts::MtaSts,
    reply::{Next, Outcome},
    route::{Route, Routes, Smarthost},
    schedule::{self, Retries},
    shaping::{Postponed, Shaping, Site},
    sign::Keys,
    smtp::{Client, Letter, Target},
    source::{self, Pool},
    visit::Visitor,
};

/// Everything an attempt needs; it knows neither stages nor the database.
pub struct Delivery {
    routes: Routes,
    exchanges: Exchanges,
    mta_sts: MtaSts,
    client: Client,
    keys: Keys,
    pools: Vec<Pool>,
    retries: Retries,
    metrics: Metrics,
    shaping: Arc<Shaping>,
}

/// What came of an attempt.
pub enum Attempt {
    Reported(DeliveryReported),
    /// It was not made: the destination's limits leave no room for it before then (microseconds since
    /// 1970). It does not count.
    Postponed {
        at_micros: i64,
    },
}

/// What an attempt is about.
#[derive(Clone, Copy)]
struct Mail<'a> {
    octets: &'a [u8],
    due: &'a DeliveryDue,
    /// Of the sending domain's owner, if they can be had.
    owners: Result<&'a Keys, &'a anyhow::Error>,
    /// To be told before any end of data.
    dot: Option<&'a Arc<Dot>>,
}

/// A recipient of an attempt, and the last that is known of it.
struct Recipient {
    /// As the submission names it.
    forward_path: String,
    /// As it goes over the wire.
    address: String,
    outcome: Outcome,
    remote_host: String,
    tls: &'static str,
    /// Of the site that was to be asked, as metrics call it.
    provider: String,
    held: bool,
}

/// For the name of a smarthost.
const NAME_PATIENCE: Duration = Duration::from_secs(30);

const EXPIRED: &str = "4.4.7";

impl Delivery {
    /// Reads the files that the configuration names; an error says which.
    pub fn new(config: &Config, registry: &Registry) -> anyhow::Result<Delivery> {
        let metrics = Metrics::new(registry)?;
        let dns = Dns::new(config)?;
        Ok(Delivery {
            routes: Routes::load(config)?,
            exchanges: Exchanges::new(config, dns.clone()),
            mta_sts: MtaSts::new(config, dns, registry)?,
            client: Client::new(&config.hostname, config.timeouts)?,
            keys: Keys::load(&config.dkim, config.service_dkim_domain.as_deref())?,
            pools: config.pools.clone(),
            retries: config.retries.clone(),
            shaping: Arc::new(Shaping::new(config.shaping_file.as_deref(), metrics.clone())?),
            metrics,
        })
    }

    /// Has the policies that are fetched outlive this process, and other senders know them.
    pub(crate) fn share_policies(&mut self, bucket: Bucket) {
        self.mta_sts.share(bucket);
    }

    /// From here on limits and what is learned are all replicas' together. What is returned has to be
    /// kept up.
    pub(crate) fn share_over(&self, board: Board) -> Arc<Shaping> {
        self.shaping.share_over(board);
        Arc::clone(&self.shaping)
    }

    /// As `try_attempt`, for who has no queue to put a mail back into: waits until it may be tried.
    pub async fn attempt(&self, octets: &[u8], due: &DeliveryDue) -> DeliveryReported {
        loop {
            match self.try_attempt(octets, due).await {
                Attempt::Reported(report) => return report,
                Attempt::Postponed { at_micros } => {
                    let pause = u64::try_from(at_micros.saturating_sub(now_micros()));
                    tokio::time::sleep(Duration::from_micros(pause.unwrap_or_default())).await;
                }
            }
        }
    }

    /// Attempts a delivery, if there is room for it. Whatever happens, there is a report on every
    /// recipient, and a time for the next attempt if one is delayed.
    pub async fn try_attempt(&self, octets: &[u8], due: &DeliveryDue) -> Attempt {
        self.attempt_with(octets, due, Ok(&Keys::default()), None).await
    }

    /// As `try_attempt`; signed also with the keys of the sending domain's owner, if they can be had, and
    /// with a dot to be told of.
    pub(crate) async fn attempt_with(
        &self,
        octets: &[u8],
        due: &DeliveryDue,
        owners: Result<&Keys, &anyhow::Error>,
        dot: Option<Arc<Dot>>,
    ) -> Attempt {
        let attempted_at = now_micros();
        let mut recipients: Vec<_> =
            due.forward_paths.iter().map(|it| Recipient::new(it)).collect();
        if schedule::is_over(due.expires_at_micros, attempted_at) {
            let outcome =
                Outcome::delayed(EXPIRED, "its time to live had passed, it was not tried");
            settle_all(&mut recipients, &outcome);
        } else if let Err(postponed) =
            self.deliver(Mail { octets, due, owners, dot: dot.as_ref() }, &mut recipients).await
        {
            let deadline = self.retries.deadline(due.accepted_at_micros, due.expires_at_micros);
            let pause = schedule::pause(postponed.least, postponed.turn, due.deferrals);
            match schedule::postponed(pause, deadline, now_micros()) {
                Some(at_micros) => return Attempt::Postponed { at_micros },
                None => settle_all(&mut recipients, &postponed.outcome()),
            }
        }
        self.metrics.started(due.attempt, due.accepted_at_micros, attempted_at);
        let next = self.next_attempt(due, &mut recipients);
        Attempt::Reported(DeliveryReported {
            mail_id: due.mail_id.clone(),
            account_id: due.account_id.clone(),
            inbox_id: due.inbox_id.clone(),
            domain: due.domain.clone(),
            attempt: due.attempt,
            attempted_at_micros: attempted_at,
            recipients: recipients.into_iter().map(Recipient::report).collect(),
            next_attempt_at_micros: next.unwrap_or(0),
        })
    }

    /// The mail as it goes out: CRLF only, signed.
    fn letter(&self, mail: Mail<'_>, recipients: &[Recipient]) -> Result<Letter, Outcome> {
        let Mail { octets, due, owners, dot } = mail;
        let reverse_path = match due.reverse_path.as_str() {
            "" => String::new(),
            path => path
                .parse::<Address>()
                .map_err(|err| Outcome::failed("5.1.7", format!("reverse-path {err}")))?
                .to_string(),
        };
        let content = content::canonical(octets);
        let header_section = content::header_section(&content);
        let domain = content::from_domain(header_section);
        // A key that cannot sign is for the operator to mend, and the mail waits.
        let sign = |keys: &Keys| keys.sign(&domain, &content);
        let unsigned = |err: &anyhow::Error| Outcome::delayed("4.7.0", format!("DKIM: {err:#}"));
        let signatures = sign(owners.map_err(unsigned)?)
            .and_then(|signatures| Ok(signatures + &sign(&self.keys)?))
            .map_err(|err| unsigned(&err))?;
        let international = !reverse_path.is_ascii()
            || !header_section.is_ascii()
            || recipients.iter().any(|it| !it.address.is_ascii());
        Ok(Letter {
            reverse_path,
            eight_bit: !content.is_ascii(),
            smtputf8: international,
            octets: [signatures.as_bytes(), &content].concat(),
            dot: dot.cloned(),
        })
    }

    async fn deliver(&self, mail: Mail<'_>, recipients: &mut [Recipient]) -> Result<(), Postponed> {
        let targets = match self.routes.choose(&mail.due.domain) {
            Route::Capture { directory } => {
                match self.letter(mail, recipients) {
                    Ok(letter) => captured(directory, &letter, mail.due, recipients).await,
                    Err(outcome) => settle_all(recipients, &outcome),
                }
                return Ok(());
            }
            Route::Smarthost(smarthost) => smarthost_targets(smarthost).await,
            Route::Mx => self.exchange_targets(&mail.due.domain).await?,
        };
        match targets {
            Ok(targets) => self.try_targets(targets, mail, recipients).await,
            Err(outcome) => {
                settle_all(recipients, &outcome);
                Ok(())
            }
        }
    }

    async fn exchange_targets(
        &self,
        domain: &str,
    ) -> Result<Result<Vec<Target>, Outcome>, Postponed> {
        let _slot = self.shaping.look_up(domain).await?;
        let (found, policy) = tokio::join!(self.exchanges.of(domain), self.mta_sts.policy(domain));
        match &found {
            Err(outcome) if outcome.action == Action::Delayed => {
                self.shaping.lookup_failed(domain, outcome).await;
            }
            _ => self.shaping.lookup_works(domain).await,
        }
        Ok(found.and_then(|exchanges| self.mta_sts.targets(policy.as_deref(), exchanges)))
    }

    /// One host after the other, until none of the recipients has anything to hope for from the next.
    async fn try_targets(
        &self,
        targets: Vec<Target>,
        mail: Mail<'_>,
        recipients: &mut [Recipient],
    ) -> Result<(), Postponed> {
        let (site, targets) = match self.shaped(targets, mail) {
            Ok(shaped) => shaped,
            Err(outcome) => {
                settle_all(recipients, &outcome);
                return Ok(());
            }
        };
        for recipient in recipients.iter_mut() {
            self.shaping.label(&site).clone_into(&mut recipient.provider);
        }
        let targets = self.shaping.passable(&site, &targets)?;
        let mut slot = self.shaping.enter(&site, &targets).await?;
        let letter = match self.letter(mail, recipients) {
            Ok(letter) => letter,
            Err(outcome) => {
                settle_all(recipients, &outcome);
                slot.settle().await;
                return Ok(());
            }
        };
        let visitor =
            Visitor { client: &self.client, shaping: &self.shaping, metrics: &self.metrics };
        let (mut was_tried, mut may_dial) = (false, true);
        for target in &targets {
            let mut open: Vec<_> = recipients.iter_mut().filter(|it| it.is_open()).collect();
            if open.is_empty() {
                break;
            }
            let addresses: Vec<_> = open.iter().map(|it| it.address.clone()).collect();
            let Some(attempted) = visitor.visit(&mut slot, target, &letter, &addresses).await
            else {
                may_dial = false;
                break;
            };
            was_tried = true;
            if attempted.answered {
                self.shaping.judge(&site, &attempted.outcomes).await;
            }
            for (recipient, outcome) in open.iter_mut().zip(attempted.outcomes) {
                let label = self.shaping.label(&site);
                self.metrics.answered(label, outcome.action, attempted.answered);
                recipient.learn(outcome, target, attempted.answered, attempted.tls);
            }
        }
        slot.settle().await;
        if was_tried || may_dial {
            return Ok(());
        }
        Err(self.shaping.no_connection(&site, &targets))
    }

    /// The targets as this mail may reach them, and the site that they are.
    fn shaped(
        &self,
        targets: Vec<Target>,
        mail: Mail<'_>,
    ) -> Result<(Arc<Site>, Vec<Target>), Outcome> {
        let header_section = content::header_section(mail.octets);
        let from_domain = || content::from_domain(header_section);
        let pool = source::choose(&self.pools, from_domain, header_section);
        let site = self.shaping.site(&mail.due.domain, &targets, source::name(pool));
        let requires_tls = self.shaping.requires_tls(&site);
        let mut unreachable = String::new();
        let shaped = |mut target: Target| {
            match source::address(pool, &mail.due.mail_id, target.address.ip()) {
                Ok(source) => target.source = source,
                Err(why) => {
                    unreachable = why;
                    return None;
                }
            }
            if requires_tls && target.tls == TlsPolicy::Opportunistic {
                target.tls = TlsPolicy::Required;
            }
            Some(target)
        };
        let targets: Vec<_> = targets.into_iter().filter_map(shaped).collect();
        if targets.is_empty() {
            return Err(Outcome::delayed("4.4.4", unreachable));
        }
        Ok((site, targets))
    }

    /// When the delayed recipients are tried again, and those whose outcome is unknown, unless they are
    /// to be held. Without a next time, the delayed ones have failed.
    fn next_attempt(&self, due: &DeliveryDue, recipients: &mut [Recipient]) -> Option<i64> {
        let greylisted = recipients.iter().any(|it| it.outcome.next == Next::Greylisting);
        let holds = due.on_unknown() == OnUnknown::Hold;
        let waits = |it: &Recipient| it.is_delayed() || it.is_unknown() && !holds;
        let next = if recipients.iter().any(waits) {
            let (accepted_at, now) = (due.accepted_at_micros, now_micros());
            let next =
                self.retries.next(due.attempt, greylisted, accepted_at, now, fastrand::f64());
            schedule::within(next, due.expires_at_micros, now)
        } else {
            None
        };
        for recipient in recipients {
            let reply = metrics::class(recipient.outcome.action, !recipient.remote_host.is_empty());
            let expired = recipient.is_delayed() && next.is_none();
            if expired {
                recipient.expire();
            }
            // One of which nobody knows has not failed when the time is over.
            recipient.held = recipient.is_unknown() && (holds || next.is_none());
            self.metrics.settled(&recipient.provider, recipient.outcome.action, reply, expired);
        }
        next
    }
}

impl Recipient {
    fn new(forward_path: &str) -> Recipient {
        let address = forward_path.parse::<Address>();
        let outcome = match &address {
            Ok(_) => Outcome::failed("5.4.4", "there is no host to try").try_next_host(),
            Err(err) => Outcome::failed("5.1.3", err.to_string()),
        };
        Recipient {
            forward_path: forward_path.to_owned(),
            address: address.map(|it| it.to_string()).unwrap_or_default(),
            outcome,
            remote_host: String::new(),
            tls: "",
            provider: String::new(),
            held: false,
        }
    }

    fn is_delayed(&self) -> bool {
        self.outcome.action == Action::Delayed
    }

    fn is_unknown(&self) -> bool {
        self.outcome.action == Action::Unknown
    }

    /// Something can still happen in this attempt.
    fn is_open(&self) -> bool {
        self.outcome.next == Next::Host
    }

    /// A host's verdict replaces what was known, except that one host's 5yz at the greeting does not
    /// settle what another left open.
    fn learn(&mut self, outcome: Outcome, target: &Target, answered: bool, tls: &'static str) {
        if self.is_delayed() && outcome.action == Action::Failed && outcome.next == Next::Host {
            return;
        }
        self.outcome = outcome;
        self.remote_host = if answered { target.host.clone() } else { String::new() };
        self.tls = tls;
    }

    fn expire(&mut self) {
        let why = format!("given up, it took too long; last: {}", self.outcome.diagnostic);
        self.outcome = Outcome::failed(EXPIRED, why);
    }

    fn report(self) -> RecipientReport {
        RecipientReport {
            forward_path: self.forward_path,
            action: self.outcome.action.into(),
            status: self.outcome.status,
            diagnostic: self.outcome.diagnostic,
            remote_host: self.remote_host,
            tls: self.tls.to_owned(),
            held: self.held,
            suppressed: false,
        }
    }
}

/// The same for everybody who has no outcome of their own.
fn settle_all(recipients: &mut [Recipient], outcome: &Outcome) {
    for recipient in recipients.iter_mut().filter(|it| it.is_open()) {
        recipient.outcome = outcome.clone();
    }
}

async fn captured(
    directory: &Path,
    letter: &Letter,
    due: &DeliveryDue,
    recipients: &mut [Recipient],
) {
    let capture = Capture {
        accepted_at_micros: due.accepted_at_micros,
        mail_id: &due.mail_id,
        domain: &due.domain,
    };
    let addresses: Vec<_> =
        recipients.iter().filter(|it| it.is_open()).map(|it| it.address.clone()).collect();
    let outcome = match capture::write(directory, &capture, letter, &addresses).await {
        Ok(_) => Outcome::delivered("2.0.0", "captured: did not leave this machine"),
        Err(err) => Outcome::delayed("4.3.0", format!("capture: {err:#}")),
    };
    settle_all(recipients, &outcome);
}

impl From<Exchange> for Target {
    fn from(exchange: Exchange) -> Target {
        Target {
            host: exchange.host,
            address: exchange.address,
            preference: exchange.preference,
            source: None,
            tls: TlsPolicy::Opportunistic,
            verified: None,
            credentials: None,
        }
    }
}

/// The operator names a smarthost, so the operator's resolver finds it, /etc/hosts included.
async fn smarthost_targets(smarthost: &Smarthost) -> Result<Vec<Target>, Outcome> {
    let Smarthost { host, port, .. } = smarthost;
    let verified = matches!(smarthost.tls, TlsPolicy::Required | TlsPolicy::Implicit)
        .then(|| smarthost.verified.clone());
    let addresses = match timeout(NAME_PATIENCE, lookup_host((host.as_str(), *port))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(err)) => {
            return Err(Outcome::delayed("4.4.3", format!("look up the smarthost {host}: {err}")));
        }
        Err(_) => {
            let why = format!("look up the smarthost {host}: no answer");
            return Err(Outcome::delayed("4.4.3", why));
        }
    };
    let target = |address| Target {
        host: host.clone(),
        address,
        preference: 0,
        source: None,
        tls: smarthost.tls,
        verified: verified.clone(),
        credentials: smarthost.credentials.clone(),
    };
    Ok(addresses.map(target).collect())
}

pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
