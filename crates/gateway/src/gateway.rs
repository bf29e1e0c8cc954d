//! The parts that handlers are made of. Each handler takes only those it uses.

use std::sync::Arc;

use axum::{Router, extract::FromRef, middleware::from_fn_with_state, routing::get};
use bus::{Bus, Directory};
use service::Traces;
use store::{Reader, Store, UnsubscribeTokens, Vault, WebhookSecrets, Writer};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, accounts, attachments, audit, canaries, claims,
    console::{Console, ConsoleConfig},
    cors, deliveries, documentation,
    domain_check::Checker,
    domains, emails, events, expectations, extraction,
    finish::finish,
    gate, holds, inboxes, labels, leases,
    links::Links,
    mcp,
    metrics::Metrics,
    octets::BodyLimits,
    outbound_allow, outbound_policy, outbox,
    params::PublicUrl,
    policy, poll,
    problem::Problem,
    quarantine,
    reading::Readings,
    repeats::Repeats,
    replies, reputation, resolve, reviews,
    revocations::Revocations,
    safe, search, send, senders,
    signups::{Signups, TrustedProxies},
    sockets::Sockets,
    suppressions,
    tail::Tail,
    threads,
    tier::Tiers,
    tokens,
    trace::trace,
    unsubscribe, uploads, verdicts,
    waiters::Waiters,
    webhooks::{self, Targets},
    websocket, work,
};

/// Told to stop: requests that are held are answered.
#[derive(Clone)]
pub(crate) struct Stop(pub(crate) CancellationToken);

/// The domains that inboxes can be made on.
#[derive(Clone)]
pub(crate) struct Domains(pub(crate) Arc<[String]>);

/// The web pages that may call the API.
#[derive(Clone)]
pub(crate) struct CorsOrigins(Arc<[String]>);

#[derive(Clone, FromRef)]
pub(crate) struct Gateway {
    reader: Reader,
    writer: Writer,
    directory: Directory,
    bus: Bus,
    links: Links,
    tokens: UnsubscribeTokens,
    webhook_secrets: WebhookSecrets,
    targets: Targets,
    waiters: Waiters,
    tail: Tail,
    traces: Traces,
    sockets: Sockets,
    repeats: Repeats,
    readings: Readings,
    revocations: Revocations,
    metrics: Metrics,
    tiers: Tiers,
    domains: Domains,
    vault: Arc<Vault>,
    checker: Checker,
    signups: Signups,
    signup: accounts::SignupPolicy,
    trusted_proxies: TrustedProxies,
    public_url: PublicUrl,
    cors_origins: CorsOrigins,
    body_limits: BodyLimits,
    console: Arc<ConsoleConfig>,
    stop: Stop,
}

/// What is made before the rest.
pub(crate) struct Parts {
    pub(crate) links: Links,
    pub(crate) tokens: UnsubscribeTokens,
    pub(crate) webhook_secrets: WebhookSecrets,
    pub(crate) targets: Targets,
    pub(crate) vault: Arc<Vault>,
    pub(crate) checker: Checker,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
}

impl Gateway {
    pub(crate) fn new(config: &Config, store: Store, bus: Bus, parts: Parts) -> Gateway {
        let Parts { links, tokens, webhook_secrets, targets, vault, checker, metrics, stop } =
            parts;
        Gateway {
            readings: Readings::new(store.reader.clone()),
            reader: store.reader,
            writer: store.writer,
            directory: bus.directory(),
            tail: Tail::new(bus.event_log(), metrics.readers.clone()),
            sockets: Sockets::new(config, metrics.websockets.clone()),
            traces: bus.traces().clone(),
            bus,
            links,
            tokens,
            webhook_secrets,
            targets,
            waiters: Waiters::new(metrics.waiters.clone()),
            repeats: Repeats::default(),
            revocations: Revocations::default(),
            metrics,
            tiers: Tiers::new(config),
            domains: Domains(config.domains.clone().into()),
            vault,
            checker,
            signups: Signups::new(config.signups_per_minute),
            signup: accounts::SignupPolicy {
                enabled: config.signup_enabled,
                tier: config.signup_tier,
            },
            trusted_proxies: TrustedProxies(config.trusted_proxies.clone().into()),
            public_url: PublicUrl(config.public_url.clone()),
            cors_origins: CorsOrigins(config.cors_origins.clone().into()),
            body_limits: BodyLimits::new(config.max_body_bytes),
            console: Arc::new(config.console.clone()),
            stop: Stop(stop),
        }
    }

