//! Domains that are made to be taken for another.
//!
//! Only registrable domains are compared (Public Suffix List): whoever owns one owns what is below it. The
//! same name under another suffix, as `example.co.uk` is to `example.com`, is no likeness: most such
//! pairs belong to one owner, or are of two who share a word.

use unicode_normalization::UnicodeNormalization as _;

/// Shorter names are too often one letter apart by chance.
const SHORTEST_CONFUSED: usize = 4;
const SHORTEST_MISSPELLED: usize = 6;
const SHORTEST_DRESSED: usize = 5;

/// What is put before or behind a name to make it look like a department of its owner.
const DRESS: [&str; 22] = [
    "account", "accounts", "alert", "alerts", "auth", "billing", "helpdesk", "invoice", "invoices",
    "login", "mail", "online", "pay", "payment", "payments", "portal", "secure", "security",
    "service", "support", "update", "verify",
];

/// How one domain can be mistaken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Its letters look the same (UTS #39).
    Confused,
    /// It is one letter off, or two letters changed places.
    Misspelled,
    /// The other name with a word such as "secure" or "billing" at it.
    Dressed,
    /// It begins with the other domain, as `example.com.evil.test` does.
    Prefixed,
}

/// The part of a domain that somebody registered, in lower-case A-labels; `None` for what is itself a public
/// suffix, and for addresses in numbers.
pub fn registrable(domain: &str) -> Option<String> {
    let domain = idna::domain_to_ascii(domain.trim_end_matches('.')).ok()?;
    if domain.starts_with('[') || domain.ends_with(|it: char| it.is_ascii_digit()) {
        return None;
    }
    psl::domain_str(&domain).map(str::to_owned)
}

/// A registrable domain, taken apart for comparing.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) registrable: String,
    /// What stands before the suffix, as it is shown.
    label: String,
    suffix: String,
    skeleton: String,
}

impl Shape {
    pub(crate) fn of(domain: &str) -> Option<Shape> {
        let registrable = registrable(domain)?;
        let (label, suffix) = registrable.split_once('.')?;
        let (shown, _) = idna::domain_to_unicode(label);
        let shown: String = shown.nfc().collect();
        Some(Shape {
            skeleton: skeleton(&shown),
            suffix: suffix.to_owned(),
            label: shown,
            registrable,
        })
    }

    /// The name alone, without its suffix.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Whether this can be mistaken for `known`. `host` is all of the domain that this is the shape of.
    pub(crate) fn likeness(&self, host: &str, known: &Shape) -> Option<Likeness> {
        if self.registrable == known.registrable {
            return None;
        }
        if is_prefixed(host, &self.registrable, &known.registrable) {
            return Some(Likeness::Prefixed);
        }
        if self.label == known.label {
            return None;
        }
        let length = known.label.chars().count();
        if length >= SHORTEST_CONFUSED && self.skeleton == known.skeleton {
            return Some(Likeness::Confused);
        }
        if length >= SHORTEST_MISSPELLED
            && self.suffix == known.suffix
            && is_misspelled(&self.label, &known.label)
        {
            return Some(Likeness::Misspelled);
        }
        (length >= SHORTEST_DRESSED && is_dressed(&self.label, &known.label))
            .then_some(Likeness::Dressed)
    }
}

/// Whether a domain can be mistaken for a known one.
pub fn likeness(domain: &str, known: &str) -> Option<Likeness> {
    Shape::of(domain)?.likeness(&domain.to_ascii_lowercase(), &Shape::of(known)?)
}

/// What a text looks like: the same for all that look alike (UTS #39 section 4, and what Latin letters do
/// besides when they stand close).
pub(crate) fn skeleton(text: &str) -> String {
    let lower = text.to_lowercase().replace("vv", "w").replace('-', "");
    let skeleton = unicode_security::confusable_detection::skeleton(&lower);
    // The tables have one capital for some letters and digits: "0" is like "O".
    skeleton.collect::<String>().to_lowercase()
}

/// The known domain stands among the labels that the owner of `registrable` is free to choose.
fn is_prefixed(host: &str, registrable: &str, known: &str) -> bool {
    let free = host.strip_suffix(registrable).and_then(|it| it.strip_suffix('.'));
    free.is_some_and(|free| {
        free.strip_suffix(known).is_some_and(|it| it.is_empty() || it.ends_with('.'))
            || free.starts_with(&format!("{known}."))
            || free.contains(&format!(".{known}."))
    })
}

