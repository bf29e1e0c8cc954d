use std::collections::HashMap;

use html5gum::emitters::callback::CallbackEvent;

use super::{
    Page,
    flow::Flow,
    sheet::{Sheet, declarations},
    style::{Looks, Sight},
};

/// Elements nested deeper count as part of their ancestor.
const MAX_DEPTH: usize = 256;
/// Attributes that selectors can ask for, and octets of each.
pub(crate) const MAX_ATTRIBUTES: usize = 16;
pub(crate) const MAX_ATTRIBUTE: usize = 512;

/// Follows the tokens of a page and sorts its text into channels.
pub(crate) struct Walk {
    limit: usize,
    sheet: Sheet,
    tag: Tag,
    open: Vec<Open>,
    /// How many elements of each name are open, so that stray end tags cost nothing.
    names: HashMap<Vec<u8>, usize>,
    visible: Flow,
    hidden: Flow,
    attributes: Flow,
    comments: Flow,
    links: Flow,
    truncated: bool,
}

/// The start tag being read.
#[derive(Default)]
struct Tag {
    name: Vec<u8>,
    attribute: Vec<u8>,
    looks: Looks,
    /// The first `style`, which is the one that counts.
    style: Option<String>,
    attributes: Vec<(String, String)>,
}

/// An element that is open.
pub(crate) struct Open {
    pub(crate) name: Vec<u8>,
    /// If there is a style sheet.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) sight: Sight,
}

impl Walk {
    pub(crate) fn new(limit: usize, sheet: Sheet) -> Walk {
        Walk {
            limit,
            sheet,
            tag: Tag::default(),
            open: Vec::new(),
            names: HashMap::new(),
            visible: Flow::default(),
            hidden: Flow::default(),
            attributes: Flow::default(),
            comments: Flow::default(),
            links: Flow::default(),
            truncated: false,
        }
    }

