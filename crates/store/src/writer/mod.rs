mod accounts;
mod domains;
mod emails;
mod findings;
mod inboxes;
mod mail;
mod outbound;
mod purge;
mod reports;
mod resolutions;
mod secrets;
mod suppressions;
mod threads;

use sqlx::{Any, Transaction};

use crate::{Error, database::Database};

/// Writes. Each call is one transaction, but for purging, which takes its time.
#[derive(Clone)]
pub struct Writer {
    database: Database,
}

impl Writer {
    pub(crate) fn new(database: Database) -> Writer {
        Writer { database }
    }

    pub(crate) async fn close(&self) {
        self.database.write.close().await;
    }
}

async fn commit(transaction: Transaction<'static, Any>) -> Result<(), Error> {
    transaction.commit().await.map_err(Error::query("commit"))
}
