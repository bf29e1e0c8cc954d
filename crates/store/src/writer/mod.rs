mod accounts;
mod domains;
mod emails;
mod inboxes;
mod limits;
mod mail;
mod outbound;
mod outbox;
mod purge;
mod reports;
mod suppressions;
mod threads;

use std::sync::Arc;

use sqlx::{Any, Transaction};

pub(crate) use self::outbox::overrides;
use crate::{Error, Policy, database::Database};

/// Writes. Each call is one transaction, but for purging, which takes its time.
#[derive(Clone)]
pub struct Writer {
    database: Database,
    policy: Arc<Policy>,
}

impl Writer {
    pub(crate) fn new(database: Database) -> Writer {
        Writer { database, policy: Arc::default() }
    }

    pub(crate) fn under(self, policy: Policy) -> Writer {
        Writer { policy: Arc::new(policy), ..self }
    }

    pub(crate) async fn close(&self) {
        self.database.write.close().await;
    }
}

async fn commit(transaction: Transaction<'static, Any>) -> Result<(), Error> {
    transaction.commit().await.map_err(Error::query("commit"))
}
