//! One connection: reads commands, decides, answers.
//!
//! What has to be waited for, a lookup or JetStream, is waited for here, before the state machine
//! moves on.

use std::{net::IpAddr, sync::Arc};

use bus::Resolution;
use contract::{Envelope, ForwardPath, Peer, Purpose};
use mail::Address;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Config,
    auth::Failures,
    command::{self, Command, Mail},
    door::Door,
    line::Line,
    login::Login,
    memory::Memory,
    metrics::Metrics,
    post::Post,
    receive::{self, Chunks},
    reply::{self, Reply},
    sequence::{Sequence, Step},
    submit::{self, Author},
    tls,
    wire::{Stop, Wire},
};

/// What all sessions of a server share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) post: Post,
    pub(crate) tls: TlsAcceptor,
    /// Of all logins.
    pub(crate) failures: Failures,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
}

pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) door: Door,
    pub(crate) ip: IpAddr,
    pub(crate) peer: Peer,
    /// One of our own, whom the limits per connection do not bind.
    pub(crate) exempt: bool,
    /// The client said EHLO.
    pub(crate) extended: bool,
    pub(crate) sequence: Sequence,
    pub(crate) envelope: Envelope,
    /// RCPTs that got a 250; several may mean one inbox.
    pub(crate) recipients: usize,
    /// The content so far, if it comes by BDAT.
    pub(crate) chunks: Option<Chunks>,
    /// Who is logged in, on a submission port.
    pub(crate) login: Option<Login>,
    pub(crate) auth_failures: u32,
    /// Of the mail in hand, on a submission port.
    pub(crate) author: Author,
    errors: u32,
    unknown_recipients: u32,
    pub(crate) mails: u32,
    pub(crate) ends_at: Instant,
}

