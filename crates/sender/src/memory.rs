//! What was learned about hosts and is believed for a while.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A bounded map whose entries expire.
pub(crate) struct Memory<V> {
    lifetime: Duration,
    capacity: usize,
    entries: Mutex<HashMap<String, (Instant, V)>>,
}

impl<V: Clone> Memory<V> {
    pub(crate) fn new(lifetime: Duration, capacity: usize) -> Memory<V> {
        Memory { lifetime, capacity, entries: Mutex::default() }
    }

    pub(crate) fn recall(&self, key: &str) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (learned, value) = entries.get(key)?;
        (learned.elapsed() < self.lifetime).then(|| value.clone())
    }

    /// The oldest entry goes when there is no room.
    pub(crate) fn learn(&self, key: &str, value: V) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.capacity && !entries.contains_key(key) {
            entries.retain(|_, (learned, _)| learned.elapsed() < self.lifetime);
            let oldest = entries.iter().min_by_key(|(_, (learned, _))| *learned);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone())
                && entries.len() >= self.capacity
            {
                entries.remove(&oldest);
            }
        }
        entries.insert(key.to_owned(), (Instant::now(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let memory = Memory::new(Duration::from_secs(60), 2);
        for (n, key) in ["a", "b", "a", "c"].iter().enumerate() {
            memory.learn(key, n);
        }
        assert_eq!(
            [memory.recall("a"), memory.recall("b"), memory.recall("c")],
            [Some(2), None, Some(3)]
        );
    }

    #[test]
    fn what_is_old_is_not_believed() {
        let memory = Memory::new(Duration::ZERO, 2);
        memory.learn("a", ());
        assert_eq!(memory.recall("a"), None);
    }
}