/// One letter was added, left out or changed, or two neighbours changed places. Names that differ in a
/// digit only are numbered, not misspelled.
fn is_misspelled(label: &str, known: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (label.chars().collect(), known.chars().collect());
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    let numbered = |it: &[char]| it.first().is_none_or(char::is_ascii_digit);
    match (a, b) {
        ([a1, a2, rest_a @ ..], [b1, b2, rest_b @ ..])
            if a1 == b2 && a2 == b1 && rest_a == rest_b =>
        {
            true
        }
        ([_, rest_a @ ..], [_, rest_b @ ..]) if rest_a == rest_b => !(numbered(a) && numbered(b)),
        ([_, rest @ ..], _) if rest == b => !numbered(a),
        (_, [_, rest @ ..]) if rest == a => !numbered(b),
        _ => false,
    }
}

fn is_dressed(label: &str, known: &str) -> bool {
    let dress = label
        .strip_prefix(known)
        .map(|it| it.trim_start_matches('-'))
        .or_else(|| label.strip_suffix(known).map(|it| it.trim_end_matches('-')));
    dress.is_some_and(|it| DRESS.contains(&it))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "northwind.com";

    #[track_caller]
    fn check(domain: &str, expected: Option<Likeness>) {
        assert_eq!(likeness(domain, KNOWN), expected, "{domain}");
    }

    #[test]
    fn letters_that_look_the_same() {
        for domain in ["n0rthwind.com", "northvvind.com", "northw\u{456}nd.com", "north-wind.com"] {
            check(domain, Some(Likeness::Confused));
        }
        let encoded = idna::domain_to_ascii("n\u{43e}rthwind.com").expect("A-labels");
        assert!(encoded.starts_with("xn--"), "{encoded}");
        check(&encoded, Some(Likeness::Confused));
        check("mail.n0rthwind.net", Some(Likeness::Confused));
        assert_eq!(likeness("paypa1.com", "paypal.com"), Some(Likeness::Confused));
        assert_eq!(likeness("arnazon.com", "amazon.com"), Some(Likeness::Confused));
    }

    #[test]
    fn one_letter_off() {
        for domain in [
            "northwnid.com",
            "nortwind.com",
            "northwinds.com",
            "northwimd.com",
            "n\u{f6}rthwind.com",
        ] {
            check(domain, Some(Likeness::Misspelled));
        }
    }

    #[test]
    fn dressed_up() {
        for domain in ["northwind-billing.com", "secure-northwind.net", "northwindlogin.com"] {
            check(domain, Some(Likeness::Dressed));
        }
        for domain in ["northwind.com.evil.test", "www.northwind.com.a.evil.test"] {
            check(domain, Some(Likeness::Prefixed));
        }
    }

    #[test]
    fn innocent_neighbours() {
        for domain in [
            "northwind.com",
            "mail.northwind.com",
            "northwind.co.uk",
            "northwind.com.au",
            "NORTHWIND.COM",
            "southwind.com",
            "northwindow.com",
            "north.com",
            "wind.com",
            "northwind-berlin.com",
            "example.com",
            "com",
            "[192.0.2.1]",
            "192.0.2.1",
            "",
        ] {
            check(domain, None);
        }
        // Short names are one letter apart by chance, and numbered ones by intention.
        assert_eq!(likeness("gmx.net", "gmy.net"), None);
        assert_eq!(likeness("mailer2.com", "mailer3.com"), None);
        assert_eq!(likeness("mailer2.com", "mailer.com"), None);
        // Two customers of one host, each with a domain of his own by the private part of the list.
        assert_eq!(likeness("bob.github.io", "alice.github.io"), None);
    }

    #[test]
    fn registrable_domains() {
        assert_eq!(registrable("a.b.example.co.uk").as_deref(), Some("example.co.uk"));
        assert_eq!(registrable("M\u{fc}nchen.Example.").as_deref(), Some("xn--mnchen-3ya.example"));
        assert_eq!(registrable("alice.github.io").as_deref(), Some("alice.github.io"));
        for none in ["co.uk", "com", "[192.0.2.1]", "[IPv6:::1]", ""] {
            assert_eq!(registrable(none), None, "{none}");
        }
    }
}
