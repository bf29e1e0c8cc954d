//! Logging in on a submission port.

use bus::{KnownToken, Resolution};
use contract::{Grant, Right};
use data_encoding::BASE64;
use mail::Address;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until},
};

use crate::{
    auth::{self, Credentials, Mechanism},
    command::Command,
    line::Line,
    reply::{self, Reply},
    sequence::Step,
    session::Session,
    wire::{Stop, Wire},
};

/// RFC 4954 section 4.
const MAX_RESPONSE: usize = 12_288;

/// No token is longer; whatever is, need not be hashed.
const MAX_TOKEN: usize = 128;

/// The wait after a failed login grows with those before it up to so many times.
const MAX_DELAYS: u32 = 10;

/// Who is there.
pub(crate) struct Login {
    pub(crate) account_id: String,
    /// It is looked at again for each mail: it may be revoked meanwhile.
    pub(crate) token_hash: String,
    pub(crate) grant: Grant,
}

impl Login {
    /// Only a token that may send, whatever thread it is, has anything to do here.
    fn may_submit(grant: &Grant) -> bool {
        grant.allows(Right::Send) && grant.thread_ids.is_none()
    }
}

impl Session {
    /// What a submission port wants before it hears of mail (RFC 3207 section 4, RFC 6409 section 4.3).
    /// BDAT is not asked here: its octets have to be read.
    pub(crate) fn barred(&self, command: &Command<'_>) -> Option<Reply> {
        let is_free =
            !matches!(command, Command::Mail(_) | Command::Rcpt(_) | Command::Data | Command::Vrfy);
        match &self.login {
            _ if is_free || !self.door.is_submission() => None,
            Some(_) => None,
            None if self.peer.tls.is_empty() => Some(reply::TLS_WANTED),
            None => Some(reply::AUTH_WANTED),
        }
    }

    pub(crate) async fn auth<S>(
        &mut self,
        argument: &str,
        wire: &mut Wire<S>,
    ) -> Result<Reply, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.door.is_submission() {
            return Ok(reply::NOT_IMPLEMENTED);
        }
        if self.peer.tls.is_empty() {
            return Ok(reply::ENCRYPTION_WANTED);
        }
        if self.login.is_some() || !self.sequence.allows(Step::Mail) {
            return Ok(reply::BAD_SEQUENCE);
        }
        if !self.exempt && self.shared.failures.is_blocked(self.ip, std::time::Instant::now()) {
            return Err(Stop::Because(reply::TOO_MANY_LOGINS));
        }
        let (name, initial) = match argument.split_once(' ') {
            Some((name, initial)) => (name, Some(initial.trim())),
            None => (argument, None),
        };
        if name.is_empty() {
            return Ok(reply::ARGUMENT_WANTED);
        }
        let Some(mechanism) = Mechanism::named(name) else { return Ok(reply::UNKNOWN_MECHANISM) };
        let credentials = match self.credentials(mechanism, initial, wire).await? {
            Ok(credentials) => credentials,
            Err(reply) => return Ok(reply),
        };
        let checked = match &credentials {
            Some(it) => self.check(it).await,
            None => Err(reply::BAD_CREDENTIALS),
        };
        let (outcome, reply) = match checked {
            Ok(login) => {
                self.login = Some(login);
                ("accepted", reply::LOGGED_IN)
            }
            Err(reply) if reply.code < 500 => ("deferred", reply),
            Err(reply) => ("rejected", reply),
        };
        self.shared.metrics.logins.with_label_values(&[outcome]).inc();
        if reply.code < 500 { Ok(reply) } else { self.slow_down(reply).await }
    }

    /// `None` if what was said is none.
    async fn credentials<S>(
        &self,
        mechanism: Mechanism,
        initial: Option<&str>,
        wire: &mut Wire<S>,
    ) -> Result<Result<Option<Credentials>, Reply>, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let first = match (initial, mechanism) {
            (Some(initial), _) => auth::decode(initial.as_bytes()),
            (None, Mechanism::Plain) => self.challenge("", wire).await?,
            (None, Mechanism::Login) => self.challenge("Username:", wire).await?,
        };
        Ok(match (first, mechanism) {
            (Err(reply), _) => Err(reply),
            (Ok(response), Mechanism::Plain) => Ok(auth::plain(&response)),
            (Ok(username), Mechanism::Login) => {
                let password = self.challenge("Password:", wire).await?;
                password.map(|it| auth::login(username, it))
            }
        })
    }

    async fn challenge<S>(
        &self,
        text: &str,
        wire: &mut Wire<S>,
    ) -> Result<Result<Vec<u8>, Reply>, Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        wire.say(&Reply::saying(334, "", BASE64.encode(text.as_bytes())));
        let (patience, shutdown) = (self.shared.config.idle_timeout(), &self.shared.shutdown);
        Ok(match wire.line(MAX_RESPONSE, patience, shutdown).await? {
            Line::Command(response) => auth::decode(&response),
            Line::Malformed => Err(reply::BAD_BASE64),
            Line::TooLong => Err(reply::RESPONSE_TOO_LONG),
            Line::Endless => return Err(Stop::Because(reply::RESPONSE_TOO_LONG)),
        })
    }

    /// The username is an inbox, the password a token of its account. Whatever is wrong, the answer is
    /// the same, and takes the same way.
    async fn check(&self, credentials: &Credentials) -> Result<Login, Reply> {
        let Credentials { username, password } = credentials;
        let address: Address = username.parse().map_err(|_| reply::BAD_CREDENTIALS)?;
        if password.len() > MAX_TOKEN {
            return Err(reply::BAD_CREDENTIALS);
        }
        let token_hash = bus::token_hash(password);
        let token = self.shared.post.token(&token_hash).await;
        let inbox = self.shared.post.resolve(&address).await;
        let (token, inbox) = match (token, inbox) {
            (None, _) | (_, None) => return Err(reply::AUTH_UNAVAILABLE),
            (Some(token), Some(inbox)) => (token, inbox),
        };
        match (token, inbox) {
            (
                Some(KnownToken { account_id: owner, grant }),
                Resolution::Inbox { account_id, inbox_id },
            ) if owner == account_id && grant.sees_inbox(&inbox_id) => {
                if !Login::may_submit(&grant) {
                    return Err(reply::TOKEN_MAY_NOT_SEND);
                }
                Ok(Login { account_id, token_hash, grant })
            }
            _ => Err(reply::BAD_CREDENTIALS),
        }
    }

    /// A failed login is answered late, and one too many ends the connection.
    async fn slow_down(&mut self, reply: Reply) -> Result<Reply, Stop> {
        self.auth_failures += 1;
        let config = &self.shared.config;
        let count = if self.exempt {
            self.auth_failures
        } else {
            self.shared.failures.note(self.ip, std::time::Instant::now())
        };
        let delay = config.auth_failure_delay() * count.min(MAX_DELAYS);
        tokio::select! {
            () = sleep_until(self.ends_at.min(Instant::now() + delay)) => (),
            () = self.shared.shutdown.cancelled() => return Err(Stop::Because(reply::SHUTTING_DOWN)),
        }
        if self.auth_failures >= config.max_auth_failures {
            return Err(Stop::Because(reply::TOO_MANY_LOGINS));
        }
        Ok(reply)
    }
}
