//! What was asked how often, for `$SRV.STATS`.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde_json::{Value, json};

/// Of one operation.
#[derive(Default)]
pub(super) struct Counts {
    asked: AtomicU64,
    failed: AtomicU64,
    nanos: AtomicU64,
}

impl Counts {
    pub(super) fn answered(&self, is_error: bool, took: Duration) {
        self.asked.fetch_add(1, Relaxed);
        self.failed.fetch_add(is_error.into(), Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// As ADR-32 names them. Held questions count with their whole time.
    pub(super) fn stats(&self) -> [(&'static str, Value); 4] {
        let asked = self.asked.load(Relaxed);
        let nanos = self.nanos.load(Relaxed);
        [
            ("num_requests", json!(asked)),
            ("num_errors", json!(self.failed.load(Relaxed))),
            ("processing_time", json!(nanos)),
            ("average_processing_time", json!(nanos.checked_div(asked).unwrap_or_default())),
        ]
    }
}
