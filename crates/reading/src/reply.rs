//! What somebody wrote in answer, without what is answered and without a signature.
//!
//! Lines are judged by their shape and by what surrounds them, each once and within bounds. Where it
//! is not clear whether a text is the writer's own, it stays: what is cut can be wanted.

mod attribution;
mod heading;
mod signature;

use attribution::Attribution;
use heading::Heading;
use regex::Regex;

use crate::line::{Line, Mark};

/// Compiles an expression of this crate's own.
pub(crate) fn expression(text: &str) -> Regex {
    Regex::new(text).expect("the expressions of this crate compile")
}

/// The lines of a body that were written by its sender.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Written {
    pub(crate) lines: Vec<Line>,
    /// Something was recognised as what is answered.
    pub(crate) quote_found: bool,
}

impl Written {
    pub(crate) fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|it| it.text.as_str()).collect();
        lines.join("\n").trim_matches(['\n', '\r']).trim_end().to_owned()
    }

    /// As `text`; of a page that is nothing but indented, all of it.
    pub(crate) fn text_or(&self, page: &[Line]) -> String {
        let text = self.text();
        let is_indented = |it: &Line| it.is_blank() || (it.depth > 0 && it.mark == Mark::None);
        if text.is_empty() && page.iter().all(is_indented) {
            return Written { lines: page.to_vec(), quote_found: false }.text();
        }
        text
    }
}

pub(crate) fn written(lines: &[Line]) -> Written {
    let is_code = code_blocks(lines);
    let (mut kept, quote_found) = without_quotes(lines, &is_code);
    if !quote_found {
        drop_last_quote(&mut kept);
    }
    let quote_found = quote_found || kept.len() < lines.len();
    let is_code = code_blocks(&kept);
    kept.truncate(signature::end(&kept, &is_code));
    Written { lines: kept, quote_found }
}

/// What stands between lines of "```" is somebody's code, whatever it looks like.
fn code_blocks(lines: &[Line]) -> Vec<bool> {
    let is_fence = |it: &Line| it.depth == 0 && it.text.trim_start().starts_with("```");
    let mut fences = lines.iter().filter(|it| is_fence(it)).count();
    let mut inside = false;
    let code = lines.iter().map(|line| {
        let fence = is_fence(line);
        if fence {
            // One without a second opens nothing.
            inside = !inside && fences > 1;
            fences -= 1;
        }
        inside || fence
    });
    code.collect()
}

/// Whether an attribution or a container was found comes with the lines that are left.
fn without_quotes(lines: &[Line], is_code: &[bool]) -> (Vec<Line>, bool) {
    let mut kept = Kept::default();
    let mut found = false;
    // Where an attribution can begin at the earliest: after what was cut last.
    let mut first = 0;
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        if line.mark == Mark::Rest && kept.has_text {
            return (kept.lines, true);
        }
        if line.mark == Mark::Quoted {
            let end = lines[at..].iter().position(|it| it.mark != Mark::Quoted);
            let end = end.map_or(lines.len(), |it| at + it);
            let is_forwarded = begins_forwarded(lines, at);
            if is_forwarded && !kept.has_text {
                kept.extend(&lines[at..end]);
            }
            found = true;
            at = end;
            first = end;
            continue;
        }
        if line.depth > 0 && found {
            at += 1;
            first = at;
            continue;
        }
        if is_code[at] || line.depth > 0 {
            kept.push(line.clone());
            at += 1;
            continue;
        }
        match heading::at(lines, at) {
            Some(_) if kept.has_text => return (kept.lines, true),
            // All there is, is passed on: it stays whole.
            Some(Heading::Forwarded) => {
                kept.extend(&lines[at..]);
                return (kept.lines, true);
            }
            Some(Heading::Original) | None => (),
        }
        if let Some(attribution) = attribution::ending_at(lines, at, first) {
            found = true;
            let Some(rest) = after(lines, at, &attribution, &mut kept) else {
                return (kept.lines, true);
            };
            at = rest;
            first = rest;
            continue;
        }
        kept.push(line.clone());
        at += 1;
    }
    (kept.lines, found)
}

/// The lines kept so far, and whether there is anything of the writer's own among them.
#[derive(Default)]
struct Kept {
    lines: Vec<Line>,
    has_text: bool,
}

impl Kept {
    fn push(&mut self, line: Line) {
        self.has_text |= !line.is_blank() && !line.is_quoted();
        self.lines.push(line);
    }

    fn extend(&mut self, lines: &[Line]) {
        for line in lines {
            self.push(line.clone());
        }
        self.has_text = true;
    }

    /// Takes back the last lines: few, so that looking at all is left to those who need it.
    fn take_back(&mut self, count: usize) {
        let count = count.min(self.lines.len());
        let taken = self.lines.split_off(self.lines.len() - count);
        let is_text = |it: &Line| !it.is_blank() && !it.is_quoted();
        if taken.iter().any(is_text) {
            self.has_text = self.lines.iter().any(is_text);
        }
    }
}

