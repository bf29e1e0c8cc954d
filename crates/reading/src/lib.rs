//! What agents read of a mail: what was written in answer, the code or link that it brings, facts, and
//! a rendering that is safe to show to a language model.
//!
//! Pure, by rules, in linear time and within bounds. The words of a mail are a stranger's: nothing here
//! follows them.

mod code;
mod extract;
mod line;
mod links;
mod page;
mod reply;
mod safe;
mod words;

pub use crate::{
    code::{code, codes},
    extract::{Action, Amount, Contact, Extraction, Facts, Moment, RULES, Scheduled, extract},
    links::{Link, MAX_LINKS, Purpose, foremost_links, links},
    safe::{
        Attached, HiddenWords, Options, Safe, Stranger, fence, is_invisible, plain_field,
        plain_text, render,
    },
};
use crate::{
    line::{Line, lines},
    page::Page,
    reply::Written,
};

/// Of a text or an HTML body more octets than these are not looked at.
pub const MAX_BODY: usize = 2 * 1024 * 1024;

/// A mail as it is read here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mail<'a> {
    /// The address in From.
    pub from: &'a str,
    pub subject: &'a str,
    /// What a person would read.
    pub text: &'a str,
    /// Empty when there is none.
    pub html: &'a str,
    /// `text` is a part of the mail, not what is seen of its HTML.
    pub has_plain_text: bool,
}

/// A mail taken apart, for every question about it.
#[derive(Debug)]
pub struct Reading<'a> {
    mail: Mail<'a>,
    text: Vec<Line>,
    page: Page,
    from_text: Written,
    from_page: Written,
}

impl<'a> Reading<'a> {
    pub fn of(mail: Mail<'a>) -> Reading<'a> {
        let cut = |it: &'a str| &it[..it.floor_char_boundary(MAX_BODY)];
        let mail = Mail { text: cut(mail.text), html: cut(mail.html), ..mail };
        let text = lines(if mail.has_plain_text || mail.html.is_empty() { mail.text } else { "" });
        let page = page::read(mail.html, None);
        let from_text = reply::written(&text);
        let from_page = reply::written(&page.lines);
        Reading { mail, text, page, from_text, from_page }
    }

    /// What the sender wrote, without what is answered and without a signature.
    pub fn reply_text(&self) -> String {
        if self.text.is_empty() || (self.from_page.quote_found && !self.from_text.quote_found) {
            return self.from_page.text_or(&self.page.lines);
        }
        self.from_text.text()
    }

    /// The lines that the sender wrote, in each of the bodies.
    fn written(&self) -> [&[Line]; 2] {
        [&self.from_page.lines, &self.from_text.lines]
    }
}
