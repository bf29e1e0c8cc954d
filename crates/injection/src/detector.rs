//! What to look for, one file each.

mod assistant;
mod conceal;
mod divergent;
mod exfiltrate;
mod fence;
mod hidden;
mod override_;
mod prompt;
mod role;
mod smuggling;

use std::ops::Range;

pub(crate) use fence::MARKS;

use crate::{
    Flag, Kind,
    decode::How,
    lexicon::{Concept, Found, Hit},
    view::View,
};

/// Longer endings are not the rest of a word.
const MAX_WORD: usize = 24;

/// A text to look at.
pub(crate) struct Reading<'a> {
    pub(crate) kind: Kind,
    /// As it stands in the mail, or as it was decoded.
    pub(crate) raw: &'a str,
    pub(crate) view: View,
    pub(crate) found: Found,
    /// How it was decoded; `None` for a text as it stands.
    pub(crate) decoded: Option<How>,
}

/// A passage that counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) flag: Flag,
    /// Octets of `raw`.
    pub(crate) span: Range<usize>,
    pub(crate) explanation: &'static str,
    pub(crate) weight: f64,
}

pub(crate) struct Detector {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) detect: fn(&Reading<'_>) -> Vec<Finding>,
}

pub(crate) const DETECTORS: &[Detector] = &[
    Detector { name: "override", version: "1", detect: override_::detect },
    Detector { name: "role", version: "1", detect: role::detect },
    Detector { name: "assistant", version: "1", detect: assistant::detect },
    Detector { name: "prompt", version: "1", detect: prompt::detect },
    Detector { name: "conceal", version: "1", detect: conceal::detect },
    Detector { name: "hidden", version: "1", detect: hidden::detect },
    Detector { name: "divergent", version: "1", detect: divergent::detect },
    Detector { name: "smuggling", version: "1", detect: smuggling::detect },
    Detector { name: "fence", version: "1", detect: fence::detect },
    Detector { name: "exfiltrate", version: "1", detect: exfiltrate::detect },
];

impl Reading<'_> {
    pub(crate) fn of(&self, concept: Concept) -> impl Iterator<Item = &Hit> {
        self.found.hits.iter().filter(move |it| it.concept == concept)
    }

    /// The nearest word of that meaning within so many octets of the folded text, on either side.
    pub(crate) fn near(
        &self,
        range: &Range<usize>,
        concept: Concept,
        reach: usize,
    ) -> Option<&Hit> {
        let from = range.start.saturating_sub(reach);
        let first = self.found.hits.partition_point(|it| it.range.start < from);
        self.found.hits[first..]
            .iter()
            .take_while(|it| it.range.start <= range.end + reach)
            .find(|it| it.concept == concept && !overlap(&it.range, range))
    }

    pub(crate) fn has_near(&self, range: &Range<usize>, concept: Concept, reach: usize) -> bool {
        self.near(range, concept, reach).is_some()
    }

    /// A finding that covers these ranges of the folded text, and the word the last one is in.
    pub(crate) fn finding(
        &self,
        flag: Flag,
        ranges: &[&Range<usize>],
        weight: f64,
        explanation: &'static str,
    ) -> Finding {
        let start = ranges.iter().map(|it| it.start).min().unwrap_or_default();
        let end = ranges.iter().map(|it| it.end).max().unwrap_or_default();
        let rest = &self.view.text()[end..];
        let word = rest.find(|it: char| !it.is_alphanumeric()).unwrap_or(rest.len());
        // Scripts without gaps have no words.
        let end = if word <= MAX_WORD { end + word } else { end };
        Finding { flag, span: self.view.origin(start..end), explanation, weight }
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::lexicon::Lexicon;

    /// The weight of what a detector finds in a text.
    pub(super) fn weight(detect: fn(&Reading<'_>) -> Vec<Finding>, kind: Kind, text: &str) -> f64 {
        let view = View::new(text);
        let found = Lexicon::new().find(&view);
        let reading = Reading { kind, raw: text, view, found, decoded: None };
        detect(&reading).into_iter().map(|it| it.weight).fold(0.0, f64::max)
    }

    #[track_caller]
    pub(super) fn found(detect: fn(&Reading<'_>) -> Vec<Finding>, text: &str) {
        let weight = weight(detect, Kind::Text, text);
        assert!(weight >= 0.5, "{weight}: {text}");
    }

    #[track_caller]
    pub(super) fn passed(detect: fn(&Reading<'_>) -> Vec<Finding>, text: &str) {
        let weight = weight(detect, Kind::Text, text);
        assert!(weight < 0.4, "{weight}: {text}");
    }
}