enum Ended {
    Closed,
    /// The client may begin its TLS handshake.
    StartTls,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, door: Door, ip: IpAddr, exempt: bool) -> Session {
        let ends_at = Instant::now() + shared.config.session_timeout();
        Session {
            shared,
            door,
            ip,
            peer: Peer { ip: ip.to_string(), ..Peer::default() },
            exempt,
            extended: false,
            sequence: Sequence::new(),
            envelope: Envelope::default(),
            recipients: 0,
            chunks: None,
            login: None,
            auth_failures: 0,
            author: Author::default(),
            errors: 0,
            unknown_recipients: 0,
            mails: 0,
            ends_at,
        }
    }

    /// The largest content taken.
    pub(crate) fn max_size(&self) -> usize {
        let most = self.shared.config.max_size_bytes;
        match self.door {
            Door::World => most,
            Door::Submission | Door::Submissions => most.min(submit::MAX_SIZE),
        }
    }

    pub(crate) async fn run(mut self, stream: TcpStream) {
        if self.door == Door::Submissions {
            return Box::pin(self.secure(stream)).await;
        }
        let mut wire = Wire::new(stream, self.ends_at);
        wire.say(&self.greeting());
        match self.converse(&mut wire).await {
            // Boxed, so that a session without TLS does not have the size of one with it.
            Ok(Ended::StartTls) => Box::pin(self.secure(wire.into_stream())).await,
            outcome => self.end(wire, outcome).await,
        }
    }

    fn greeting(&self) -> Reply {
        let text = format!("{} ESMTP Posthouse", self.shared.config.hostname);
        Reply::saying(220, "", text)
    }

    async fn secure(mut self, stream: TcpStream) {
        let handshake = self.shared.tls.accept(stream);
        let Ok(Ok(stream)) = timeout(self.shared.config.tls_timeout(), handshake).await else {
            self.shared.metrics.tls_failed();
            return;
        };
        self.peer.tls = tls::version_name(stream.get_ref().1.protocol_version()).to_owned();
        self.peer.helo.clear();
        self.sequence.secured();
        let mut wire = Wire::new(stream, self.ends_at);
        if self.door == Door::Submissions {
            wire.say(&self.greeting());
        }
        // The state machine allows no second STARTTLS.
        let outcome = self.converse(&mut wire).await;
        self.end(wire, outcome).await;
    }

    async fn end<S>(&self, mut wire: Wire<S>, outcome: Result<Ended, Stop>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match outcome {
            Ok(_) => (),
            Err(Stop::Because(reply)) => {
                self.shared.metrics.replied(&reply);
                wire.say(&reply);
            }
            Err(Stop::Gone) => return,
        }
        wire.close().await;
    }

    async fn converse<S>(&mut self, wire: &mut Wire<S>) -> Result<Ended, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shared = Arc::clone(&self.shared);
        let (limit, patience) = (shared.config.max_command_bytes, shared.config.idle_timeout());
        loop {
            let reply = match wire.line(limit, patience, &shared.shutdown).await? {
                Line::Command(line) => match command::parse(&line) {
                    Ok(command) => self.obey(command, wire).await?,
                    Err(reply) => reply,
                },
                Line::Malformed => reply::MALFORMED,
                Line::TooLong => reply::LINE_TOO_LONG,
                Line::Endless => return Err(Stop::Because(reply::LINE_TOO_LONG)),
            };
            let reply = self.judge(reply);
            shared.metrics.replied(&reply);
            wire.say(&reply);
            if reply.closes() {
                return Ok(Ended::Closed);
            }
            if reply == reply::START_TLS {
                wire.flush().await?;
                return Ok(Ended::StartTls);
            }
        }
    }

    async fn obey<S>(&mut self, command: Command<'_>, wire: &mut Wire<S>) -> Result<Reply, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.chunks.is_some() {
            match command {
                Command::Chunk(_) | Command::Noop | Command::Help | Command::Vrfy => (),
                Command::Rset | Command::Quit | Command::Ehlo(_) | Command::Helo(_) => (),
                // RFC 3030 section 3: once it has begun with BDAT, a content goes on with BDAT.
                _ => return Ok(reply::BAD_SEQUENCE),
            }
        }
        if let Some(reply) = self.barred(&command) {
            return Ok(reply);
        }
        Ok(match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::Mail(mail) => self.mail(&mail).await,
            Command::Rcpt(forward_path) => self.rcpt(forward_path).await,
            Command::Data => self.data(wire).await?,
            Command::Chunk(chunk) => self.chunk(chunk, wire).await?,
            Command::Rset => {
                self.forget();
                reply::OK
            }
            Command::StartTls if self.sequence.advance(Step::StartTls) => reply::START_TLS,
            Command::StartTls => reply::BAD_SEQUENCE,
            // Boxed, so that a session that only waits for commands has not the size of a login.
            Command::Auth(argument) => Box::pin(self.auth(argument, wire)).await?,
            Command::Noop => reply::OK,
            Command::Help => reply::HELP,
            Command::Vrfy => reply::WILL_TRY,
            Command::Quit => reply::BYE,
        })
    }

    /// Begins anew, as RSET does (RFC 5321 section 4.1.1.5).
    pub(crate) fn forget(&mut self) {
        if self.chunks.take().is_some() {
            self.sequence.advance(Step::DataEnd);
        }
        self.sequence.advance(Step::Reset);
        self.envelope = Envelope::default();
    }

    fn hello(&mut self, name: &str, extended: bool) -> Reply {
        self.forget();
        self.sequence.advance(Step::Hello);
        self.peer.helo = name.to_owned();
        self.extended = extended;
        let config = &self.shared.config;
        if !extended {
            return Reply::saying(250, "", config.hostname.clone());
        }
        let start_tls = if self.peer.tls.is_empty() { "\nSTARTTLS" } else { "" };
        let may_log_in = self.door.is_submission() && start_tls.is_empty() && self.login.is_none();
        let auth = if may_log_in { "\nAUTH PLAIN LOGIN" } else { "" };
        let text = format!(
            "{}\nPIPELINING\nSIZE {}{start_tls}{auth}\nENHANCEDSTATUSCODES\n8BITMIME\nSMTPUTF8\n\
             CHUNKING",
            config.hostname,
            self.max_size(),
        );
        Reply::saying(250, "", text)
    }

    async fn mail(&mut self, mail: &Mail<'_>) -> Reply {
        let config = &self.shared.config;
        if !self.sequence.allows(Step::Mail) {
            return reply::BAD_SEQUENCE;
        }
        if self.shared.shutdown.is_cancelled() {
            return reply::SHUTTING_DOWN;
        }
        if self.mails >= config.max_mails_per_connection && !self.exempt {
            return reply::TOO_MANY_MAILS;
        }
        // Only who offers AUTH has to know the parameter (RFC 4954 section 5).
        if mail.auth && !self.door.is_submission() {
            return reply::UNKNOWN_PARAMETER;
        }
        if mail.size.is_some_and(|size| size > self.max_size() as u64) {
            return reply::TOO_LARGE;
        }
        if !mail.smtputf8 && !mail.reverse_path.is_ascii() {
            return reply::NEEDS_SMTPUTF8;
        }
        // The earlier it is said, the less is sent in vain.
        if !self.shared.post.is_open() {
            return reply::UNAVAILABLE;
        }
        if self.door.is_submission() {
            // Boxed, so that a session that only waits for commands has not the size of a lookup.
            match Box::pin(self.author(mail.reverse_path)).await {
                Ok(author) => self.author = author,
                Err(reply) => return reply,
            }
        }
        self.sequence.advance(Step::Mail);
        self.recipients = 0;
        self.envelope = Envelope {
            reverse_path: mail.reverse_path.to_owned(),
            forward_paths: Vec::new(),
            smtputf8: mail.smtputf8,
        };
        reply::SENDER_OK
    }

    async fn rcpt(&mut self, forward_path: &str) -> Reply {
        if !self.sequence.allows(Step::Rcpt) {
            return reply::BAD_SEQUENCE;
        }
        let most = match self.door {
            Door::World => self.shared.config.max_recipients,
            Door::Submission | Door::Submissions => mail::MAX_RECIPIENTS,
        };
        if self.recipients >= most {
            return reply::TOO_MANY_RECIPIENTS;
        }
        if !self.envelope.smtputf8 && !forward_path.is_ascii() {
            return reply::NEEDS_SMTPUTF8;
        }
        let Ok(address) = self.address(forward_path) else { return reply::BAD_RECIPIENT };
        if self.door.is_submission() {
            return Box::pin(self.addressee(&address)).await;
        }
        // Boxed, so that a session that only waits for commands has not the size of a lookup.
        let resolution = Box::pin(self.shared.post.resolve(&address)).await;
        let path = match destination(resolution, &address, &self.shared.config) {
            Ok(path) => ForwardPath { address: forward_path.to_owned(), ..path },
            Err(reply) => return reply,
        };
        self.sequence.advance(Step::Rcpt);
        self.recipients += 1;
        if self.envelope.forward_paths.iter().all(|it| !is_same(it, &path)) {
            self.envelope.forward_paths.push(path);
        }
        reply::RECIPIENT_OK
    }

    /// `<postmaster>` needs no domain, and is the only one (RFC 5321 section 4.1.1.3).
    fn address(&self, forward_path: &str) -> Result<Address, mail::InvalidAddress> {
        match self.shared.config.domains.first() {
            Some(domain) if forward_path.eq_ignore_ascii_case("postmaster") => {
                format!("{forward_path}@{domain}").parse()
            }
            _ => forward_path.parse(),
        }
    }

    /// Puts an end to clients that only make mistakes.
    fn judge(&mut self, reply: Reply) -> Reply {
        let config = &self.shared.config;
        if reply == reply::UNKNOWN_RECIPIENT {
            self.unknown_recipients += 1;
            if self.unknown_recipients > config.max_unknown_recipients {
                return reply::TOO_MANY_UNKNOWN;
            }
        } else if reply.code >= 500 {
            self.errors += 1;
            if self.errors > config.max_errors {
                return reply::TOO_MANY_ERRORS;
            }
        }
        reply
    }
}

