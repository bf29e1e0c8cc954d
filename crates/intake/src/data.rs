//! Finds the end of data, undoes dot-stuffing, and holds the content to its limits.
//!
//! Only CRLF.CRLF ends it (RFC 5321 section 4.1.1.4). A bare CR or LF is content like any other octet,
//! or makes the content refused, but never moves its end: a sender and we always agree on where the
//! next command begins, so nothing can be smuggled past (CVE-2023-51764, -51765, -51766).

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr2;

use crate::config::BareLineEnds;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Octets of the content as RFC 1870 counts them: without stuffed dots and without the end.
    pub(crate) size: usize,
    pub(crate) header: usize,
    /// Octets of one line without its CRLF.
    pub(crate) line: usize,
    pub(crate) bare_line_ends: BareLineEnds,
}

/// Why the content is refused once its end has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    BareLineEnd,
    LineTooLong,
    HeaderTooLarge,
    TooLarge,
    /// There is no room for it now.
    NoMemory,
    /// It came out of order.
    Unwanted,
}

/// Where the content stands after the octets so far.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    LineStart,
    /// After a dot at the start of a line.
    Dot,
    /// After such a dot and a CR.
    DotCr,
    Text,
    Cr,
    End,
}

/// How the end is marked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    /// DATA.
    Dot,
    /// BDAT (RFC 3030): by counting, dots mean nothing.
    Count,
}

/// Content on its way in.
pub(crate) struct Data {
    framing: Framing,
    limits: Limits,
    at: At,
    /// What is kept of it, below the trace header; nothing after a fault.
    content: BytesMut,
    size: usize,
    /// Octets of the current line.
    line: usize,
    in_header: bool,
    /// Octets read, those that are not kept included.
    taken: usize,
    fault: Option<Fault>,
}

impl Data {
    /// `trace` is put on top of the content and does not count.
    pub(crate) fn new(framing: Framing, limits: Limits, trace: &str) -> Data {
        Data {
            framing,
            limits,
            at: At::LineStart,
            content: BytesMut::from(trace),
            size: 0,
            line: 0,
            in_header: true,
            taken: 0,
            fault: None,
        }
    }

    /// Takes what belongs to the content, at most `most` octets; whether the end has come.
    pub(crate) fn feed(&mut self, input: &mut BytesMut, most: usize) -> bool {
        let mut rest = &input[..input.len().min(most)];
        let offered = rest.len();
        while !rest.is_empty() && self.at != At::End {
            rest = self.step(rest);
        }
        let taken = offered - rest.len();
        self.taken += taken;
        input.advance(taken);
        self.at == At::End
    }

    /// Refuses the content; the octets still to come are read and thrown away.
    pub(crate) fn fail(&mut self, fault: Fault) {
        self.content = BytesMut::new();
        self.fault.get_or_insert(fault);
    }

    /// Octets in memory.
    pub(crate) fn held(&self) -> usize {
        self.content.len()
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// So much was read after the limit that nobody can mean it: not worth waiting for the end.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.taken > self.limits.size.saturating_mul(2)
    }

    /// The content below its trace header.
    pub(crate) fn finish(mut self) -> Result<Bytes, Fault> {
        if self.at == At::Cr {
            self.bare_line_end(b"\r");
        }
        match self.fault {
            None => Ok(self.content.freeze()),
            Some(fault) => Err(fault),
        }
    }

