//! What NATS asks of an auth callout, what it is answered, and what an agent may do there. Pure.
//!
//! A server that is configured for it hands every login to a subscriber of `$SYS.REQ.USER.AUTH`, as a
//! JWT, and takes a JWT with the user's rights for an answer (NATS ADR-26). Both are signed with
//! NKeys, which the crate `nkeys` does.

mod access;
mod issuer;
mod jwt;
mod request;

pub use crate::{
    access::{
        AGENTS, API, Access, LoginName, Reach, api_subjects, inbox_prefix, parse_api_subject,
    },
    issuer::Issuer,
    jwt::Error,
    request::Request,
};

/// Where NATS asks.
pub const CALLOUT: &str = "$SYS.REQ.USER.AUTH";
