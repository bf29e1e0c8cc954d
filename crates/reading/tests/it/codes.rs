use std::collections::BTreeMap;

use reading::{Mail, Purpose, Reading};
use serde_json::Value;

use crate::{cases, corpus, percent};

/// Of a part of the corpus.
#[derive(Default)]
struct Figures {
    codes: usize,
    codes_right: usize,
    /// Mails without a code, and those of them that were given one.
    innocent: usize,
    accused: usize,
    links: usize,
    links_right: usize,
}

#[test]
fn codes_and_links_of_verification_mails() {
    let Some(corpus) = corpus("otp-verification") else { return };
    let mut parts: BTreeMap<String, Figures> = BTreeMap::new();
    let mut all = Figures::default();
    for (case, octets) in cases(&corpus) {
        let file = case["file"].as_str().expect("a file");
        let part = file.trim_start_matches("eml/").split('-').next().unwrap_or_default();
        for figures in [&mut all, parts.entry(part.to_owned()).or_default()] {
            figures.count(&case, &octets);
        }
    }
    for (part, it) in parts.iter().map(|(name, it)| (name.as_str(), it)).chain([("all", &all)]) {
        eprintln!(
            "otp-verification, {part}: {} of {} codes; {} of {} mails without one given one; {} of {} links",
            it.codes_right, it.codes, it.accused, it.innocent, it.links_right, it.links
        );
    }
    assert!(percent(all.codes_right, all.codes) >= 95.0);
    assert!(percent(all.accused, all.innocent) <= 1.0);
    assert!(percent(all.links_right, all.links) >= 95.0);
}

impl Figures {
    fn count(&mut self, case: &Value, octets: &[u8]) {
        let message = mail::parse(octets, 0);
        let bodies = mail::bodies(octets, 1024 * 1024);
        let from = message.from.first().map_or("", |it| it.address.as_str());
        let reading = Reading::of(Mail {
            from,
            subject: &message.subject,
            text: &bodies.text,
            html: &bodies.html,
            has_plain_text: bodies.has_plain_text,
        });
        let code = reading::code(&reading).map(|it| plain(&it));
        let expected = case["codes"].as_array().expect("codes");
        match expected.first().and_then(Value::as_str) {
            Some(expected) => {
                self.codes += 1;
                self.codes_right += usize::from(code == Some(plain(expected)));
            }
            None => {
                self.innocent += 1;
                self.accused += usize::from(code.is_some());
            }
        }
        let first = reading::links(&reading).into_iter().next();
        let first = first.filter(|it| it.purpose < Purpose::Other);
        if let Some(expected) = case["links"].as_array().and_then(|it| it.first()) {
            self.links += 1;
            let right = first.is_some_and(|it| expected["url"] == it.url.as_str());
            self.links_right += usize::from(right);
        }
    }
}

/// As the corpus compares: without spaces and hyphens, digits in ASCII.
fn plain(code: &str) -> String {
    code.chars().filter(|it| !matches!(it, ' ' | '-')).map(fold).collect()
}

/// Full-width and Arabic digits.
fn fold(it: char) -> char {
    let zeros = ['\u{660}', '\u{6f0}', '\u{ff10}'];
    let value =
        zeros.iter().find_map(|zero| (it as u32).checked_sub(*zero as u32).filter(|it| *it < 10));
    value.and_then(|it| char::from_digit(it, 10)).unwrap_or(it)
}
