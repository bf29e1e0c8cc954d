//! One mail transaction (RFC 5321 section 3.3), with an outcome for every recipient.

use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use contract::Action;
use lettre::transport::smtp::{Error, client::AsyncSmtpConnection, response::Response};
use tokio::time::timeout;

use crate::{
    config::Timeouts,
    dot::Dot,
    reply::{Next, Outcome, Reply},
    smtp::{Target, offers::Offers, wire::Wire},
};

/// A mail as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Empty for the null reverse-path.
    pub(crate) reverse_path: String,
    /// Ends with CRLF, and has no other line end.
    pub(crate) octets: Vec<u8>,
    /// Something in it is not ASCII.
    pub(crate) eight_bit: bool,
    /// Header section or envelope are internationalised (RFC 6531).
    pub(crate) smtputf8: bool,
    /// Told before any end of data, of a mail that must not be sent twice unasked.
    pub(crate) dot: Option<Arc<Dot>>,
}

/// A session that has been greeted, encrypted and authenticated as far as it goes. It takes one mail
/// after the other.
pub(crate) struct Session {
    pub(crate) target: Target,
    /// The TLS version; empty without TLS.
    pub(crate) tls: &'static str,
    /// It had been kept, and was gone when the last mail was offered: that mail has lost nothing.
    pub(crate) was_stale: bool,
    connection: AsyncSmtpConnection,
    wire: Wire,
    offers: Offers,
    timeouts: Timeouts,
    /// Mails that were offered.
    mails: u32,
    /// The connection broke, or the server fell silent: there is nobody to say goodbye to.
    is_lost: bool,
    /// The server said 421: it is going (RFC 5321 section 3.8).
    is_closing: bool,
    /// A transaction was begun and not ended.
    is_open: bool,
}

/// Why a command has no positive reply.
#[derive(Debug)]
pub(crate) enum Broken {
    Reply(Reply),
    /// The time is over.
    Silent(String),
    /// The connection is gone, or what comes over it is not SMTP.
    Lost(String),
}

/// Content is handed to the connection in blocks of this many octets.
const BLOCK: usize = 64 * 1024;

const QUIT_PATIENCE: Duration = Duration::from_secs(2);

const RESET_PATIENCE: Duration = Duration::from_secs(10);

impl Session {
    pub(crate) fn new(
        target: Target,
        connection: AsyncSmtpConnection,
        wire: Wire,
        offers: Offers,
        tls: &'static str,
        timeouts: Timeouts,
    ) -> Session {
        Session {
            target,
            tls,
            was_stale: false,
            connection,
            wire,
            offers,
            timeouts,
            mails: 0,
            is_lost: false,
            is_closing: false,
            is_open: false,
        }
    }

    /// Offers a mail for these recipients, whose outcomes come in their order. If `was_stale` then
    /// holds they mean nothing, and the mail is to be offered over a new session.
    pub(crate) async fn transact(
        &mut self,
        letter: &Letter,
        recipients: &[String],
    ) -> Vec<Outcome> {
        self.mails = self.mails.saturating_add(1);
        if let Some(outcome) = self.unfit(letter) {
            return vec![outcome; recipients.len()];
        }
        let refused = self.envelope(letter, recipients).await;
        if refused.iter().all(Option::is_some) {
            return refused.into_iter().flatten().collect();
        }
        if let Some(dot) = &letter.dot
            && let Err(err) = dot.note().await
        {
            let outcome = Outcome::delayed("4.3.0", format!("note the end of data: {err:#}"));
            return refused.into_iter().map(|it| it.unwrap_or_else(|| outcome.clone())).collect();
        }
        let outcome = self.data(letter).await;
        refused.into_iter().map(|it| it.unwrap_or_else(|| outcome.clone())).collect()
    }

    /// Whether it can be kept for a next mail: `limit` is how many it may take.
    pub(crate) fn is_reusable(&self, limit: u32) -> bool {
        !self.is_lost && !self.is_closing && self.mails < limit
    }

    /// Ends what was begun (RFC 5321 section 4.1.1.5). False if the session is of no use any more.
    pub(crate) async fn reset(&mut self) -> bool {
        if !self.is_open {
            return true;
        }
        self.is_open = false;
        let command = self.connection.command("RSET\r\n");
        match reply_in_time(RESET_PATIENCE, "the reply to RSET", command).await {
            Ok(_) => true,
            Err(broken) => {
                self.is_lost = !matches!(broken, Broken::Reply(_));
                false
            }
        }
    }

