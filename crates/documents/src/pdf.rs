//! PDF: the text of its pages, what is too small or off the page, its properties, annotations, form
//! fields, links and scripts.
//!
//! White text on white is not told from other text: that takes a renderer. It is read like the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lopdf::{Dictionary, Document, Object, decode_text_string};
use memchr::memmem;
use pdf_extract::{
    ConvertToFmt, MediaBox, OutputDev, OutputError, PlainTextOutput, Transform, output_doc_page,
};

use crate::{
    Kind, Unreadable,
    collect::{Bounded, Collected},
};

/// In points. Nobody reads smaller letters.
const TINY: f64 = 1.5;
/// Dictionaries within dictionaries.
const MAX_NESTING: usize = 8;
/// Objects that are looked at for more than page text.
const MAX_OBJECTS: usize = 200_000;

pub(crate) fn read(octets: &[u8], collected: &mut Collected) -> Result<(), Unreadable> {
    // Readers tolerate what stands above the header; its offsets count from there.
    let begun = memmem::find(octets, b"%PDF-").ok_or(Unreadable::Broken)?;
    let document = Document::load_mem(&octets[begun..]).map_err(|err| match err {
        lopdf::Error::Decryption(_) | lopdf::Error::InvalidPassword => Unreadable::Encrypted,
        _ => Unreadable::Broken,
    })?;
    if document.is_encrypted() {
        return Err(Unreadable::Encrypted);
    }
    properties(&document, collected);
    let pages: Vec<u32> = document.get_pages().into_keys().collect();
    if pages.len() > collected.limits.pages {
        collected.missed(Unreadable::TooLarge);
    }
    for number in pages.into_iter().take(collected.limits.pages) {
        page(&document, number, collected);
        if collected.is_full() {
            break;
        }
    }
    for object in document.objects.values().take(MAX_OBJECTS) {
        aside(object, 0, collected);
    }
    Ok(())
}

/// What the document says of itself (ISO 32000-1 section 14.3).
fn properties(document: &Document, collected: &mut Collected) {
    let info = document.trailer.get(b"Info").and_then(|it| document.dereference(it));
    if let Ok((_, Object::Dictionary(info))) = info {
        for (_, value) in info.iter() {
            collected.line(Kind::Metadata, &string(value).unwrap_or_default());
        }
    }
    let metadata = document.catalog().and_then(|it| it.get(b"Metadata"));
    let metadata = metadata.and_then(|it| document.dereference(it));
    if let Ok((_, Object::Stream(stream))) = metadata {
        let xml = stream.get_plain_content().unwrap_or_default();
        let mut walk = crate::markup::Walk::new(crate::markup::Grammar::Everything, Kind::Metadata);
        // What XMP says beyond its first fault is not worth more than the rest of the document.
        _ = walk.read(&mut xml.as_slice(), collected);
    }
}

fn page(document: &Document, number: u32, collected: &mut Collected) {
    let mut shown = Bounded::new(collected.left());
    let mut unseen = Bounded::new(collected.left());
    let mut output = Sorted {
        shown: PlainTextOutput::new(Channel(&mut shown)),
        unseen: PlainTextOutput::new(Channel(&mut unseen)),
        media_box: None,
    };
    // It panics at much that is not as it should be.
    let drawn = catch_unwind(AssertUnwindSafe(|| output_doc_page(document, &mut output, number)));
    let text = match drawn {
        Ok(Ok(())) => shown.text,
        _ if shown.is_full || unseen.is_full => {
            collected.missed(Unreadable::TooLarge);
            shown.text
        }
        _ => simply(document, number, collected),
    };
    collected.line(Kind::Text, &text);
    collected.line(Kind::Hidden, &unseen.text);
}

/// The text of a page by a reader that minds less and knows no places.
fn simply(document: &Document, number: u32, collected: &mut Collected) -> String {
    let mut text = String::new();
    for chunk in document.extract_text_chunks(&[number]) {
        match chunk {
            Ok(chunk) => text.push_str(&chunk),
            Err(_) => collected.missed(Unreadable::Broken),
        }
    }
    text
}

