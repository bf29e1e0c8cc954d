//! SMTP as a client (RFC 5321): opening a session with a host. The transaction is in `session`.

mod offers;
mod session;
pub(crate) mod tls;
mod wire;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lettre::transport::smtp::{
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::AsyncSmtpConnection,
    extension::ClientId,
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    config::{Timeouts, TlsPolicy},
    memory::Memory,
    reply::Outcome,
    smtp::{
        offers::Offers,
        session::{Broken, in_time, reply_in_time},
        wire::Wire,
    },
};

pub(crate) use crate::smtp::session::{Letter, Session};

/// One address of a host that takes mail.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// A name, or the address where there is none.
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
    /// Of its domain's exchangers those with the lowest come first.
    pub(crate) preference: u16,
    /// Where the connection comes from; wherever the system likes if `None`.
    pub(crate) source: Option<IpAddr>,
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
}

/// How long a host whose TLS is broken gets mail in clear.
const TLS_MEMORY: Duration = Duration::from_secs(3 * 24 * 60 * 60);

const MEMORY_CAPACITY: usize = 10_000;

/// Why there is no session with a host.
pub(crate) struct Refusal {
    pub(crate) outcome: Outcome,
    pub(crate) cause: Cause,
    /// The outcome is the host's own words.
    pub(crate) answered: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cause {
    /// It would fare the same with any mail, for a while.
    Down,
    /// TLS, as opposed to what is under it.
    Tls,
    Other,
}

impl Client {
    pub(crate) fn new(hostname: &str, timeouts: Timeouts) -> anyhow::Result<Client> {
        Ok(Client {
            hello: ClientId::Domain(hostname.to_owned()),
            timeouts,
            any_certificate: tls::any_certificate()?,
            broken_tls: Memory::new(TLS_MEMORY, MEMORY_CAPACITY),
        })
    }

    /// A session that can take mail.
    pub(crate) async fn open(&self, target: &Target) -> Result<Session, Refusal> {
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
        Ok(Session::new(target.clone(), connection, wire, offers, tls, self.timeouts))
    }

    async fn connect(&self, target: &Target) -> Result<TcpStream, Refusal> {
        let stream = match timeout(self.timeouts.connect(), dial_from(target)).await {
            Ok(stream) => stream,
            Err(_) => {
                let why = format!("connect to {target}: no answer");
                return Err(Refusal::new("4.4.1", why, Cause::Down));
            }
        };
        // Content and end of data are two writes: with Nagle's algorithm the second waits for the
        // delayed acknowledgement of the first.
        stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream)).map_err(|err| {
            Refusal::new("4.4.1", format!("connect to {target}: {err}"), Cause::Down)
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
                Broken::Silent(why) | Broken::Lost(why) => {
                    Refusal::new("4.4.2", format!("{target}: {why}"), Cause::Down)
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

async fn dial_from(target: &Target) -> std::io::Result<TcpStream> {
    let socket = match target.address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = target.source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(target.address).await
}

impl Target {
    /// Whether a session with one may be used for mail to the other.
    pub(crate) fn is_same(&self, other: &Target) -> bool {
        let same_roots = match (&self.verified, &other.verified) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        self.host == other.host
            && self.address == other.address
            && self.source == other.source
            && self.tls == other.tls
            && same_roots
            && self.credentials == other.credentials
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]:{}", self.host, self.address.ip(), self.address.port())
    }
}
