use std::collections::HashMap;

use html5gum::emitters::callback::CallbackEvent;
use mail::{Sights, block_lines, is_void};

use super::{Anchor, Hidden, MAX_LISTED, Page, containers::mark};
use crate::line::{Line, Mark};

/// Elements nested deeper count as part of their ancestor.
const MAX_DEPTH: usize = 256;
/// Octets of text, seen and hidden together, and of one attribute.
const MAX_TEXT: usize = 2 * 1024 * 1024;
const MAX_ATTRIBUTE: usize = 8 * 1024;
/// Attributes of an element.
const MAX_ATTRIBUTES: usize = 64;

/// Follows the tokens of a page.
pub(super) struct Walk {
    name: Option<fn(&str) -> String>,
    tag: Tag,
    sights: Sights,
    /// Those that are open in `sights` too.
    open: Vec<Element>,
    /// How many elements of each name are open, so that stray end tags cost nothing.
    names: HashMap<Vec<u8>, usize>,
    page: Page,
    line: String,
    /// White space was seen since the last character of the line.
    space: bool,
    /// Line ends owed before the next character.
    breaks: usize,
    anchor: Option<Anchor>,
    /// What follows is answered, to the end of the mail.
    rest: bool,
    left: usize,
}

/// The start tag being read.
#[derive(Default)]
struct Tag {
    name: Vec<u8>,
    attributes: Vec<(String, String)>,
    /// The first `style`, which is the one that counts.
    style: Option<String>,
    in_style: bool,
}

impl Tag {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|it| it.0 == name).map_or("", |it| it.1.trim())
    }

    /// What its container is for.
    fn mark(&self) -> Mark {
        let lower = |name| self.attribute(name).to_ascii_lowercase();
        let is_signature = self.attributes.iter().any(|it| it.0 == "data-signatureblock");
        let id = if is_signature { "signature".to_owned() } else { lower("id") };
        mark(&self.name, &lower("class"), &id, &lower("type"))
    }
}

struct Element {
    name: Vec<u8>,
    mark: Mark,
    depth: usize,
}

impl Walk {
    pub(super) fn new(html: &str, name: Option<fn(&str) -> String>) -> Walk {
        Walk {
            name,
            tag: Tag::default(),
            sights: Sights::of(html),
            open: Vec::new(),
            names: HashMap::new(),
            page: Page::default(),
            line: String::new(),
            space: false,
            breaks: 0,
            anchor: None,
            rest: false,
            left: MAX_TEXT,
        }
    }

