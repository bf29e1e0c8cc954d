//! RFC 5322 and what surrounds it: addresses, reading, composing. Pure: no I/O.

mod address;
mod auto_reply;
mod check;
mod classify;
mod compose;
mod encoding;
mod fields;
mod html;
mod message;
mod mime;
mod report;
mod surface;
mod syntax;

pub use crate::{
    address::{Address, InvalidAddress},
    auto_reply::auto_reply_allowed,
    check::{bare_id, check},
    classify::{Class, Suppression, classify},
    compose::{ComposeError, Draft, DraftAttachment, compose},
    message::{Part, parse, part},
    report::{Report, ReportAction, ReportKind, ReportedRecipient, report},
    surface::{Surface, SurfaceKind, Surfaces, request_surfaces, surfaces},
};
