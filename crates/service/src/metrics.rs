//! The Prometheus metrics of a process that may hold several services.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use prometheus::{Encoder as _, Registry, TextEncoder, proto::MetricFamily};

/// One registry per service, told apart by the label `service`. Cloning shares them.
#[derive(Clone, Default)]
pub struct Metrics {
    registries: Arc<Mutex<Vec<Registry>>>,
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

    /// The Prometheus text format. A family that several services have appears once.
    pub fn text(&self) -> anyhow::Result<String> {
        let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
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
}
