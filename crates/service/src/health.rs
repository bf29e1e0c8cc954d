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

    /// What is not ready and why; empty when all is well.
    pub fn unready(&self) -> Vec<String> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks
            .iter()
            .filter_map(|(part, check)| check().err().map(|why| format!("{part}: {why}")))
            .collect()
    }
}
