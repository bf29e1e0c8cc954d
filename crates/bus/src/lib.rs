//! JetStream, seen from a stage: events come in, events go out, each is acked once it is safe.
//!
//! One runner does it for every stage. Nobody else acks.

mod backlog;
mod batch;
mod board;
mod breaker;
mod bucket;
mod bundle;
mod claims;
mod connect;
mod dead;
mod desk;
mod directory;
mod failure;
mod feed;
mod log;
mod login;
mod metrics;
mod pipeline;
mod publish;
mod runner;
mod settle;
mod stage;
mod standing;
mod sweep;
mod topology;
mod trace;
mod uploads;

pub use crate::{
    board::{Board, Posted, Watch},
    bucket::Bucket,
    claims::{Claims, INLINE_LIMIT},
    connect::{Bus, connect},
    dead::{Dead, DeadFilter},
    desk::{Desk, Later, StageState, StreamState},
    directory::{Directory, KnownToken, Resolution, token_hash},
    failure::Failure,
    feed::{Feed, Told},
    log::{Bounds, EventLog, Following, Logged, LoggedPage},
    login::{Login, Server},
    pipeline::{Parked, Standing},
    publish::PublishError,
    stage::{BatchStage, Stage},
    topology::{Change, apply},
    trace::{Traced, trace_of},
    uploads::{UPLOAD_LIFETIME, UPLOAD_LIMIT, Upload, Uploads},
};
