//! The streams, consumers and buckets, as data. `bus` creates and verifies them.

use std::time::Duration;

/// A JetStream stream and the subjects it captures.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub name: &'static str,
    pub subjects: &'static [&'static str],
    pub keeps: Keeps,
    pub deduplicates: bool,
    /// Takes messages that are delivered at a later time.
    pub schedules: bool,
    /// What is published on it at the same moment may come as one `Bundle`. Its consumer has to
    /// know what it handled before: within a bundle nothing is deduplicated.
    pub bundles: bool,
    /// Many messages at once may be published as an atomic batch.
    pub batches: bool,
}

/// How long a stream keeps a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keeps {
    /// Until its one consumer has acknowledged it; a full stream refuses.
    UntilDone,
    /// Until its one consumer has acknowledged it and all before it, and a while longer: `bus`
    /// purges from the front. A full stream refuses. Acknowledging deletes nothing, which `sync_interval: always` would sync.
    UntilPassed,
    /// For a time; then the oldest go.
    For(Duration),
}

/// A durable consumer: the group that all replicas of one stage pull from.
#[derive(Clone, Copy, Debug)]
pub struct Consumer {
    pub durable: &'static str,
    pub stream: &'static str,
    pub filter: &'static str,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The stream of everything agents are told.
pub const EVENTS: &str = "EVENTS";

/// Where events go that no retry can help: `dead.<durable>`.
pub const DEAD: Stream = Stream {
    name: "DEAD",
    subjects: &["dead.>"],
    keeps: Keeps::For(DAY.saturating_mul(30)),
    deduplicates: true,
    schedules: false,
    bundles: false,
    batches: false,
};

pub const STREAMS: &[Stream] = &[
    DEAD,
    Stream {
        name: "INBOUND",
        subjects: &["inbound.received"],
        keeps: Keeps::UntilPassed,
        deduplicates: true,
        schedules: false,
        bundles: true,
        batches: false,
    },
    // Apart from INBOUND, so that each has one consumer, whose ack floor says what can go.
    Stream {
        name: "SCANNED",
        subjects: &["inbound.scanned"],
        keeps: Keeps::UntilPassed,
        deduplicates: true,
        schedules: false,
        bundles: true,
        batches: false,
    },
    // Apart from SCANNED, so that a replay of a million mails stands in nobody's way.
    Stream {
        name: "REJUDGED",
        subjects: &["inbound.rejudged"],
        keeps: Keeps::UntilDone,
        deduplicates: true,
        schedules: false,
        bundles: false,
        batches: false,
    },
    Stream {
        name: "REVIEWS",
        subjects: &["inbound.reviewed"],
        keeps: Keeps::UntilDone,
        deduplicates: true,
        schedules: false,
        bundles: false,
        batches: false,
    },
    // JetStream deduplicates per stream, not per subject: two agents that chose the same key would
    // lose mail. The ledger compares keys within their inbox.
    Stream {
        name: "SUBMISSIONS",
        subjects: &["mail.v1.send.>"],
        keeps: Keeps::UntilDone,
        deduplicates: false,
        schedules: false,
        bundles: false,
        batches: false,
    },
    Stream {
        name: "OUTBOUND",
        subjects: &["outbound.scanned", "outbound.resolved"],
        keeps: Keeps::UntilDone,
        deduplicates: true,
        schedules: false,
        bundles: false,
        batches: false,
    },
    // Each with one consumer, like SCANNED: two syncs less for every mail that goes out. What is handled
    // twice does no harm: the router's work has identities, and the reporter knows what it recorded.
    Stream {
        name: "ACCEPTED",
        subjects: &["outbound.accepted"],
        keeps: Keeps::UntilPassed,
        deduplicates: true,
        schedules: false,
        bundles: false,
        batches: false,
    },
    Stream {
        name: "REPORTED",
        subjects: &["outbound.reported"],
        keeps: Keeps::UntilPassed,
        deduplicates: true,
        schedules: false,
        bundles: true,
        batches: false,
    },
    Stream {
        name: "DUE",
        subjects: &["outbound.due", "outbound.later.>", "webhooks.due", "webhooks.later.>"],
        keeps: Keeps::UntilDone,
        deduplicates: true,
        schedules: true,
        bundles: false,
        batches: false,
    },
    Stream {
        name: EVENTS,
        subjects: &["mail.v1.event.>"],
        keeps: Keeps::For(DAY.saturating_mul(7)),
        deduplicates: true,
        schedules: false,
        bundles: false,
        batches: true,
    },
];

pub const CONSUMERS: &[Consumer] = &[
    Consumer { durable: "scanner", stream: "INBOUND", filter: "inbound.received" },
    Consumer { durable: "storage", stream: "SCANNED", filter: "inbound.scanned" },
    Consumer { durable: "rejudger", stream: "REJUDGED", filter: "inbound.rejudged" },
    Consumer { durable: "reviewer", stream: "REVIEWS", filter: "inbound.reviewed" },
    Consumer { durable: "submission-scanner", stream: "SUBMISSIONS", filter: "mail.v1.send.>" },
    Consumer { durable: "ledger", stream: "OUTBOUND", filter: "outbound.scanned" },
    Consumer { durable: "router", stream: "ACCEPTED", filter: "outbound.accepted" },
    Consumer { durable: "deliverer", stream: "DUE", filter: "outbound.due" },
    Consumer { durable: "reporter", stream: "REPORTED", filter: "outbound.reported" },
    Consumer { durable: "resolver", stream: "OUTBOUND", filter: "outbound.resolved" },
    Consumer { durable: "webhook-waker", stream: EVENTS, filter: "mail.v1.event.>" },
    Consumer { durable: "webhook-caller", stream: "DUE", filter: "webhooks.due" },
];

/// The object-store bucket of content too large for an event.
pub const CLAIMS: &str = "CLAIMS";

/// The object-store bucket of what agents upload to attach it to mail.
pub const UPLOADS: &str = "UPLOADS";

/// The key-value bucket that intake resolves recipients with.
pub const DIRECTORY: &str = "DIRECTORY";

/// The key-value bucket of the MTA-STS policies (RFC 8461) that senders have fetched.
pub const POLICIES: &str = "POLICIES";

/// The key-value bucket of deliveries that may have reached their end of data, where the agent wants no
/// mail sent twice.
pub const DOTS: &str = "DOTS";

/// The key-value bucket in which the sender's replicas share what they know of destinations.
pub const SHAPING: &str = "SHAPING";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_consumer_has_its_stream() {
        for consumer in CONSUMERS {
            let stream = STREAMS.iter().find(|it| it.name == consumer.stream).expect("stream");
            assert!(stream.subjects.iter().any(|it| {
                *it == consumer.filter
                    || it
                        .strip_suffix(">")
                        .is_some_and(|prefix| consumer.filter.starts_with(prefix))
            }));
        }
    }

    /// Sweeping goes by its ack floor.
    #[test]
    fn a_stream_that_is_swept_has_one_consumer() {
        for stream in STREAMS.iter().filter(|it| it.keeps == Keeps::UntilPassed) {
            assert_eq!(CONSUMERS.iter().filter(|it| it.stream == stream.name).count(), 1);
        }
    }

    /// A bundle has one subject.
    #[test]
    fn a_stream_of_bundles_has_one_subject() {
        for stream in STREAMS.iter().filter(|it| it.bundles) {
            assert_eq!(stream.subjects.len(), 1);
            assert!(stream.deduplicates && !stream.schedules);
        }
    }

    /// A work-queue stream hands each subject to exactly one consumer.
    #[test]
    fn no_subject_is_consumed_twice() {
        for (n, consumer) in CONSUMERS.iter().enumerate() {
            assert!(CONSUMERS[n + 1..].iter().all(|it| it.filter != consumer.filter));
        }
    }
}
