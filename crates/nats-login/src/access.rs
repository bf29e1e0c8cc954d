//! What an agent may do at NATS, as subjects.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::Error;

/// The NATS account that agents are in. What is between the stages is in another.
pub const AGENTS: &str = "AGENTS";

/// What the subjects of the micro-service API begin with.
pub const API: &str = "mail.v1.api";

/// Asked by tools that look for services (ADR-32). Counters are the operator's.
const DISCOVERY: [&str; 4] =
    ["$SRV.PING", "$SRV.PING.posthouse", "$SRV.INFO", "$SRV.INFO.posthouse"];

/// Says to a client who it is and what it may.
const WHO_AM_I: &str = "$SYS.REQ.USER.INFO";

/// How far something is allowed.
#[derive(Clone, Debug, PartialEq)]
pub enum Reach {
    /// In the whole account, with the inboxes that it does not have yet.
    All,
    Inboxes(Vec<String>),
    None,
}

/// What a token is good for.
#[derive(Clone, Debug)]
pub struct Access {
    name: LoginName,
    /// Which inboxes it may publish requests to send for.
    send: Reach,
    /// Whose events it may subscribe to.
    events: Reach,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Permissions {
    #[serde(rename = "pub")]
    publish: Allowed,
    #[serde(rename = "sub")]
    subscribe: Allowed,
}

/// Never empty: an empty list would allow everything.
#[derive(Debug, PartialEq, Serialize)]
struct Allowed {
    allow: Vec<String>,
}

impl Access {
    /// An id that would be more than one token of a subject, or a wildcard, is an error.
    pub fn new(
        account_id: &str,
        token_id: &str,
        send: Reach,
        events: Reach,
    ) -> Result<Access, Error> {
        for reach in [&send, &events] {
            if let Reach::Inboxes(inboxes) = reach {
                inboxes.iter().try_for_each(|it| check(it))?;
            }
        }
        Ok(Access { name: LoginName::new(account_id, token_id)?, send, events })
    }

    pub fn name(&self) -> &LoginName {
        &self.name
    }

    pub(crate) fn permissions(&self) -> Permissions {
        let LoginName { account_id, token_id } = &self.name;
        let mut publish = vec![format!("{}.>", api_subjects(account_id, token_id))];
        publish.extend(DISCOVERY.map(str::to_owned));
        publish.push(WHO_AM_I.to_owned());
        publish.extend(match &self.send {
            Reach::All => vec![format!("mail.v1.send.{account_id}.*")],
            Reach::Inboxes(inboxes) => {
                inboxes.iter().map(|it| format!("mail.v1.send.{account_id}.{it}")).collect()
            }
            Reach::None => Vec::new(),
        });
        let mut subscribe = vec![format!("{}.>", inbox_prefix(account_id, token_id))];
        subscribe.extend(match &self.events {
            Reach::All => vec![format!("mail.v1.event.{account_id}.>")],
            Reach::Inboxes(inboxes) => {
                inboxes.iter().map(|it| format!("mail.v1.event.{account_id}.{it}.>")).collect()
            }
            Reach::None => Vec::new(),
        });
        Permissions { publish: Allowed { allow: publish }, subscribe: Allowed { allow: subscribe } }
    }
}

/// Where this token's questions go, up to the operation.
pub fn api_subjects(account_id: &str, token_id: &str) -> String {
    format!("{API}.{account_id}.{token_id}")
}

/// What the subjects of the answers to this token begin with.
pub fn inbox_prefix(account_id: &str, token_id: &str) -> String {
    format!("_INBOX_{account_id}.{token_id}")
}

/// Whose question a subject of the API is, and which.
pub fn parse_api_subject(subject: &str) -> Option<(LoginName, &str)> {
    let rest = subject.strip_prefix(API)?.strip_prefix('.')?;
    let (account_id, rest) = rest.split_once('.')?;
    let (token_id, operation) = rest.split_once('.')?;
    Some((LoginName::new(account_id, token_id).ok()?, operation))
}

/// What a connection is called at NATS: whose it is, and by which token.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct LoginName {
    pub account_id: String,
    pub token_id: String,
}

impl LoginName {
    pub fn new(account_id: &str, token_id: &str) -> Result<LoginName, Error> {
        check(account_id)?;
        check(token_id)?;
        Ok(LoginName { account_id: account_id.to_owned(), token_id: token_id.to_owned() })
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.account_id, self.token_id)
    }
}

impl FromStr for LoginName {
    type Err = Error;

    fn from_str(text: &str) -> Result<LoginName, Error> {
        let (account_id, token_id) =
            text.split_once('.').ok_or_else(|| Error::Token(text.to_owned()))?;
        LoginName::new(account_id, token_id)
    }
}

fn check(token: &str) -> Result<(), Error> {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-');
    if token.is_empty() || !token.bytes().all(is_plain) {
        return Err(Error::Token(token.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_grant(send: Reach, events: Reach, may_send: &[&str], may_hear: &[&str]) {
        let access = Access::new("acct_1", "0f", send, events).expect("access");
        let Permissions { publish, subscribe } = access.permissions();
        assert_eq!(publish.allow[0], "mail.v1.api.acct_1.0f.>");
        assert_eq!(publish.allow[1..5], DISCOVERY.map(str::to_owned));
        assert_eq!(publish.allow[5], WHO_AM_I);
        assert_eq!(publish.allow[6..], *may_send);
        assert_eq!(subscribe.allow[0], "_INBOX_acct_1.0f.>");
        assert_eq!(subscribe.allow[1..], *may_hear);
    }

    #[test]
    fn rights_are_subjects() {
        check_grant(
            Reach::All,
            Reach::All,
            &["mail.v1.send.acct_1.*"],
            &["mail.v1.event.acct_1.>"],
        );
        let inboxes = || Reach::Inboxes(vec!["ibx_1".to_owned(), "ibx_2".to_owned()]);
        check_grant(
            inboxes(),
            inboxes(),
            &["mail.v1.send.acct_1.ibx_1", "mail.v1.send.acct_1.ibx_2"],
            &["mail.v1.event.acct_1.ibx_1.>", "mail.v1.event.acct_1.ibx_2.>"],
        );
        check_grant(Reach::None, Reach::Inboxes(vec![]), &[], &[]);
    }

    #[test]
    fn an_id_is_one_token() {
        for wrong in ["", "*", ">", "a.b", "a b", "a*", "é", "a\r\n"] {
            Access::new(wrong, "0f", Reach::All, Reach::All).expect_err(wrong);
            Access::new("acct_1", wrong, Reach::All, Reach::All).expect_err(wrong);
            let inboxes = || Reach::Inboxes(vec!["ibx_1".to_owned(), wrong.to_owned()]);
            Access::new("acct_1", "0f", inboxes(), Reach::All).expect_err(wrong);
            Access::new("acct_1", "0f", Reach::All, inboxes()).expect_err(wrong);
        }
    }

    #[test]
    fn a_question_says_who_asks() {
        let (name, operation) =
            parse_api_subject("mail.v1.api.acct_1.0f.inboxes.create").expect("parse");
        assert_eq!((name.to_string().as_str(), operation), ("acct_1.0f", "inboxes.create"));
        assert_eq!("acct_1.0f".parse::<LoginName>().expect("parse"), name);
        for wrong in ["mail.v1.api", "mail.v1.api.acct_1.0f", "mail.v1.apiary.a.b.c", "x.a.b.c"] {
            assert!(parse_api_subject(wrong).is_none(), "{wrong}");
        }
    }
}
