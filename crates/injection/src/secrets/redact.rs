//! Takes secrets out of what is shown of a mail: a preview, a subject, the name of a file.

use std::ops::Range;

use super::{Secrets, clean::Clean, decoded, mask};
use crate::Part;

/// A shorter one is in too many texts by chance.
const MIN_VALUE: usize = 6;

/// What was found in a mail, to be taken out of its texts. It is never told.
pub struct Redactor<'a> {
    secrets: &'a Secrets,
    values: Vec<String>,
}

impl<'a> Redactor<'a> {
    /// Of all the secrets of a mail's parts: one of them says what a secret is by the words around it, and
    /// another has it without them.
    pub fn new(secrets: &'a Secrets, parts: &[Part]) -> Redactor<'a> {
        let mut values = Vec::new();
        for part in parts {
            let plain = Clean::new(&part.text).into_text();
            for text in std::iter::once(plain).chain(decoded(&part.text).map(|it| it.1)) {
                let hits = secrets.hits(&text).into_iter();
                values.extend(hits.map(|it| text[it.span].to_owned()));
            }
        }
        values.retain(|it| it.len() >= MIN_VALUE);
        values.sort();
        values.dedup();
        Redactor { secrets, values }
    }

    /// The text with each secret masked, as reasons show it. What is encoded goes with its code.
    pub fn redact(&self, text: &str) -> String {
        let mut spans = self.spans(text);
        spans.sort_by_key(|it| (it.0.start, it.0.end));
        let mut redacted = String::with_capacity(text.len());
        let mut at = 0;
        for (span, masked) in spans {
            if span.start >= at {
                redacted.push_str(&text[at..span.start]);
                redacted.push_str(&masked);
            }
            at = at.max(span.end);
        }
        redacted.push_str(&text[at..]);
        redacted
    }

    fn spans(&self, text: &str) -> Vec<(Range<usize>, String)> {
        let clean = Clean::new(text);
        let plain = clean.text();
        let mut spans: Vec<(Range<usize>, String)> = Vec::new();
        for hit in self.secrets.hits(plain) {
            spans.push((clean.origin(hit.span.clone()), mask(&plain[hit.span])));
        }
        for value in &self.values {
            let places = plain.match_indices(value.as_str());
            spans.extend(places.map(|(at, it)| (clean.origin(at..at + it.len()), mask(value))));
        }
        for (span, inner) in decoded(text) {
            let inner = Clean::new(&inner).into_text();
            let secret = self.secrets.hits(&inner).first().map(|it| mask(&inner[it.span.clone()]));
            let value = || self.values.iter().find(|it| inner.contains(it.as_str()));
            spans.extend(secret.or_else(|| value().map(|it| mask(it))).map(|it| (span, it)));
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    const TOKEN: &str = "lm_sk_live_q2Jx8Zp0Vb7nTf4Yk1Rw9Hs6Lc3Md5Ge2Ua8Xi0Qo4B";

    #[track_caller]
    fn check(all: &str, text: &str, expected: &str) {
        let secrets = Secrets::new();
        let parts = [Part { kind: Kind::Text, text: all.to_owned() }];
        assert_eq!(Redactor::new(&secrets, &parts).redact(text), expected);
    }

    #[test]
    fn secrets_are_masked_wherever_they_are() {
        let text = format!("Use {TOKEN} or {TOKEN}.");
        let expected = "Use lm_s…4B (54 characters) or lm_s…4B (54 characters).";
        check("", &text, expected);
        check("", "password: Tr0ub4dor&3x", "password: … (12 characters)");
    }

    #[test]
    fn what_is_a_secret_in_one_part_is_one_in_another() {
        check(
            "password: Tr0ub4dor&3x",
            "It is Tr0ub4dor&3x, as said",
            "It is … (12 characters), as said",
        );
        check("Lunch?", "It is Tr0ub4dor&3x, as said", "It is Tr0ub4dor&3x, as said");
    }

    #[test]
    fn codes_and_the_invisible_hide_nothing() {
        let hex: String = TOKEN.bytes().map(|it| format!("{it:02x}")).collect();
        check("", &format!("Look: {hex}"), "Look: lm_s…4B (54 characters)");
        let split = TOKEN.replace("Jx", "J\u{200b}x");
        check("", &format!("é {split}!"), "é lm_s…4B (54 characters)!");
    }

    #[test]
    fn ordinary_text_stays() {
        check("", "Grüße, see you at 12:30. Order 12345.", "Grüße, see you at 12:30. Order 12345.");
    }
}
