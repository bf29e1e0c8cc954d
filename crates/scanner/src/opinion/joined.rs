//! How a second opinion changes a verdict.
//!
//! The scale of scores has steps: 0.2, 0.5 (one innocent mail in a hundred), 0.8 (one in a thousand). A
//! model that was trained elsewhere, and calibrated on nothing of ours, moves a mail by one step at most.
//! So what it finds alone is a warning and no certainty, and what the first reader is sure of stays a risk.

use contract::{RISK_THRESHOLD, Reason, Verdict};
use opinion::Opinion;

use super::{is_attack, question::Question};

/// The width of a step. A probability of 0.5 moves nothing, 0 and 1 move all of it.
const STEP: f64 = 0.3;

/// "Near certain" begins at 0.95, which is not for a model that knows nothing of this mail's form.
const CEILING: f64 = 0.94;

const INJECTION: &str = "prompt_injection";

/// What is seen in a mail's form, or not seen at all. A reader of words cannot clear it.
const HARD: [&str; 6] = [
    "hidden_text",
    "unicode_smuggling",
    "encoded_payload",
    "fence_escape",
    "exfiltration_link",
    "not_scanned",
];

const MAX_EXCERPT: usize = 200;

pub(super) fn joined(
    first: &Verdict,
    opinion: &Opinion,
    question: &Question,
    version: &str,
) -> Verdict {
    let shift = STEP * (2.0 * opinion.probability - 1.0);
    let is_hard = first.flags.iter().any(|it| HARD.contains(&it.as_str()));
    let may_lower = !is_hard && question.is_whole && opinion.is_complete();
    let score = if shift >= 0.0 {
        first.score.max((first.score + shift).min(CEILING))
    } else if may_lower {
        (first.score + shift).max(0.0)
    } else {
        first.score
    };
    let mut verdict = Verdict { score, ..first.clone() };
    let is_attack = is_attack(opinion);
    if is_attack && score >= RISK_THRESHOLD && !verdict.flags.iter().any(|it| it == INJECTION) {
        verdict.flags.push(INJECTION.to_owned());
    }
    let explanation = match (is_attack, score < first.score) {
        (true, _) => "A second model, which reads only words, takes this passage for an attack.",
        (false, true) => {
            "A second model, which reads only words, finds no attack; so the score is lower."
        }
        (false, false) => {
            "A second model, which reads only words, finds no attack; that does not clear this mail."
        }
    };
    verdict.reasons.push(reason(opinion, question, version, explanation));
    verdict
}

/// The first verdict stands, and says that nobody else has looked.
pub(super) fn without(mut first: Verdict, explanation: &str, version: &str) -> Verdict {
    first.reasons.push(Reason {
        detector: DETECTOR.to_owned(),
        version: version.to_owned(),
        explanation: explanation.to_owned(),
        ..Reason::default()
    });
    first
}

pub(super) const DETECTOR: &str = "opinion";

fn reason(opinion: &Opinion, question: &Question, version: &str, explanation: &str) -> Reason {
    let octets = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    let (part, span) = match question.place(&opinion.span) {
        Some((name, span)) => (name, span),
        None => ("", 0..0),
    };
    Reason {
        detector: DETECTOR.to_owned(),
        version: version.to_owned(),
        flag: if is_attack(opinion) { INJECTION.to_owned() } else { String::new() },
        part: part.to_owned(),
        start: octets(span.start),
        end: octets(span.end),
        excerpt: excerpt(&question.text[opinion.span.clone()]),
        explanation: explanation.to_owned(),
        weight: opinion.probability,
    }
}

