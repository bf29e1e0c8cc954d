//! Text in the XML of office documents, element by element; no tree is built.

use std::{collections::HashSet, io::BufRead};

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};

use crate::{Kind, collect::Collected};

/// Elements nested deeper are part of their ancestor.
const MAX_DEPTH: usize = 256;
/// Half points and less (ECMA-376 part 1, section 17.3.2.38): nobody reads two points.
const TINY_HALF_POINTS: u32 = 4;
/// Hundredths of a point (section 21.1.2.3.9).
const TINY_CENTIPOINTS: u32 = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// Text in the elements that hold text.
    Ooxml,
    OpenDocument,
    /// Where links lead (ECMA-376 part 2).
    Relations,
    /// All text there is.
    Everything,
}

pub(crate) struct Walk {
    grammar: Grammar,
    kind: Kind,
    open: Vec<Element>,
    /// Elements that are open beyond `MAX_DEPTH`.
    deeper: usize,
    /// Styles of OpenDocument that are not displayed.
    unseen: HashSet<String>,
    /// The style being read.
    style: String,
}

struct Element {
    name: String,
    hidden: bool,
    kind: Kind,
    /// Its text is for people.
    speaks: bool,
}

impl Walk {
    pub(crate) fn new(grammar: Grammar, kind: Kind) -> Walk {
        Walk {
            grammar,
            kind,
            open: Vec::new(),
            deeper: 0,
            unseen: HashSet::new(),
            style: String::new(),
        }
    }

    pub(crate) fn read(
        &mut self,
        input: &mut impl BufRead,
        collected: &mut Collected,
    ) -> Result<(), quick_xml::Error> {
        let mut reader = Reader::from_reader(input);
        // Files that do not close what they open are read as far as they go.
        reader.config_mut().check_end_names = false;
        reader.config_mut().allow_unmatched_ends = true;
        let mut buffer = Vec::new();
        while !collected.is_full() {
            buffer.clear();
            match reader.read_event_into(&mut buffer)? {
                Event::Start(tag) => self.start(&tag, collected),
                Event::Empty(tag) => {
                    self.start(&tag, collected);
                    self.end(collected);
                }
                Event::End(_) => self.end(collected),
                Event::Text(text) => self.text(&text, collected),
                Event::CData(text) => self.text(&text, collected),
                Event::GeneralRef(reference) => self.reference(&reference, collected),
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => (),
            }
        }
        Ok(())
    }

    fn start(&mut self, tag: &BytesStart<'_>, collected: &mut Collected) {
        if self.open.len() >= MAX_DEPTH {
            self.deeper += 1;
            return;
        }
        let local = tag.local_name();
        let name = local.as_ref();
        let parent = self.open.last();
        let mut element = Element {
            name: name.to_owned(),
            hidden: parent.is_some_and(|it| it.hidden),
            kind: parent.map_or(self.kind, |it| it.kind),
            speaks: parent.is_some_and(|it| it.speaks) || self.grammar == Grammar::Everything,
        };
        match self.grammar {
            Grammar::Ooxml => self.ooxml(tag, &mut element, collected),
            Grammar::OpenDocument => self.opendocument(tag, &mut element, collected),
            Grammar::Relations => {
                let external = attribute(tag, "TargetMode").is_some_and(|it| it == "External");
                if let Some(target) = attribute(tag, "Target").filter(|_| external) {
                    collected.line(Kind::Link, &target);
                }
            }
            Grammar::Everything => (),
        }
        if element.name == "tab" || element.name == "s" && self.grammar == Grammar::OpenDocument {
            collected.add(self.channel(), " ");
        }
        self.open.push(element);
    }

