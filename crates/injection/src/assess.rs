use std::{borrow::Cow, ops::Range};

use crate::{
    Assessment, Flag, Kind, Reason, Sample, VERSION,
    decode::{Decoded, How, decode},
    detector::{DETECTORS, Finding, Reading},
    lexicon::Lexicon,
    view::{View, is_invisible},
};

/// The octets of a part that are read: half from its beginning, half from its end.
const MAX_PART: usize = 256 * 1024;
/// Of a text, no more than so many encoded ones are read.
const MAX_DECODED: usize = 50;
const MAX_REASONS: usize = 20;
const MAX_EXCERPT: usize = 200;
/// A reason below this raises no flag.
const MIN_WEIGHT: f64 = 0.3;

/// Assesses samples; holds what is worth building once.
pub struct Assessor {
    lexicon: Lexicon,
}

impl Default for Assessor {
    fn default() -> Assessor {
        Assessor::new()
    }
}

impl Assessor {
    pub fn new() -> Assessor {
        Assessor { lexicon: Lexicon::new() }
    }

    pub fn assess(&self, sample: &Sample) -> Assessment {
        let mut reasons = Vec::new();
        let mut truncated = false;
        for (part, it) in sample.parts.iter().enumerate() {
            for (piece, start) in pieces(&it.text) {
                truncated |= piece.len() < it.text.len();
                let place = Place { part, kind: it.kind, start };
                reasons.extend(self.read(place, piece));
            }
        }
        reasons.sort_by(|a: &Reason, b| b.weight.total_cmp(&a.weight));
        reasons.truncate(MAX_REASONS);
        let mut flags: Vec<Flag> =
            reasons.iter().filter(|it| it.weight >= MIN_WEIGHT).map(|it| it.flag).collect();
        flags.sort_unstable();
        flags.dedup();
        Assessment { score: score(&reasons), flags, reasons, version: VERSION, truncated }
    }

    fn read(&self, place: Place, text: &str) -> Vec<Reason> {
        let mut reasons = self.detect(place, text, None);
        for decoded in decode(text).into_iter().take(MAX_DECODED) {
            let Decoded { how, span, text } = &decoded;
            let found = self.detect(place, text, Some(*how));
            reasons.extend(found.into_iter().map(|it| Reason {
                // The decoded text has no place of its own.
                span: place.start + span.start..place.start + span.end,
                // That an order comes in disguise makes it no more innocent.
                weight: if it.weight >= MIN_WEIGHT {
                    (it.weight + 0.1).min(0.95)
                } else {
                    it.weight
                },
                ..it
            }));
        }
        reasons
    }

    fn detect(&self, place: Place, text: &str, decoded: Option<How>) -> Vec<Reason> {
        let view = View::new(text);
        let hits = self.lexicon.hits(&view);
        let reading = Reading { kind: place.kind, raw: text, view, hits, decoded };
        let found = DETECTORS.iter().flat_map(|detector| {
            let findings = (detector.detect)(&reading);
            findings.into_iter().map(move |it| (detector, it))
        });
        found
            .map(|(detector, finding)| {
                let Finding { flag, span, explanation, weight } = finding;
                Reason {
                    detector: detector.name,
                    version: detector.version,
                    flag,
                    part: place.part,
                    kind: place.kind,
                    excerpt: excerpt(text, &span),
                    span: place.start + span.start..place.start + span.end,
                    explanation,
                    weight,
                }
            })
            .collect()
    }
}

/// Where a piece of text stands.
#[derive(Clone, Copy)]
struct Place {
    part: usize,
    kind: Kind,
    start: usize,
}

/// The text, or its beginning and its end if it is too long; with where each begins.
fn pieces(text: &str) -> Vec<(&str, usize)> {
    if text.len() <= MAX_PART {
        return vec![(text, 0)];
    }
    let head = text.floor_char_boundary(MAX_PART / 2);
    let tail = text.ceil_char_boundary(text.len() - MAX_PART / 2);
    vec![(&text[..head], 0), (&text[tail..], tail)]
}

/// Reasons of different detectors add up; those of one detector do not.
fn score(reasons: &[Reason]) -> f64 {
    let mut innocent = 1.0;
    for (n, reason) in reasons.iter().enumerate() {
        if !reasons[..n].iter().any(|it| it.detector == reason.detector) {
            innocent *= 1.0 - reason.weight;
        }
    }
    1.0 - innocent
}

/// What stands there and a little around it, the invisible made visible.
fn excerpt(text: &str, span: &Range<usize>) -> String {
    let start = text.floor_char_boundary(span.start.saturating_sub(20).min(text.len()));
    let end = text.ceil_char_boundary((span.end + 20).min(text.len()));
    let mut excerpt = String::new();
    for it in text[start..end.max(start)].chars() {
        let shown: Cow<'_, str> = match it {
            it if is_invisible(it) => format!("<U+{:04X}>", it as u32).into(),
            it if it.is_control() => " ".into(),
            it => it.to_string().into(),
        };
        if excerpt.len() + shown.len() > MAX_EXCERPT {
            excerpt.push('…');
            break;
        }
        excerpt.push_str(&shown);
    }
    excerpt
}
