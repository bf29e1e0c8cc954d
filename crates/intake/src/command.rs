//! Reads a command line (RFC 5321 section 4.1). Pure; the order of commands is not its business.

use crate::reply::{self, Reply};

#[derive(Debug, PartialEq)]
pub(crate) enum Command<'a> {
    /// The name the client gives itself.
    Ehlo(&'a str),
    Helo(&'a str),
    Mail(Mail<'a>),
    /// The path without angle brackets and source route.
    Rcpt(&'a str),
    Data,
    Chunk(Chunk),
    Rset,
    Noop,
    Help,
    Vrfy,
    StartTls,
    /// The mechanism, and perhaps an initial response (RFC 4954 section 4).
    Auth(&'a str),
    Quit,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mail<'a> {
    /// Without angle brackets and source route; empty for the null reverse-path `<>`.
    pub(crate) reverse_path: &'a str,
    /// What the client says the content has (RFC 1870).
    pub(crate) size: Option<u64>,
    pub(crate) smtputf8: bool,
    /// It says who submitted the mail elsewhere (RFC 4954 section 5).
    pub(crate) auth: bool,
    body: Option<&'a str>,
}

/// The announcement of a piece of content (RFC 3030).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) size: u64,
    pub(crate) last: bool,
}

/// RFC 5321 section 4.5.3.1.3, without the angle brackets.
const MAX_PATH: usize = 254;

pub(crate) fn parse(line: &[u8]) -> Result<Command<'_>, Reply> {
    let line = std::str::from_utf8(line).map_err(|_| reply::MALFORMED)?;
    // White space at the end is tolerated (RFC 5321 section 4.1.1).
    let line = line.trim_end_matches([' ', '\t']);
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    let bare = |command| match argument {
        "" => Ok(command),
        _ => Err(reply::NO_ARGUMENT_WANTED),
    };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => hello(argument).map(Command::Ehlo),
        "HELO" => hello(argument).map(Command::Helo),
        "MAIL" => mail(argument).map(Command::Mail),
        "RCPT" => rcpt(argument).map(Command::Rcpt),
        "BDAT" => chunk(argument).map(Command::Chunk).ok_or(reply::BAD_BDAT_SYNTAX),
        "DATA" => bare(Command::Data),
        "RSET" => bare(Command::Rset),
        "QUIT" => bare(Command::Quit),
        "STARTTLS" => bare(Command::StartTls),
        "AUTH" => Ok(Command::Auth(argument)),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" if argument.is_empty() => Err(reply::ARGUMENT_WANTED),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML" => Err(reply::NOT_IMPLEMENTED),
        _ => Err(reply::UNKNOWN_COMMAND),
    }
}

/// Any word will do: mail must not be refused for what a client calls itself (RFC 5321 section 4.1.4).
fn hello(argument: &str) -> Result<&str, Reply> {
    let name = argument.split_whitespace().next().ok_or(reply::ARGUMENT_WANTED)?;
    if name.len() > 255 || name.contains(char::is_control) {
        return Err(reply::BAD_PARAMETER);
    }
    Ok(name)
}

fn mail(argument: &str) -> Result<Mail<'_>, Reply> {
    let (reverse_path, parameters) = path(argument, "FROM:").ok_or(reply::BAD_MAIL_SYNTAX)?;
    if !is_reverse_path(reverse_path) {
        return Err(reply::BAD_SENDER);
    }
    let mut mail = Mail { reverse_path, ..Mail::default() };
    for parameter in parameters.split_ascii_whitespace() {
        mail.set(parameter)?;
    }
    Ok(mail)
}

impl<'a> Mail<'a> {
    fn set(&mut self, parameter: &'a str) -> Result<(), Reply> {
        let (keyword, value) = match parameter.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (parameter, None),
        };
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) if self.size.is_none() => {
                self.size = Some(octets(value).ok_or(reply::BAD_PARAMETER)?);
            }
            ("BODY", Some(value)) if self.body.is_none() => {
                let known = ["7BIT", "8BITMIME"].iter().any(|it| it.eq_ignore_ascii_case(value));
                self.body = Some(value).filter(|_| known);
                self.body.ok_or(reply::BAD_PARAMETER)?;
            }
            ("SMTPUTF8", None) if !self.smtputf8 => self.smtputf8 = true,
            ("AUTH", Some(value)) if !self.auth && !value.is_empty() => self.auth = true,
            ("SIZE" | "BODY" | "SMTPUTF8" | "AUTH", _) => return Err(reply::BAD_PARAMETER),
            _ => return Err(reply::UNKNOWN_PARAMETER),
        }
        Ok(())
    }
}

