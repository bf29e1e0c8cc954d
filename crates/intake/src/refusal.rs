//! What metrics call a refusal. A status alone does not tell: 4.7.0 is too many connections of a peer,
//! too many mistakes, and too many failed logins.

use crate::reply::{self, Reply};

/// What is wrong with a content that is handed in, said in words of its own.
const FLAW: &str = "flaw";

/// The handshake of a client that wanted TLS; it has no reply.
pub(crate) const TLS: &str = "tls";

const REASONS: &[(&Reply, &str)] = &[
    (&reply::AUTH_CANCELLED, "auth_cancelled"),
    (&reply::BAD_BASE64, "bad_base64"),
    (&reply::RESPONSE_TOO_LONG, "response_too_long"),
    (&reply::UNKNOWN_MECHANISM, "unknown_mechanism"),
    (&reply::BAD_CREDENTIALS, "bad_credentials"),
    (&reply::AUTH_UNAVAILABLE, "auth_unavailable"),
    (&reply::ENCRYPTION_WANTED, "encryption_wanted"),
    (&reply::TLS_WANTED, "tls_wanted"),
    (&reply::TOKEN_MAY_NOT_SEND, "token_may_not_send"),
    (&reply::NOT_TO_THEM, "not_to_them"),
    (&reply::AUTH_WANTED, "auth_wanted"),
    (&reply::TOO_MANY_LOGINS, "too_many_logins"),
    (&reply::NOT_AN_INBOX, "not_an_inbox"),
    (&reply::UNKNOWN_COMMAND, "unknown_command"),
    (&reply::NOT_IMPLEMENTED, "not_implemented"),
    (&reply::BAD_SEQUENCE, "bad_sequence"),
    (&reply::MALFORMED, "malformed"),
    (&reply::LINE_TOO_LONG, "line_too_long"),
    (&reply::NO_ARGUMENT_WANTED, "no_argument_wanted"),
    (&reply::ARGUMENT_WANTED, "argument_wanted"),
    (&reply::BAD_MAIL_SYNTAX, "bad_mail_syntax"),
    (&reply::BAD_RCPT_SYNTAX, "bad_rcpt_syntax"),
    (&reply::BAD_BDAT_SYNTAX, "bad_bdat_syntax"),
    (&reply::BAD_PARAMETER, "bad_parameter"),
    (&reply::UNKNOWN_PARAMETER, "unknown_parameter"),
    (&reply::BAD_SENDER, "bad_sender"),
    (&reply::BAD_RECIPIENT, "bad_recipient"),
    (&reply::NEEDS_SMTPUTF8, "needs_smtputf8"),
    (&reply::UNKNOWN_RECIPIENT, "unknown_recipient"),
    (&reply::NO_RELAY, "no_relay"),
    (&reply::TOO_MANY_RECIPIENTS, "too_many_recipients"),
    (&reply::TOO_LARGE, "too_large"),
    (&reply::HEADER_TOO_LARGE, "header_too_large"),
    (&reply::BARE_LINE_END, "bare_line_end"),
    (&reply::TEXT_LINE_TOO_LONG, "text_line_too_long"),
    (&reply::MAIL_LOOP, "mail_loop"),
    (&reply::NO_MEMORY, "no_memory"),
    (&reply::FULL, "full"),
    (&reply::UNAVAILABLE, "unavailable"),
    (&reply::LOOKUP_FAILED, "lookup_failed"),
    (&reply::TIMED_OUT, "timed_out"),
    (&reply::TOO_SLOW, "too_slow"),
    (&reply::SHUTTING_DOWN, "shutting_down"),
    (&reply::TOO_MANY_CONNECTIONS, "too_many_connections"),
    (&reply::TOO_MANY_FROM_PEER, "too_many_from_peer"),
    (&reply::TOO_MANY_ERRORS, "too_many_errors"),
    (&reply::TOO_MANY_UNKNOWN, "too_many_unknown"),
    (&reply::TOO_MANY_MAILS, "too_many_mails"),
];

/// Why a reply of 4yz or 5yz was given, in a word.
pub(crate) fn reason(reply: &Reply) -> &'static str {
    REASONS.iter().find(|(known, _)| *known == reply).map_or(FLAW, |(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn tells_apart_what_has_one_status() {
        assert_eq!(reason(&reply::UNKNOWN_RECIPIENT), "unknown_recipient");
        assert_eq!(reason(&reply::TOO_MANY_FROM_PEER), "too_many_from_peer");
        assert_eq!(reason(&reply::TOO_MANY_ERRORS), "too_many_errors");
        assert_eq!(reason(&Reply::saying(554, "5.6.0", "no From field".to_owned())), FLAW);
    }

    /// Each refusal among the constants of `reply`, under its own name.
    #[test]
    fn no_refusal_is_forgotten() {
        let source = include_str!("reply.rs");
        let declared: BTreeSet<String> = source
            .split("pub(crate) const ")
            .skip(1)
            .filter(|it| {
                // Not `const fn new`.
                let value = it.split_once("Reply::new(").map(|it| it.1.trim_start());
                value.is_some_and(|it| it.starts_with(['4', '5']))
            })
            .map(|it| it.split(':').next().unwrap_or_default().to_lowercase())
            .collect();
        let named: BTreeSet<String> = REASONS.iter().map(|it| it.1.to_owned()).collect();
        assert_eq!(named, declared);
        assert_eq!(named.len(), REASONS.len());
    }
}
