use std::collections::HashMap;

use reading::{Mail, Reading};
use serde_json::Value;

use crate::{cases, corpus, percent};

/// talon keeps signatures, and a forwarded mail below a word on it: here both are cut, which is a
/// different view and no loss.
const KEPT_BY_TALON: [&str; 3] = [
    "talon-047-dont_parse_quotations_for_forwarded_messages",
    "talon-050-standard_replies",
    "talon-058-standard_replies",
];

/// How the replies of a corpus are read.
#[derive(Default)]
struct Figures {
    cases: usize,
    exact: usize,
    /// Mails of which a word that is expected is missing.
    losing: usize,
    /// Mails with a word more than is expected.
    leaking: usize,
    words: usize,
    words_lost: usize,
    /// Cases that state no text, but what must be found or not be cut.
    claims: usize,
    claims_met: usize,
}

#[test]
fn what_was_written_is_told_from_what_is_answered() {
    for (name, least) in [("reply-crisp", 85.0), ("reply-discourse", 85.0), ("reply-talon", 85.0)] {
        let Some(corpus) = corpus(name) else { continue };
        let mut figures = Figures::default();
        for (case, octets) in cases(&corpus) {
            // Only the signature is stated, which is another question.
            if case["expected_signature"].is_string() {
                continue;
            }
            let text = String::from_utf8_lossy(&octets);
            figures.count(&case, &text);
        }
        let Figures { cases, exact, losing, leaking, words, words_lost, claims, claims_met } =
            figures;
        let (exact, lost) = (percent(exact, cases), percent(words_lost, words));
        eprintln!(
            "{name}: {cases} replies, {exact:.1} % exact; {lost:.2} % of {words} words lost in {losing} \
             mails; {leaking} mails with more than the reply; {claims_met} of {claims} claims met"
        );
        assert!(exact >= least, "{name}: {exact:.1} % exact");
        assert!(lost <= 2.0, "{name}: {lost:.2} % of the words lost");
        assert_eq!(claims_met, claims, "{name}");
    }
}

impl Figures {
    fn count(&mut self, case: &Value, text: &str) {
        let is_html = case["format"] == "html";
        let mail = if is_html {
            Mail { html: text, ..Mail::default() }
        } else {
            Mail { text, has_plain_text: true, ..Mail::default() }
        };
        let reply = Reading::of(mail).reply_text();
        let key = if is_html { "expected_reply_text_of_html" } else { "expected_reply" };
        let Some(expected) = case[key].as_str() else {
            self.claims += 1;
            self.claims_met += usize::from(meets(case, text, &reply));
            return;
        };
        let kept_by_talon = case["id"].as_str().is_some_and(|it| KEPT_BY_TALON.contains(&it));
        let lost = if kept_by_talon { 0 } else { missing(expected, &reply) };
        let more = missing(&reply, expected);
        self.cases += 1;
        self.exact += usize::from(expected.split_whitespace().eq(reply.split_whitespace()));
        self.losing += usize::from(lost > 0);
        self.leaking += usize::from(more > 0);
        self.words += expected.split_whitespace().count();
        self.words_lost += lost;
    }
}

/// How many words of a text another has not.
fn missing(text: &str, other: &str) -> usize {
    let separates = |it: char| it.is_whitespace() || matches!(it, '<' | '>');
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in other.split(separates).filter(|it| !it.is_empty()) {
        *left.entry(word).or_default() += 1;
    }
    let is_missing = |word: &&str| match left.get_mut(*word) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    text.split(separates).filter(|it| !it.is_empty()).filter(is_missing).count()
}

fn meets(case: &Value, text: &str, reply: &str) -> bool {
    let claims = case["reply_must_match"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = claims.iter().filter_map(Value::as_str).all(|claim| {
        // Of the expressions only the beginning of a line and escaped signs occur.
        let words = claim.trim_start_matches('^').replace('\\', "");
        let at_a_line = reply.lines().any(|it| it.starts_with(&words));
        if claim.starts_with('^') { at_a_line } else { reply.contains(&words) }
    });
    let whole = case["nothing_is_cut"] != true || missing(text, reply) == 0;
    found && whole
}
