//! Why a recipient did not get a mail, from what a host said about it, and what follows for mail to
//! come.
//!
//! Words beat codes: hosts answer 5.1.1 to a client they have listed, and 5.7.1 for an address they
//! do not know. A code decides only where the words say nothing.

mod rules;

use std::{collections::BTreeSet, sync::LazyLock};

use aho_corasick::AhoCorasick;

use self::rules::{AT_DATA, AT_RCPT, NAMED, RULES, Weight};

/// A diagnostic is read this far. Postfix passes on 512 octets, others a whole dialogue.
const MAX_TEXT: usize = 8 * 1024;

/// What a host held against a recipient, a mail or its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    RecipientUnknown,
    DomainUnknown,
    /// A null MX (RFC 7505), or no host for mail at all.
    DomainAcceptsNoMail,
    Moved,
    Disabled,
    MailboxFull,
    /// The words say that there is no such user, the circumstances that a filter may have said so.
    RecipientRefused,
    TooBig,
    SpamContent,
    Policy,
    AuthFailure,
    IpBlocked,
    Ptr,
    RateLimited,
    Tls,
    Network,
    RemoteSystem,
    Protocol,
    Expired,
    Undetermined,
    Complaint,
    AutoReply,
    Delivered,
}

/// What a class means for mail to come to the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    AtOnce,
    /// After several within a time.
    Count,
    Never,
}

impl Class {
    pub const ALL: [Class; 23] = [
        Class::RecipientUnknown,
        Class::DomainUnknown,
        Class::DomainAcceptsNoMail,
        Class::Moved,
        Class::Disabled,
        Class::MailboxFull,
        Class::RecipientRefused,
        Class::TooBig,
        Class::SpamContent,
        Class::Policy,
        Class::AuthFailure,
        Class::IpBlocked,
        Class::Ptr,
        Class::RateLimited,
        Class::Tls,
        Class::Network,
        Class::RemoteSystem,
        Class::Protocol,
        Class::Expired,
        Class::Undetermined,
        Class::Complaint,
        Class::AutoReply,
        Class::Delivered,
    ];

    /// As databases and APIs have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::RecipientUnknown => "recipient_unknown",
            Class::DomainUnknown => "domain_unknown",
            Class::DomainAcceptsNoMail => "domain_accepts_no_mail",
            Class::Moved => "moved",
            Class::Disabled => "disabled",
            Class::MailboxFull => "mailbox_full",
            Class::RecipientRefused => "recipient_refused",
            Class::TooBig => "too_big",
            Class::SpamContent => "spam_content",
            Class::Policy => "policy",
            Class::AuthFailure => "auth_failure",
            Class::IpBlocked => "ip_blocked",
            Class::Ptr => "ptr",
            Class::RateLimited => "rate_limited",
            Class::Tls => "tls",
            Class::Network => "network",
            Class::RemoteSystem => "remote_system",
            Class::Protocol => "protocol",
            Class::Expired => "expired",
            Class::Undetermined => "undetermined",
            Class::Complaint => "complaint",
            Class::AutoReply => "auto_reply",
            Class::Delivered => "delivered",
        }
    }

    /// Only facts about the recipient or its domain speak against mail to come; what was held against
    /// the sender, the mail or a network never does.
    pub fn suppression(self) -> Suppression {
        match self {
            Class::RecipientUnknown
            | Class::DomainUnknown
            | Class::DomainAcceptsNoMail
            | Class::Moved
            | Class::Complaint => Suppression::AtOnce,
            Class::Disabled | Class::MailboxFull | Class::RecipientRefused => Suppression::Count,
            _ => Suppression::Never,
        }
    }
}

/// Why a recipient did not get a mail. `status` is an RFC 3463 code and may be empty; `diagnostic` is
/// what the host said.
pub fn classify(status: &str, diagnostic: &str) -> Class {
    let status = code(status, diagnostic);
    by_words(&status, diagnostic, "").unwrap_or_else(|| by_code(&status))
}

/// The more telling one of a status and the code in the words that came with it.
pub(crate) fn code(status: &str, diagnostic: &str) -> String {
    let is_vague = matches!(status, "" | "5.0.0" | "4.0.0" | "5.5.0" | "5.3.0");
    let stated = enhanced_code(diagnostic).filter(|_| is_vague);
    stated.unwrap_or(status).to_owned()
}

