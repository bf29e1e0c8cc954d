//! RFC 5322 and what surrounds it: addresses, reading, composing. Pure: no I/O.

mod address;
mod answer;
mod author;
mod auto_reply;
mod automatic;
mod bodies;
mod check;
mod classify;
mod compose;
mod custom;
mod divergence;
mod encoding;
mod fields;
mod html;
mod impostor;
mod likeness;
mod links;
mod list;
mod mentions;
mod message;
mod mime;
mod notification;
mod outgoing;
mod report;
mod return_path;
mod sample;
mod surface;
mod syntax;
mod timing;
mod whole;

pub use crate::{
    address::{Address, InvalidAddress},
    answer::{
        Recipients, answered_id, attachments, enclosed, forward_subject, nesting, quoted,
        recipients, reply_subject,
    },
    auto_reply::{AutoReplyRefusal, auto_reply_allowed, auto_reply_refusal, check_answer},
    automatic::is_automatic_answer,
    bodies::{Bodies, bodies},
    check::{
        MAX_RECIPIENTS, bare_id, check, check_attachment, check_size, forward_paths, on_unknown,
    },
    classify::{Class, Suppression, classify},
    compose::{ComposeError, Draft, DraftAttachment, compose},
    html::{Hiding, Sights, block_lines, is_void},
    impostor::{Acquaintances, IMPOSTOR_VERSION, Person, Sighting, suspicions},
    likeness::{Likeness, likeness, registrable},
    links::link_hosts,
    list::{DraftList, UNSUBSCRIBE_URL, automatic, lists_unavailable},
    mentions::{
        Mention, MentionKind, Naming, canonical, host_owner, is_suspicious, mentions, named_items,
    },
    message::{Part, parse, part, preview},
    notification::{Notification, NotifiedAction, NotifiedRecipient, notification},
    outgoing::{Outgoing, outgoing_texts},
    report::{Report, ReportAction, ReportKind, ReportedRecipient, report, report_to_return_path},
    return_path::{
        RETURN_PATH_VALIDITY, ReturnPath, ReturnPathError, ReturnPathKeys, is_return_path,
        mail_of_message_id, return_paths,
    },
    surface::{Attached, Surface, SurfaceKind, Surfaces, request_surfaces, surfaces},
    timing::Timing,
    whole::{Flaw, MAX_CONTENT, Whole},
};
