//! What stands in a document that came by mail: octets in, pieces of text out.
//!
//! Pure: no clock, and no I/O but what `serve` is handed. Every format is read by a library; here are the bounds around them and what
//! a piece of text is. Some of those libraries panic, loop or take memory without end on what they do
//! not expect, so a service calls `serve` in a process that may die (`wire`), and never `extract` in
//! its own.

mod card;
mod collect;
mod format;
mod markup;
mod office;
mod package;
mod pdf;
mod rtf;
mod sheet;
mod wire;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use crate::{
    format::{Format, Locked},
    wire::{Call, MAX_ANSWER, WireError, answer_of, call, serve},
};

/// Who sees a piece of a document, and where.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What is on its pages.
    Text,
    /// What is in it and not to be seen: hidden, struck out by a revision, off the page, too small.
    Hidden,
    /// Title, author, keywords, descriptions of pictures and the like.
    Metadata,
    /// Notes beside the text, a presenter's included.
    Comment,
    /// Where links point, one a line.
    Link,
    /// The names of files within, one a line.
    Member,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Piece {
    pub kind: Kind,
    pub text: String,
}

/// What was found.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Extracted {
    /// At most one of each kind, in the order of the kinds above.
    pub pieces: Vec<Piece>,
    /// Why some of it was not read, if some was not.
    pub gap: Option<Unreadable>,
}

/// Why a document, or a part of it, was not read.
#[derive(Clone, Copy, Debug, Deserialize, Error, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    #[error("it is locked with a password")]
    Encrypted,
    #[error("it is broken")]
    Broken,
    #[error("there is more in it than is read")]
    TooLarge,
    #[error("its kind is not read")]
    Unsupported,
}

/// What reading one document may take.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Octets of the document itself.
    pub input: usize,
    /// Octets of text that come out, all kinds together.
    pub text: usize,
    /// Octets that come out of a compressed document, used or not.
    pub inflated: usize,
    /// Files in an archive.
    pub members: usize,
    pub pages: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            input: 32 * 1024 * 1024,
            text: 1024 * 1024,
            inflated: 64 * 1024 * 1024,
            members: 1000,
            pages: 500,
        }
    }
}

/// Reads a document. May panic, and take longer and more memory than anybody wants.
pub fn extract(format: Format, octets: &[u8], limits: &Limits) -> Result<Extracted, Unreadable> {
    if octets.len() > limits.input {
        return Err(Unreadable::TooLarge);
    }
    let mut collected = collect::Collected::new(limits);
    read(format, octets, &mut collected)?;
    Ok(collected.finish())
}

fn read(
    format: Format,
    octets: &[u8],
    collected: &mut collect::Collected,
) -> Result<(), Unreadable> {
    match format {
        Format::Pdf => pdf::read(octets, collected),
        Format::Zip => package::read(octets, collected),
        Format::Rtf => rtf::read(octets, collected),
        Format::Sheet => sheet::read(octets, collected),
        Format::Card => card::read(octets, collected),
        Format::Text => {
            collected.add(Kind::Text, &String::from_utf8_lossy(octets));
            Ok(())
        }
        Format::Locked(Locked::Encrypted) => Err(Unreadable::Encrypted),
        Format::Locked(Locked::Unsupported) => Err(Unreadable::Unsupported),
        Format::Other => Ok(()),
    }
}
