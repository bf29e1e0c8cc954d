//! Whether a process can do its work now, asked of its parts.

use std::sync::{Arc, Mutex, PoisonError};

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The readiness checks of a process. Cloning shares them.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<Vec<(String, Check)>>>,
}

impl Health {
    /// Adds a part whose readiness counts. The check is asked at every probe and must be quick.
    pub fn add(
        &self,
        part: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((part.into(), Box::new(check)));
    }

    /// What is not ready and why; empty when all is well. Without any part yet, nothing is.
    pub fn unready(&self) -> Vec<String> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.is_empty() {
            return vec!["starting".to_owned()];
        }
        checks
            .iter()
            .filter_map(|(part, check)| check().err().map(|why| format!("{part}: {why}")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_every_part_is_and_there_is_one() {
        let health = Health::default();
        assert_eq!(health.unready(), ["starting"]);
        health.add("nats", || Ok(()));
        assert_eq!(health.unready(), [""; 0]);
        health.add("database", || Err("away".to_owned()));
        assert_eq!(health.unready(), ["database: away"]);
    }
}
