//! What a service and the process that reads documents for it say to each other.
//!
//! A call is two frames, a description and the octets; an answer is one. A frame is its length in four
//! octets, the highest first, and then as many octets.

use std::{
    io::{Read, Write},
    panic::catch_unwind,
    sync::mpsc,
    thread,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Extracted, Format, Limits, Unreadable, extract};

/// Octets of a frame that is read: the document or what is said of it.
const MAX_FRAME: usize = 64 * 1024 * 1024;
/// Octets of an answer. JSON takes six for a control character.
pub const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Libraries that descend by recursion get this far.
const STACK: usize = 16 * 1024 * 1024;

/// A document to read.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Call {
    pub format: Format,
    pub limits: Limits,
    /// Octets of address space that the process may have.
    pub memory_bytes: u64,
    /// Of this document.
    pub cpu_seconds: u64,
}

#[derive(Debug, Error)]
pub enum WireError {
    #[error("read or write a frame")]
    Io(#[from] std::io::Error),
    #[error("a frame is longer than any may be")]
    TooLong,
    #[error("a frame holds something else than expected")]
    Malformed(#[from] serde_json::Error),
    #[error("reading a document came to no end")]
    Died,
}

/// A call as octets.
pub fn call(call: &Call, document: &[u8]) -> Result<Vec<u8>, WireError> {
    let head = serde_json::to_vec(call)?;
    let mut frames = Vec::with_capacity(head.len() + document.len() + 8);
    for frame in [&head[..], document] {
        frames.extend(length(frame)?);
        frames.extend(frame);
    }
    Ok(frames)
}

/// What a frame of an answer says.
pub fn answer_of(frame: &[u8]) -> Result<Result<Extracted, Unreadable>, WireError> {
    Ok(serde_json::from_slice(frame)?)
}

/// Answers calls until there are no more. `limit` sets what the process may take for each.
///
/// Documents are read on a thread of their own: when the input ends, whoever asked is gone, and this
/// returns at once, so that the process can end whatever the document does. After a panic it returns
/// too: nobody knows what a library left behind.
pub fn serve(
    mut input: impl Read + Send + 'static,
    mut output: impl Write,
    mut limit: impl FnMut(&Call) -> std::io::Result<()>,
) -> Result<(), WireError> {
    let (to_reader, calls) = mpsc::channel::<(Call, Vec<u8>)>();
    let (answered, events) = mpsc::channel();
    let called = answered.clone();
    thread::Builder::new().stack_size(STACK).spawn(move || {
        for (call, document) in calls {
            let read = catch_unwind(|| extract(call.format, &document, &call.limits));
            if answered.send(read.map_or(Event::Died, Event::Answer)).is_err() {
                return;
            }
        }
    })?;
    thread::Builder::new().spawn(move || {
        loop {
            let event = next_call(&mut input).map_or(Event::End, Event::Call);
            let ends = matches!(event, Event::End);
            if called.send(event).is_err() || ends {
                return;
            }
        }
    })?;
    for event in events {
        match event {
            Event::Call((call, document)) => {
                limit(&call)?;
                to_reader.send((call, document)).map_err(|_| WireError::Died)?;
            }
            Event::Answer(answer) => {
                let frame = serde_json::to_vec(&answer)?;
                output.write_all(&length(&frame)?)?;
                output.write_all(&frame)?;
                output.flush()?;
            }
            Event::Died => return Err(WireError::Died),
            Event::End => return Ok(()),
        }
    }
    Ok(())
}

enum Event {
    Call((Call, Vec<u8>)),
    Answer(Result<Extracted, Unreadable>),
    Died,
    /// The input has ended, or is none.
    End,
}

fn next_call(input: &mut impl Read) -> Option<(Call, Vec<u8>)> {
    let call = serde_json::from_slice(&frame(input)?).ok()?;
    Some((call, frame(input)?))
}

fn frame(input: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    input.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok().filter(|it| *it <= MAX_FRAME)?;
    let mut octets = vec![0; length];
    input.read_exact(&mut octets).ok()?;
    Some(octets)
}

fn length(frame: &[u8]) -> Result<[u8; 4], WireError> {
    let fits = frame.len() <= MAX_FRAME;
    let length = u32::try_from(frame.len()).ok().filter(|_| fits).ok_or(WireError::TooLong)?;
    Ok(length.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{Kind, Piece};

    fn text(limits: Limits) -> Call {
        Call { format: Format::Text, limits, memory_bytes: 7, cpu_seconds: 3 }
    }

    #[test]
    fn calls_are_answered_in_their_order() {
        let calls =
            [&b"one"[..], b"two"].map(|it| call(&text(Limits::default()), it).expect("call"));
        let (mut output, mut limited) = (Vec::new(), 0);
        // The end comes when the second call was read, which may be before its answer.
        let (input, mut fed) = std::io::pipe().expect("pipe");
        fed.write_all(&calls.concat()).expect("write");
        let mut answers = 0;
        let sink = Counted {
            output: &mut output,
            each: &mut || {
                answers += 1;
                answers == 2
            },
            fed: Some(fed),
        };
        serve(input, sink, |it| {
            limited += it.memory_bytes;
            Ok(())
        })
        .expect("serve");
        assert_eq!(limited, 14);
        let mut read = Cursor::new(output);
        for expected in ["one", "two"] {
            let answer = answer_of(&frame(&mut read).expect("frame")).expect("answer");
            let piece = Piece { kind: Kind::Text, text: expected.to_owned() };
            assert_eq!(answer.expect("read").pieces, [piece]);
        }
    }

    /// Ends the input once there are answers enough.
    struct Counted<'a, F> {
        output: &'a mut Vec<u8>,
        each: &'a mut F,
        fed: Option<std::io::PipeWriter>,
    }

    impl<F: FnMut() -> bool> Write for Counted<'_, F> {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.output.write(octets)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            if (self.each)() {
                self.fed = None;
            }
            Ok(())
        }
    }

    #[test]
    fn what_is_no_call_ends_it() {
        for input in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02{}", b"\0\0", b""] {
            serve(Cursor::new(input.to_vec()), Vec::new(), |_| Ok(())).expect("end");
        }
    }

    #[test]
    fn a_limit_that_cannot_be_set_ends_it() {
        let calls = call(&text(Limits::default()), b"x").expect("call");
        let refuse = |_: &Call| Err(std::io::Error::other("no"));
        let ended = serve(Cursor::new(calls), Vec::new(), refuse);
        assert!(matches!(ended, Err(WireError::Io(_))));
    }
}