/// The first RFC 3463 code of a text.
pub(crate) fn enhanced_code(text: &str) -> Option<&str> {
    let words = text.split(|it: char| !it.is_ascii_digit() && it != '.');
    words.map(|it| it.trim_end_matches('.')).find(|word| {
        let mut parts = word.split('.');
        let class = parts.next().is_some_and(|it| matches!(it, "2" | "4" | "5"));
        let rest: Vec<&str> = parts.collect();
        class && rest.len() == 2 && rest.iter().all(|it| (1..=3).contains(&it.len()))
    })
}

struct Matcher {
    automaton: AhoCorasick,
    /// The rule each pattern belongs to.
    rules: Vec<usize>,
}

/// A constant, but for that it is computed: the rules as one automaton, so that reading a diagnostic
/// takes linear time however many rules there are.
static MATCHER: LazyLock<Matcher> = LazyLock::new(|| {
    let contexts = [AT_DATA, AT_RCPT, NAMED];
    let phrases = RULES.iter().map(|(_, _, phrases)| *phrases).chain(contexts);
    let mut patterns = Vec::new();
    let mut rules = Vec::new();
    for (rule, phrases) in phrases.enumerate() {
        patterns.extend_from_slice(phrases);
        rules.resize(patterns.len(), rule);
    }
    // It fails only beyond four billion states.
    let automaton = AhoCorasick::new(patterns).expect("the rules make an automaton");
    Matcher { automaton, rules }
});

/// What the words say; `None` if nothing that is known. `around` is what was said beside them, which
/// may tell to which command they are the answer.
pub(crate) fn by_words(status: &str, text: &str, around: &str) -> Option<Class> {
    let hits = hits(text);
    let mut said = hits.clone();
    said.extend(self::hits(around));
    let [at_data, at_rcpt, named] =
        [0, 1, 2].map(|context| said.contains(&(RULES.len() + context)));
    let is_temporary = status.starts_with('4');
    let fits = is_about_recipient(status);
    for (class, weight, _) in hits.iter().filter_map(|it| RULES.get(*it)) {
        return Some(match (class, weight) {
            // A name server may not have known for now.
            (Class::DomainUnknown | Class::DomainAcceptsNoMail, _) if is_temporary => {
                Class::Network
            }
            // Some answer "user unknown" to contents that their filters refuse.
            (_, Weight::Corroborated) if !named && (at_data || !at_rcpt && !fits) => {
                Class::RecipientRefused
            }
            (_, Weight::Vague) if !fits => continue,
            (class, _) => *class,
        });
    }
    None
}

/// The rules that a text meets, and the contexts behind them.
fn hits(text: &str) -> BTreeSet<usize> {
    let text = folded(text);
    let matches = MATCHER.automaton.find_overlapping_iter(&text);
    matches.map(|it| MATCHER.rules[it.pattern().as_usize()]).collect()
}

/// A code that says as much as the words of whoever knows.
pub(crate) const ABOUT_RECIPIENT: &str = "5.1.1";

fn is_about_recipient(status: &str) -> bool {
    matches!(
        status,
        "5.1.0" | "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10" | "5.2.1" | "4.1.1" | "5.4.1"
    )
}

