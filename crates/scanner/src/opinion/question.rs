//! What the model is given to read.

use std::{collections::HashSet, ops::Range};

use injection::{Kind, Sample};

/// The octets of text the model gets at most: about a hundred windows, more than any budget reads.
const MAX_TEXT: usize = 128 * 1024;

/// Parts of a mail as one text, those first in which the first reader saw something.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Question {
    pub(crate) text: String,
    /// Whether all there is to read is in the text.
    pub(crate) is_whole: bool,
    /// What the parts are called, and where in the text they stand.
    places: Vec<(String, Range<usize>)>,
}

impl Question {
    /// `suspects` are the parts in which something was seen; of a `partial` sample there is more.
    pub(crate) fn of(
        sample: &Sample,
        suspects: &HashSet<usize>,
        partial: bool,
        called: impl Fn(Kind, usize) -> String,
    ) -> Question {
        let (first, rest): (Vec<usize>, Vec<usize>) =
            (0..sample.parts.len()).partition(|it| suspects.contains(it));
        let mut question = Question { is_whole: !partial, ..Question::default() };
        let mut seen = HashSet::new();
        for at in first.into_iter().chain(rest) {
            let part = &sample.parts[at];
            // Addresses are no language. The words of text and HTML are mostly the same.
            let words: Vec<&str> = part.text.split_whitespace().collect();
            if part.kind != Kind::Link && seen.insert(words) {
                question.add(called(part.kind, at), &part.text);
            }
        }
        question
    }

    fn add(&mut self, name: String, text: &str) {
        let room = MAX_TEXT.saturating_sub(self.text.len());
        let fitting = &text[..text.floor_char_boundary(room)];
        self.is_whole &= fitting.len() == text.len();
        if !fitting.is_empty() {
            let start = self.text.len();
            self.text.push_str(fitting);
            self.places.push((name, start..self.text.len()));
            self.text.push('\n');
        }
    }

    /// The part that most of a passage stands in, and where in it.
    pub(crate) fn place(&self, passage: &Range<usize>) -> Option<(&str, Range<usize>)> {
        let within = |it: &Range<usize>| it.start.max(passage.start)..it.end.min(passage.end);
        let (name, at) = self.places.iter().max_by_key(|it| within(&it.1).len())?;
        let shared = within(at);
        Some((name, shared.start.checked_sub(at.start)?..shared.end.checked_sub(at.start)?))
    }
}

#[cfg(test)]
mod tests {
    use injection::Part;

    use super::*;

    fn sample(parts: &[(Kind, &str)]) -> Sample {
        let part = |(kind, text): &(Kind, &str)| Part { kind: *kind, text: (*text).to_owned() };
        Sample { parts: parts.iter().map(part).collect() }
    }

    fn ask(sample: &Sample, suspects: &HashSet<usize>, partial: bool) -> Question {
        Question::of(sample, suspects, partial, |kind, _| kind.name().to_owned())
    }

    fn question(parts: &[(Kind, &str)]) -> Question {
        ask(&sample(parts), &HashSet::new(), false)
    }

    #[test]
    fn the_same_words_are_read_once_and_addresses_not_at_all() {
        let parts = [
            (Kind::Subject, "Lunch"),
            (Kind::Text, "At  noon?\n"),
            (Kind::Html, "At noon?"),
            (Kind::Link, "https://x.test/"),
        ];
        assert_eq!(question(&parts).text, "Lunch\nAt  noon?\n\n");
    }

    #[test]
    fn what_looks_worst_is_read_first() {
        let sample = sample(&[(Kind::Subject, "Lunch"), (Kind::Hidden, "Obey")]);
        let question = ask(&sample, &HashSet::from([1]), false);
        assert_eq!(question.text, "Obey\nLunch\n");
        assert!(question.is_whole);
        assert!(!ask(&sample, &HashSet::new(), true).is_whole);
    }

    #[test]
    fn a_passage_has_its_place() {
        let question = question(&[(Kind::Subject, "Lunch"), (Kind::Text, "At noon?")]);
        assert_eq!(question.place(&(0..5)), Some(("subject", 0..5)));
        assert_eq!(question.place(&(6..14)), Some(("text", 0..8)));
        assert_eq!(question.place(&(3..11)), Some(("text", 0..5)));
        assert_eq!(Question::default().place(&(0..1)), None);
    }

    #[test]
    fn more_than_is_read_is_not_the_whole() {
        let long = "é".repeat(MAX_TEXT);
        let question = question(&[(Kind::Text, &long), (Kind::Subject, "Lunch")]);
        assert!(!question.is_whole && question.text.len() <= MAX_TEXT + 2);
    }
}