    /// Takes account of an event. False once a channel is full.
    pub(crate) fn take(&mut self, event: CallbackEvent<'_>) -> bool {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag = Tag { name: name.to_vec(), ..Tag::default() };
            }
            CallbackEvent::AttributeName { name } => {
                self.tag.attribute = name.to_vec();
                // An attribute without a value is all there is of `hidden`.
                self.tag.looks.attribute(name, "");
                if !self.sheet.is_empty() && self.tag.attributes.len() < MAX_ATTRIBUTES {
                    let name = String::from_utf8_lossy(name).into_owned();
                    self.tag.attributes.push((name, String::new()));
                }
            }
            CallbackEvent::AttributeValue { value } => {
                self.attribute(&String::from_utf8_lossy(value));
            }
            CallbackEvent::CloseStartTag { .. } => self.start(),
            CallbackEvent::EndTag { name } => self.end(name),
            CallbackEvent::String { value } => self.text(&String::from_utf8_lossy(value)),
            CallbackEvent::Comment { value } => {
                self.comments.break_lines(1);
                self.comments.push(&String::from_utf8_lossy(value));
            }
            CallbackEvent::Doctype { .. } | CallbackEvent::Error(_) => (),
        }
        let longest = [&self.visible, &self.hidden, &self.attributes, &self.comments, &self.links]
            .into_iter()
            .map(Flow::len)
            .max();
        self.truncated = longest >= Some(self.limit);
        !self.truncated
    }

    pub(crate) fn page(self) -> Page {
        Page {
            visible: self.visible.finish(),
            hidden: self.hidden.finish(),
            attributes: self.attributes.finish(),
            comments: self.comments.finish(),
            links: self.links.finish(),
            truncated: self.truncated,
        }
    }

    fn attribute(&mut self, value: &str) {
        let tag = &mut self.tag;
        tag.looks.attribute(&tag.attribute, value);
        if tag.attribute == b"style" {
            tag.style.get_or_insert_with(|| value.to_owned());
        }
        let told = tag.attributes.last_mut();
        if let Some(told) = told.filter(|it| it.0.as_bytes() == tag.attribute) {
            value[..value.floor_char_boundary(MAX_ATTRIBUTE)].clone_into(&mut told.1);
        }
        let channel = match self.tag.attribute.as_slice() {
            b"href" | b"src" | b"action" | b"background" => &mut self.links,
            b"alt" | b"title" | b"aria-label" | b"placeholder" | b"content" | b"value"
            | b"summary" => &mut self.attributes,
            _ => return,
        };
        channel.break_lines(1);
        channel.push(value);
    }

    fn start(&mut self) {
        let Tag { name, mut looks, style, attributes, .. } = std::mem::take(&mut self.tag);
        self.close_implied(&name);
        let around = self.sight();
        // Nothing stands in a void element.
        if is_void(&name) || self.open.len() >= MAX_DEPTH {
            self.lay_out(&name, around.is_hidden(), true);
            return;
        }
        *self.names.entry(name.clone()).or_default() += 1;
        let never = is_never_shown(&name);
        self.open.push(Open { name: name.clone(), attributes, sight: around });
        let own = style.as_deref().map(declarations).unwrap_or_default();
        self.sheet.apply(&self.open, &own, &mut looks);
        let sight = if never { around.gone() } else { around.of(&looks) };
        if let Some(element) = self.open.last_mut() {
            element.sight = sight;
        }
        self.lay_out(&name, sight.is_hidden(), true);
    }

    /// What is seen of text that comes now.
    fn sight(&self) -> Sight {
        self.open.last().map_or_else(Sight::default, |it| it.sight)
    }

    fn end(&mut self, name: &[u8]) {
        if self.is_open(name) {
            while self.pop().is_some_and(|it| it.name != name) {}
        }
        let hidden = self.sight().is_hidden();
        self.lay_out(name, hidden, false);
    }

    fn text(&mut self, text: &str) {
        // No words for anybody.
        if self.is_open(b"style") || self.is_open(b"script") {
            return;
        }
        let hidden = self.sight().is_hidden();
        let channel = if hidden { &mut self.hidden } else { &mut self.visible };
        if self.names.contains_key(&b"pre"[..]) {
            channel.push_verbatim(text);
        } else {
            channel.push(text);
        }
    }

    /// The elements a start tag ends (WHATWG HTML section 13.1.2.4).
    fn close_implied(&mut self, name: &[u8]) {
        let (ended, scope): (&[&[u8]], &[&[u8]]) = match name {
            b"li" => (&[b"li"], &[b"ul", b"ol", b"menu"]),
            b"dt" | b"dd" => (&[b"dt", b"dd"], &[b"dl"]),
            b"td" | b"th" => (&[b"td", b"th"], &[b"table", b"tr"]),
            b"tr" => (&[b"tr"], &[b"table"]),
            b"option" => (&[b"option"], &[b"select"]),
            _ if lines(name) > 0 => (&[b"p"], &[b"table", b"td", b"th", b"caption", b"button"]),
            _ => return,
        };
        if !ended.iter().any(|it| self.is_open(it)) {
            return;
        }
        let within = self.open.iter().rposition(|it| scope.contains(&it.name.as_slice()));
        let found = self.open.iter().rposition(|it| ended.contains(&it.name.as_slice()));
        if found > within {
            while self.pop().is_some_and(|it| !ended.contains(&it.name.as_slice())) {}
        }
    }

    fn is_open(&self, name: &[u8]) -> bool {
        self.names.contains_key(name)
    }

    fn pop(&mut self) -> Option<Open> {
        let element = self.open.pop()?;
        if let Some(count) = self.names.get_mut(&element.name) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(&element.name);
            }
        }
        Some(element)
    }

    fn lay_out(&mut self, name: &[u8], hidden: bool, starts: bool) {
        let channel = if hidden { &mut self.hidden } else { &mut self.visible };
        match name {
            b"br" if starts => channel.line_end(),
            b"td" | b"th" => channel.gap(),
            _ => channel.break_lines(lines(name)),
        }
    }
}

/// How many line ends stand before and after an element; none for inline elements.
pub fn lines(name: &[u8]) -> usize {
    match name {
        b"p" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"blockquote" | b"ul" | b"ol"
        | b"dl" | b"pre" => 2,
        b"address" | b"article" | b"aside" | b"body" | b"caption" | b"center" | b"dd"
        | b"details" | b"div" | b"dt" | b"fieldset" | b"figcaption" | b"figure" | b"footer"
        | b"form" | b"header" | b"hr" | b"html" | b"li" | b"main" | b"nav" | b"option"
        | b"section" | b"summary" | b"table" | b"tbody" | b"tfoot" | b"thead" | b"tr" => 1,
        _ => 0,
    }
}

/// WHATWG HTML section 13.1.2.
pub fn is_void(name: &[u8]) -> bool {
    matches!(
        name,
        b"area"
            | b"base"
            | b"br"
            | b"col"
            | b"embed"
            | b"hr"
            | b"img"
            | b"input"
            | b"link"
            | b"meta"
            | b"source"
            | b"track"
            | b"wbr"
    )
}

pub(crate) fn is_never_shown(name: &[u8]) -> bool {
    matches!(
        name,
        b"script"
            | b"style"
            | b"template"
            | b"title"
            | b"iframe"
            | b"noembed"
            | b"noframes"
            | b"noscript"
            | b"datalist"
    )
}