fn rcpt(argument: &str) -> Result<&str, Reply> {
    let (forward_path, parameters) = path(argument, "TO:").ok_or(reply::BAD_RCPT_SYNTAX)?;
    if !parameters.is_empty() {
        return Err(reply::UNKNOWN_PARAMETER);
    }
    if forward_path.is_empty() || forward_path.len() > MAX_PATH {
        return Err(reply::BAD_RECIPIENT);
    }
    Ok(forward_path)
}

fn chunk(argument: &str) -> Option<Chunk> {
    let mut words = argument.split_ascii_whitespace();
    let size = octets(words.next()?)?;
    match (words.next(), words.next()) {
        (None, _) => Some(Chunk { size, last: false }),
        (Some(last), None) if last.eq_ignore_ascii_case("LAST") => Some(Chunk { size, last: true }),
        _ => None,
    }
}

/// At most 20 digits (RFC 1870 section 3); what is more than a u64 holds is too much for anybody.
fn octets(value: &str) -> Option<u64> {
    if value.is_empty() || value.len() > 20 || !value.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().unwrap_or(u64::MAX))
}

/// What stands between the angle brackets, without a source route (RFC 5321 appendix C), and what
/// follows them. A space before the bracket is wrong but common.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (head, rest) = argument.split_at_checked(keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let inner = rest.trim_start_matches(' ').strip_prefix('<')?;
    let end = closing_bracket(inner)?;
    let (path, parameters) = (&inner[..end], &inner[end + 1..]);
    if !parameters.is_empty() && !parameters.starts_with(' ') {
        return None;
    }
    let path = match path.strip_prefix('@') {
        Some(route) => route.split_once(':')?.1,
        None => path,
    };
    Some((path, parameters))
}

/// The first `>` outside a quoted string; `None` too if there is what no path may have.
fn closing_bracket(path: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in path.char_indices() {
        match c {
            _ if c.is_control() => return None,
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => (),
            '>' => return Some(at),
            '<' | ' ' => return None,
            _ => (),
        }
    }
    None
}