    /// Takes account of an event. False once there is too much.
    pub(super) fn take(&mut self, event: CallbackEvent<'_>) -> bool {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag = Tag { name: name.to_vec(), ..Tag::default() };
            }
            CallbackEvent::AttributeName { name } => self.attribute(name),
            CallbackEvent::AttributeValue { value } => {
                let value = &value[..value.len().min(MAX_ATTRIBUTE)];
                self.value(String::from_utf8_lossy(value).into_owned());
            }
            CallbackEvent::CloseStartTag { .. } => self.start(),
            CallbackEvent::EndTag { name } => self.end(name),
            CallbackEvent::String { value } => self.text(&String::from_utf8_lossy(value)),
            CallbackEvent::Comment { .. }
            | CallbackEvent::Doctype { .. }
            | CallbackEvent::Error(_) => (),
        }
        self.left > 0
    }

    pub(super) fn page(mut self) -> Page {
        self.close_anchor();
        self.finish_line();
        self.page.hidden.retain(|it| !it.text.trim().is_empty());
        self.page
    }

    fn attribute(&mut self, name: &[u8]) {
        self.tag.in_style = name == b"style";
        if !self.tag.in_style && self.tag.attributes.len() < MAX_ATTRIBUTES {
            // Without a value it is all there is of `hidden`.
            let name = String::from_utf8_lossy(name).into_owned();
            self.tag.attributes.push((name, String::new()));
        }
    }

    fn value(&mut self, value: String) {
        if self.tag.in_style {
            self.tag.style.get_or_insert(value);
        } else if let Some(attribute) = self.tag.attributes.last_mut() {
            attribute.1 = value;
        }
    }

    fn start(&mut self) {
        let tag = std::mem::take(&mut self.tag);
        self.close_implied(&tag.name);
        let own = tag.mark();
        let parent = self.open.last();
        let inherited = parent.map_or(Mark::None, |it| it.mark);
        // A quote that Gmail's users make themselves belongs to what they wrote.
        let quotes = tag.name == b"blockquote"
            && own == Mark::None
            && !tag.attribute("class").to_ascii_lowercase().contains("gmail_quote");
        let depth = parent.map_or(0, |it| it.depth) + usize::from(quotes);
        self.rest |= own == Mark::Rest;
        let mark = if own == Mark::None { inherited } else { own };
        let was_hidden = self.sights.hiding().is_some();
        if !is_void(&tag.name) && self.open.len() < MAX_DEPTH {
            *self.names.entry(tag.name.clone()).or_default() += 1;
            self.sights.begin(&tag.name, tag.attributes.clone(), tag.style.as_deref());
            self.open.push(Element { name: tag.name.clone(), mark, depth });
        }
        match self.sights.hiding() {
            Some(way) if !was_hidden && self.page.hidden.len() < MAX_LISTED => {
                self.page.hidden.push(Hidden { way, text: String::new() });
            }
            Some(_) => (),
            None => {
                self.lay_out(&tag.name, true);
                if mark != inherited {
                    self.break_lines(1);
                }
                self.linked(&tag);
            }
        }
    }

    fn linked(&mut self, tag: &Tag) {
        if tag.name == b"a" {
            self.close_anchor();
            let href = tag.attribute("href").to_owned();
            if !href.is_empty() && !href.starts_with('#') {
                self.anchor = Some(Anchor { href, ..Anchor::default() });
            }
            return;
        }
        let src = tag.attribute("src");
        if tag.name == b"img" && !src.is_empty() && !src.starts_with("cid:") {
            if self.page.images.len() < MAX_LISTED {
                self.page.images.push(src.to_owned());
            }
            if let Some(name) = self.name {
                self.space = true;
                self.push(&name(src));
                self.space = true;
            }
        }
    }

    fn close_anchor(&mut self) {
        let Some(mut anchor) = self.anchor.take() else { return };
        if anchor.text.is_empty() {
            // Of an image, or of nothing.
            anchor.line = self.page.lines.len().saturating_sub(1);
        }
        if let Some(name) = self.name {
            self.space = true;
            self.push(&name(&anchor.href));
        }
        if self.page.anchors.len() < MAX_LISTED {
            self.page.anchors.push(anchor);
        }
    }

    fn end(&mut self, name: &[u8]) {
        if name == b"a" {
            self.close_anchor();
        }
        if self.names.contains_key(name) {
            let was_hidden = self.sights.hiding().is_some();
            while self.pop().is_some_and(|it| it.name != name) {}
            if !was_hidden {
                self.lay_out(name, false);
            }
        }
    }

    fn text(&mut self, text: &str) {
        // No words for anybody.
        if [&b"style"[..], b"script", b"title"].iter().any(|it| self.names.contains_key(*it)) {
            return;
        }
        let text = &text[..text.floor_char_boundary(self.left)];
        self.left -= text.len().max(1);
        if self.sights.hiding().is_some() {
            if let Some(piece) = self.page.hidden.last_mut() {
                piece.text.push_str(text);
            }
            return;
        }
        if self.names.contains_key(&b"pre"[..]) {
            for (n, line) in text.split('\n').enumerate() {
                if n > 0 {
                    self.line_end();
                }
                self.push(line.trim_end_matches('\r'));
            }
            return;
        }
        for piece in text.split_inclusive(is_space) {
            let word = piece.trim_end_matches(is_space);
            if !word.is_empty() {
                let space = self.space;
                self.push(word);
                let line = self.page.lines.len() - 1;
                if let Some(anchor) = &mut self.anchor {
                    if anchor.text.is_empty() {
                        anchor.line = line;
                    } else if space {
                        anchor.text.push(' ');
                    }
                    anchor.text.push_str(word);
                }
            }
            self.space |= word.len() < piece.len();
        }
    }

    fn push(&mut self, word: &str) {
        if word.is_empty() {
            return;
        }
        if self.breaks > 0 {
            self.finish_line();
            if let Some(last) = self.page.lines.last() {
                // An empty line between two of one container is in it.
                let (depth, mark) = self.place();
                let within = last.mark == mark;
                let mark = if within { mark } else { Mark::None };
                let blank = Line { depth: depth.min(last.depth), mark, text: String::new() };
                self.page.lines.extend(vec![blank; self.breaks - 1]);
            }
            self.breaks = 0;
        }
        if std::mem::take(&mut self.space) && !self.line.is_empty() && !self.line.ends_with(' ') {
            self.line.push(' ');
        }
        if self.line.is_empty() {
            // What a line is, its first word says.
            let (depth, mark) = self.place();
            self.page.lines.push(Line { text: String::new(), depth, mark });
        }
        self.line.push_str(word);
    }

    /// How deep what is read now is quoted, and in what.
    fn place(&self) -> (usize, Mark) {
        let (depth, mark) = self.open.last().map_or((0, Mark::None), |it| (it.depth, it.mark));
        (depth, if self.rest { Mark::Rest } else { mark })
    }

    fn finish_line(&mut self) {
        let text = std::mem::take(&mut self.line);
        self.space = false;
        if let Some(last) = self.page.lines.last_mut().filter(|_| !text.is_empty()) {
            *last = Line::new(&text, last.depth, last.mark);
        }
    }

    fn break_lines(&mut self, lines: usize) {
        self.breaks = self.breaks.max(lines);
    }

    /// One more line end, as `<br>` asks for; endless empty lines help nobody.
    fn line_end(&mut self) {
        self.breaks = (self.breaks + 1).min(3);
    }

    fn lay_out(&mut self, name: &[u8], starts: bool) {
        match name {
            b"br" if starts => self.line_end(),
            b"td" | b"th" => self.space = true,
            _ => self.break_lines(block_lines(name)),
        }
    }

    /// The elements a start tag ends (WHATWG HTML section 13.1.2.4), as far as they matter here.
    fn close_implied(&mut self, name: &[u8]) {
        let (ended, scope): (&[u8], &[&[u8]]) = match name {
            b"li" => (b"li", &[b"ul", b"ol", b"menu"]),
            b"td" | b"th" => (b"td", &[b"table", b"tr"]),
            b"tr" => (b"tr", &[b"table"]),
            _ if block_lines(name) > 0 => (b"p", &[b"table", b"td", b"th", b"button"]),
            _ => return,
        };
        if !self.names.contains_key(ended) {
            return;
        }
        let within = self.open.iter().rposition(|it| scope.contains(&it.name.as_slice()));
        let found = self.open.iter().rposition(|it| it.name == ended);
        if found > within {
            while self.pop().is_some_and(|it| it.name != ended) {}
        }
    }

    fn pop(&mut self) -> Option<Element> {
        let element = self.open.pop()?;
        self.sights.end();
        if let Some(count) = self.names.get_mut(&element.name) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(&element.name);
            }
        }
        Some(element)
    }
}

/// Not the no-break space: it does not collapse.
fn is_space(it: char) -> bool {
    matches!(it, ' ' | '\t' | '\n' | '\r' | '\x0c')
}
