//! What crosses the wire: the messages of `proto/`, the subject each travels on,
//! and the streams and consumers that carry them.
//!
//! Nothing here does I/O.

mod base64;
mod emit;
mod event_subject;
mod input;
mod rights;
mod submission;
pub mod topology;
mod trace;

#[rustfmt::skip]
#[path = "gen/posthouse.v1.rs"]
mod v1;

pub use crate::{
    emit::{Emit, Record},
    event_subject::{EVENT_TYPES, EventSubject, Happened, NO_INBOX, event_subject},
    input::{Decoded, Delivered, Input},
    rights::{Grant, Right, Rights, SendLimits, token_id},
    submission::{Submission, claim_prefix, send_subject, submission_id},
    trace::{TRACEPARENT, TRACESTATE, read_trace, traceparent, tracestate},
    v1::*,
};

/// From this score on a mail counts as an injection risk.
pub const RISK_THRESHOLD: f64 = 0.5;
