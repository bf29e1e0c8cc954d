//! The database at the start: waited for, then brought up to date.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use service::Process;
use store::{Policy, Store};

const PAUSE: Duration = Duration::from_secs(1);

/// Migrates and opens the database, waiting while it is away, and writes there what senders are judged
/// by. `None` at shutdown.
pub(crate) async fn open(
    url: &str,
    policy: Policy,
    process: &Process,
) -> anyhow::Result<Option<Store>> {
    let is_open = Arc::new(AtomicBool::new(false));
    process.health.add("storage: database", {
        let is_open = Arc::clone(&is_open);
        move || if is_open.load(Ordering::Relaxed) { Ok(()) } else { Err("not open yet".into()) }
    });
    let mut warned = false;
    loop {
        let opened = async {
            store::migrate(url).await?;
            let store = Store::open(url).await?;
            let writer = store.writer.judging(policy.clone());
            writer.publish_policy().await?;
            Ok::<_, store::Error>(Store { writer, ..store })
        };
        match opened.await {
            Ok(store) => {
                is_open.store(true, Ordering::Relaxed);
                return Ok(Some(store));
            }
            Err(err) if err.is_transient() => {
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!("waiting for the database: {:#}", anyhow::Error::new(err));
                }
            }
            Err(err) => return Err(err).context("open the database"),
        }
        tokio::select! {
            () = process.shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(PAUSE) => (),
        }
    }
}
