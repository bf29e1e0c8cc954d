//! What all replicas know: entries of the bucket `SHAPING`, or of this process where there is no NATS.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use bus::Board;
use data_encoding::BASE64URL_NOPAD;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

/// A mail in hand waits no longer for it; then this replica goes by what it knows itself.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Shared {
    board: OnceLock<Board>,
    /// Where there is no board.
    local: Mutex<HashMap<String, Vec<u8>>>,
}

impl Shared {
    /// Only the first counts.
    pub(crate) fn over(&self, board: Board) {
        _ = self.board.set(board);
    }

    /// Changes an entry, whoever else does so at the same time. `change` may be asked several times;
    /// `None` leaves the entry as it is.
    pub(crate) async fn amend<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<T>) -> Option<T>,
    ) -> anyhow::Result<()> {
        // What another build wrote and this one cannot read is written anew.
        let mut change = |found: Option<&[u8]>| {
            let changed = change(found.and_then(|it| serde_json::from_slice(it).ok()))?;
            serde_json::to_vec(&changed).ok()
        };
        if let Some(board) = self.board.get() {
            let amended = timeout(PATIENCE, board.amend(key, change)).await;
            return amended.context("NATS does not answer")?.map(drop);
        }
        let mut entries = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = change(entries.get(key).map(Vec::as_slice)) {
            entries.insert(key.to_owned(), value);
        }
        Ok(())
    }

    pub(crate) async fn remove(&self, key: &str) -> anyhow::Result<()> {
        if let Some(board) = self.board.get() {
            return timeout(PATIENCE, board.remove(key)).await.context("NATS does not answer")?;
        }
        self.local.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }
}

/// Names of hosts and sites have characters that keys cannot have.
pub(crate) fn encoded(name: &str) -> String {
    BASE64URL_NOPAD.encode(name.as_bytes())
}

pub(crate) fn decoded(text: &str) -> Option<String> {
    String::from_utf8(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()
}
