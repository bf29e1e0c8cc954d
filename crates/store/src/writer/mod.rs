mod accounts;
mod announcements;
mod brakes;
mod domains;
mod emails;
mod findings;
mod inboxes;
mod limits;
mod mail;
mod outbound;
mod outbox;
mod purge;
mod reports;
mod resolutions;
mod rotations;
mod secrets;
mod standings;
mod suppressions;
mod threads;
mod unsubscriptions;
mod uploads;
mod webhook_runs;
mod webhooks;

use std::sync::Arc;

use sqlx::{Any, Transaction};

pub(crate) use self::outbox::overrides;
pub use self::standings::Switched;
use crate::{Error, LimitPolicy, Policy, database::Database};

/// Writes. Each call is one transaction, but for purging, which takes its time.
#[derive(Clone)]
pub struct Writer {
    database: Database,
    policy: Option<Arc<Policy>>,
    limits: Arc<LimitPolicy>,
}

impl Writer {
    pub(crate) fn new(database: Database) -> Writer {
        Writer { database, policy: None, limits: Arc::default() }
    }

    pub(crate) fn under(self, limits: LimitPolicy) -> Writer {
        Writer { limits: Arc::new(limits), ..self }
    }

    pub(crate) async fn close(&self) {
        self.database.write.close().await;
    }
}

async fn commit(transaction: Transaction<'static, Any>) -> Result<(), Error> {
    transaction.commit().await.map_err(Error::query("commit"))
}