    /// ECMA-376 part 1: properties of a run stand in it before its text.
    fn ooxml(&mut self, tag: &BytesStart<'_>, element: &mut Element, collected: &mut Collected) {
        let value = || attribute(tag, "val").unwrap_or_default();
        match element.name.as_str() {
            "t" | "text" => element.speaks = true,
            "delText" => (element.speaks, element.hidden) = (true, true),
            "instrText" | "f" => (element.speaks, element.kind) = (true, Kind::Link),
            "vanish" | "webHidden" if !matches!(value().as_str(), "0" | "false" | "off") => {
                self.hide("r");
            }
            "color" if value().eq_ignore_ascii_case("ffffff") => self.hide("r"),
            "sz" if value().parse().is_ok_and(|it: u32| it <= TINY_HALF_POINTS) => self.hide("r"),
            "rPr" => {
                let size = attribute(tag, "sz").and_then(|it| it.parse::<u32>().ok());
                if size.is_some_and(|it| it <= TINY_CENTIPOINTS) {
                    self.hide("r");
                }
            }
            "sld" if attribute(tag, "show").is_some_and(|it| it == "0") => element.hidden = true,
            "docPr" | "cNvPr" => {
                for name in ["descr", "title"] {
                    collected.line(Kind::Metadata, &attribute(tag, name).unwrap_or_default());
                }
            }
            "sheet" | "definedName" => {
                collected.line(Kind::Metadata, &attribute(tag, "name").unwrap_or_default());
            }
            "br" | "cr" => collected.end_line(self.channel()),
            _ => (),
        }
    }

    fn opendocument(
        &mut self,
        tag: &BytesStart<'_>,
        element: &mut Element,
        collected: &mut Collected,
    ) {
        match element.name.as_str() {
            "p" | "h" => element.speaks = true,
            "annotation" => element.kind = Kind::Comment,
            "hidden-text" | "hidden-paragraph" => {
                element.hidden = true;
                collected.line(Kind::Hidden, &attribute(tag, "string-value").unwrap_or_default());
            }
            "tracked-changes" => element.hidden = true,
            "style" => self.style = attribute(tag, "name").unwrap_or_default(),
            "text-properties" => {
                let none = attribute(tag, "display").is_some_and(|it| it == "none");
                if none {
                    self.unseen.insert(std::mem::take(&mut self.style));
                }
            }
            "a" => collected.line(Kind::Link, &attribute(tag, "href").unwrap_or_default()),
            "line-break" => collected.end_line(self.channel()),
            _ => (),
        }
        let style = attribute(tag, "style-name");
        element.hidden |= style.is_some_and(|it| self.unseen.contains(&it));
    }

    fn end(&mut self, collected: &mut Collected) {
        if self.deeper > 0 {
            self.deeper -= 1;
            return;
        }
        let Some(element) = self.open.pop() else { return };
        // Where a paragraph, a row, a shared string or a property ends.
        let ends = match self.grammar {
            Grammar::Everything => true,
            _ => {
                matches!(element.name.as_str(), "p" | "h" | "si" | "c" | "f" | "instrText" | "text")
            }
        };
        if ends {
            collected.end_line(channel(&element));
            if self.grammar != Grammar::Everything {
                collected.end_line(element.kind);
            }
        }
    }

    fn text(&mut self, text: &str, collected: &mut Collected) {
        if self.open.last().is_some_and(|it| it.speaks) {
            collected.add(self.channel(), text);
        }
    }

    /// Only what XML itself defines: entities of a document's own are how text explodes.
    fn reference(&mut self, reference: &BytesRef<'_>, collected: &mut Collected) {
        if let Ok(Some(character)) = reference.resolve_char_ref() {
            self.text(character.encode_utf8(&mut [0; 4]), collected);
        } else if let Some(text) = resolve_predefined_entity(reference) {
            self.text(text, collected);
        }
    }

    /// The nearest open element of that name is not shown.
    fn hide(&mut self, name: &str) {
        if let Some(element) = self.open.iter_mut().rev().find(|it| it.name == name) {
            element.hidden = true;
        }
    }

    fn channel(&self) -> Kind {
        self.open.last().map_or(self.kind, channel)
    }
}

fn channel(element: &Element) -> Kind {
    if element.hidden { Kind::Hidden } else { element.kind }
}

