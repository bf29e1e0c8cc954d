//! SMTP as a client (RFC 5321): getting a session with a host. The transaction is in `session`.

mod offers;
mod session;
pub(crate) mod tls;
mod wire;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use lettre::transport::smtp::{
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::AsyncSmtpConnection,
    extension::ClientId,
};
use prometheus::IntGauge;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    config::{Timeouts, TlsPolicy},
    memory::Memory,
    reply::Outcome,
    smtp::{
        offers::Offers,
        session::{Broken, Session, in_time, reply_in_time},
        wire::Wire,
    },
};

pub(crate) use crate::smtp::session::Letter;

/// One address of a host that takes mail.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// A name, or the address where there is none.
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
    pub(crate) tls: TlsPolicy,
    /// Verifies the certificate; without it any is taken.
    pub(crate) verified: Option<Arc<ClientConfig>>,
    pub(crate) credentials: Option<Credentials>,
}

pub(crate) struct Client {
    hello: ClientId,
    timeouts: Timeouts,
    any_certificate: Arc<ClientConfig>,
    /// Hosts whose STARTTLS was broken lately.
    broken_tls: Memory<()>,
    /// Addresses that did not answer, or would not talk to us, a moment ago: otherwise mail after
    /// mail finds out for itself, and holds up the others meanwhile.
    down: Memory<Outcome>,
    connections: IntGauge,
}

/// What came of offering a letter to a host.
pub(crate) struct Attempted {
    /// In the order of the recipients.
    pub(crate) outcomes: Vec<Outcome>,
    /// The TLS version; empty without TLS.
    pub(crate) tls: &'static str,
    /// The outcomes are the host's own words.
    pub(crate) answered: bool,
}

/// How long a host whose TLS is broken gets mail in clear.
const TLS_MEMORY: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Shorter than the shortest pause of the default schedule.
const DOWN_MEMORY: Duration = Duration::from_secs(30);

const MEMORY_CAPACITY: usize = 10_000;

/// Why there is no session with a host.
struct Refusal {
    outcome: Outcome,
    cause: Cause,
    answered: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Cause {
    /// It would fare the same with any mail.
    Down,
    /// TLS, as opposed to what is under it.
    Tls,
    Other,
}

/// A connection counts as open for as long as this lives.
struct Counted(IntGauge);

impl Client {
    pub(crate) fn new(
        hostname: &str,
        timeouts: Timeouts,
        connections: IntGauge,
    ) -> anyhow::Result<Client> {
        Ok(Client {
            hello: ClientId::Domain(hostname.to_owned()),
            timeouts,
            any_certificate: tls::any_certificate()?,
            broken_tls: Memory::new(TLS_MEMORY, MEMORY_CAPACITY),
            down: Memory::new(DOWN_MEMORY, MEMORY_CAPACITY),
            connections,
        })
    }

    /// Offers a letter to a host, for these recipients.
    pub(crate) async fn deliver(
        &self,
        target: &Target,
        letter: &Letter,
        recipients: &[String],
    ) -> Attempted {
        let name = target.to_string();
        if let Some(outcome) = self.down.recall(&name) {
            return without_session(outcome, false, recipients);
        }
        let _counted = Counted::new(&self.connections);
        match self.open(target).await {
            Ok(mut session) => {
                let outcomes = session.transact(letter, recipients).await;
                let tls = session.tls;
                session.quit().await;
                Attempted { outcomes, tls, answered: true }
            }
            Err(refusal) => {
                if refusal.cause == Cause::Down {
                    self.down.learn(&name, refusal.outcome.clone());
                }
                without_session(refusal.outcome, refusal.answered, recipients)
            }
        }
    }

    async fn open(&self, target: &Target) -> Result<Session, Refusal> {
        let opportunistic = target.tls == TlsPolicy::Opportunistic;
        let in_clear = target.tls == TlsPolicy::None
            || (opportunistic && self.broken_tls.recall(&target.host).is_some());
        match self.dial(target, !in_clear).await {
            // Mail in clear is what the host got before it tried TLS (RFC 7435 section 3).
            Err(refusal) if refusal.cause == Cause::Tls && opportunistic => {
                self.broken_tls.learn(&target.host, ());
                self.dial(target, false).await
            }
            result => result,
        }
    }

    async fn dial(&self, target: &Target, encrypt: bool) -> Result<Session, Refusal> {
        let wire = Wire::new(self.connect(target).await?);
        let mut tls = "";
        if target.tls == TlsPolicy::Implicit {
            tls = self.handshake(target, &wire).await?;
        }
        let mut connection = self.greet(target, &wire).await?;
        let mut offers = Offers::read(&wire.heard());
        if encrypt && target.tls != TlsPolicy::Implicit {
            if offers.starttls {
                tls = self.start_tls(target, &wire, &mut connection).await?;
                wire.feign_greeting();
                connection = self.greet(target, &wire).await.map_err(Refusal::about_tls)?;
                offers = Offers::read(&wire.heard());
            } else if target.tls == TlsPolicy::Required {
                let why = format!("{target} does not offer TLS, which is required");
                return Err(Refusal::new("4.7.4", why, Cause::Other));
            }
        }
        if let Some(credentials) = &target.credentials {
            self.authenticate(target, &mut connection, credentials).await?;
        }
        Ok(Session { connection, wire, offers, tls, timeouts: self.timeouts, is_lost: false })
    }

