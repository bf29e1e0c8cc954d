//! Who pretends to be somebody that an inbox knows.
//!
//! Pure: what a mail says of its sender, and whom the inbox knows, in; reasons out. Of the mail's text
//! nothing is read here.

use contract::Reason;
use unicode_normalization::UnicodeNormalization as _;

use crate::{
    Address, Likeness,
    likeness::{Shape, registrable, skeleton},
};

pub const IMPOSTOR_VERSION: &str = "1";

const SPOOFED: &str = "spoofed_sender";
const PHISHING: &str = "phishing_url";

/// Names that half the world writes mail under.
const ROLES: [&str; 37] = [
    "account",
    "accounts",
    "admin",
    "alerts",
    "billing",
    "bot",
    "care",
    "contact",
    "customer",
    "do",
    "help",
    "helpdesk",
    "hello",
    "info",
    "invoices",
    "mail",
    "mailer",
    "marketing",
    "news",
    "newsletter",
    "no",
    "noreply",
    "not",
    "notification",
    "notifications",
    "office",
    "orders",
    "reply",
    "sales",
    "security",
    "service",
    "services",
    "support",
    "system",
    "team",
    "the",
    "updates",
];

/// Somebody an inbox knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Person {
    /// The display name; may be empty.
    pub name: String,
    pub address: String,
}

/// Whom an inbox knows, ready for comparing.
#[derive(Clone, Debug, Default)]
pub struct Acquaintances {
    domains: Vec<Shape>,
    names: Vec<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    key: String,
    person: Person,
    is_own: bool,
}

impl Acquaintances {
    /// `own` are the inboxes of the account.
    pub fn new(correspondents: &[Person], own: &[Person]) -> Acquaintances {
        let mut known = Acquaintances::default();
        for (people, is_own) in [(own, true), (correspondents, false)] {
            for person in people {
                known.add(person, is_own);
            }
        }
        known
    }

    fn add(&mut self, person: &Person, is_own: bool) {
        let shape = domain(&person.address).and_then(Shape::of);
        let key = name_key(&person.name);
        let label = shape.as_ref().map(|it| skeleton(it.label())).unwrap_or_default();
        if is_telling(&key, &label) {
            self.names.push(Known { key, person: person.clone(), is_own });
        }
        if let Some(shape) = shape
            && self.domains.iter().all(|it| it.registrable != shape.registrable)
        {
            self.domains.push(shape);
        }
    }

    fn knows_domain(&self, registrable: &str) -> bool {
        self.domains.iter().any(|it| it.registrable == registrable)
    }

    /// The known domain that this one can be mistaken for. A known one is itself.
    fn imitated(&self, host: &str) -> Option<(&Shape, Likeness)> {
        let host = host.to_ascii_lowercase();
        let shape = Shape::of(&host)?;
        if self.knows_domain(&shape.registrable) {
            return None;
        }
        self.domains.iter().find_map(|it| Some((it, shape.likeness(&host, it)?)))
    }
}

/// What a mail says of its sender.
#[derive(Clone, Debug, Default)]
pub struct Sighting<'a> {
    /// The display name in From.
    pub name: &'a str,
    /// The address in From.
    pub address: &'a str,
    pub reply_to: Vec<&'a str>,
    pub link_hosts: &'a [String],
    /// The domain of `address` stands for it.
    pub is_proven: bool,
    /// He has proved it before.
    pub was_proven: bool,
    pub is_first_contact: bool,
    /// Somebody outside was asked to prove something, could have, and nothing passed.
    pub is_unproven: bool,
    /// The word for it.
    pub dmarc: &'a str,
}

/// Why the sender of a mail, or where its links lead, may not be what it seems.
pub fn suspicions(mail: &Sighting<'_>, known: &Acquaintances) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(host) = domain(mail.address)
        && let Some((shape, likeness)) = known.imitated(host)
    {
        reasons.push(lookalike(SPOOFED, "from", host, shape, likeness));
    }
    reasons.extend(address_in_name(mail));
    reasons.extend(borrowed_name(mail, known));
    reasons.extend(answers_elsewhere(mail));
    if mail.dmarc == "fail" && mail.was_proven && mail.is_unproven {
        let explanation =
            "This sender has proved before that his mail is his (DMARC); this one fails, and \
             nothing else vouches for it."
                .to_owned();
        reasons.push(reason("sender", SPOOFED, "from", mail.address, explanation));
    }
    for host in mail.link_hosts {
        if let Some((shape, likeness)) = known.imitated(host) {
            reasons.push(lookalike(PHISHING, "link", host, shape, likeness));
            break;
        }
    }
    reasons
}