    /// Nothing has come since the last reply: not the end, and no 421 before it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.wire.is_quiet()
    }

    /// The reply changes nothing, and neither does a host that owes it.
    pub(crate) async fn quit(mut self) {
        if !self.is_lost {
            let _ = timeout(QUIT_PATIENCE, self.connection.quit()).await;
        }
    }

    /// What the server says it cannot take is not sent. Content is never downgraded to seven bits:
    /// what was signed is what arrives.
    fn unfit(&self, letter: &Letter) -> Option<Outcome> {
        let size = letter.octets.len() as u64;
        if let Some(limit) = self.offers.size_limit.filter(|it| size > *it) {
            let why = format!("the mail has {size} octets, the server takes {limit}");
            return Some(Outcome::failed("5.3.4", why));
        }
        if letter.smtputf8 && !self.offers.smtputf8 {
            let why = "the mail needs SMTPUTF8 (RFC 6531), which the server does not offer";
            return Some(Outcome::failed("5.6.7", why));
        }
        if letter.eight_bit && !self.offers.eight_bit_mime {
            let why = "the mail needs 8BITMIME (RFC 6152), which the server does not offer";
            return Some(Outcome::failed("5.6.3", why));
        }
        None
    }

    /// Sends MAIL and RCPT. `None` for the recipients that are accepted.
    async fn envelope(&mut self, letter: &Letter, recipients: &[String]) -> Vec<Option<Outcome>> {
        let mut commands = vec![self.mail_command(letter)];
        commands.extend(recipients.iter().map(|it| format!("RCPT TO:<{it}>\r\n")));
        let (replies, lost) = self.converse(&commands).await;
        self.is_open = replies.first().is_some_and(Reply::is_positive);
        let nothing_said = replies.first().is_none_or(|it| it.code == 421);
        self.was_stale = self.mails > 1 && nothing_said;
        let lost = lost.map(|why| Outcome::delayed("4.4.2", why).try_next_host());
        match replies.first() {
            None => vec![lost; recipients.len()],
            Some(mail) if !mail.is_positive() => vec![Some(refused(mail)); recipients.len()],
            Some(_) => (1..=recipients.len())
                .map(|it| match replies.get(it) {
                    Some(rcpt) if !rcpt.is_positive() => Some(refused_recipient(rcpt)),
                    _ => lost.clone(),
                })
                .collect(),
        }
    }

    fn mail_command(&self, letter: &Letter) -> String {
        let mut command = format!("MAIL FROM:<{}>", letter.reverse_path);
        if self.offers.size {
            command += &format!(" SIZE={}", letter.octets.len());
        }
        if letter.eight_bit {
            command += " BODY=8BITMIME";
        }
        if letter.smtputf8 {
            command += " SMTPUTF8";
        }
        command + "\r\n"
    }

    /// Sends commands and reads a reply to each, all at once where the server takes PIPELINING
    /// (RFC 2920). If the session ends before the last reply, it says why.
    async fn converse(&mut self, commands: &[String]) -> (Vec<Reply>, Option<String>) {
        let mut replies: Vec<Reply> = Vec::with_capacity(commands.len());
        for (n, command) in commands.iter().enumerate() {
            // Without MAIL there is nothing to add a recipient to.
            if !self.offers.pipelining && n > 0 && !replies[0].is_positive() {
                break;
            }
            let verb = command.split([' ', '\r']).next().unwrap_or_default();
            let awaiting = format!("the reply to {verb}");
            let patience = self.timeouts.reply();
            let result = if !self.offers.pipelining {
                reply_in_time(patience, &awaiting, self.connection.command(command)).await
            } else if n == 0 {
                reply_in_time(patience, &awaiting, self.connection.command(commands.concat())).await
            } else {
                reply_in_time(patience, &awaiting, self.connection.read_response()).await
            };
            match result {
                Ok(reply) | Err(Broken::Reply(reply)) => {
                    let closing = reply.code == 421;
                    self.is_closing |= closing;
                    let why = closing.then(|| format!("421 {}", reply.text));
                    replies.push(reply);
                    if closing {
                        return (replies, why);
                    }
                }
                Err(Broken::Silent(why) | Broken::Lost(why)) => {
                    self.is_lost = true;
                    return (replies, Some(why));
                }
            }
        }
        (replies, None)
    }

    async fn data(&mut self, letter: &Letter) -> Outcome {
        let command = self.connection.command("DATA\r\n");
        match reply_in_time(self.timeouts.data(), "the reply to DATA", command).await {
            Ok(reply) if reply.code == 354 => self.content(letter).await,
            Ok(reply) => {
                let why = format!("{} {} is no answer to DATA", reply.code, reply.text);
                // Whatever it thinks comes next, it is not what we think.
                self.is_closing = true;
                Outcome::delayed("4.5.0", why)
            }
            Err(Broken::Reply(reply)) => {
                self.is_closing |= reply.code == 421;
                refused(&reply)
            }
            Err(Broken::Silent(why) | Broken::Lost(why)) => {
                self.is_lost = true;
                Outcome::delayed("4.4.2", why).try_next_host()
            }
        }
    }

    async fn content(&mut self, letter: &Letter) -> Outcome {
        // lettre puts a CRLF before the dot that ends the data, so the content leaves its own out.
        let octets = letter.octets.strip_suffix(b"\r\n").unwrap_or(&letter.octets);
        let wire = self.wire.clone();
        let sending = self.connection.message_iter(octets.chunks(BLOCK));
        tokio::pin!(sending);
        let result = loop {
            let (ended, written) = (wire.ended_data(), wire.written_octets());
            let patience = if ended { self.timeouts.end_of_data() } else { self.timeouts.block() };
            match reply_in_time(patience, "the reply to the end of data", &mut sending).await {
                Err(Broken::Silent(_)) if wire.written_octets() > written => (),
                result => break result,
            }
        };
        let why = match result {
            Ok(reply) | Err(Broken::Reply(reply)) => {
                self.is_open = false;
                self.is_closing |= reply.code == 421;
                return Outcome::of(&reply);
            }
            Err(Broken::Silent(why) | Broken::Lost(why)) => why,
        };
        self.is_lost = true;
        if !wire.ended_data() {
            return Outcome::delayed("4.4.2", why).try_next_host();
        }
        // The server may have the mail and may have answered. To offer it to another host now would
        // be asking for a second copy.
        Outcome::unknown(format!("the outcome is unknown, all data was sent: {why}"))
    }
}

