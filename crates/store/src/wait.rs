//! The database at the start of a service: waited for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use service::Process;

use crate::{Error, Store, migrate};

const PAUSE: Duration = Duration::from_secs(1);

/// What is to be done about the schema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schema {
    /// Brought up to date.
    Migrate,
    /// Somebody else brings it up to date.
    Await,
}

impl Store {
    /// Opens the database, waiting while it is away or its schema is not current. Until then the process
    /// is not ready. `None` at shutdown.
    pub async fn wait(
        url: &str,
        schema: Schema,
        service: &str,
        process: &Process,
    ) -> Result<Option<Store>, Error> {
        let is_open = Arc::new(AtomicBool::new(false));
        process.health.add(format!("{service}: open database"), {
            let is_open = Arc::clone(&is_open);
            move || if is_open.load(Ordering::Relaxed) { Ok(()) } else { Err("not yet".into()) }
        });
        let mut warned = false;
        loop {
            match open(url, schema).await {
                Ok(store) => {
                    is_open.store(true, Ordering::Relaxed);
                    return Ok(Some(store));
                }
                Err(err) if err.is_transient() => {
                    if !std::mem::replace(&mut warned, true) {
                        let err = &err as &(dyn std::error::Error + 'static);
                        tracing::warn!(err, "waiting for the database");
                    }
                }
                Err(err) => return Err(err),
            }
            tokio::select! {
                () = process.shutdown.cancelled() => return Ok(None),
                () = tokio::time::sleep(PAUSE) => (),
            }
        }
    }
}

async fn open(url: &str, schema: Schema) -> Result<Store, Error> {
    if schema == Schema::Migrate {
        migrate(url).await?;
    }
    Store::open(url).await
}