fn lookalike(flag: &str, part: &str, host: &str, known: &Shape, likeness: Likeness) -> Reason {
    let how = match likeness {
        Likeness::Confused => "is written with letters that look like those of",
        Likeness::Misspelled => "is one letter off",
        Likeness::Dressed => "adds a word to the name of",
        Likeness::Prefixed => "begins with, but does not belong to,",
    };
    let what = if part == "link" { "A link leads to a domain that" } else { "The sender's domain" };
    let explanation =
        format!("{what} {how} {}, which this inbox knows, and it is another's.", known.registrable);
    reason("lookalike", flag, part, host, explanation)
}

/// A name that shows another address than the mail is from. Services that write in somebody's name say
/// "… via …", and prove who they are.
fn address_in_name(mail: &Sighting<'_>) -> Option<Reason> {
    let own = registrable(domain(mail.address)?)?;
    let edges = |it: char| it.is_whitespace() || "<>()[]\"',;:".contains(it);
    let shown = mail.name.split(edges).find(|word| {
        let address = word.parse::<Address>().ok();
        let shown = address.and_then(|it| registrable(it.domain()));
        shown.is_some_and(|it| it != own)
    })?;
    if mail.is_proven && mail.name.to_lowercase().contains(" via ") {
        return None;
    }
    let start = mail.name.find(shown).unwrap_or_default();
    let explanation = "The sender's name shows an address that the mail is not from.".to_owned();
    let it = reason("display-name", SPOOFED, "from", shown, explanation);
    Some(Reason { start: octets(start), end: octets(start + shown.len()), ..it })
}

/// The name of somebody the inbox knows, at another organisation's address that it does not.
fn borrowed_name(mail: &Sighting<'_>, known: &Acquaintances) -> Option<Reason> {
    if !mail.is_first_contact {
        return None;
    }
    let own = registrable(domain(mail.address)?);
    let key = name_key(mail.name);
    let elsewhere = |it: &&Known| {
        let theirs = domain(&it.person.address).and_then(registrable);
        it.key == key && !it.person.address.eq_ignore_ascii_case(mail.address) && theirs != own
    };
    let whose = known.names.iter().find(elsewhere)?;
    let who = if whose.is_own { "an inbox of this account" } else { "somebody this inbox knows" };
    let explanation = format!(
        "The sender has the name of {who}, {}, and an address that was not seen before. It may be a second \
         address, or somebody else.",
        whose.person.address
    );
    let it = reason("display-name", SPOOFED, "from", mail.name, explanation);
    Some(Reason { end: octets(mail.name.len()), ..it })
}

/// Answers would go to another organisation, and nothing proves who asks for them. Mailing services and
/// lists ask for that too, but prove who they are.
fn answers_elsewhere(mail: &Sighting<'_>) -> Option<Reason> {
    if !mail.is_first_contact || mail.is_proven || !mail.is_unproven {
        return None;
    }
    let own = registrable(domain(mail.address)?)?;
    let to = mail.reply_to.iter().find(|it| {
        let theirs = domain(it).and_then(registrable);
        theirs.is_some_and(|it| it != own)
    })?;
    let explanation =
        "Answers to this new sender, who proves nothing of himself, would go to another \
                       domain than the mail is from."
            .to_owned();
    Some(reason("reply-to", SPOOFED, "reply-to", to, explanation))
}

fn reason(detector: &str, flag: &str, part: &str, excerpt: &str, explanation: String) -> Reason {
    const LONGEST: usize = 200;
    Reason {
        detector: detector.to_owned(),
        version: IMPOSTOR_VERSION.to_owned(),
        flag: flag.to_owned(),
        part: part.to_owned(),
        excerpt: excerpt.chars().filter(|it| !it.is_control()).take(LONGEST).collect(),
        explanation,
        ..Reason::default()
    }
}

fn octets(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|it| it.1).filter(|it| !it.starts_with('['))
}

/// A name as it looks, whatever the order and the marks between its words: "Doe, Jane" is "Jane Doe".
fn name_key(name: &str) -> String {
    let folded: String = name.nfkc().collect();
    let mut words: Vec<String> = folded
        .split(|it: char| !it.is_alphanumeric())
        .filter(|it| !it.is_empty())
        .map(skeleton)
        .collect();
    words.sort();
    words.join(" ")
}

