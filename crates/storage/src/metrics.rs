use std::collections::BTreeSet;

use anyhow::Context as _;
use contract::Hold;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};
use store::Limit;

use crate::{guard, matching::Dropped, outcomes::OutcomeMetrics};

/// The stages that make transactions of many events.
const STAGES: [&str; 3] = ["storage", "ledger", "reporter"];

#[derive(Clone)]
pub(crate) struct Metrics {
    /// Events in one transaction, by stage.
    pub(crate) batch: HistogramVec,
    /// Time of a transaction, by stage.
    pub(crate) commit: HistogramVec,
    /// Events that changed nothing because they had been handled before, by stage.
    pub(crate) repeats: IntCounterVec,
    /// Copies of mail for inboxes that are gone.
    pub(crate) orphans: IntCounter,
    /// Reports that came as mail, by what became of them.
    reports: IntCounterVec,
    /// Requests that were refused, by the code of the refusal.
    rejections: IntCounterVec,
    /// Inboxes warned or stopped by what was reported, by event and reason.
    breakers: IntCounterVec,
    /// Expectations that were settled, by how.
    expectations: IntCounterVec,
    warned: IntGauge,
    stopped: IntGauge,
    /// Stored verdicts that were replaced by newer ones.
    pub(crate) rejudged: IntCounter,
    pub(crate) screening: ScreeningMetrics,
    pub(crate) outcomes: OutcomeMetrics,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> anyhow::Result<Metrics> {
        let batch = HistogramVec::new(
            HistogramOpts::new("mail_storage_batch_events", "Events in one transaction.")
                .buckets(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]),
            &["stage"],
        )?;
        let commit = HistogramVec::new(
            HistogramOpts::new("mail_storage_commit_duration_seconds", "Time of a transaction.")
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]),
            &["stage"],
        )?;
        let repeats = IntCounterVec::new(
            Opts::new(
                "mail_storage_repeats_total",
                "Events that changed nothing because they had been handled before.",
            ),
            &["stage"],
        )?;
        let orphans = IntCounter::new(
            "mail_storage_orphans_total",
            "Copies of mail for inboxes that do not exist any more.",
        )?;
        let reports = IntCounterVec::new(
            Opts::new(
                "mail_storage_reports_total",
                "Reports on mail that was sent, by what became of them.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(reports.clone())).context("register metric")?;
        let rejections = IntCounterVec::new(
            Opts::new("mail_storage_rejections_total", "Requests that were refused, by code."),
            &["code"],
        )?;
        let breakers = IntCounterVec::new(
            Opts::new(
                "mail_storage_breakers_total",
                "Inboxes that were warned or stopped because of what was reported of their mail.",
            ),
            &["event", "reason"],
        )?;
        let expectations = IntCounterVec::new(
            Opts::new(
                "mail_storage_expectations_total",
                "Expectations that a mail or their deadline settled, by outcome.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(expectations.clone())).context("register metric")?;
        let warned = IntGauge::new("mail_storage_warned_inboxes", "Inboxes that are warned.")?;
        let stopped = IntGauge::new("mail_storage_stopped_inboxes", "Inboxes that are stopped.")?;
        let rejudged = IntCounter::new(
            "mail_storage_rejudged_total",
            "Stored verdicts that were replaced because the mail was judged anew.",
        )?;
        registry.register(Box::new(rejudged.clone())).context("register metric")?;
        registry.register(Box::new(rejections.clone())).context("register metric")?;
        registry.register(Box::new(breakers.clone())).context("register metric")?;
        registry.register(Box::new(warned.clone())).context("register metric")?;
        registry.register(Box::new(stopped.clone())).context("register metric")?;
        registry.register(Box::new(batch.clone())).context("register metric")?;
        registry.register(Box::new(commit.clone())).context("register metric")?;
        registry.register(Box::new(repeats.clone())).context("register metric")?;
        registry.register(Box::new(orphans.clone())).context("register metric")?;
        let metrics = Metrics {
            batch,
            commit,
            repeats,
            orphans,
            reports,
            rejections,
            breakers,
            expectations,
            warned,
            stopped,
            rejudged,
            screening: ScreeningMetrics::register(registry)?,
            outcomes: OutcomeMetrics::register(registry)?,
        };
        metrics.expect();
        Ok(metrics)
    }

    /// Has what will be counted appear at nought: what is not there cannot be seen to rise.
    fn expect(&self) {
        for stage in STAGES {
            _ = self.batch.with_label_values(&[stage]);
            _ = self.commit.with_label_values(&[stage]);
            _ = self.repeats.with_label_values(&[stage]);
        }
        let dropped = Dropped::ALL.iter().map(|it| it.as_str());
        ["applied", "repeated"]
            .into_iter()
            .chain(dropped)
            .for_each(|it| _ = self.reports.with_label_values(&[it]));
        for (event, reason) in [
            ("inbox.warned", "bounces"),
            ("inbox.warned", "complaints"),
            ("inbox.stopped", "bounces"),
            ("inbox.stopped", "complaints"),
        ] {
            _ = self.breakers.with_label_values(&[event, reason]);
        }
        ["matched", "ambiguous", "expired"]
            .iter()
            .for_each(|it| _ = self.expectations.with_label_values(&[it]));
        _ = self.rejections.with_label_values(&["invalid_request"]);
    }

    /// Runs a transaction of this many events and notes how it went.
    pub(crate) async fn transaction<T>(
        &self,
        stage: &str,
        events: usize,
        work: impl Future<Output = T>,
    ) -> T {
        let commit: Histogram = self.commit.with_label_values(&[stage]);
        let timer = commit.start_timer();
        let done = work.await;
        timer.observe_duration();
        self.batch.with_label_values(&[stage]).observe(events as f64);
        done
    }

    pub(crate) fn note_rejection(&self, code: &str) {
        self.rejections.with_label_values(&[code]).inc();
    }

    /// Counts what breakers did; what the operator does is no trip of a breaker.
    pub(crate) fn note_change(&self, event: &str, reason: Option<&str>) {
        if let Some(reason @ ("bounces" | "complaints")) = reason {
            self.breakers.with_label_values(&[event, reason]).inc();
        }
    }

    /// Counts an event, if it tells of an expectation.
    pub(crate) fn note_expectation(&self, event: &str) {
        if let Some(outcome) = event.strip_prefix("expectation.") {
            self.expectations.with_label_values(&[outcome]).inc();
        }
    }

    pub(crate) fn set_troubled(&self, warned: i64, stopped: i64) {
        self.warned.set(warned);
        self.stopped.set(stopped);
    }

    pub(crate) fn note_repeats(&self, stage: &str, repeats: usize) {
        self.repeats.with_label_values(&[stage]).inc_by(repeats as u64);
    }

    pub(crate) fn note_report(&self, outcome: &str) {
        self.reports.with_label_values(&[outcome]).inc();
    }
}

/// What becomes of received mail.
#[derive(Clone)]
pub(crate) struct ScreeningMetrics {
    /// Copies, by what their inboxes' policies made of them.
    screened: IntCounterVec,
    /// Decisions on mail in quarantine.
    reviews: IntCounterVec,
}

impl ScreeningMetrics {
    fn register(registry: &Registry) -> anyhow::Result<ScreeningMetrics> {
        let screened = IntCounterVec::new(
            Opts::new(
                "mail_storage_screened_total",
                "Copies of received mail, by what their inboxes' policies made of them.",
            ),
            &["action"],
        )?;
        let reviews = IntCounterVec::new(
            Opts::new("mail_storage_reviews_total", "Decisions on mail in quarantine."),
            &["decision"],
        )?;
        let action = |it: &&str| _ = screened.with_label_values(&[it]);
        ["delivered", "warned", "quarantined"].iter().for_each(action);
        ["released", "refused"].iter().for_each(|it| _ = reviews.with_label_values(&[it]));
        registry.register(Box::new(screened.clone())).context("register metric")?;
        registry.register(Box::new(reviews.clone())).context("register metric")?;
        Ok(ScreeningMetrics { screened, reviews })
    }

    pub(crate) fn note_screened(&self, action: Option<&str>) {
        self.screened.with_label_values(&[action.unwrap_or("delivered")]).inc();
    }

    pub(crate) fn note_review(&self, decision: &str) {
        self.reviews.with_label_values(&[decision]).inc();
    }
}

/// The outbox. What waits is in the database, so every replica shows the same of it.
#[derive(Clone)]
pub(crate) struct OutboxMetrics {
    /// Mails that turned out to have to wait for a limit, by limit.
    held: IntCounterVec,
    /// Mails that somebody has to approve, by kind of reason.
    holds: IntCounterVec,
    /// Mails handed to the sender that had waited.
    pub(crate) released: IntCounter,
    /// Mails published again because nobody knew whether they were.
    pub(crate) republished: IntCounter,
    /// Mails that wait, those for later included.
    pub(crate) waiting: IntGauge,
    /// For how long the oldest of those waits that could go but for limits and turns.
    pub(crate) oldest: Gauge,
}

impl OutboxMetrics {
    pub(crate) fn register(registry: &Registry) -> anyhow::Result<OutboxMetrics> {
        let metrics = OutboxMetrics {
            held: IntCounterVec::new(
                Opts::new("mail_storage_held_total", "Mails that had to wait for a limit."),
                &["limit"],
            )?,
            holds: IntCounterVec::new(
                Opts::new(
                    "mail_storage_holds_total",
                    "Mails that wait for approval, by kind of reason; one with two kinds counts in both.",
                ),
                &["kind"],
            )?,
            released: IntCounter::new(
                "mail_storage_released_total",
                "Mails handed to the sender after they had waited.",
            )?,
            republished: IntCounter::new(
                "mail_storage_outbox_republished_total",
                "Mails handed to the sender again, because a process was lost on the way.",
            )?,
            waiting: IntGauge::new("mail_storage_outbox_waiting", "Mails that wait.")?,
            oldest: Gauge::new(
                "mail_storage_outbox_oldest_waiting_seconds",
                "For how long the oldest mail waits that could have gone but for limits and turns.",
            )?,
        };
        Limit::ALL.iter().for_each(|it| _ = metrics.held.with_label_values(&[it.as_str()]));
        guard::KINDS.iter().for_each(|it| _ = metrics.holds.with_label_values(&[it]));
        registry.register(Box::new(metrics.held.clone())).context("register metric")?;
        registry.register(Box::new(metrics.holds.clone())).context("register metric")?;
        registry.register(Box::new(metrics.released.clone())).context("register metric")?;
        registry.register(Box::new(metrics.republished.clone())).context("register metric")?;
        registry.register(Box::new(metrics.waiting.clone())).context("register metric")?;
        registry.register(Box::new(metrics.oldest.clone())).context("register metric")?;
        Ok(metrics)
    }

    pub(crate) fn hold(&self, hold: &Hold) {
        let kinds: BTreeSet<&str> = hold.reasons.iter().map(|it| &*it.kind).collect();
        kinds.into_iter().for_each(|it| self.holds.with_label_values(&[it]).inc());
    }

    pub(crate) fn held(&self, limit: Limit) {
        self.held.with_label_values(&[limit.as_str()]).inc();
    }
}
