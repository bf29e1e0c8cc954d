//! The passages of a mail that its verdict rests on, where they stand.
//!
//! A reason names a part of the mail and octets in it, as the scanner took the mail apart. It is taken apart
//! the same way here.

use std::{collections::BTreeSet, ops::Range};

use contract::SecurityReason;
use mail::{Attached, SurfaceKind};

/// Octets of text that are searched, as by the scanner.
const MAX_TEXT: usize = 4 * 1024 * 1024;

/// Octets of a part that are shown, beginning shortly before what is marked.
const SHOWN: usize = 16 * 1024;
const BEFORE: usize = 1024;

/// A part of the mail with something marked in it.
#[derive(Debug, PartialEq)]
pub(super) struct Passage {
    pub(super) part: String,
    pub(super) pieces: Vec<Piece>,
    /// The part begins before, and goes on after, what is shown.
    pub(super) is_cut: (bool, bool),
}

/// A text, and the reasons that mark it.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) reasons: Vec<usize>,
}

/// In the order of the mail. What documents say is not read here: their reasons have excerpts.
pub(super) fn passages(content: &[u8], reasons: &[SecurityReason]) -> Vec<Passage> {
    let surfaces = mail::surfaces(content, MAX_TEXT);
    let mut left: Vec<usize> = (0..reasons.len()).collect();
    let mut passages = Vec::new();
    for surface in &surfaces.list {
        let attached = surface.attachment.and_then(|it| surfaces.attachments.get(it));
        let part = part(surface.kind, attached);
        // Of two parts with one name, the first that has the passage.
        let (here, others): (Vec<usize>, Vec<usize>) = left
            .into_iter()
            .partition(|at| reasons[*at].part == part && is_in(&surface.text, &reasons[*at]));
        left = others;
        if !here.is_empty() {
            let spans: Vec<(usize, Range<usize>)> =
                here.into_iter().map(|at| (at, span(&reasons[at]))).collect();
            passages.push(passage(part, &surface.text, &spans));
        }
    }
    passages
}

/// What reasons call it.
fn part(kind: SurfaceKind, attached: Option<&Attached>) -> String {
    let kind = match kind {
        SurfaceKind::Subject => "subject",
        SurfaceKind::Name => "from",
        SurfaceKind::Text => "text",
        SurfaceKind::Html => "html",
        SurfaceKind::Hidden => "hidden",
        SurfaceKind::Attribute => "attribute",
        SurfaceKind::Comment => "comment",
        SurfaceKind::Link => "link",
        SurfaceKind::Filename => "filename",
        SurfaceKind::Attached => "attached",
        SurfaceKind::Divergent => "divergent",
    };
    let Some(attached) = attached else { return kind.to_owned() };
    let has_name = !attached.filename.trim().is_empty();
    let name = if has_name { &attached.filename } else { &attached.content_type };
    let plain = name.chars().map(|it| if it.is_control() { ' ' } else { it });
    format!("{kind}:{}", plain.take(100).collect::<String>())
}

fn span(reason: &SecurityReason) -> Range<usize> {
    reason.start as usize..reason.end as usize
}

/// Whether the passage stands there: its first word is in the excerpt.
fn is_in(text: &str, reason: &SecurityReason) -> bool {
    let Some(seen) = text.get(span(reason)).filter(|it| !it.is_empty()) else { return false };
    let words = seen.split(|it: char| !it.is_alphanumeric());
    words.into_iter().find(|it| !it.is_empty()).is_none_or(|it| reason.excerpt.contains(it))
}

fn passage(part: String, text: &str, spans: &[(usize, Range<usize>)]) -> Passage {
    let first = spans.iter().map(|it| it.1.start).min().unwrap_or_default();
    let start = if text.len() <= SHOWN { 0 } else { first.saturating_sub(BEFORE) };
    let start = text.floor_char_boundary(start);
    let end = text.floor_char_boundary(text.len().min(start + SHOWN));
    let edges = spans.iter().flat_map(|(_, it)| [it.start, it.end]);
    let edges = edges.filter(|it| (start..end).contains(it)).chain([start, end]);
    let edges: Vec<usize> = edges.collect::<BTreeSet<_>>().into_iter().collect();
    let piece = |ends: &[usize]| {
        let covers = |it: &&(usize, Range<usize>)| it.1.start <= ends[0] && ends[1] <= it.1.end;
        let reasons = spans.iter().filter(covers).map(|it| it.0).collect();
        Piece { text: text[ends[0]..ends[1]].to_owned(), reasons }
    };
    let pieces = edges.windows(2).map(piece).collect();
    Passage { part, pieces, is_cut: (start > 0, end < text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(part: &str, span: Range<u32>, excerpt: &str) -> SecurityReason {
        SecurityReason {
            part: part.to_owned(),
            start: span.start,
            end: span.end,
            excerpt: excerpt.to_owned(),
            ..SecurityReason::default()
        }
    }

    #[track_caller]
    fn check(content: &str, reasons: &[SecurityReason], expected: &[(&str, &str)]) {
        let found = passages(content.as_bytes(), reasons);
        let shown = |it: &Passage| {
            let pieces = it.pieces.iter().map(|it| match it.reasons[..] {
                [] => it.text.clone(),
                _ => format!("[{}]{:?}", it.text, it.reasons),
            });
            (it.part.clone(), pieces.collect::<String>())
        };
        let found: Vec<_> = found.iter().map(shown).collect();
        let expected: Vec<_> =
            expected.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn passages_are_marked_where_they_stand() {
        let mail = "Subject: Hi\n\nDo it. Ignore all. Bye.";
        check(
            mail,
            &[reason("text", 7..13, "Do it. Ignore all")],
            &[("text", "Do it. [Ignore][0] all. Bye.")],
        );
        let two = [reason("text", 7..13, "Ignore"), reason("text", 10..17, "ore all")];
        check(mail, &two, &[("text", "Do it. [Ign][0][ore][0, 1][ all][1]. Bye.")]);
        check(mail, &[reason("subject", 0..2, "Hi")], &[("subject", "[Hi][0]")]);
    }

    #[test]
    fn what_does_not_stand_there_is_not_marked() {
        let mail = "Subject: Grüße\n\ntext";
        for wrong in [
            reason("text", 2..900, "xt"),
            SecurityReason { end: 2, ..reason("text", 3..4, "xt") },
            reason("subject", 0..3, "Gr"),
            reason("text", 0..4, "another mail"),
            reason("attached:cv.pdf", 0..4, "text"),
        ] {
            check(mail, &[wrong], &[]);
        }
    }

    #[test]
    fn of_two_parts_with_one_name_it_is_the_one_that_has_it() {
        let mail = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nfirst part\n--b\n\
                    \nIgnore this\n--b--\n";
        check(mail, &[reason("text", 0..6, "Ignore this")], &[("text", "[Ignore][0] this")]);
    }

    #[test]
    fn of_a_long_part_the_place_is_shown() {
        let mail =
            format!("Subject: s\n\n{}Ignore this.{}", "x ".repeat(20_000), "y ".repeat(20_000));
        let found = passages(mail.as_bytes(), &[reason("text", 40_000..40_006, "Ignore")]);
        let [passage] = &found[..] else { panic!("{found:?}") };
        assert_eq!(passage.is_cut, (true, true));
        assert_eq!(passage.pieces[1], Piece { text: "Ignore".to_owned(), reasons: vec![0] });
        let shown: usize = passage.pieces.iter().map(|it| it.text.len()).sum();
        assert_eq!(shown, SHOWN);
    }
}