/// Whether the container that begins here holds a mail that is passed on.
fn begins_forwarded(lines: &[Line], at: usize) -> bool {
    let first = (at..lines.len()).take(5).find(|it| !lines[*it].is_blank());
    first.is_some_and(|it| heading::at(lines, it) == Some(Heading::Forwarded))
}

/// Takes an attribution out and says where to go on reading; nowhere if all below it is quoted.
fn after(lines: &[Line], end: usize, found: &Attribution, kept: &mut Kept) -> Option<usize> {
    kept.take_back(end - found.start);
    if found.before > 0 {
        let line = &lines[found.start];
        kept.push(Line { text: line.text[..found.before].trim_end().to_owned(), ..line.clone() });
    }
    let below = &lines[end + 1..];
    let is_filler = |it: &Line| it.is_quoted() || it.text.trim().is_empty();
    let quote = below.iter().take_while(|it| is_filler(it)).count();
    if !below[..quote].iter().any(Line::is_quoted) {
        // The quote has no marks: it goes on to the end. Under no text it may be the answer.
        return (!kept.has_text).then_some(end + 1);
    }
    // A quoted line that was broken goes on without a mark, right below it.
    let stands_apart = quote > 0 && below[quote - 1].text.trim().is_empty();
    (!kept.has_text || stands_apart).then_some(end + 1 + quote)
}

/// Quotes at the end answer nothing.
fn drop_last_quote(kept: &mut Vec<Line>) {
    let is_filler = |it: &Line| it.is_quoted() || it.text.trim().is_empty();
    let end = kept.iter().rposition(|it| !is_filler(it)).map_or(0, |it| it + 1);
    if kept[end..].iter().any(Line::is_quoted) {
        kept.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{line::lines, page};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(written(&lines(text)).text(), expected, "{text}");
    }

    #[track_caller]
    fn check_html(html: &str, expected: &str) {
        let text = written(&page::read(html, None).lines).text();
        assert_eq!(text, expected, "{html}");
    }

    #[test]
    fn what_is_answered_is_cut() {
        check("Yes.\n\nOn 1 May 2026, Tom <t@x.test> wrote:\n> Really?", "Yes.");
        check("Yes.\n\nOn 1 May 2026 at 10:00, Tom wrote:\n\nReally?\n\nTom", "Yes.");
        check("Yes.\n\n> Really?\n", "Yes.");
        check("Yes.\n-----Original Message-----\nReally?", "Yes.");
        check("See below\n\n---------- Forwarded message ---------\nFrom: a\n\nx", "See below");
        check("reply--- On Wed, Apr 4, 2012 at 3:59 PM, me@x.test wrote:\n> Hi", "reply");
    }

    #[test]
    fn answers_below_and_between_stay() {
        check("On 1 May 2026, Tom wrote:\n> Really?\n\nYes.", "Yes.");
        check("> One?\n\nYes.\n\n> Two?\n\nNo.", "> One?\n\nYes.\n\n> Two?\n\nNo.");
        check("A\n\nOn 1 May 2026, Tom wrote:\n> Really?\n\nRegards", "A\n\nRegards");
        check("A\n\nOn 1 May 2026, Tom wrote:\n> Really and\ntruly?\n> x", "A");
    }

    #[test]
    fn a_mail_that_is_only_passed_on_stays_whole() {
        let forwarded =
            "---------- Forwarded message ---------\nFrom: a@x.test\nDate: 1 May 2026\n\nx";
        check(forwarded, forwarded);
    }

    #[test]
    fn code_is_not_read() {
        let code = "See:\n```\n--\nOn 1 May 2026, Tom wrote:\n> x\n```\nEnd";
        check(code, code);
    }

    #[test]
    fn containers_of_html() {
        check_html("<div>Yes</div><div class=gmail_quote>On 1 May, Tom wrote:<br>x</div>", "Yes");
        check_html("Yes<div id=divRplyFwdMsg>x</div><div>y</div>", "Yes");
        check_html("Yes<div id=appendonsend></div><hr><div>y</div>", "Yes");
        check_html("Yes<hr id=stopSpelling>Date: x<br>y", "Yes");
        check_html("Yes<blockquote class=gmail_quote>x</blockquote>", "Yes\n\nx");
        check_html("Yes<blockquote type=cite>x</blockquote>And this", "Yes\n\n\nAnd this");
        check_html("Yes<div id=Signature>Tom</div>", "Yes");
        check_html("Yes<hr><b>From:</b> a@x.test<br><b>Sent:</b> 1 May 2026<br>x", "Yes");
    }

    #[test]
    fn hostile_text_takes_linear_time() {
        for text in
            ["On 1 May 2026 wrote:\n", "> ", "From: a@b\n", "```\n", "-- \n", ":\n\n", "<\n"]
        {
            written(&lines(&text.repeat(2_000)));
        }
    }
}