/// Sorts the letters of a page by whether they can be seen.
struct Sorted<'a> {
    shown: PlainTextOutput<Channel<'a>>,
    unseen: PlainTextOutput<Channel<'a>>,
    media_box: Option<MediaBox>,
}

struct Channel<'a>(&'a mut Bounded);

impl<'a> ConvertToFmt for Channel<'a> {
    type Writer = &'a mut Bounded;

    fn convert(self) -> &'a mut Bounded {
        self.0
    }
}

impl Sorted<'_> {
    fn each(
        &mut self,
        mut act: impl FnMut(&mut dyn OutputDev) -> Result<(), OutputError>,
    ) -> Result<(), OutputError> {
        act(&mut self.shown)?;
        act(&mut self.unseen)
    }

    fn is_seen(&self, at: &Transform, font_size: f64) -> bool {
        // The area of a letter, so that it counts how it is turned and stretched.
        let size = font_size.abs() * (at.m11 * at.m22 - at.m12 * at.m21).abs().sqrt();
        let on_page = self.media_box.is_none_or(|it| {
            let across = it.llx.min(it.urx)..=it.llx.max(it.urx);
            let up = it.lly.min(it.ury)..=it.lly.max(it.ury);
            across.contains(&at.m31) && up.contains(&at.m32)
        });
        size >= TINY && on_page
    }
}

impl OutputDev for Sorted<'_> {
    fn begin_page(
        &mut self,
        number: u32,
        media_box: &MediaBox,
        art_box: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        self.media_box = Some(*media_box);
        self.each(|it| it.begin_page(number, media_box, art_box))
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        self.each(|it| it.end_page())
    }

    fn output_character(
        &mut self,
        at: &Transform,
        width: f64,
        spacing: f64,
        font_size: f64,
        character: &str,
    ) -> Result<(), OutputError> {
        let seen = self.is_seen(at, font_size);
        let channel = if seen { &mut self.shown } else { &mut self.unseen };
        channel.output_character(at, width, spacing, font_size, character)
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.each(|it| it.begin_word())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        self.each(|it| it.end_word())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        self.each(|it| it.end_line())
    }
}

/// What is told in dictionaries instead of on pages, wherever they hang: a reader of the whole file
/// finds it, so it is read whether something refers to it or not.
fn aside(object: &Object, nesting: usize, collected: &mut Collected) {
    let dictionary = match object {
        Object::Dictionary(dictionary) => dictionary,
        Object::Stream(stream) => &stream.dict,
        Object::Array(objects) if nesting < MAX_NESTING => {
            return objects.iter().for_each(|it| aside(it, nesting + 1, collected));
        }
        _ => return,
    };
    for (key, value) in dictionary.iter() {
        if let Some(kind) = told(dictionary, key) {
            collected.line(kind, &string(value).unwrap_or_default());
        }
        if nesting < MAX_NESTING {
            aside(value, nesting + 1, collected);
        }
    }
}

/// What kind of text an entry of a dictionary is, if any.
fn told(dictionary: &Dictionary, key: &[u8]) -> Option<Kind> {
    let is = |name: &[u8], value: &[u8]| {
        dictionary.get(name).and_then(Object::as_name).is_ok_and(|it| it == value)
    };
    Some(match key {
        // A signature's contents are no text.
        b"Contents" if dictionary.has(b"Rect") => Kind::Comment,
        b"V" | b"DV" if dictionary.has(b"FT") || dictionary.has(b"T") => Kind::Text,
        b"T" | b"TU" if dictionary.has(b"FT") || dictionary.has(b"Rect") => Kind::Metadata,
        b"Alt" | b"ActualText" => Kind::Metadata,
        // An entry of the outline; a document's own title is among its properties.
        b"Title" if dictionary.has(b"Parent") => Kind::Metadata,
        b"URI" if is(b"S", b"URI") => Kind::Link,
        b"JS" => Kind::Hidden,
        b"F" | b"UF" if is(b"Type", b"Filespec") => Kind::Member,
        _ => return None,
    })
}

fn string(object: &Object) -> Option<String> {
    matches!(object, Object::String(..)).then(|| decode_text_string(object).ok()).flatten()
}
