//! What a remote server answered, and what that means for a recipient (RFC 5321 section 4.2,
//! RFC 3463). Pure.

use contract::Action;

/// The longest diagnostic that is kept, in octets: servers can write 100 kB.
const MAX_TEXT: usize = 1_000;

/// An SMTP reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// Enhanced status code (RFC 3463): the server's own, or what the code alone says.
    pub(crate) status: String,
    /// The lines, joined by spaces, without the code.
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn new(code: u16, text: &str) -> Reply {
        let status = enhanced_status(code, text).unwrap_or_else(|| implied_status(code).to_owned());
        Reply { code, status, text: cut(text).to_owned() }
    }

    pub(crate) fn is_positive(&self) -> bool {
        matches!(self.code, 200..=299)
    }
}

/// RFC 5321 section 4.2.1. A code outside the classes a client can expect is the sign of a confused
/// server, and confusion passes.
pub(crate) fn action(reply: &Reply) -> Action {
    match reply.code {
        200..=299 => Action::Delivered,
        // "Too many recipients" was 552 in RFC 821: the others' turn comes with the next attempt
        // (RFC 5321 section 4.5.3.1.10).
        552 if reply.status == "5.5.3" => Action::Delayed,
        500..=599 => Action::Failed,
        _ => Action::Delayed,
    }
}

/// The status a text begins with. Its class must agree with the code (RFC 2034 section 4); where it
/// does not, the code says whether and the rest of the status still says why.
fn enhanced_status(code: u16, text: &str) -> Option<String> {
    let mut parts = text.split_whitespace().next()?.splitn(3, '.');
    let class = parts.next().filter(|it| matches!(*it, "2" | "4" | "5"))?;
    let subject = parts.next().filter(|it| is_number(it))?;
    let detail = parts.next().filter(|it| is_number(it))?;
    let class = match code / 100 {
        class @ (2 | 4 | 5) => class.to_string(),
        _ => class.to_owned(),
    };
    Some(format!("{class}.{subject}.{detail}"))
}

fn is_number(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit())
}

/// What a code alone says, in the registry of RFC 5248. Deliberately vague where the code is: a bare
/// 550 is as often policy as an unknown recipient.
fn implied_status(code: u16) -> &'static str {
    match code {
        200..=299 => "2.0.0",
        421 => "4.3.2",
        450 => "4.2.0",
        451 => "4.3.0",
        452 => "4.3.1",
        454 => "4.7.0",
        455 => "4.5.4",
        500 | 502 => "5.5.1",
        501 | 504 | 555 => "5.5.4",
        503 => "5.5.1",
        521 => "5.3.2",
        530 => "5.7.0",
        535 => "5.7.8",
        551 => "5.1.6",
        552 => "5.2.2",
        553 => "5.1.3",
        556 => "5.1.10",
        500..=599 => "5.0.0",
        _ => "4.5.0",
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// What an attempt came to for one recipient.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) action: Action,
    pub(crate) status: String,
    pub(crate) diagnostic: String,
    pub(crate) next: Next,
}

/// Where hope is, for who was not delivered to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// Another host of the destination, at once.
    Host,
    /// A 4yz to RCPT may be greylisting (RFC 6647): the same host, after its time.
    Greylisting,
    /// The next attempt, if it is delayed.
    Attempt,
}

impl Outcome {
    pub(crate) fn of(reply: &Reply) -> Outcome {
        let status = match action(reply) {
            Action::Delayed if reply.code == 552 => "4.5.3".to_owned(),
            _ => reply.status.clone(),
        };
        let diagnostic = format!("{} {}", reply.code, reply.text).trim_end().to_owned();
        Outcome { action: action(reply), status, diagnostic, next: Next::Attempt }
    }

    pub(crate) fn delayed(status: &str, diagnostic: impl Into<String>) -> Outcome {
        Outcome::here(Action::Delayed, status, diagnostic.into())
    }

    pub(crate) fn failed(status: &str, diagnostic: impl Into<String>) -> Outcome {
        Outcome::here(Action::Failed, status, diagnostic.into())
    }

    pub(crate) fn delivered(status: &str, diagnostic: impl Into<String>) -> Outcome {
        Outcome::here(Action::Delivered, status, diagnostic.into())
    }

    /// All of the mail was sent, and the reply was lost.
    pub(crate) fn unknown(diagnostic: impl Into<String>) -> Outcome {
        Outcome::here(Action::Unknown, "4.4.2", diagnostic.into())
    }

    fn here(action: Action, status: &str, diagnostic: String) -> Outcome {
        let diagnostic = cut(&diagnostic).to_owned();
        Outcome { action, status: status.to_owned(), diagnostic, next: Next::Attempt }
    }

    /// This is about a host, not about the recipient: the next host may do better.
    pub(crate) fn try_next_host(self) -> Outcome {
        Outcome { next: Next::Host, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, text: &str, action: Action, status: &str) {
        let outcome = Outcome::of(&Reply::new(code, text));
        assert_eq!((outcome.action, outcome.status.as_str()), (action, status), "{code} {text}");
    }

    #[test]
    fn the_servers_own_status_counts() {
        check(250, "2.1.5 ok", Action::Delivered, "2.1.5");
        check(550, "5.1.1 <x@example.org> unknown", Action::Failed, "5.1.1");
        check(451, "4.7.1 greylisted", Action::Delayed, "4.7.1");
        check(550, "5.7.515 denied", Action::Failed, "5.7.515");
    }

    #[test]
    fn without_a_status_the_code_says_what_it_can() {
        check(250, "", Action::Delivered, "2.0.0");
        check(550, "no", Action::Failed, "5.0.0");
        check(556, "does not accept mail", Action::Failed, "5.1.10");
        check(421, "5.1 of our machines are down", Action::Delayed, "4.3.2");
        check(554, "5.7.1.2 looks like a version", Action::Failed, "5.0.0");
    }

    #[test]
    fn the_code_decides_when_code_and_status_disagree() {
        check(550, "4.2.2 over quota", Action::Failed, "5.2.2");
        check(450, "5.2.2 over quota", Action::Delayed, "4.2.2");
    }

    #[test]
    fn too_many_recipients_is_never_permanent() {
        check(552, "5.5.3 too many recipients", Action::Delayed, "4.5.3");
        check(552, "5.2.2 full", Action::Failed, "5.2.2");
    }

    #[test]
    fn a_confused_server_is_tried_again() {
        check(354, "go ahead", Action::Delayed, "4.5.0");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let reply = Reply::new(550, &"ä".repeat(MAX_TEXT));
        assert_eq!(reply.text.len(), MAX_TEXT);
    }
}