/// Deliberately lax: a bounce for a bad reply address helps nobody, and senders have strange ones.
fn is_reverse_path(path: &str) -> bool {
    path.is_empty()
        || path.len() <= MAX_PATH
            && path
                .rsplit_once('@')
                .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Command<'_>, Reply>) {
        assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
    }

    fn from(reverse_path: &str) -> Result<Command<'_>, Reply> {
        Ok(Command::Mail(Mail { reverse_path, ..Mail::default() }))
    }

    #[test]
    fn verbs_in_any_case_with_space_at_the_end() {
        check("data", Ok(Command::Data));
        check("RsEt \t", Ok(Command::Rset));
        check("NOOP anything", Ok(Command::Noop));
        check("QUIT now", Err(reply::NO_ARGUMENT_WANTED));
        check("STARTTLS x", Err(reply::NO_ARGUMENT_WANTED));
        check("VRFY", Err(reply::ARGUMENT_WANTED));
        check("VRFY user", Ok(Command::Vrfy));
        check("EXPN all", Err(reply::NOT_IMPLEMENTED));
        check("AUTH PLAIN AHg=", Ok(Command::Auth("PLAIN AHg=")));
        check("FROB x", Err(reply::UNKNOWN_COMMAND));
        check("", Err(reply::UNKNOWN_COMMAND));
        assert_eq!(parse(b"EHLO \xff"), Err(reply::MALFORMED));
    }

    #[test]
    fn hello() {
        check("ehlo client.example", Ok(Command::Ehlo("client.example")));
        check("HELO [192.0.2.1] x", Ok(Command::Helo("[192.0.2.1]")));
        check("EHLO _x!!", Ok(Command::Ehlo("_x!!")));
        check("EHLO", Err(reply::ARGUMENT_WANTED));
        check("EHLO a\u{7}b", Err(reply::BAD_PARAMETER));
    }

    #[test]
    fn reverse_paths() {
        check("MAIL FROM:<a@b.example>", from("a@b.example"));
        check("mail from: <a@b.example>", from("a@b.example"));
        check("MAIL FROM:<>", from(""));
        check("MAIL FROM:<@r.example,@s.example:a@b.example>", from("a@b.example"));
        check(r#"MAIL FROM:<"a>b \" c"@b.example>"#, from(r#""a>b \" c"@b.example"#));
        check("MAIL FROM:<a..b@docomo.example>", from("a..b@docomo.example"));
        check("MAIL FROM:<a>", Err(reply::BAD_SENDER));
        check("MAIL FROM:<@b.example>", Err(reply::BAD_MAIL_SYNTAX));
        check("MAIL FROM:a@b.example", Err(reply::BAD_MAIL_SYNTAX));
        check("MAIL FROM:<a@b.example", Err(reply::BAD_MAIL_SYNTAX));
        check("MAIL FROM:<a b@b.example>", Err(reply::BAD_MAIL_SYNTAX));
        check("MAIL FROM:<a\u{7}@b.example>", Err(reply::BAD_MAIL_SYNTAX));
        check("MAIL FROM:<a@b.example>SIZE=1", Err(reply::BAD_MAIL_SYNTAX));
        check("MAIL TO:<a@b.example>", Err(reply::BAD_MAIL_SYNTAX));
        check("MAIL é", Err(reply::BAD_MAIL_SYNTAX));
        check(&format!("MAIL FROM:<{}@b.example>", "a".repeat(600)), Err(reply::BAD_SENDER));
    }

    #[test]
    fn mail_parameters() {
        let mail = Mail {
            reverse_path: "a@b",
            size: Some(17),
            smtputf8: true,
            auth: true,
            body: Some("8bitmime"),
        };
        check("MAIL FROM:<a@b> size=17 body=8bitmime smtputf8 auth=<>", Ok(Command::Mail(mail)));
        let huge = Mail { reverse_path: "a@b", size: Some(u64::MAX), ..Mail::default() };
        check("MAIL FROM:<a@b> SIZE=99999999999999999999", Ok(Command::Mail(huge)));
        for bad in [
            "SIZE=",
            "SIZE=-1",
            "SIZE",
            "SIZE=1 SIZE=1",
            "SIZE=999999999999999999999",
            "BODY=FOO",
            "BODY=BINARYMIME",
            "BODY",
            "SMTPUTF8=1",
            "AUTH",
            "AUTH=",
            "AUTH=<> AUTH=<>",
        ] {
            check(&format!("MAIL FROM:<a@b> {bad}"), Err(reply::BAD_PARAMETER));
        }
        for unknown in ["FOO=1", "REQUIRETLS", "RET=HDRS", "ENVID=x"] {
            check(&format!("MAIL FROM:<a@b> {unknown}"), Err(reply::UNKNOWN_PARAMETER));
        }
    }

    #[test]
    fn forward_paths() {
        check("RCPT TO:<a@b.example>", Ok(Command::Rcpt("a@b.example")));
        check("RCPT TO:<Postmaster>", Ok(Command::Rcpt("Postmaster")));
        check("RCPT TO:<@r.example:a@b.example>", Ok(Command::Rcpt("a@b.example")));
        check("RCPT TO:<>", Err(reply::BAD_RECIPIENT));
        check("RCPT TO:a@b.example", Err(reply::BAD_RCPT_SYNTAX));
        check("RCPT TO:<a@b.example> NOTIFY=NEVER", Err(reply::UNKNOWN_PARAMETER));
    }

    #[test]
    fn chunks() {
        check("BDAT 17", Ok(Command::Chunk(Chunk { size: 17, last: false })));
        check("bdat 0 last", Ok(Command::Chunk(Chunk { size: 0, last: true })));
        for bad in ["", "x", "1 FIRST", "1 LAST LAST", "-1"] {
            check(&format!("BDAT {bad}"), Err(reply::BAD_BDAT_SYNTAX));
        }
    }
}
