//! RFC 5322 and what surrounds it: addresses, reading, composing. Pure: no I/O.

mod address;
mod answer;
mod author;
mod auto_reply;
mod check;
mod classify;
mod compose;
mod custom;
mod encoding;
mod fields;
mod html;
mod message;
mod mime;
mod report;
mod surface;
mod syntax;
mod timing;
mod whole;

pub use crate::{
    address::{Address, InvalidAddress},
    answer::{
        Recipients, answered_id, attachments, enclosed, forward_subject, quoted, recipients,
        reply_subject,
    },
    auto_reply::auto_reply_allowed,
    check::{MAX_RECIPIENTS, bare_id, check, forward_paths},
    classify::{Class, Suppression, classify},
    compose::{ComposeError, Draft, DraftAttachment, compose},
    message::{Part, parse, part},
    report::{Report, ReportAction, ReportKind, ReportedRecipient, report},
    surface::{Surface, SurfaceKind, Surfaces, request_surfaces, surfaces},
    timing::Timing,
    whole::{Flaw, MAX_CONTENT, Whole},
};
