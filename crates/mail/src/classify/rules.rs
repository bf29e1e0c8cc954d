//! The words of hosts, by what they mean. The first rule that is met decides, so what says more
//! stands above what says less. Written in lower case, blanks as one space.

mod recipient;
mod sender;

use super::Class;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weight {
    /// Says it all.
    Plain,
    /// Holds if said in answer to RCPT, of a named address or with a fitting code.
    Corroborated,
    /// Opens sentences of any sense: holds with a fitting code only.
    Vague,
}

use Weight::{Corroborated, Plain, Vague};

/// Where in the dialogue it was said.
pub(super) const AT_DATA: &[&str] =
    &["end of data", "final data", "after data", "[data]", "sent the message"];
pub(super) const AT_RCPT: &[&str] = &[
    "in reply to rcpt",
    "after rcpt to",
    "[rcpt_to]",
    ">>> rcpt to",
    "rcpt host",
    "in rcpt to",
    "for rcpt to",
    "our rcpt to",
    "does not like recipient",
    "rcpt to:<",
    // Replies that a content cannot get (RFC 5321 section 4.3.2).
    " 551 ",
    " 551-",
    " 553 ",
    " 553-",
];
/// The address stands in the answer itself.
pub(super) const NAMED: &[&str] = &[">: user unknown", ">: no such user", ">: recipient unknown"];

pub(super) const RULES: &[(Class, Weight, &[&str])] = &[
    (Class::RecipientRefused, Plain, recipient::RECIPIENT_REFUSED),
    (Class::AuthFailure, Plain, sender::AUTH_FAILURE),
    (Class::Ptr, Plain, sender::PTR),
    (Class::RateLimited, Plain, sender::RATE_LIMITED),
    (Class::MailboxFull, Plain, recipient::MAILBOX_FULL),
    (Class::Disabled, Plain, recipient::DISABLED),
    (Class::IpBlocked, Plain, sender::IP_BLOCKED),
    (Class::Policy, Plain, sender::POLICY),
    (Class::SpamContent, Plain, sender::SPAM_CONTENT),
    (Class::Network, Plain, sender::NETWORK),
    (Class::DomainAcceptsNoMail, Plain, recipient::DOMAIN_ACCEPTS_NO_MAIL),
    (Class::DomainUnknown, Plain, recipient::DOMAIN_UNKNOWN),
    (Class::Moved, Plain, recipient::MOVED),
    (Class::RecipientUnknown, Plain, recipient::RECIPIENT_UNKNOWN),
    (Class::RecipientUnknown, Corroborated, recipient::RECIPIENT_UNKNOWN_CORROBORATED),
    (Class::RecipientUnknown, Vague, recipient::RECIPIENT_UNKNOWN_VAGUE),
    (Class::TooBig, Plain, sender::TOO_BIG),
    (Class::Policy, Plain, sender::POLICY_LAST),
    (Class::Tls, Plain, sender::TLS),
    (Class::Expired, Plain, sender::EXPIRED),
    (Class::Network, Plain, sender::NETWORK_LAST),
    (Class::Protocol, Plain, sender::PROTOCOL),
    (Class::RemoteSystem, Plain, sender::REMOTE_SYSTEM),
];
