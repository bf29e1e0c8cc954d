//! The MIME structure of a content (RFC 2045, RFC 2046).
//!
//! mail-parser reads it, level by level through its `MessageStream`, so that parts, depth, header
//! sections and time have bounds. Its `MessageParser::parse` has none: it searches all the rest for
//! each boundary that is missing, holds forty times the size of a section of tiny fields, and a
//! soft line break before a delimiter costs it the last octets of the part (0.11.9).

use mail_parser::{ContentType, parsers::MessageStream};

use crate::{
    encoding::{decode_base64, decode_charset, decode_quoted_printable},
    fields::Fields,
    html,
    syntax::is_token,
};

/// What is beyond these is not looked at; it stays in the raw content.
const MAX_PARTS: usize = 1000;
/// A multipart that is deeper than this is text.
const MAX_DEPTH: usize = 50;
/// And so is one that would have the content searched for delimiters more often than this, unless
/// all that is searched stays small.
const MAX_SEARCHES: usize = 8;
const MAX_SMALL: usize = 8 * 1024 * 1024;

/// A content as a tree: the root comes first, parents before their children.
pub(crate) struct Tree<'a> {
    pub(crate) entities: Vec<Entity<'a>>,
}

/// A message, or a part of one.
pub(crate) struct Entity<'a> {
    pub(crate) fields: Fields<'a>,
    content_type: Option<ContentType<'static>>,
    disposition: Option<ContentType<'static>>,
    /// In place of an absent Content-Type (RFC 2046 section 5.1.5).
    default_type: &'static str,
    body: &'a [u8],
    /// Where the parts of a multipart stand in the tree, in their order.
    pub(crate) parts: Vec<usize>,
    depth: usize,
}

impl<'a> Tree<'a> {
    pub(crate) fn read(content: &'a [u8]) -> Tree<'a> {
        let mut entities = vec![Entity::read(content, 0, "text/plain")];
        // Breadth first: `at` meets every entity that is added behind it.
        let mut at = 0;
        let mut left = MAX_SMALL.max(content.len().saturating_mul(MAX_SEARCHES));
        while at < entities.len() {
            let entity = &entities[at];
            let mut parts = Vec::new();
            let deep = entity.depth >= MAX_DEPTH || entity.body.len() > left;
            if let Some(boundary) = entity.boundary().filter(|_| !deep) {
                left -= entity.body.len();
                let room = MAX_PARTS - entities.len();
                let default =
                    if entity.subtype() == "digest" { "message/rfc822" } else { "text/plain" };
                parts = split(entity.body, boundary.as_bytes(), room)
                    .into_iter()
                    .map(|part| Entity::read(part, entity.depth + 1, default))
                    .collect();
            }
            entities[at].parts = (entities.len()..entities.len() + parts.len()).collect();
            entities.extend(parts);
            at += 1;
        }
        Tree { entities }
    }

    pub(crate) fn root(&self) -> &Entity<'a> {
        &self.entities[0]
    }

    /// The entities that are not multiparts, in the order of the content.
    pub(crate) fn leaves(&self) -> Vec<usize> {
        self.leaves_from(vec![0])
    }

    /// Those within a multipart.
    pub(crate) fn leaves_of(&self, entity: &Entity<'a>) -> impl Iterator<Item = &Entity<'a>> {
        let pending = entity.parts.iter().rev().copied().collect();
        self.leaves_from(pending).into_iter().map(|it| &self.entities[it])
    }

    /// The next one to look at is the last one pending.
    fn leaves_from(&self, mut pending: Vec<usize>) -> Vec<usize> {
        let mut leaves = Vec::new();
        while let Some(at) = pending.pop() {
            let entity = &self.entities[at];
            if entity.parts.is_empty() {
                leaves.push(at);
            }
            pending.extend(entity.parts.iter().rev());
        }
        leaves
    }
}

impl<'a> Entity<'a> {
    fn read(octets: &'a [u8], depth: usize, default_type: &'static str) -> Entity<'a> {
        let (fields, body) = Fields::split(octets);
        let content_type = fields.content_type("content-type");
        let disposition = fields.content_type("content-disposition");
        Entity { fields, content_type, disposition, default_type, body, parts: Vec::new(), depth }
    }

    /// Lower case, such as "text".
    fn main_type(&self) -> &str {
        match &self.content_type {
            Some(it) => &it.c_type,
            None => self.default_type.split('/').next().unwrap_or_default(),
        }
    }

    /// Lower case, such as "plain".
    pub(crate) fn subtype(&self) -> &str {
        match &self.content_type {
            Some(it) => it.c_subtype.as_deref().unwrap_or_default(),
            None => self.default_type.split('/').nth(1).unwrap_or_default(),
        }
    }

