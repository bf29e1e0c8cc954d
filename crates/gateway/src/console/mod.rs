//! `/console`: pages for the people who watch over agents ([docs/console.md]).
//!
//! Every page of an account asks this gateway's own REST API, in process, as the token that was signed in
//! with, and meets the same gate, the same checks and the same audit. There is no second way to anybody's
//! mail. What operators see (stages, parked messages, how much accounts have) is no account's.
//!
//! Pages are made here and work without JavaScript; a script adds keys and keeps the pipeline's figures
//! fresh. Nothing is loaded from elsewhere, and nothing of a mail is markup.

mod asking;
mod assets;
mod config;
mod decisions;
mod domains;
mod failure;
mod form;
mod gauge;
mod html;
mod inboxes;
mod lists;
mod mail;
mod mail_html;
mod marks;
mod operator;
mod session;
mod sign_in;
mod text;
mod threads;
mod timeline;

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRef, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bus::Bus;
use store::{Reader, Writer};
use tokio::sync::Semaphore;

pub use self::config::ConsoleConfig;
use self::{assets::Assets, failure::Failure, gauge::Gauge};
use crate::{
    octets::BodyLimits,
    signups::{Signups, TrustedProxies},
};

/// A token and a reason fit in easily.
const MOST_OF_A_FORM: usize = 64 * 1024;

/// Sign-ins of one client in a minute, good or not.
const SIGN_INS: u32 = 20;

/// So many mails are taken apart at once to mark passages in them.
const AT_ONCE: usize = 4;

/// What every page may load, and from where: nothing from elsewhere, no inline script or style.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; frame-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// What pages are made from.
pub(crate) struct Console {
    /// The API, gate included.
    api: Router,
    reader: Reader,
    writer: Writer,
    bus: Bus,
    trusted_proxies: TrustedProxies,
    limits: BodyLimits,
    sign_ins: Signups,
    gauge: Gauge,
    turns: Semaphore,
    assets: Assets,
    /// It is reached over HTTPS: cookies are sent over nothing else.
    is_secure: bool,
}

type Shared = Arc<Console>;

impl Console {
    pub(crate) fn new(
        config: &ConsoleConfig,
        api: Router,
        (reader, writer, bus): (Reader, Writer, Bus),
        trusted_proxies: TrustedProxies,
    ) -> Console {
        Console {
            api,
            reader,
            writer,
            bus,
            trusted_proxies,
            limits: BodyLimits::new(MOST_OF_A_FORM),
            sign_ins: Signups::new(SIGN_INS),
            gauge: Gauge::default(),
            turns: Semaphore::new(AT_ONCE),
            assets: Assets::new(),
            is_secure: !config.plain_http,
        }
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/console", get(sign_in::begin))
            .route("/console/sign-in", get(sign_in::form).post(sign_in::sign_in))
            .route("/console/sign-out", post(sign_in::sign_out))
            .route("/console/assets/{version}/{name}", get(assets::serve))
            .route("/console/inboxes", get(inboxes::list))
            .route("/console/inboxes/{inboxId}", get(threads::list))
            .route("/console/inboxes/{inboxId}/reputation", get(inboxes::reputation))
            .route("/console/inboxes/{inboxId}/threads/{threadId}", get(threads::read))
            .route("/console/emails/{emailId}", get(mail::show))
            .route("/console/emails/{emailId}/html", get(mail_html::show))
            .route("/console/emails/{emailId}/{decision}", post(decisions::decide))
            .route("/console/quarantine", get(lists::quarantine))
            .route("/console/holds", get(lists::holds))
            .route("/console/suppressions", get(lists::suppressions))
            .route("/console/record", get(lists::record))
            .route("/console/domains", get(domains::list))
            .route("/console/domains/{domainId}", get(domains::show))
            .route("/console/pipeline", get(operator::pipeline))
            .route("/console/dead", get(operator::dead))
            .route("/console/accounts", get(operator::accounts))
            .route("/console/{*path}", get(async || Failure::not_found().into_response()))
            .layer(from_fn(guard))
            .with_state(Arc::new(self))
    }
}

impl FromRef<Shared> for TrustedProxies {
    fn from_ref(console: &Shared) -> TrustedProxies {
        console.trusted_proxies.clone()
    }
}

impl FromRef<Shared> for BodyLimits {
    fn from_ref(console: &Shared) -> BodyLimits {
        console.limits.clone()
    }
}

/// On every answer, unless it has a stricter one of its own.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    keep(headers, header::CONTENT_SECURITY_POLICY, POLICY);
    // Not "no-referrer": forms would come with the origin "null".
    keep(headers, header::REFERRER_POLICY, "same-origin");
    keep(headers, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    keep(headers, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    keep(headers, HeaderName::from_static("x-dns-prefetch-control"), "off");
    response
}

fn keep(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}
