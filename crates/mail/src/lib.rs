//! RFC 5322 and what surrounds it: addresses, reading, composing. Pure: no I/O.

mod address;
mod answer;
mod auto_reply;
mod check;
mod classify;
mod compose;
mod custom;
mod encoding;
mod fields;
mod html;
mod list;
mod message;
mod mime;
mod report;
mod surface;
mod syntax;
mod timing;

pub use crate::{
    address::{Address, InvalidAddress},
    answer::{
        Recipients, answered_id, attachments, enclosed, forward_subject, quoted, recipients,
        reply_subject,
    },
    auto_reply::{AutoReplyRefusal, auto_reply_allowed, auto_reply_refusal, auto_reply_refused},
    check::{bare_id, check, check_attachment, check_size, forward_paths},
    classify::{Class, Suppression, classify},
    compose::{ComposeError, Draft, DraftAttachment, compose},
    list::{DraftList, UNSUBSCRIBE_URL, automatic},
    message::{Part, parse, part},
    report::{Report, ReportAction, ReportKind, ReportedRecipient, report},
    surface::{Surface, SurfaceKind, Surfaces, request_surfaces, surfaces},
    timing::Timing,
};
