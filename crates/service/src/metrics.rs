//! The Prometheus metrics of a process that may hold several services.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use prometheus::{
    Encoder as _, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector as _,
    proto::MetricFamily,
};

/// What was built, if whoever built it said so: a commit, as a rule.
const REVISION: &str = match option_env!("POSTHOUSE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// One registry per service, told apart by the label `service`. Cloning shares them.
#[derive(Clone, Default)]
pub struct Metrics {
    registries: Arc<Mutex<Vec<Registry>>>,
    ready: Arc<AtomicBool>,
}

impl Metrics {
    /// A registry for the metrics of a service.
    pub fn registry(&self, service: &str) -> anyhow::Result<Registry> {
        let labels = [("service".to_owned(), service.to_owned())].into();
        let registry =
            Registry::new_custom(None, Some(labels)).context("create metrics registry")?;
        self.registries.lock().unwrap_or_else(PoisonError::into_inner).push(registry.clone());
        Ok(registry)
    }

    /// Whether the process could do its work when it was last asked, which it is for each text.
    pub(crate) fn note_ready(&self, is_ready: bool) {
        self.ready.store(is_ready, Ordering::Relaxed);
    }

    /// The Prometheus text format. A family that several services have appears once.
    pub fn text(&self) -> anyhow::Result<String> {
        let own = self.of_process().context("describe the process")?;
        let mut families: BTreeMap<String, MetricFamily> =
            own.into_iter().map(|it| (it.name().to_owned(), it)).collect();
        for registry in &*self.registries.lock().unwrap_or_else(PoisonError::into_inner) {
            for mut family in registry.gather() {
                match families.get_mut(family.name()) {
                    Some(known) => known.mut_metric().extend(family.take_metric()),
                    None => _ = families.insert(family.name().to_owned(), family),
                }
            }
        }
        let families: Vec<MetricFamily> = families.into_values().collect();
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text).context("encode metrics")?;
        String::from_utf8(text).context("encode metrics")
    }

    /// What is one for the process, however many services it holds. Made anew each time: nothing of it
    /// counts.
    fn of_process(&self) -> prometheus::Result<Vec<MetricFamily>> {
        let build = Opts::new("mail_build_info", "Always 1; what runs is in the labels.");
        let build = IntGaugeVec::new(build, &["version", "revision"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION]).set(1);
        let ready = IntGauge::new(
            "mail_process_ready",
            "1 if the process can do its work, as /readyz says; 0 if what it needs is away.",
        )?;
        ready.set(self.ready.load(Ordering::Relaxed).into());
        let mut families = [build.collect(), ready.collect()].concat();
        // Its CPU time, memory, threads and open files, under the names that all programs use.
        #[cfg(target_os = "linux")]
        families.extend(prometheus::process_collector::ProcessCollector::for_self().collect());
        Ok(families)
    }
}

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;

    use super::*;

    #[test]
    fn a_shared_family_appears_once() {
        let metrics = Metrics::default();
        for service in ["intake", "scanner"] {
            let counter =
                IntCounter::new("mail_stage_messages_total", "Messages.").expect("counter");
            counter.inc();
            metrics.registry(service).expect("registry").register(Box::new(counter)).expect("new");
        }
        let text = metrics.text().expect("text");
        assert_eq!(text.matches("# TYPE mail_stage_messages_total").count(), 1, "{text}");
        assert!(text.contains(r#"service="scanner"} 1"#), "{text}");
    }

    #[test]
    fn the_process_says_what_it_is_and_whether_it_is_ready() {
        let metrics = Metrics::default();
        let check = |line: &str| {
            let text = metrics.text().expect("text");
            assert!(text.lines().any(|it| it.starts_with(line)), "{line} in {text}");
        };
        check("mail_build_info{revision=\"");
        check("mail_process_ready 0");
        metrics.note_ready(true);
        check("mail_process_ready 1");
        #[cfg(target_os = "linux")]
        check("process_resident_memory_bytes ");
    }
}