/// RFC 3463, RFC 5248, RFC 7505 and what large hosts use beside them.
pub(crate) fn by_code(status: &str) -> Class {
    let mut parts = status.split('.');
    let (class, subject, detail) =
        (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
    let is_permanent = class == "5";
    match (subject.unwrap_or_default(), detail) {
        ("1", "1" | "3") if is_permanent => Class::RecipientUnknown,
        ("1", "2") if is_permanent => Class::DomainUnknown,
        ("1", "6") if is_permanent => Class::Moved,
        ("1", "10") if is_permanent => Class::DomainAcceptsNoMail,
        ("1", "7" | "8") => Class::Policy,
        ("2", "0") if is_permanent => Class::RecipientRefused,
        ("2", "1") if is_permanent => Class::Disabled,
        ("2", "2") => Class::MailboxFull,
        ("2", "3") | ("3", "4") => Class::TooBig,
        ("3", _) => Class::RemoteSystem,
        ("4", "4") if is_permanent => Class::DomainUnknown,
        ("4", "7") => Class::Expired,
        ("4", _) => Class::Network,
        ("5", "3") => Class::RateLimited,
        ("5", "0") => Class::Undetermined,
        ("5", _) => Class::Protocol,
        ("6", _) => Class::SpamContent,
        ("7", "20" | "21" | "22" | "23" | "24" | "26" | "27" | "30" | "31" | "509" | "515") => {
            Class::AuthFailure
        }
        ("7", "25") => Class::Ptr,
        ("7", "10" | "29") => Class::Tls,
        ("7", "28") => Class::RateLimited,
        ("7", _) => Class::Policy,
        _ => Class::Undetermined,
    }
}

/// Lower case, each run of blanks as one space, a space at either end, typographic apostrophes as
/// typed ones: as the rules are written.
pub(crate) fn folded(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    let mut folded = String::with_capacity(text.len() + 2);
    folded.push(' ');
    for it in text.chars().chain([' ']).flat_map(char::to_lowercase) {
        match it {
            '\u{2018}' | '\u{2019}' | '`' => folded.push('\''),
            it if it.is_whitespace() || it == '\u{ad}' => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            it => folded.push(it),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: &str, diagnostic: &str, class: Class) {
        assert_eq!(classify(status, diagnostic), class, "{status} {diagnostic}");
    }

    #[test]
    fn words_beat_a_lying_code() {
        check("5.1.1", "550 5.1.1 192.0.2.1 is listed at zen.spamhaus.org", Class::IpBlocked);
        check("5.1.1", "550 5.1.1 <a@x.test>: has sent to too many recipients", Class::RateLimited);
        check("5.7.1", "554 <a@x.test>: Recipient address rejected: Access denied", {
            Class::RecipientUnknown
        });
        check("5.2.1", "550 receiving mail at a rate that prevents more", Class::RateLimited);
    }

    #[test]
    fn a_code_decides_where_the_words_say_nothing() {
        check("5.1.1", "no", Class::RecipientUnknown);
        check("5.0.0", "550 5.2.2 no", Class::MailboxFull);
        check("5.7.26", "", Class::AuthFailure);
        check("", "", Class::Undetermined);
        check("4.4.1", "", Class::Network);
    }

    #[test]
    fn a_filter_may_say_that_there_is_no_such_user() {
        check("", "550 User unknown (in reply to RCPT TO command)", Class::RecipientUnknown);
        check("", "550 User unknown (in reply to end of DATA command)", Class::RecipientRefused);
        check("5.2.0", "550 User unknown", Class::RecipientRefused);
        check("5.1.1", "550 5.1.1 User unknown", Class::RecipientUnknown);
        // No answer to contents (RFC 5321 section 4.3.2).
        check("5.3.0", "553 5.3.0 <a@x.test>... Unknown E-Mail Address", Class::RecipientUnknown);
        check("5.3.0", "554 5.3.0 <a@x.test>... Unknown E-Mail Address", Class::RecipientRefused);
    }

    #[test]
    fn a_domain_is_not_unknown_for_good_while_its_name_server_is_away() {
        check("", "DNS lookup failure: host x.test not found", Class::DomainUnknown);
        check("5.4.4", "Host or domain name not found", Class::DomainUnknown);
        check("4.4.3", "Host or domain name not found", Class::Network);
    }

    #[test]
    fn codes_are_no_addresses() {
        assert_eq!(enhanced_code("192.0.2.1 said 550-5.1.1 no"), Some("5.1.1"));
        assert_eq!(enhanced_code("550 1.2.3 2.1000.1 5.7"), None);
        assert_eq!(enhanced_code("(#5.1.2)."), Some("5.1.2"));
    }

    #[test]
    fn rules_are_written_as_texts_are_folded() {
        for phrase in RULES.iter().flat_map(|it| it.2).chain(AT_DATA).chain(AT_RCPT).chain(NAMED) {
            let folded = folded(phrase);
            assert_eq!(folded.trim(), phrase.trim());
        }
    }
}
