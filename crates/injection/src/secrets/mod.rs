//! Finds secrets in what is sent: keys, tokens, private keys, passwords, card numbers.
//!
//! One automaton finds where something may begin, and what follows is checked by hand, in time linear in
//! the text. What is found is told masked; it never stands in a reason.

mod assigned;
mod cards;
mod clean;
mod encoded;
mod entropy;
mod keys;
mod redact;
mod shapes;

use std::{collections::HashSet, ops::Range};

pub use self::redact::Redactor;
use self::{assigned::Assigned, cards::Cards, clean::Clean, keys::Keys, shapes::Shapes};
use crate::{Part, decode};

/// More are not told. One is enough to hold a mail.
const MAX_FOUND: usize = 20;

/// The shortest secret of which anything is shown.
const MIN_SHOWN: usize = 16;

/// Looks for secrets; holds what is worth building once.
pub struct Secrets {
    shapes: Shapes,
    keys: Keys,
    assigned: Assigned,
    cards: Cards,
}

/// A secret that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// A stable name, such as "github_token".
    pub kind: &'static str,
    /// Why it is taken for one, in plain words.
    pub explanation: &'static str,
    /// Which of the parts.
    pub part: usize,
    /// Octets into the part's text; of what was encoded, those of the code.
    pub span: Range<usize>,
    /// Its first four and last two characters and its length; of a short one, only that.
    pub masked: String,
}

/// Where a secret stands in a text.
#[derive(Clone, Debug, PartialEq)]
struct Hit {
    kind: &'static str,
    explanation: &'static str,
    span: Range<usize>,
}

impl Default for Secrets {
    fn default() -> Secrets {
        Secrets::new()
    }
}

impl Secrets {
    pub fn new() -> Secrets {
        Secrets {
            shapes: Shapes::new(),
            keys: Keys::new(),
            assigned: Assigned::new(),
            cards: Cards::new(),
        }
    }

    /// Each secret once, in the order of the parts, at most 20.
    pub fn find(&self, parts: &[Part]) -> Vec<Secret> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for (part, it) in parts.iter().enumerate() {
            let clean = Clean::new(&it.text);
            self.collect(clean.text(), &mut seen, |hit, secret| {
                found.push(told(hit, part, clean.origin(hit.span.clone()), secret));
            });
            for (span, inner) in decoded(&it.text) {
                let clean = Clean::new(&inner);
                self.collect(clean.text(), &mut seen, |hit, secret| {
                    found.push(told(hit, part, span.clone(), secret));
                });
            }
            if found.len() >= MAX_FOUND {
                found.truncate(MAX_FOUND);
                break;
            }
        }
        found
    }

    fn collect(&self, text: &str, seen: &mut HashSet<String>, mut take: impl FnMut(&Hit, &str)) {
        for hit in self.hits(text) {
            let secret = &text[hit.span.clone()];
            if seen.len() < MAX_FOUND && seen.insert(secret.to_owned()) {
                take(&hit, secret);
            }
        }
    }

    /// In their order. Where two say something of the same text, the more precise one does.
    fn hits(&self, text: &str) -> Vec<Hit> {
        let mut hits = self.shapes.find(text);
        for vaguer in [self.keys.find(text), self.cards.find(text), self.assigned.find(text)] {
            let covered = Covered::by(&hits);
            hits.extend(vaguer.into_iter().filter(|it| !covered.touches(&it.span)));
        }
        hits.sort_by_key(|it| it.span.start);
        hits
    }
}

/// What is taken of a text; the spans do not overlap.
struct Covered(Vec<Range<usize>>);

impl Covered {
    fn by(hits: &[Hit]) -> Covered {
        let mut spans: Vec<Range<usize>> = hits.iter().map(|it| it.span.clone()).collect();
        spans.sort_by_key(|it| it.start);
        Covered(spans)
    }

    fn touches(&self, span: &Range<usize>) -> bool {
        let after = self.0.partition_point(|it| it.end <= span.start);
        self.0.get(after).is_some_and(|it| it.start < span.end)
    }
}

/// What stands in a text in plain and encoded, the invisible left out: to look for what is known.
pub fn readings(text: &str) -> Vec<String> {
    let decoded = decoded(text).map(|(_, it)| it);
    std::iter::once(Clean::new(text).into_text()).chain(decoded).collect()
}