    /// Takes at least one octet, or goes to another state; gives back what it left.
    fn step<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        let (first, after) = (octets[0], &octets[1..]);
        match (self.at, first) {
            (At::LineStart, b'.') if self.framing == Framing::Dot => {
                self.at = At::Dot;
                after
            }
            (At::Dot, b'\r') => {
                self.at = At::DotCr;
                after
            }
            (At::DotCr, b'\n') => {
                self.at = At::End;
                after
            }
            (At::Cr, b'\n') => {
                self.end_line();
                after
            }
            (At::DotCr | At::Cr, _) => {
                self.bare_line_end(b"\r");
                self.at = At::Text;
                octets
            }
            // A dot that does not end the content was stuffed: it is not kept.
            (At::LineStart | At::Dot, _) => {
                self.at = At::Text;
                octets
            }
            (At::Text, _) => self.text(octets),
            (At::End, _) => octets,
        }
    }

    fn text<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr2(b'\r', b'\n', octets) else {
            self.push(octets);
            return &[];
        };
        self.push(&octets[..end]);
        match octets[end] {
            b'\r' => self.at = At::Cr,
            _ => self.bare_line_end(b"\n"),
        }
        &octets[end + 1..]
    }

    fn push(&mut self, octets: &[u8]) {
        self.line += octets.len();
        if self.line > self.limits.line {
            self.fail(Fault::LineTooLong);
        }
        self.keep(octets);
    }

    fn end_line(&mut self) {
        self.keep(b"\r\n");
        self.count_line();
        self.at = At::LineStart;
    }

    /// To whoever reads the content later this may end a line; here, no dot after it means anything.
    fn bare_line_end(&mut self, octet: &[u8]) {
        match self.limits.bare_line_ends {
            BareLineEnds::Keep => self.keep(octet),
            BareLineEnds::Refuse => self.fail(Fault::BareLineEnd),
        }
        self.count_line();
    }

    fn count_line(&mut self) {
        if self.line == 0 {
            self.in_header = false;
        }
        self.line = 0;
    }

    fn keep(&mut self, octets: &[u8]) {
        self.size += octets.len();
        if self.size > self.limits.size {
            self.fail(Fault::TooLarge);
        }
        if self.in_header && self.size > self.limits.header {
            self.fail(Fault::HeaderTooLarge);
        }
        if self.fault.is_none() {
            self.content.extend_from_slice(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { size: 60, header: 40, line: 20, bare_line_ends: BareLineEnds::Refuse };
    const LENIENT: Limits = Limits { bare_line_ends: BareLineEnds::Keep, ..LIMITS };
    const ALL: usize = usize::MAX;

    /// What comes of the octets, and what is left for the next command; the same in any pieces.
    fn check(octets: &[u8], expected: Result<&str, Fault>, left: &str) {
        check_within(LIMITS, octets, expected, left);
    }

    fn check_within(limits: Limits, octets: &[u8], expected: Result<&str, Fault>, left: &str) {
        for piece in [1, 2, 3, octets.len()] {
            let mut data = Data::new(Framing::Dot, limits, "T: t\r\n");
            let mut input = BytesMut::new();
            let mut ended = false;
            for octets in octets.chunks(piece) {
                input.extend_from_slice(octets);
                ended = ended || data.feed(&mut input, ALL);
            }
            let case = format!("{:?} in pieces of {piece}", octets.escape_ascii().to_string());
            assert!(ended, "{case}: no end");
            assert_eq!(String::from_utf8_lossy(&input), left, "{case}");
            let expected = expected.map(|it| format!("T: t\r\n{it}"));
            assert_eq!(
                data.finish().map(|it| String::from_utf8_lossy(&it).into_owned()),
                expected,
                "{case}"
            );
        }
    }

    #[test]
    fn ends_at_a_lone_dot_and_nowhere_else() {
        check(b"a: b\r\n\r\nc\r\n.\r\nQUIT\r\n", Ok("a: b\r\n\r\nc\r\n"), "QUIT\r\n");
        check(b".\r\n", Ok(""), "");
        for look_alike in [
            "\n.\n",
            "\n.\r",
            "\r.\n",
            "\r.\r",
            "\n.\r\n",
            "\r.\r\n",
            "\r\n.\r\r\n",
            "\r\r\n.\r\r\n",
            "\n\n.\r\n",
            "\r\n.\n",
            "\r\n.\r",
        ] {
            let octets = format!("a{look_alike}MAIL\r\n.\r\nNOOP\r\n");
            check(octets.as_bytes(), Err(Fault::BareLineEnd), "NOOP\r\n");
            // A dot at the start of a line is unstuffed.
            let kept = format!("a{}MAIL\r\n", look_alike.replacen("\r\n.", "\r\n", 1));
            check_within(LENIENT, octets.as_bytes(), Ok(&kept), "NOOP\r\n");
        }
    }

    #[test]
    fn a_content_of_bare_line_ends_has_lines_and_a_header_section() {
        let line = "0123456789012345678\n";
        let content = format!("a: b\n\n{}", line.repeat(2));
        check_within(
            LENIENT,
            format!("{content}\r\n.\r\n").as_bytes(),
            Ok(&(content + "\r\n")),
            "",
        );
        let long = format!("{}\n\r\n.\r\n", "a".repeat(21));
        check_within(LENIENT, long.as_bytes(), Err(Fault::LineTooLong), "");
    }

    #[test]
    fn takes_other_look_alikes_as_they_are() {
        for (sent, kept) in [
            ("\r\n\0.\r\n", "\r\n\0.\r\n"),
            ("\r\n. \r\n", "\r\n \r\n"),
            ("\r\n.\0\r\n", "\r\n\0\r\n"),
            ("\r\n\u{b}.\r\n", "\r\n\u{b}.\r\n"),
            ("\r\n.\u{c}\r\n", "\r\n\u{c}\r\n"),
            ("\r\n\u{2028}.\r\n", "\r\n\u{2028}.\r\n"),
        ] {
            check(format!("a{sent}b\r\n.\r\n").as_bytes(), Ok(&format!("a{kept}b\r\n")), "");
        }
    }

    #[test]
    fn undoes_dot_stuffing() {
        check(b"\r\n..\r\n...x\r\n.y\r\n.\r\n", Ok("\r\n.\r\n..x\r\ny\r\n"), "");
    }

    #[test]
    fn holds_to_the_limits_and_reads_on_to_the_end() {
        let line = "0123456789012345678\r\n";
        let body = |lines| format!("\r\n{}.\r\n", line.repeat(lines));
        check(body(2).as_bytes(), Ok(body(2).trim_end_matches(".\r\n")), "");
        check(body(3).as_bytes(), Err(Fault::TooLarge), "");
        check(b"012345678901234567890\r\n.\r\n", Err(Fault::LineTooLong), "");
        let header = format!("{}.\r\n", line.repeat(2));
        check(header.as_bytes(), Err(Fault::HeaderTooLarge), "");
    }

    #[test]
    fn counts_instead_of_looking_for_a_dot_in_a_chunk() {
        let mut data = Data::new(Framing::Count, LIMITS, "");
        let mut input = BytesMut::from("\r\n.\r\nMAIL");
        assert!(!data.feed(&mut input, 5));
        assert_eq!(input, "MAIL");
        assert_eq!(data.finish().expect("content"), "\r\n.\r\n");
    }

    #[test]
    fn a_chunk_that_ends_in_a_cr_has_a_bare_one() {
        let mut data = Data::new(Framing::Count, LIMITS, "");
        assert!(!data.feed(&mut BytesMut::from("a\r"), ALL));
        assert_eq!(data.finish(), Err(Fault::BareLineEnd));
    }

    #[test]
    fn gives_up_on_what_is_far_too_large() {
        let mut data = Data::new(Framing::Dot, LIMITS, "");
        assert!(!data.feed(&mut BytesMut::from(&[b'a'; 120][..]), ALL));
        assert_eq!((data.held(), data.is_hopeless()), (0, false));
        assert!(!data.feed(&mut BytesMut::from("a"), ALL));
        assert!(data.is_hopeless());
    }
}