/// The value of an attribute, whatever its name space.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = tag.attributes();
    // Broken ones are skipped.
    let mut sound = attributes.with_checks(false).flatten();
    let found = sound.find(|it| it.key.local_name().as_ref() == name)?;
    found.normalized_value(XmlVersion::Implicit1_0).ok().map(|it| it.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[track_caller]
    fn check(grammar: Grammar, xml: &str, expected: &[(Kind, &str)]) {
        let mut collected = Collected::new(&Limits::default());
        let mut walk = Walk::new(grammar, Kind::Text);
        walk.read(&mut xml.as_bytes(), &mut collected).expect("read");
        let found = collected.finish();
        let found: Vec<(Kind, &str)> =
            found.pieces.iter().map(|it| (it.kind, it.text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn runs_join_and_paragraphs_part() {
        check(
            Grammar::Ooxml,
            "<w:p><w:r><w:t>One &amp; </w:t></w:r><w:r><w:t>t&#119;o</w:t></w:r></w:p>\
             <w:p><w:r><w:t>three</w:t></w:r></w:p>",
            &[(Kind::Text, "One & two\nthree")],
        );
    }

    #[test]
    fn hidden_runs_are_told_from_shown_ones() {
        for property in [
            "<w:vanish/>",
            "<w:webHidden w:val='1'/>",
            "<w:color w:val='ffffff'/>",
            "<w:sz w:val='2'/>",
        ] {
            let xml =
                format!("<w:r><w:rPr>{property}</w:rPr><w:t>x</w:t></w:r><w:r><w:t>y</w:t></w:r>");
            check(Grammar::Ooxml, &xml, &[(Kind::Text, "y"), (Kind::Hidden, "x")]);
        }
        for property in ["<w:vanish w:val='0'/>", "<w:color w:val='000000'/>", "<w:sz w:val='22'/>"]
        {
            let xml = format!("<w:r><w:rPr>{property}</w:rPr><w:t>x</w:t></w:r>");
            check(Grammar::Ooxml, &xml, &[(Kind::Text, "x")]);
        }
        check(
            Grammar::Ooxml,
            "<w:del><w:r><w:delText>x</w:delText></w:r></w:del>",
            &[(Kind::Hidden, "x")],
        );
        check(
            Grammar::Ooxml,
            "<p:sld show='0'><a:r><a:t>x</a:t></a:r></p:sld>",
            &[(Kind::Hidden, "x")],
        );
        check(
            Grammar::Ooxml,
            "<a:r><a:rPr sz='100'/><a:t>x</a:t></a:r><a:r><a:rPr sz='1800'/><a:t>y</a:t></a:r>",
            &[(Kind::Text, "y"), (Kind::Hidden, "x")],
        );
    }

    #[test]
    fn opendocument() {
        check(
            Grammar::OpenDocument,
            "<style:style style:name='T1'><style:text-properties text:display='none'/></style:style>\
             <text:p>a<text:s/>b<text:span text:style-name='T1'>h</text:span></text:p>\
             <office:annotation><text:p>c</text:p></office:annotation>\
             <text:a xlink:href='https://x.test/'><text:p>d</text:p></text:a>",
            &[
                (Kind::Text, "a b\nd"),
                (Kind::Hidden, "h"),
                (Kind::Comment, "c"),
                (Kind::Link, "https://x.test/"),
            ],
        );
    }

    #[test]
    fn links_that_lead_outside() {
        check(
            Grammar::Relations,
            "<Relationship Target='https://x.test/?a&amp;b' TargetMode='External'/>\
             <Relationship Target='styles.xml'/>",
            &[(Kind::Link, "https://x.test/?a&b")],
        );
    }

    #[test]
    fn entities_of_its_own_are_not_expanded() {
        let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><t>&b;c</t>";
        check(Grammar::Ooxml, bomb, &[(Kind::Text, "c")]);
    }

    #[test]
    fn depth_does_no_harm() {
        let deep = format!("{}<t>x</t>{}<t>y</t>", "<a>".repeat(100_000), "</a>".repeat(100_000));
        check(Grammar::Ooxml, &deep, &[(Kind::Text, "y")]);
    }
}
