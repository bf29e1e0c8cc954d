//! What the sender of a mail can prove: SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 9989).

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use contract::{Authentication, Peer};
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DmarcOutput, DmarcResult, MessageAuthenticator, SpfOutput,
    dmarc::{Policy, verify::DmarcParameters},
    spf::verify::SpfParameters,
};
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use tracing::error;

use crate::{
    author::author,
    config::Config,
    resolver::resolver,
    results::{Answer, Results},
    signatures::with_few_signatures,
};

/// Answers questions of DNS for every mail.
pub struct Authenticator {
    resolver: MessageAuthenticator,
    hostname: String,
    budget: Duration,
}

/// The results, and what the owner of the From domain makes of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authenticated {
    pub results: Authentication,
    /// DMARC failed, and the domain's policy is to quarantine or reject.
    pub spoofed: bool,
}

impl Authenticator {
    pub fn new(config: &Config) -> anyhow::Result<Authenticator> {
        Ok(Authenticator {
            resolver: resolver(&config.dns)?,
            hostname: config.hostname.clone(),
            budget: Duration::from_secs(config.authentication_seconds),
        })
    }

    /// Whatever goes wrong, there are results: what DNS did not tell in time is "temperror".
    pub async fn authenticate(
        &self,
        peer: Peer,
        reverse_path: String,
        content: Bytes,
    ) -> Authenticated {
        let check = Check {
            resolver: self.resolver.clone(),
            hostname: self.hostname.clone(),
            begun: Instant::now(),
            budget: self.budget,
            // The host itself is nobody to be authorised, and development has no DNS.
            ip: peer.ip.parse().ok().filter(|it: &IpAddr| !it.is_loopback()),
            helo: peer.helo,
            reverse_path,
        };
        // Hashing a large content takes its time, so all of it happens away from the threads of I/O.
        let runtime = Handle::current();
        let checked = spawn_blocking(move || runtime.block_on(check.run(&content))).await;
        checked.unwrap_or_else(|err| {
            error!("authentication of a mail failed: {err}");
            let results = Results { hostname: &self.hostname, ..Results::default() };
            Authenticated { results: results.told(), spoofed: false }
        })
    }
}

struct Check {
    resolver: MessageAuthenticator,
    hostname: String,
    begun: Instant,
    budget: Duration,
    /// Of a client that is not on this host.
    ip: Option<IpAddr>,
    helo: String,
    reverse_path: String,
}

impl Check {
    async fn run(&self, content: &[u8]) -> Authenticated {
        let content = with_few_signatures(content);
        // Strict: a signature over a part of the body (l=) proves nothing of what follows.
        let message = AuthenticatedMessage::parse_with_opts(&content, None, true);
        let (spf, dkim) = tokio::join!(self.spf(), self.dkim(message.as_ref()));
        let dmarc = match &message {
            Some(message) => self.dmarc(message, &spf, &dkim).await,
            None => Answer::Unasked,
        };
        let spoofed = match &dmarc {
            Answer::Is(dmarc) => {
                matches!(dmarc.result(), DmarcResult::Fail(_))
                    && matches!(dmarc.policy(), Policy::Quarantine | Policy::Reject)
            }
            _ => false,
        };
        let from = message.as_ref().map(|it| it.from.as_slice()).unwrap_or_default();
        let author = author(from, &dkim, &dmarc).unwrap_or_default();
        let results = Results {
            hostname: &self.hostname,
            ip: self.ip,
            helo: &self.helo,
            reverse_path: &self.reverse_path,
            from: from.first().map(String::as_str).unwrap_or_default(),
            spf,
            dkim,
            dmarc,
        };
        Authenticated { results: Authentication { author, ..results.told() }, spoofed }
    }

    /// Of the reverse-path, or of HELO where that is null (RFC 7208 section 2.4).
    async fn spf(&self) -> Answer<SpfOutput> {
        let Some(ip) = self.ip else { return Answer::Unasked };
        let (helo, host) = (self.helo.as_str(), self.hostname.as_str());
        let parameters = match self.reverse_path.as_str() {
            "" => SpfParameters::verify_ehlo(ip, helo, host),
            path => SpfParameters::verify_mail_from(ip, helo, host, path),
        };
        self.in_time(self.resolver.verify_spf(parameters)).await
    }

    async fn dkim<'m>(
        &self,
        message: Option<&'m AuthenticatedMessage<'m>>,
    ) -> Answer<Vec<DkimOutput<'m>>> {
        match message {
            Some(message) => self.in_time(self.resolver.verify_dkim(message)).await,
            None => Answer::Unasked,
        }
    }

    async fn dmarc(
        &self,
        message: &AuthenticatedMessage<'_>,
        spf: &Answer<SpfOutput>,
        dkim: &Answer<Vec<DkimOutput<'_>>>,
    ) -> Answer<DmarcOutput> {
        let nothing = SpfOutput::default();
        let signed = dkim.known().is_some_and(|it| !it.is_empty());
        if self.ip.is_none() && !signed {
            return Answer::Unasked;
        }
        let path_domain = self.reverse_path.rsplit_once('@').map(|it| it.1);
        let parameters = DmarcParameters::new(
            message,
            dkim.known().map(Vec::as_slice).unwrap_or_default(),
            path_domain.unwrap_or(&self.helo),
            spf.known().unwrap_or(&nothing),
        );
        let deadline = self.begun + self.budget;
        match timeout_at(deadline, self.resolver.verify_dmarc(parameters)).await {
            // It fails for want of an answer.
            Ok(it) if it.result() != DmarcResult::Pass && (spf.is_late() || dkim.is_late()) => {
                Answer::Late
            }
            Ok(it) => Answer::Is(it),
            Err(_) => Answer::Late,
        }
    }

    /// Leaves some time for DMARC, which needs the answer.
    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Answer<T> {
        match timeout_at(self.begun + self.budget.mul_f32(0.7), answer).await {
            Ok(it) => Answer::Is(it),
            Err(_) => Answer::Late,
        }
    }
}
