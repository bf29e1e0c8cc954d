//! RFC 5322 and what surrounds it: addresses, reading, composing. Pure: no I/O.

mod address;
mod compose;
mod encoding;
mod fields;
mod html;
mod message;
mod mime;

pub use crate::{
    address::{Address, InvalidAddress},
    compose::{ComposeError, Draft, DraftAttachment, compose},
    message::{Part, parse, part},
};
