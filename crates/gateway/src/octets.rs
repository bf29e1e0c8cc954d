//! The body of a request, bounded in size, in time and, for large ones, in number.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRef, FromRequest, Request},
    http::header,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::{sync::Semaphore, time::timeout};

use crate::problem::Problem;

/// For the whole body.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Up to this many octets a body is read without waiting for a turn.
const SMALL: usize = 256 * 1024;

/// So many large bodies are in memory at once.
const LARGE_AT_ONCE: usize = 8;

/// What bounds the bodies of requests. Cloning shares it.
#[derive(Clone)]
pub(crate) struct BodyLimits {
    most: usize,
    large: Arc<Semaphore>,
}

impl BodyLimits {
    pub(crate) fn new(most: usize) -> BodyLimits {
        BodyLimits { most, large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }
}

/// The whole body.
pub(crate) struct Octets {
    pub(crate) octets: Bytes,
    /// Held as long as a large body is.
    _turn: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl<S> FromRequest<S> for Octets
where
    S: Send + Sync,
    BodyLimits: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Octets, Problem> {
        let limits = BodyLimits::from_ref(state);
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
        let read = timeout(READ_TIMEOUT, read(request.into_body(), announced, &limits));
        read.await.map_err(|_| {
            let seconds = READ_TIMEOUT.as_secs();
            Problem::unavailable(format!("the body was not read within {seconds} seconds"))
        })?
    }
}

async fn read(
    body: Body,
    announced: Option<usize>,
    limits: &BodyLimits,
) -> Result<Octets, Problem> {
    let mut turn = None;
    let mut octets = BytesMut::with_capacity(announced.unwrap_or(0).min(SMALL));
    let mut size = 0_usize;
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|err| Problem::invalid_request(format!("body: {err}")))?;
        size = size.saturating_add(frame.len());
        if size > limits.most {
            // A client that is still writing would see a broken connection instead of the reason,
            // so a little more is read and thrown away.
            octets = BytesMut::new();
            if size > limits.most.saturating_mul(2) {
                break;
            }
            continue;
        }
        if size > SMALL && turn.is_none() {
            let permit = Arc::clone(&limits.large).acquire_owned().await;
            turn = Some(permit.map_err(Problem::internal)?);
        }
        octets.extend_from_slice(&frame);
    }
    if size > limits.most {
        return Err(Problem::payload_too_large(limits.most));
    }
    Ok(Octets { octets: octets.freeze(), _turn: turn })
}

impl Octets {
    /// The JSON of the body; one without a body is as good as `{}`.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        json(&self.octets)
    }
}

pub(crate) fn json<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Problem> {
    let octets = if octets.is_empty() { b"{}" } else { octets };
    serde_json::from_slice(octets)
        .map_err(|err| Problem::invalid_request(format!("body: not the JSON expected: {err}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        let limits = BodyLimits::new(1000);
        let of = async |size: usize| read(Body::from(vec![b' '; size]), None, &limits).await;
        assert_eq!(of(1000).await.expect("read").octets.len(), 1000);
        assert_eq!(of(1001).await.err().expect("refuse").status.as_u16(), 413);
        assert_eq!(of(10_000).await.err().expect("refuse").status.as_u16(), 413);
    }

    #[tokio::test]
    async fn large_bodies_take_turns() {
        let limits = BodyLimits::new(4 * SMALL);
        let body = || Body::from(vec![b' '; 2 * SMALL]);
        let held = read(body(), None, &limits).await.expect("read");
        assert_eq!(limits.large.available_permits(), LARGE_AT_ONCE - 1);
        drop(held);
        assert_eq!(limits.large.available_permits(), LARGE_AT_ONCE);
    }

    #[test]
    fn no_body_is_an_empty_object() {
        let none: std::collections::HashMap<String, String> = json(b"").expect("parse");
        assert!(none.is_empty());
        let problem = json::<serde_json::Value>(b"{\"a\":").expect_err("refuse");
        assert_eq!((problem.status.as_u16(), &*problem.code), (400, "invalid_request"));
    }
}