/// Two words or more, of which one is no role's; or the name of the very domain, as companies have it.
fn is_telling(key: &str, label: &str) -> bool {
    let words: Vec<&str> = key.split(' ').collect();
    let is_role = |it: &&str| ROLES.iter().any(|role| skeleton(role) == **it);
    if words.iter().all(|it| it.is_empty() || is_role(it)) {
        return false;
    }
    words.len() >= 2 || (!label.is_empty() && key == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, address: &str) -> Person {
        Person { name: name.to_owned(), address: address.to_owned() }
    }

    fn known() -> Acquaintances {
        Acquaintances::new(
            &[
                person("Jane Doe", "jane@northwind.com"),
                person("PayPal", "service@paypal.com"),
                person("Customer Support", "help@shop.example"),
                person("Bob", "bob@contoso.com"),
            ],
            &[person("Iris the Agent", "iris@agents.example")],
        )
    }

    fn sighting<'a>(name: &'a str, address: &'a str) -> Sighting<'a> {
        Sighting { name, address, is_first_contact: true, ..Sighting::default() }
    }

    /// Flag and part of each reason.
    #[track_caller]
    fn check(mail: &Sighting<'_>, expected: &[(&str, &str)]) {
        let reasons = suspicions(mail, &known());
        let found: Vec<_> = reasons.iter().map(|it| (it.detector.as_str(), &*it.flag)).collect();
        assert_eq!(found, expected, "{mail:?}: {reasons:?}");
        for it in &reasons {
            assert!(!it.explanation.is_empty() && !it.excerpt.is_empty() && it.start <= it.end);
        }
    }

    #[test]
    fn a_lookalike_of_a_known_domain() {
        check(&sighting("", "x@n0rthwind.com"), &[("lookalike", SPOOFED)]);
        check(&sighting("", "x@agentss.example"), &[("lookalike", SPOOFED)]);
        check(&sighting("", "x@northwind.co.uk"), &[]);
        check(&sighting("", "x@mail.northwind.com"), &[]);
    }

    #[test]
    fn links_to_a_lookalike() {
        let hosts = ["cdn.example".to_owned(), "login.paypa1.com".to_owned()];
        let mail = Sighting { link_hosts: &hosts, ..sighting("", "x@elsewhere.example") };
        check(&mail, &[("lookalike", PHISHING)]);
        let hosts = ["www.paypal.com".to_owned(), "paypal.co.uk".to_owned()];
        check(&Sighting { link_hosts: &hosts, ..sighting("", "x@elsewhere.example") }, &[]);
    }

    #[test]
    fn a_known_name_at_another_address() {
        for name in
            ["Jane Doe", "DOE, Jane", "\"Jane  Doe\"", "J\u{430}ne Doe", "PayPal", "Iris the Agent"]
        {
            check(&sighting(name, "x@evil.example"), &[("display-name", SPOOFED)]);
        }
        // Another mailbox of the same organisation, roles, first names, and rewritten by a list.
        check(&sighting("Jane Doe", "jane.doe@mail.northwind.com"), &[]);
        check(&sighting("Customer Support", "help@other.example"), &[]);
        check(&sighting("Bob", "bob@other.example"), &[]);
        check(&sighting("Jane Doe via Reading Group", "group@lists.example"), &[]);
        // Known already.
        let again =
            Sighting { is_first_contact: false, ..sighting("Jane Doe", "jane@home.example") };
        check(&again, &[]);
    }

    #[test]
    fn an_address_in_the_name() {
        let mail = sighting("ceo@northwind.com", "x@evil.example");
        check(&mail, &[("display-name", SPOOFED)]);
        let mail = sighting("The boss <ceo@northwind.com>", "x@evil.example");
        check(&mail, &[("display-name", SPOOFED)]);
        let reason = suspicions(&mail, &known()).remove(0);
        assert_eq!(&mail.name[reason.start as usize..reason.end as usize], "ceo@northwind.com");

        check(&sighting("x@evil.example", "x@evil.example"), &[]);
        check(&sighting("Doe @ Northwind", "x@evil.example"), &[]);
        let via = "'bob@contoso.com' via Signing Service";
        check(&Sighting { is_proven: true, ..sighting(via, "sign@signing.example") }, &[]);
        check(&sighting(via, "sign@signing.example"), &[("display-name", SPOOFED)]);
    }

    #[test]
    fn answers_that_go_elsewhere() {
        let mail = Sighting {
            reply_to: vec!["x@free.example"],
            is_unproven: true,
            ..sighting("", "ceo@some.example")
        };
        check(&mail, &[("reply-to", SPOOFED)]);
        check(&Sighting { is_unproven: false, ..mail.clone() }, &[]);
        check(&Sighting { is_proven: true, is_unproven: false, ..mail.clone() }, &[]);
        check(&Sighting { is_first_contact: false, ..mail.clone() }, &[]);
        check(&Sighting { reply_to: vec!["x@mail.some.example"], ..mail }, &[]);
    }

    #[test]
    fn a_proof_that_is_missing_now() {
        let mail = Sighting {
            dmarc: "fail",
            was_proven: true,
            is_unproven: true,
            is_first_contact: false,
            ..sighting("Jane Doe", "jane@northwind.com")
        };
        check(&mail, &[("sender", SPOOFED)]);
        // A list's copy: the list proves itself.
        check(&Sighting { is_unproven: false, ..mail.clone() }, &[]);
        check(&Sighting { was_proven: false, ..mail.clone() }, &[]);
        check(&Sighting { dmarc: "none", ..mail }, &[]);
    }
}