    /// Lower case, without parameters. What is broken is text (RFC 2045 section 5.2).
    pub(crate) fn media_type(&self) -> String {
        match (self.main_type(), self.subtype()) {
            ("multipart", _) if self.parts.is_empty() => "text/plain".to_owned(),
            ("text", "") => "text/plain".to_owned(),
            (main, sub) if is_token(main) && is_token(sub) => format!("{main}/{sub}"),
            _ => "application/octet-stream".to_owned(),
        }
    }

    pub(crate) fn is(&self, media_type: &str) -> bool {
        self.media_type() == media_type
    }

    /// Text meant to be read as the message or part of it.
    pub(crate) fn is_inline_text(&self) -> bool {
        let disposed = self.disposition.as_ref().is_some_and(|it| it.c_type == "attachment");
        !disposed && matches!(self.media_type().as_str(), "text/plain" | "text/html")
    }

    /// A report of machines on a mail, in lines of text (RFC 3464, RFC 8098, RFC 5965).
    pub(crate) fn is_report(&self) -> bool {
        let main = self.main_type() == "message";
        main && !matches!(self.subtype(), "rfc822" | "global" | "partial" | "external-body")
    }

    /// The file name as the sender wrote it.
    pub(crate) fn filename(&self) -> Option<&str> {
        let named = self.disposition.as_ref().and_then(|it| it.attribute("filename"));
        named.or_else(|| self.content_type.as_ref().and_then(|it| it.attribute("name")))
    }

    /// The octets, the transfer encoding undone.
    pub(crate) fn octets(&self) -> Vec<u8> {
        match self.fields.token("content-transfer-encoding").as_str() {
            "base64" => decode_base64(self.body),
            "quoted-printable" => decode_quoted_printable(self.body),
            _ => self.body.to_vec(),
        }
    }

    /// The text, line ends as LF, without NUL, which PostgreSQL refuses.
    pub(crate) fn text(&self) -> String {
        let octets = self.octets();
        let charset = self.content_type.as_ref().and_then(|it| it.attribute("charset"));
        let text = decode_charset(octets, charset);
        text.replace("\r\n", "\n").replace('\0', "")
    }

    /// What a person reads of a text, at most about `limit` octets.
    pub(crate) fn readable(&self, limit: usize) -> String {
        let text = self.text();
        if self.is("text/html") { html::read(&text, limit).visible } else { text }
    }

    fn boundary(&self) -> Option<&str> {
        let content_type = self.content_type.as_ref()?;
        let boundary = content_type.attribute("boundary")?;
        (content_type.c_type == "multipart" && !boundary.is_empty()).then_some(boundary)
    }
}

/// The octets between the delimiters of a multipart, at most `room` times.
fn split<'a>(body: &'a [u8], boundary: &[u8], room: usize) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut stream = MessageStream::new(body);
    let mut found = next_delimiter(&mut stream, boundary);
    while found.is_some() && !stream.is_multipart_end() && parts.len() < room {
        let begun = stream.offset();
        found = next_delimiter(&mut stream, boundary);
        // The closing delimiter may be missing.
        let end = found.unwrap_or(body.len());
        if found.is_some() || begun < end {
            parts.push(&body[begun..end]);
        }
    }
    parts
}

