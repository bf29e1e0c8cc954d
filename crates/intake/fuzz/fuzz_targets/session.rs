//! What a client says, cut into pieces in any way, is one and the same conversation: the same commands in the
//! same places, the same contents with the same ends. What an SMTP server gets wrong here is smuggled past.
//!
//! The session itself waits for NATS and sockets; this drives the parts it is made of, which do neither.

#![no_main]

// Tests of the parts themselves, and what only the session needs of them.
#![expect(dead_code, unused_imports, reason = "the modules are those of the crate, whole")]

#[path = "../../src/command.rs"]
mod command;
#[path = "../../src/data.rs"]
mod data;
#[path = "../../src/line.rs"]
mod line;
#[path = "../../src/reply.rs"]
mod reply;
#[path = "../../src/sequence.rs"]
mod sequence;

mod config {
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub enum BareLineEnds {
        Keep,
        Refuse,
    }
}

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

use crate::{
    command::Command,
    config::BareLineEnds,
    data::{Data, Fault, Framing, Limits},
    line::{Line, Lines},
    sequence::{Sequence, Step},
};

const LINE: usize = 200;

/// What was made of it.
#[derive(Debug, PartialEq)]
enum Heard {
    Line(Line),
    Refused,
    OutOfOrder,
    Content(Result<Bytes, Fault>),
}

enum Mode {
    Lines,
    Content(Data, usize),
}

struct Talk {
    lines: Lines,
    sequence: Sequence,
    mode: Mode,
    limits: Limits,
    heard: Vec<Heard>,
    ended: bool,
}

impl Talk {
    fn new(bare_line_ends: BareLineEnds) -> Talk {
        let limits = Limits { size: 2_000, header: 500, line: 100, bare_line_ends };
        Talk {
            lines: Lines::default(),
            sequence: Sequence::new(),
            mode: Mode::Lines,
            limits,
            heard: Vec::new(),
            ended: false,
        }
    }

    /// All that the input allows.
    fn hear(&mut self, input: &mut BytesMut) {
        while !self.ended {
            match &mut self.mode {
                Mode::Lines => {
                    let Some(line) = self.lines.next(input, LINE) else { return };
                    self.line(line);
                }
                Mode::Content(data, left) => {
                    let before = input.len();
                    let mut done = data.feed(input, *left);
                    *left -= before - input.len();
                    done |= *left == 0;
                    if !done {
                        return;
                    }
                    let Mode::Content(data, _) = std::mem::replace(&mut self.mode, Mode::Lines)
                    else {
                        return;
                    };
                    self.sequence.advance(Step::DataEnd);
                    self.heard.push(Heard::Content(data.finish()));
                }
            }
        }
    }

    fn line(&mut self, line: Line) {
        self.ended = line == Line::Endless;
        if let Line::Command(octets) = &line {
            match command::parse(octets) {
                Ok(command) => self.command(&command),
                Err(_) => self.heard.push(Heard::Refused),
            }
        }
        self.heard.push(Heard::Line(line));
    }

    fn command(&mut self, command: &Command<'_>) {
        let mut go = |step| {
            let allowed = self.sequence.allows(step);
            if allowed {
                self.sequence.advance(step);
            } else {
                self.heard.push(Heard::OutOfOrder);
            }
            allowed
        };
        match command {
            Command::Ehlo(_) | Command::Helo(_) => _ = go(Step::Hello),
            Command::Mail(_) => _ = go(Step::Mail),
            Command::Rcpt(_) => _ = go(Step::Rcpt),
            Command::Rset => _ = go(Step::Reset),
            Command::Data => {
                if go(Step::Data) {
                    self.mode = Mode::Content(Data::new(Framing::Dot, self.limits, ""), usize::MAX);
                }
            }
            Command::Chunk(chunk) if chunk.size > 0 => {
                let size = chunk.size.min(4_096) as usize;
                self.mode = Mode::Content(Data::new(Framing::Count, self.limits, ""), size);
            }
            _ => (),
        }
    }
}

fuzz_target!(|octets: &[u8]| {
    let Some((cuts, said)) = octets.split_first() else { return };
    for bare_line_ends in [BareLineEnds::Keep, BareLineEnds::Refuse] {
        let mut whole = Talk::new(bare_line_ends);
        whole.hear(&mut BytesMut::from(said));
        let mut cut = Talk::new(bare_line_ends);
        let mut input = BytesMut::new();
        let size = usize::from(*cuts % 16) + 1;
        for piece in said.chunks(size) {
            input.extend_from_slice(piece);
            cut.hear(&mut input);
        }
        assert_eq!(whole.heard, cut.heard, "in pieces of {size}");
        if bare_line_ends == BareLineEnds::Refuse {
            for heard in &cut.heard {
                if let Heard::Content(Ok(content)) = heard {
                    let bare = content.iter().enumerate().any(|(at, it)| match it {
                        b'\n' => at == 0 || content[at - 1] != b'\r',
                        b'\r' => content.get(at + 1) != Some(&b'\n'),
                        _ => false,
                    });
                    assert!(!bare, "a bare line end was let in");
                }
            }
        }
    }
});
