//! A body as lines, each with what its surroundings say of it.

use crate::words::WROTE;

/// Lines beyond these are not looked at.
const MAX_LINES: usize = 20_000;

/// What an element of HTML says its lines are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    #[default]
    None,
    /// In a container that a mail program puts around what is answered.
    Quoted,
    /// In a container that a mail program puts around a signature.
    Signature,
    /// From here on all is what is answered: the container has no end that could be told.
    Rest,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Line {
    /// As it stands, quote marks included.
    pub(crate) text: String,
    /// How deep it is quoted, by ">" or by `<blockquote>`.
    pub(crate) depth: usize,
    pub(crate) mark: Mark,
}

impl Line {
    pub(crate) fn new(text: &str, depth: usize, mark: Mark) -> Line {
        let marks = quote_marks(text).0;
        Line { text: text.trim_end().to_owned(), depth: depth.max(marks), mark }
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.content().is_empty()
    }

    pub(crate) fn is_quoted(&self) -> bool {
        self.depth > 0 || self.mark == Mark::Quoted
    }

    /// What stands after the quote marks.
    pub(crate) fn content(&self) -> &str {
        quote_marks(&self.text).1
    }
}

/// The lines of a plain text.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for text in text.lines().take(MAX_LINES) {
        let line = Line::new(text, 0, Mark::None);
        match lines.last_mut() {
            Some(last) if closes_address(last, &line) => last.text.push_str(line.text.trim()),
            _ => lines.push(line),
        }
    }
    lines
}

/// "<tom@example.org" was broken before its ">", which is no quote mark then.
fn closes_address(last: &Line, line: &Line) -> bool {
    if line.depth != 1 || last.depth > 0 || last.is_blank() {
        return false;
    }
    let content = line.content();
    let is_end = content == ":" || WROTE.contains(&content.trim_end_matches(':').trim_end());
    let opened = last.text.rfind('<').is_some_and(|at| last.text[at..].contains('@'));
    is_end && opened
}

/// How many quote marks (">") a line begins with, and the rest.
fn quote_marks(text: &str) -> (usize, &str) {
    let mut rest = text.trim();
    let mut depth = 0;
    while let Some(inner) = rest.strip_prefix('>') {
        depth += 1;
        rest = inner.trim_start();
    }
    (depth, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quote_marks_may_have_spaces() {
        let check = |text: &str, depth: usize, content: &str| {
            let line = Line::new(text, 0, Mark::None);
            assert_eq!((line.depth, line.content()), (depth, content), "{text}");
        };
        check("a > b", 0, "a > b");
        check(" >> > a ", 3, "a");
        check(">", 1, "");
        check("", 0, "");
    }

    #[test]
    fn a_bracket_on_the_next_line_is_no_quote_mark() {
        let lines = lines("kl. 13:09 skrev T <t@example.com\n>:\n> Ok");
        assert_eq!(lines.len(), 2);
        assert!(lines[0].text.ends_with("<t@example.com>:") && lines[1].depth == 1);
    }
}