/// What an address means, but for the address itself. Return paths come first: an inbox named "b" must
/// not get reports.
fn destination(
    resolution: Option<Resolution>,
    address: &Address,
    config: &Config,
) -> Result<ForwardPath, Reply> {
    let to =
        |purpose: Purpose| Ok(ForwardPath { purpose: purpose.into(), ..ForwardPath::default() });
    let now = receive::micros_since_1970(OffsetDateTime::now_utc());
    match resolution {
        None => Err(reply::LOOKUP_FAILED),
        Some(Resolution::UnknownDomain) => Err(reply::NO_RELAY),
        Some(_) if mail::is_return_path(address, now) => to(Purpose::ReturnPath),
        Some(Resolution::Inbox { account_id, inbox_id }) => Ok(ForwardPath {
            account_id,
            inbox_id,
            email_id: format!("eml_{}", Uuid::now_v7().simple()),
            ..ForwardPath::default()
        }),
        Some(Resolution::UnknownRecipient) if config.takes_complaints(address) => {
            to(Purpose::Complaints)
        }
        Some(Resolution::UnknownRecipient) => Err(reply::UNKNOWN_RECIPIENT),
    }
}

/// Two addresses of one inbox are one copy; what is for no inbox goes by its address.
fn is_same(one: &ForwardPath, other: &ForwardPath) -> bool {
    match one.inbox_id.as_str() {
        "" => one.address == other.address,
        inbox_id => inbox_id == other.inbox_id,
    }
}