    pub(crate) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// What keeps up with events, and who is told of them.
    pub(crate) fn live(&self) -> (Tail, Sockets) {
        (self.tail.clone(), self.sockets.clone())
    }

    /// Those who are here with tokens that may be revoked.
    pub(crate) fn revocations(&self) -> Revocations {
        self.revocations.clone()
    }

    pub(crate) fn router(self) -> Router {
        let api = self.guarded(Gateway::api());
        let mcp = mcp::routes(api.clone(), &self.public_url, &self.cors_origins.0);
        let console = self.console(api.clone());
        let open = api.merge(self.guarded(mcp));
        // The console is for its own pages only.
        match cors::layer(&self.cors_origins.0) {
            Some(cors) => open.layer(cors).merge(console),
            None => open.merge(console),
        }
    }

    /// Without the gate: it goes through it for all that it asks of the API, as who is signed in.
    fn console(&self, api: Router) -> Router {
        if !self.console.enabled {
            return Router::new();
        }
        let parts = (self.reader.clone(), self.writer.clone(), self.bus.clone());
        let console = Console::new(&self.console, api, parts, self.trusted_proxies.clone());
        console.router().layer(from_fn_with_state(self.metrics.clone(), finish))
    }

    /// Nothing gets past the gate, and every answer is finished.
    fn guarded(&self, routes: Router<Gateway>) -> Router {
        routes
            .layer(from_fn_with_state(gate::Gate::from_ref(self), gate::admit))
            .layer(from_fn_with_state(self.metrics.clone(), finish))
            .layer(from_fn_with_state(self.traces.clone(), trace))
            .with_state(self.clone())
    }

    /// All but `/mcp`, which is made of it.
    fn api() -> Router<Gateway> {
        Router::new()
            .merge(accounts::routes())
            .merge(inboxes::routes())
            .merge(domains::routes())
            .merge(emails::routes())
            .merge(events::routes())
            .merge(expectations::routes())
            .merge(extraction::routes())
            .merge(labels::routes())
            .merge(safe::routes())
            .merge(poll::routes())
            .merge(attachments::routes())
            .merge(deliveries::routes())
            .merge(threads::routes())
            .merge(send::routes())
            .merge(replies::routes())
            .merge(resolve::routes())
            .merge(outbox::routes())
            .merge(holds::routes())
            .merge(outbound_policy::routes())
            .merge(outbound_allow::routes())
            .merge(canaries::routes())
            .merge(claims::routes())
            .merge(leases::routes())
            .merge(work::routes())
            .merge(suppressions::routes())
            .merge(tokens::routes())
            .merge(unsubscribe::routes())
            .merge(uploads::routes())
            .merge(verdicts::routes())
            .merge(reputation::routes())
            .merge(policy::routes())
            .merge(senders::routes())
            .merge(quarantine::routes())
            .merge(reviews::routes())
            .merge(audit::routes())
            .merge(search::routes())
            .merge(webhooks::routes())
            .merge(websocket::routes())
            .merge(documentation::routes())
            .route("/health", get(documentation::health))
            .fallback(async || Problem::not_found("there is no such path"))
    }
}

/// What is served before the database and NATS are there.
pub(crate) fn starting(metrics: Metrics) -> Router {
    Router::new()
        .fallback(async || {
            Problem::unavailable("the service is starting: it waits for the database or for NATS")
        })
        .layer(from_fn_with_state(metrics, finish))
}
