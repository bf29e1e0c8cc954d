//! Cuts command lines out of what a client sent. Only CRLF ends a line (RFC 5321 section 2.3.8).

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memmem;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    /// Without its CRLF.
    Command(Bytes),
    /// A bare CR, a bare LF or NUL is in it: where it ends is a matter of opinion, so it is no command.
    Malformed,
    /// Over the limit; its octets are gone, the next line is intact.
    TooLong,
    /// Over the limit so far that no line end is to be expected.
    Endless,
}

/// A line that has not ended after so many octets over the limit is not going to.
const PATIENCE: usize = 64 * 1024;

/// What is known about the line that has not ended yet.
#[derive(Default)]
pub(crate) struct Lines {
    /// How much of the input was searched for its end.
    searched: usize,
    /// Octets of it that were thrown away.
    dropped: usize,
}

impl Lines {
    /// The next line, if it has ended. Never lets the input grow beyond `limit` without reporting.
    pub(crate) fn next(&mut self, input: &mut BytesMut, limit: usize) -> Option<Line> {
        // The CR may be the last octet that was searched.
        let from = self.searched.saturating_sub(1);
        let Some(end) = memmem::find(&input[from..], b"\r\n").map(|at| from + at) else {
            return self.keep(input, limit);
        };
        let mut line = input.split_to(end + 2);
        line.truncate(end);
        let dropped = std::mem::take(self).dropped;
        if dropped > 0 || line.len() > limit {
            return Some(Line::TooLong);
        }
        if line.iter().any(|it| matches!(it, b'\r' | b'\n' | 0)) {
            return Some(Line::Malformed);
        }
        Some(Line::Command(line.freeze()))
    }

    fn keep(&mut self, input: &mut BytesMut, limit: usize) -> Option<Line> {
        if input.len() > limit + 1 {
            // The last octet stays: it may be the CR.
            let surplus = input.len() - 1;
            input.advance(surplus);
            self.dropped += surplus;
        }
        self.searched = input.len();
        (self.dropped > limit + PATIENCE).then_some(Line::Endless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 12;

    /// Feeds the text octet by octet and at once; both must give the same lines.
    fn check(text: &str, expected: &[Line]) {
        for piece in [1, text.len()] {
            let mut lines = Lines::default();
            let mut input = BytesMut::new();
            let mut found = Vec::new();
            for octets in text.as_bytes().chunks(piece) {
                input.extend_from_slice(octets);
                while let Some(line) = lines.next(&mut input, LIMIT) {
                    found.push(line);
                }
            }
            assert_eq!(found, expected, "{text:?} in pieces of {piece}");
        }
    }

    fn command(text: &'static str) -> Line {
        Line::Command(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn only_crlf_ends_a_line() {
        check("NOOP\r\nQUIT\r\n", &[command("NOOP"), command("QUIT")]);
        check("\r\n", &[command("")]);
        check("NOOP\nQUIT\r\n", &[Line::Malformed]);
        check("NOOP\rQUIT\r\n", &[Line::Malformed]);
        check("NOOP\r\r\n", &[Line::Malformed]);
        check("NO\0P\r\n", &[Line::Malformed]);
        check("NOOP\n", &[]);
    }

    #[test]
    fn a_long_line_is_dropped_and_the_next_one_is_intact() {
        check("123456789012\r\n", &[command("123456789012")]);
        check("1234567890123\r\nNOOP\r\n", &[Line::TooLong, command("NOOP")]);
        check("1234567890123456789012345678901\r\nNOOP\r\n", &[Line::TooLong, command("NOOP")]);
    }

    #[test]
    fn an_endless_line_is_reported_and_not_kept() {
        let mut lines = Lines::default();
        let mut input = BytesMut::new();
        for _ in 0..100 {
            input.extend_from_slice(&[b'A'; 1024]);
            if let Some(line) = lines.next(&mut input, LIMIT) {
                assert_eq!(line, Line::Endless);
                return;
            }
            assert_eq!(input.len(), 1);
        }
        panic!("an endless line was never reported");
    }
}
