//! RFC 5322 and what surrounds it: addresses, reading, composing. Pure: no I/O.

mod address;
mod answer;
mod check;
mod compose;
mod custom;
mod encoding;
mod fields;
mod html;
mod message;
mod mime;
mod surface;
mod syntax;
mod timing;

pub use crate::{
    address::{Address, InvalidAddress},
    answer::{
        Recipients, answered_id, attachments, enclosed, forward_subject, quoted, recipients,
        reply_subject,
    },
    check::{bare_id, check, forward_paths},
    compose::{ComposeError, Draft, DraftAttachment, compose},
    message::{Part, parse, part},
    surface::{Surface, SurfaceKind, Surfaces, request_surfaces, surfaces},
    timing::Timing,
};