    async fn connect(&self, target: &Target) -> Result<TcpStream, Refusal> {
        let stream =
            match timeout(self.timeouts.connect(), TcpStream::connect(target.address)).await {
                Ok(stream) => stream,
                Err(_) => {
                    let why = format!("connect to {target}: no answer");
                    return Err(Refusal::new("4.4.1", why, Cause::Down));
                }
            };
        // Content and end of data are two writes: with Nagle's algorithm the second waits for the
        // delayed acknowledgement of the first.
        stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream)).map_err(|err| {
            Refusal::new("4.4.1", format!("connect to {target}: {err}"), Cause::Other)
        })
    }

    /// Reads the greeting and says EHLO.
    async fn greet(&self, target: &Target, wire: &Wire) -> Result<AsyncSmtpConnection, Refusal> {
        let greeted =
            AsyncSmtpConnection::connect_with_transport(Box::new(wire.clone()), &self.hello);
        in_time(self.timeouts.reply(), "the answer to EHLO", greeted).await.map_err(|broken| {
            match broken {
                Broken::Reply(reply) => Refusal {
                    outcome: Outcome::of(&reply).try_next_host(),
                    cause: if reply.code < 500 { Cause::Down } else { Cause::Other },
                    answered: true,
                },
                Broken::Silent(why) => {
                    Refusal::new("4.4.2", format!("{target}: {why}"), Cause::Down)
                }
                Broken::Lost(why) => {
                    Refusal::new("4.4.2", format!("{target}: {why}"), Cause::Other)
                }
            }
        })
    }

    async fn start_tls(
        &self,
        target: &Target,
        wire: &Wire,
        connection: &mut AsyncSmtpConnection,
    ) -> Result<&'static str, Refusal> {
        let command = connection.command("STARTTLS\r\n");
        match reply_in_time(self.timeouts.reply(), "the reply to STARTTLS", command).await {
            Ok(reply) if reply.code == 220 => self.handshake(target, wire).await,
            Ok(reply) | Err(Broken::Reply(reply)) => {
                let why = format!("{target} refused STARTTLS: {} {}", reply.code, reply.text);
                Err(Refusal::new("4.7.4", why, Cause::Tls))
            }
            Err(Broken::Silent(why) | Broken::Lost(why)) => {
                Err(Refusal::new("4.4.2", format!("{target}: {why}"), Cause::Tls))
            }
        }
    }

    async fn handshake(&self, target: &Target, wire: &Wire) -> Result<&'static str, Refusal> {
        let config = target.verified.as_ref().unwrap_or(&self.any_certificate).clone();
        let refuse =
            |why: String| Refusal::new("4.7.5", format!("TLS with {target}: {why}"), Cause::Tls);
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| refuse("the host has no name a certificate could be for".to_owned()))?;
        match timeout(self.timeouts.reply(), wire.encrypt(config, name)).await {
            Ok(version) => version.map_err(|err| refuse(err.to_string())),
            Err(_) => Err(refuse("no answer".to_owned())),
        }
    }

    /// Whatever goes wrong here is between the operator and the smarthost, and bounces nobody's mail.
    async fn authenticate(
        &self,
        target: &Target,
        connection: &mut AsyncSmtpConnection,
        credentials: &Credentials,
    ) -> Result<(), Refusal> {
        let exchange = connection.auth(DEFAULT_MECHANISMS, credentials);
        match in_time(self.timeouts.reply(), "the reply to AUTH", exchange).await {
            Ok(_) => Ok(()),
            Err(broken) => {
                let why = format!("{target} did not accept the credentials: {broken}");
                Err(Refusal::new("4.7.8", why, Cause::Other))
            }
        }
    }
}

impl Refusal {
    fn new(status: &str, why: String, cause: Cause) -> Refusal {
        let outcome = Outcome::delayed(status, why).try_next_host();
        Refusal { outcome, cause, answered: false }
    }

    fn about_tls(self) -> Refusal {
        Refusal { cause: Cause::Tls, ..self }
    }
}

fn without_session(outcome: Outcome, answered: bool, recipients: &[String]) -> Attempted {
    Attempted { outcomes: vec![outcome; recipients.len()], tls: "", answered }
}

impl Counted {
    fn new(gauge: &IntGauge) -> Counted {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]:{}", self.host, self.address.ip(), self.address.port())
    }
}