/// Goes on behind the next delimiter. Returns where the octets before it end: the line end there
/// belongs to the delimiter.
fn next_delimiter(stream: &mut MessageStream<'_>, boundary: &[u8]) -> Option<usize> {
    loop {
        let end = stream.seek_next_part_offset(boundary)?;
        let at = stream.offset() - boundary.len() - b"--".len();
        // mail-parser also finds it within a line, and boundaries that only begin with this one
        // (RFC 2046 section 5.1.1).
        let begins_line = at == 0 || stream.bytes(at - 1..at) == b"\n";
        let ends = stream.peek().is_none_or(|it| it.is_ascii_whitespace())
            || stream.peek_bytes(2) == Some(b"--");
        if begins_line && ends {
            return Some(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aws_lc_rs::digest;
    use data_encoding::HEXLOWER;
    use serde_json::Value;

    use super::*;

    #[track_caller]
    fn check(content: &str, leaves: &[(&str, &str)]) {
        let content = content.replace('\n', "\r\n");
        let tree = Tree::read(content.as_bytes());
        let read: Vec<(String, String)> = tree
            .leaves()
            .into_iter()
            .map(|it| (tree.entities[it].media_type(), tree.entities[it].text()))
            .collect();
        let read: Vec<(&str, &str)> =
            read.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
        assert_eq!(read, leaves);
    }

    #[test]
    fn leaves_come_in_the_order_of_the_content() {
        check(
            "Content-Type: multipart/mixed; boundary=a\n\npreamble\n--a\n\
             Content-Type: multipart/alternative; boundary=\"b c\"\n\n--b c\n\n1\n--b c  \n\n2\n\
             --b c--\n--a\n\n3\n\n--a--\nepilogue",
            &[("text/plain", "1"), ("text/plain", "2"), ("text/plain", "3\n")],
        );
    }

    #[test]
    fn the_outer_delimiter_ends_what_the_inner_one_does_not() {
        check(
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n\
             Content-Type: multipart/mixed; boundary=ab\n\n--ab\n\n1\n--a\n\n2\n",
            &[("text/plain", "1"), ("text/plain", "2\n")],
        );
    }

    #[test]
    fn only_a_whole_line_is_a_delimiter() {
        check(
            "Content-Type: multipart/mixed; boundary=a\n\n> --a\n--ab--a\n--a\n\n1 --a\n--ab\n\
             --a \n\n2=\n--a--\n--a\n\n3",
            &[("text/plain", "1 --a\n--ab"), ("text/plain", "2=")],
        );
    }

    #[test]
    fn a_soft_line_break_before_a_delimiter_takes_nothing_away() {
        check(
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n\
             Content-Transfer-Encoding: quoted-printable\n\nabc=\n--a\n\
             Content-Transfer-Encoding: quoted-printable\n\n=\n--a--\n",
            &[("text/plain", "abc"), ("text/plain", "")],
        );
    }

    #[test]
    fn a_multipart_without_parts_is_text() {
        check("Content-Type: multipart/mixed\n\na", &[("text/plain", "a")]);
        check("Content-Type: multipart/mixed; boundary=a\n\nb", &[("text/plain", "b")]);
    }

    #[test]
    fn a_digest_holds_messages() {
        check(
            "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: b\n--a--\n",
            &[("message/rfc822", "Subject: b")],
        );
    }

    #[test]
    fn charsets() {
        for (header, octets, text) in [
            ("", &b"\xc3\xa9"[..], "é"),
            ("Content-Type: text/plain; charset=iso-8859-1\n", b"\xe9", "é"),
            ("Content-Type: text/plain; charset=us-ascii\n", b"\xc3\xa9", "é"),
            ("Content-Type: text/plain; charset=unheard-of\n", b"\xc3\xa9", "é"),
            ("Content-Type: text/plain; charset=iso-2022-jp\n", b"\x1b$B$\"\x1b(B", "あ"),
            ("Content-Type: text/plain; charset=big5\n", b"\xa4\xa4", "中"),
        ] {
            let content = [header.as_bytes(), b"\n", octets].concat();
            assert_eq!(Tree::read(&content).root().text(), text);
        }
    }

    /// The leaves as mime4j reads them; broken messages may be read otherwise.
    #[test]
    fn mime4j_reads_the_same_leaves() {
        let folder =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/mime-mime4j"));
        let Ok(lines) = std::fs::read_to_string(folder.join("expected.jsonl")) else {
            eprintln!("SKIPPED: corpus mime-mime4j is not at {}", folder.display());
            return;
        };
        let (mut whole, mut found, mut all, mut files) = (0, 0, 0, 0);
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let file = line["file"].as_str().expect("file");
            let content = std::fs::read(folder.join(file)).expect("read");
            let mut read = hashes(&content, 0);
            let leaves = line["leaves"].as_array().expect("leaves");
            let before = found;
            for leaf in leaves {
                let hash = leaf["sha256"].as_str().expect("hash");
                if let Some(at) = read.iter().position(|it| it == hash) {
                    read.swap_remove(at);
                    found += 1;
                }
            }
            if found - before == leaves.len() {
                whole += 1;
            } else {
                eprintln!("{file}: {} of {} leaves", found - before, leaves.len());
            }
            all += leaves.len();
            files += 1;
        }
        eprintln!("mime-mime4j: {found} of {all} leaves, {whole} of {files} messages");
        // 75 of 80 over the whole corpus.
        assert!(whole * 80 >= files * 75, "{whole} of {files}");
    }

    fn hashes(content: &[u8], depth: usize) -> Vec<String> {
        let tree = Tree::read(content);
        let mut hashes = Vec::new();
        for at in tree.leaves() {
            let entity = &tree.entities[at];
            let mut octets = entity.octets();
            if entity.is("message/rfc822") && depth < 5 {
                hashes.extend(self::hashes(&octets, depth + 1));
                continue;
            }
            if entity.main_type() == "text" || entity.is("text/plain") {
                let ends = octets.iter().skip(1).chain([&0]);
                let lf = octets.iter().zip(ends).filter(|it| *it != (&b'\r', &b'\n'));
                octets = lf.map(|it| *it.0).collect();
            }
            hashes.push(HEXLOWER.encode(digest::digest(&digest::SHA256, &octets).as_ref()));
        }
        hashes
    }
}