/// The beginning, the invisible made visible.
fn excerpt(text: &str) -> String {
    let mut excerpt = String::new();
    for it in text.chars() {
        let shown: String = match it {
            it if it.is_whitespace() => " ".to_owned(),
            '"' | '\'' | '\\' => it.to_string(),
            it => it.escape_debug().collect(),
        };
        if excerpt.len() + shown.len() > MAX_EXCERPT {
            excerpt.push('…');
            break;
        }
        excerpt.push_str(&shown);
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(score: f64, flags: &[&str]) -> Verdict {
        let flags = flags.iter().map(|it| (*it).to_owned()).collect();
        Verdict { score, flags, version: "2".to_owned(), ..Verdict::default() }
    }

    fn said(probability: f64) -> Opinion {
        Opinion { probability, span: 0..2, windows: 3, read: 3 }
    }

    fn question() -> Question {
        let mut question = Question::default();
        question.text.push_str("Hi\n");
        question.is_whole = true;
        question
    }

    #[track_caller]
    fn check(score: f64, probability: f64, expected: f64) {
        let verdict = joined(&first(score, &[]), &said(probability), &question(), "m@1");
        assert!((verdict.score - expected).abs() < 1e-9, "{}", verdict.score);
        let reason = verdict.reasons.last().expect("a reason");
        assert_eq!((&*reason.detector, &*reason.version), ("opinion", "m@1"));
        assert_eq!(reason.weight, probability);
    }

    #[test]
    fn moves_a_score_by_one_step_at_most() {
        check(0.2, 1.0, 0.5);
        check(0.5, 1.0, 0.8);
        check(0.5, 0.0, 0.2);
        check(0.8, 0.0, 0.5);
        check(0.5, 0.5, 0.5);
        check(0.4, 0.75, 0.55);
        check(0.2, 0.0, 0.0);
    }

    #[test]
    fn makes_nothing_near_certain() {
        check(0.8, 1.0, 0.94);
        check(0.97, 1.0, 0.97);
    }

    #[test]
    fn clears_no_hard_mark() {
        for flag in HARD {
            let verdict = joined(&first(0.6, &[flag]), &said(0.0), &question(), "m@1");
            assert_eq!(verdict.score, 0.6, "{flag}");
            assert!(verdict.reasons[0].explanation.contains("does not clear"));
            assert!(joined(&first(0.6, &[flag]), &said(1.0), &question(), "m@1").score > 0.8);
        }
    }

    #[test]
    fn what_was_not_read_is_not_cleared() {
        let partial = Opinion { read: 2, ..said(0.0) };
        assert_eq!(joined(&first(0.6, &[]), &partial, &question(), "m").score, 0.6);
        let mut cut = question();
        cut.is_whole = false;
        assert_eq!(joined(&first(0.6, &[]), &said(0.0), &cut, "m").score, 0.6);
        let partial = Opinion { read: 2, ..said(1.0) };
        assert!(joined(&first(0.6, &[]), &partial, &cut, "m").score > 0.8, "an attack is one");
    }

    #[test]
    fn a_risk_has_its_flag() {
        let raised = joined(&first(0.3, &[]), &said(1.0), &question(), "m");
        assert_eq!(raised.flags, [INJECTION]);
        assert_eq!(raised.reasons[0].flag, INJECTION);
        let known = joined(&first(0.3, &[INJECTION]), &said(1.0), &question(), "m");
        assert_eq!(known.flags, [INJECTION]);
        let low = joined(&first(0.2, &[]), &said(0.6), &question(), "m");
        assert!(low.flags.is_empty() && low.score < 0.5);
    }

    #[test]
    fn no_opinion_is_no_verdict() {
        let verdict = without(first(0.6, &[INJECTION]), "No time.", "m");
        assert_eq!(verdict.score, 0.6);
        assert_eq!(verdict.flags, [INJECTION]);
        assert_eq!(verdict.reasons[0].detector, "opinion");
    }

    #[test]
    fn the_invisible_is_made_visible() {
        assert_eq!(excerpt("a\u{200b}b\nit's"), "a\\u{200b}b it's");
        assert!(excerpt(&"é".repeat(500)).len() <= MAX_EXCERPT + '…'.len_utf8());
    }
}
