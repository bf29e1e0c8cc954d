//! A server asks who somebody is (`$SYS.REQ.USER.AUTH`) → the token in the database → what it may do.
//!
//! Whoever is kept out hears only that; if the database is away, nobody is let in.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::Context as _;
use async_nats::{Client, Message};
use futures_util::StreamExt as _;
use nats_login::{CALLOUT, Issuer, Request};
use prometheus::IntCounterVec;
use store::{Bearer, Reader, Writer};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{DRAIN, GROUP, has_opened, tokens};
use crate::time::now_micros;

/// Logins looked up at once; more wait, in the client's buffer.
const AT_ONCE: usize = 64;

/// The server gives up after its own time (`authorization.timeout`).
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Callout {
    pub(super) client: Client,
    pub(super) issuer: Arc<Issuer>,
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) seconds: u32,
    pub(super) logins: IntCounterVec,
    pub(super) sign: Arc<AtomicBool>,
}

impl Callout {
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let subscribed = self.client.queue_subscribe(CALLOUT, GROUP.to_owned()).await;
        let mut asked = match subscribed {
            Ok(asked) => asked,
            Err(err) => return tracing::error!("answer for logins: {err}"),
        };
        if !has_opened(&self.client, &self.sign, stop).await {
            return;
        }
        let (slots, work) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
        loop {
            let message = tokio::select! {
                message = asked.next() => message,
                () = stop.cancelled() => break,
            };
            let Some(message) = message else { break };
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            let answer = self.answer(message);
            work.spawn(async move {
                answer.await;
                drop(slot);
            });
        }
        work.close();
        if timeout(DRAIN, work.wait()).await.is_err() {
            tracing::warn!("{} logins were not answered", work.len());
        }
    }

    /// Takes nothing of `self` with it but what it needs.
    fn answer(&self, message: Message) -> impl Future<Output = ()> + Send + 'static {
        let Callout { client, issuer, reader, writer, seconds, logins, .. } = self;
        let (client, issuer) = (client.clone(), Arc::clone(issuer));
        let (reader, writer) = (reader.clone(), writer.clone());
        let (lifetime, logins) = (i64::from(*seconds), logins.clone());
        async move {
            let judged = timeout(PATIENCE, judge(&issuer, &reader, lifetime, &message.payload));
            let judged = judged.await.context("look the token up in time").flatten();
            let Login { outcome, answer, used } = match judged {
                Ok(login) => login,
                Err(err) => {
                    tracing::warn!("answer for a login: {err:#}");
                    // Without an answer the server refuses when its time is over.
                    return logins.with_label_values(&["failed"]).inc();
                }
            };
            logins.with_label_values(&[outcome]).inc();
            let Some(reply) = message.reply else { return };
            if let Err(err) = client.publish(reply, answer.into()).await {
                tracing::warn!("answer for a login: {err}");
            }
            // Who came in waits for nobody; who published later is not known by his token.
            if let Some(bearer) = used
                && let Err(err) = writer.touch(&bearer.account.id, &bearer.token.hash).await
            {
                tracing::warn!("note a login: {:#}", anyhow::Error::from(err));
            }
        }
    }
}

/// What somebody hears who wants to log in.
struct Login {
    outcome: &'static str,
    answer: String,
    /// The token that somebody is let in with.
    used: Option<Bearer>,
}

async fn judge(
    issuer: &Issuer,
    reader: &Reader,
    lifetime: i64,
    payload: &[u8],
) -> anyhow::Result<Login> {
    let request = Request::read(payload).context("read NATS's question")?;
    let refused = |answer| Ok(Login { outcome: "refused", answer, used: None });
    let now = now_micros();
    let seconds = now / 1_000_000;
    let Some(secret) = &request.secret else {
        return refused(issuer.refuse(&request, "there is no token", seconds)?);
    };
    match tokens::admission(reader, secret).await? {
        None => refused(issuer.refuse(&request, "the token is not valid", seconds)?),
        Some(tokens::Admission { access, bearer }) => {
            let end = bearer.token.grant.expires_at.map_or(i64::MAX, |it| it / 1_000_000);
            let end = end.min(seconds + lifetime);
            let answer = issuer.admit(&request, &access, seconds, end)?;
            Ok(Login { outcome: "admitted", answer, used: Some(bearer) })
        }
    }
}
