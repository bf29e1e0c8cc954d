//! One delivery attempt: a mail, one destination, and what became of each recipient there.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bus::Bucket;
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
    metrics::Metrics,
    mta_sts::MtaSts,
    reply::{Next, Outcome},
    route::{Route, Routes, Smarthost},
    schedule::{self, Retries},
    sign::Keys,
    smtp::{Client, Letter, Target},
};

/// Everything an attempt needs; it knows neither stages nor the database.
pub struct Delivery {
    routes: Routes,
    exchanges: Exchanges,
    mta_sts: MtaSts,
    client: Client,
    keys: Keys,
    retries: Retries,
    metrics: Metrics,
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
            client: Client::new(&config.hostname, config.timeouts, metrics.connections.clone())?,
            keys: Keys::load(&config.dkim, config.service_dkim_domain.as_deref())?,
            retries: config.retries.clone(),
            metrics,
        })
    }

    /// Has the policies that are fetched outlive this process, and other senders know them.
    pub(crate) fn share_policies(&mut self, bucket: Bucket) {
        self.mta_sts.share(bucket);
    }

    /// Attempts a delivery. Whatever happens, there is a report on every recipient, and a time for
    /// the next attempt if one is delayed.
    pub async fn attempt(&self, octets: &[u8], due: &DeliveryDue) -> DeliveryReported {
        self.attempt_with(octets, due, Ok(&Keys::default()), None).await
    }

    /// As `attempt`; signed also with the keys of the sending domain's owner, if they can be had, and
    /// with a dot to be told of.
    pub(crate) async fn attempt_with(
        &self,
        octets: &[u8],
        due: &DeliveryDue,
        owners: Result<&Keys, &anyhow::Error>,
        dot: Option<Arc<Dot>>,
    ) -> DeliveryReported {
        let attempted_at = now_micros();
        self.metrics.started(due.attempt, due.accepted_at_micros, attempted_at);
        let mut recipients: Vec<_> =
            due.forward_paths.iter().map(|it| Recipient::new(it)).collect();
        if schedule::is_over(due.expires_at_micros, attempted_at) {
            let outcome =
                Outcome::delayed(EXPIRED, "its time to live had passed, it was not tried");
            settle_all(&mut recipients, &outcome);
        } else {
            match self.letter(octets, due, owners, &recipients) {
                Ok(letter) => self.deliver(&Letter { dot, ..letter }, due, &mut recipients).await,
                Err(outcome) => settle_all(&mut recipients, &outcome),
            }
        }
        let next = self.next_attempt(due, &mut recipients);
        DeliveryReported {
            mail_id: due.mail_id.clone(),
            account_id: due.account_id.clone(),
            inbox_id: due.inbox_id.clone(),
            domain: due.domain.clone(),
            attempt: due.attempt,
            attempted_at_micros: attempted_at,
            recipients: recipients.into_iter().map(Recipient::report).collect(),
            next_attempt_at_micros: next.unwrap_or(0),
        }
    }

    /// The mail as it goes out: CRLF only, signed.
    fn letter(
        &self,
        octets: &[u8],
        due: &DeliveryDue,
        owners: Result<&Keys, &anyhow::Error>,
        recipients: &[Recipient],
    ) -> Result<Letter, Outcome> {
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
            dot: None,
        })
    }

    async fn deliver(&self, letter: &Letter, due: &DeliveryDue, recipients: &mut [Recipient]) {
        match self.routes.choose(&due.domain) {
            Route::Capture { directory } => captured(directory, letter, due, recipients).await,
            Route::Smarthost(smarthost) => match smarthost_targets(smarthost).await {
                Ok(targets) => self.try_targets(&targets, letter, recipients).await,
                Err(outcome) => settle_all(recipients, &outcome),
            },
            Route::Mx => match self.mx_targets(&due.domain).await {
                Ok(targets) => self.try_targets(&targets, letter, recipients).await,
                Err(outcome) => settle_all(recipients, &outcome),
            },
        }
    }

    async fn mx_targets(&self, domain: &str) -> Result<Vec<Target>, Outcome> {
        let (exchanges, policy) =
            tokio::join!(self.exchanges.of(domain), self.mta_sts.policy(domain));
        self.mta_sts.targets(policy.as_deref(), exchanges?)
    }

    /// One host after the other, until none of the recipients has anything to hope for from the next.
    async fn try_targets(&self, targets: &[Target], letter: &Letter, recipients: &mut [Recipient]) {
        for target in targets {
            let mut open: Vec<_> = recipients.iter_mut().filter(|it| it.is_open()).collect();
            if open.is_empty() {
                return;
            }
            let addresses: Vec<_> = open.iter().map(|it| it.address.clone()).collect();
            let attempted = self.client.deliver(target, letter, &addresses).await;
            for (recipient, outcome) in open.iter_mut().zip(attempted.outcomes) {
                recipient.learn(outcome, target, attempted.answered, attempted.tls);
            }
        }
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
            let expired = recipient.is_delayed() && next.is_none();
            if expired {
                recipient.expire();
            }
            // One of which nobody knows has not failed when the time is over.
            recipient.held = recipient.is_unknown() && (holds || next.is_none());
            self.metrics.settled(recipient.outcome.action, expired);
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
        tls: smarthost.tls,
        verified: verified.clone(),
        credentials: smarthost.credentials.clone(),
    };
    Ok(addresses.map(target).collect())
}

fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
