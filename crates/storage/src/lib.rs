//! The only writer of mail. `inbound.scanned` → inboxes and threads; `outbound.scanned` → the ledger
//! and the outbox, and from there `outbound.accepted`; `outbound.reported` and `outbound.resolved`, and reports
//! that come as mail → statuses; `inbound.rejudged` → verdicts; `inbound.reviewed` → what becomes of mail in quarantine. Each announces
//! events on `mail.v1.event.>`, after the commit that makes them true.
//!
//! Keeps the directory in NATS as the database says. Speaks no SMTP and judges no mail.

mod announcer;
mod answerable;
mod arrivals;
mod canaries;
mod companions;
mod config;
mod events;
mod expectations;
mod flow;
mod grants;
mod guard;
mod holds;
mod house;
mod kept;
mod leases;
mod ledger;
mod limits;
mod lists;
mod matching;
mod mentioned;
mod metrics;
mod named_order;
mod notices;
mod offers;
mod outcomes;
mod portions;
mod redaction;
mod rejudger;
mod release;
mod reporter;
mod reports;
mod request;
mod resolver;
mod return_paths;
mod reviewer;
mod screening;
mod together;
mod tokens;
mod whole;
mod words;

use std::sync::Arc;

use anyhow::Context as _;
use bus::{Bus, Failure, Server};
use injection::{Assessor, secrets::Secrets};
use service::Process;
use store::{Policy, Schema, Store, UnsubscribeTokens};
use tokio::sync::Notify;

use crate::{
    announcer::Announcer,
    arrivals::Arrivals,
    expectations::Expectations,
    guard::Guard,
    holds::Holds,
    house::House,
    leases::{LeaseMetrics, Leases},
    ledger::Ledger,
    lists::Lists,
    metrics::{Metrics, OutboxMetrics},
    notices::Notices,
    offers::Offers,
    rejudger::Rejudger,
    release::Release,
    reporter::Reporter,
    reports::Reports,
    resolver::Resolver,
    return_paths::ReturnPaths,
    reviewer::Reviewer,
    tokens::Tokens,
};
pub use crate::{
    config::Config,
    limits::{TierLimits, WarmUpConfig},
    return_paths::RETURN_PATHS,
    screening::ScreeningConfig,
};

/// Migrates the database, and stores until shutdown.
pub async fn run(config: Config, process: Process) -> anyhow::Result<()> {
    let registry = process.metrics.registry("storage")?;
    let metrics = Metrics::register(&registry)?;
    let outbox = OutboxMetrics::register(&registry)?;
    let lease_metrics = LeaseMetrics::register(&registry)?;
    let opened = Store::wait(&config.database, Schema::Migrate, "storage", &process).await;
    let Some(store) = opened.context("open the database")? else { return Ok(()) };
    let store = judging(&config, store).await?;
    let bus =
        Bus::connect(Server::new(&config.nats, &config.nats_login), "storage", &process).await?;
    let return_paths = ReturnPaths(store.writer.clone());
    let notices = Notices { claims: bus.claims(), reader: store.reader.clone() };
    let reports = Reports {
        store: store.clone(),
        return_paths: return_paths.clone(),
        notices: notices.clone(),
        reporters: config.complaint_reporters.clone(),
        complaints_for_all: config.complaints_for_all.into(),
        metrics: metrics.clone(),
    };
    let settled = Arc::new(Notify::new());
    let offers = Offers { store: store.clone(), return_paths: return_paths.clone() };
    let arrivals = Arrivals {
        claims: bus.claims(),
        store: store.clone(),
        reports,
        offers: offers.clone(),
        settled: Arc::clone(&settled),
        companion_events: config.companion_events,
        metrics: metrics.clone(),
    };
    let secret = store.writer.secret("unsubscribe").await.context("read a secret")?;
    let lists = Lists::new(&config, UnsubscribeTokens::new(&secret));
    let wake = Arc::new(Notify::new());
    let ledger = Ledger {
        claims: bus.claims(),
        uploads: bus.uploads(),
        lists: Arc::new(lists),
        store: store.clone(),
        domains: config.domains.clone(),
        guard: Guard {
            reader: store.reader.clone(),
            secrets: Arc::new(Secrets::new()),
            domains: config.domains.clone(),
        },
        return_paths: return_paths.clone(),
        limits: limits::policy(&config),
        metrics: metrics.clone(),
        outbox: outbox.clone(),
        leases: lease_metrics.clone(),
        wake: Arc::clone(&wake),
    };
    let release = Release {
        bus: bus.clone(),
        store: store.clone(),
        return_paths: return_paths.clone(),
        notices: notices.clone(),
        metrics: outbox,
        wake,
        shutdown: process.shutdown.clone(),
    };
    let rejudger = Rejudger { writer: store.writer.clone(), metrics: metrics.clone() };
    let holds =
        Holds { bus: bus.clone(), store: store.clone(), shutdown: process.shutdown.clone() };
    let leases =
        Leases { store: store.clone(), metrics: lease_metrics, shutdown: process.shutdown.clone() };
    let reporter = Reporter { writer: store.writer.clone(), notices, metrics: metrics.clone() };
    let resolver = Resolver { writer: store.writer.clone(), return_paths };
    let reviewer = Reviewer {
        store: store.clone(),
        offers,
        settled: Arc::clone(&settled),
        metrics: metrics.clone(),
    };
    let expectations = Expectations {
        store: store.clone(),
        settled: Arc::clone(&settled),
        shutdown: process.shutdown.clone(),
    };
    let announcer = Announcer {
        bus: bus.clone(),
        store: store.clone(),
        metrics,
        process: process.clone(),
        settled,
    };
    let house = House::new(&config, bus.directory(), store.clone(), &process);
    let tokens = Tokens {
        directory: bus.directory(),
        reader: store.reader.clone(),
        writer: store.writer.clone(),
        process: process.clone(),
    };
    let outcome = tokio::try_join!(
        bus.run_batches(arrivals),
        bus.run_batches(ledger),
        bus.run_batches(reporter),
        bus.run(rejudger),
        bus.run(resolver),
        bus.run(reviewer),
        release.keep(),
        holds.keep(),
        leases.keep(),
        house.keep(),
        tokens.keep(),
        expectations.keep(),
        announcer.keep(),
        bus.sweep(),
        bus.watch_streams()
    );
    store.close().await;
    outcome.map(drop)
}

/// Judges senders by what the configuration says, as everybody can read in the database from now on.
async fn judging(config: &Config, store: Store) -> anyhow::Result<Store> {
    let writer = store.writer.judging(Policy {
        breakers: config.breakers.clone(),
        brakes: config.brakes.clone(),
        is_bounce: reporter::is_bounce,
    });
    writer.publish_policy().await.context("write what senders are judged by")?;
    let writer = writer.screening_by(config.screening.policy());
    writer.publish_screening().await.context("write what received mail is screened by")?;
    let assessor = Assessor::new();
    let writer = writer.joining(Arc::new(move |earlier, text, score| {
        together::judge(&assessor, earlier, text, score)
    }));
    Ok(Store { writer, ..store }.under(limits::policy(config)))
}

/// The database may come back, or the mail may be what it cannot take.
fn failure(err: store::Error) -> Failure {
    let is_transient = err.is_transient();
    let err = anyhow::Error::new(err);
    if is_transient { Failure::Transient(err) } else { Failure::Permanent(err) }
}