fn decoded(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    // What is beyond the budget of decoding is searched as it stands only.
    let (words, _) = decode::decode(text);
    let words = words.into_iter().map(|it| (it.span, it.text));
    words.chain(encoded::decode(text))
}

fn told(hit: &Hit, part: usize, span: Range<usize>, secret: &str) -> Secret {
    Secret { kind: hit.kind, explanation: hit.explanation, part, span, masked: mask(secret) }
}

/// The first four and last two characters, and the length.
fn mask(secret: &str) -> String {
    let count = secret.chars().count();
    if count < MIN_SHOWN {
        return format!("… ({count} characters)");
    }
    let first: String = secret.chars().take(4).collect();
    let last: String = secret.chars().skip(count - 2).collect();
    let visible = |it: String| it.replace(char::is_whitespace, " ");
    format!("{}…{} ({count} characters)", visible(first), visible(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    const TOKEN: &str = "lm_sk_live_q2Jx8Zp0Vb7nTf4Yk1Rw9Hs6Lc3Md5Ge2Ua8Xi0Qo4B";

    fn found(parts: &[(Kind, &str)]) -> Vec<Secret> {
        let parts: Vec<Part> = parts
            .iter()
            .map(|(kind, text)| Part { kind: *kind, text: (*text).to_owned() })
            .collect();
        Secrets::new().find(&parts)
    }

    #[track_caller]
    fn check(text: &str, kind: &str) {
        let found = found(&[(Kind::Text, text)]);
        assert_eq!(found.iter().map(|it| it.kind).collect::<Vec<_>>(), [kind], "{text}");
    }

    #[test]
    fn a_secret_is_told_masked_and_once() {
        let text = format!("The token is {TOKEN}.");
        let found = found(&[(Kind::Text, &text), (Kind::Html, &text)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].masked, "lm_s…4B (54 characters)");
        assert_eq!(&text[found[0].span.clone()], TOKEN);
        assert_eq!(mask("hunter2!X"), "… (9 characters)");
    }

    #[test]
    fn what_is_encoded_or_split_by_invisible_characters_is_read() {
        use data_encoding::{BASE64, HEXLOWER};
        let plain = format!("key: {TOKEN}");
        let tags: String =
            TOKEN.bytes().map(|it| char::from_u32(0xe0000 + u32::from(it)).expect("tag")).collect();
        let wide: String = TOKEN
            .chars()
            .map(|it| char::from_u32(it as u32 - 0x21 + 0xff01).expect("wide"))
            .collect();
        let reversed = format!("\u{202e}{}\u{202c}", TOKEN.chars().rev().collect::<String>());
        for text in [
            format!("see {}", BASE64.encode(plain.as_bytes())),
            format!("see {}", BASE64.encode(BASE64.encode(plain.as_bytes()).as_bytes())),
            HEXLOWER.encode(plain.as_bytes()),
            TOKEN.replace("live", "li\u{200b}ve"),
            format!("Bye.{tags}"),
            wide,
            reversed,
            plain.bytes().map(|it| format!("%{it:02x}")).collect(),
            plain.chars().map(|it| format!("&#{};", it as u32)).collect(),
        ] {
            check(&text, "posthouse_token");
        }
        assert_eq!(found(&[(Kind::Text, &BASE64.encode(b"Happy birthday to you, Anna!"))]), []);
    }

    #[test]
    fn the_more_precise_finding_wins() {
        check(&format!("api_key = \"{TOKEN}\""), "posthouse_token");
        check("password: Tr0ub4dor&3x", "password");
    }

    #[test]
    fn readings_have_what_is_plain_and_what_is_decoded() {
        let encoded = data_encoding::BASE64.encode(b"the canary is blue-whale-17");
        let readings = readings(&format!("a\u{200b}b {encoded}"));
        assert!(readings[0].starts_with("ab "));
        assert!(readings.iter().any(|it| it.contains("blue-whale-17")));
    }

    /// What would take a quadratic search minutes.
    #[test]
    fn hostile_input_comes_to_an_end() {
        let secrets = Secrets::new();
        for piece in [
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN ",
            "eyJ",
            "eyJhbGciOiJIUzI1NiJ9.",
            "ghp_",
            "sk-",
            "password: ",
            "password",
            "4111 ",
            "4111",
            "4",
            "://a:b",
            "://",
            "AccountKey=",
            "card ",
        ] {
            let text = piece.repeat(100_000 / piece.len());
            secrets.find(&[Part { kind: Kind::Text, text }]);
        }
    }
}