/// A refusal that is not about a recipient: the next host may decide otherwise, unless it is final.
fn refused(reply: &Reply) -> Outcome {
    let outcome = Outcome::of(reply);
    if outcome.action == Action::Delayed { outcome.try_next_host() } else { outcome }
}

/// The domain's other hosts are not asked about a recipient that one of them put off: a greylisting
/// server wants to see the same client at the same host again.
fn refused_recipient(reply: &Reply) -> Outcome {
    let outcome = Outcome::of(reply);
    let next = match reply.code {
        421 => Next::Host,
        400..=499 if outcome.status != "4.5.3" => Next::Greylisting,
        _ => Next::Attempt,
    };
    Outcome { next, ..outcome }
}

/// Awaits a reply.
pub(crate) async fn reply_in_time(
    patience: Duration,
    awaiting: &str,
    exchange: impl Future<Output = Result<Response, Error>>,
) -> Result<Reply, Broken> {
    let response = in_time(patience, awaiting, exchange).await?;
    let text: Vec<&str> = response.message().collect();
    Ok(Reply::new(response.code().into(), &text.join(" ")))
}

/// lettre itself limits the time of the TCP connection only: a silent server would hold it for ever.
pub(crate) async fn in_time<T>(
    patience: Duration,
    awaiting: &str,
    exchange: impl Future<Output = Result<T, Error>>,
) -> Result<T, Broken> {
    match timeout(patience, exchange).await {
        Err(_) => Err(Broken::Silent(format!("{awaiting} did not come in {patience:?}"))),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(err)) => Err(broken(awaiting, &err)),
    }
}

fn broken(awaiting: &str, err: &Error) -> Broken {
    match err.status() {
        Some(code) => {
            let text = err.source().map(ToString::to_string).unwrap_or_default();
            Broken::Reply(Reply::new(code.into(), &text))
        }
        None => Broken::Lost(format!("{awaiting} did not come: {err}")),
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Reply(reply) => write!(f, "{} {}", reply.code, reply.text),
            Broken::Silent(why) | Broken::Lost(why) => f.write_str(why),
        }
    }
}
