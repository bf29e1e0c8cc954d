mod accounts;
mod acquaintances;
mod announcements;
mod attachment_texts;
mod audit;
mod brakes;
mod carried;
mod console;
mod domains;
mod emails;
mod expectations;
mod findings;
mod guards;
mod holds;
mod inboxes;
mod labels;
mod limits;
mod mail;
mod operator_audit;
mod operator_suppressions;
mod outbound;
mod outbox;
mod purge;
mod reports;
mod resolutions;
mod reviews;
mod rotations;
pub(crate) mod screening;
mod screening_settings;
mod secrets;
mod standings;
mod suppressions;
mod threads;
mod token_counts;
mod tokens;
mod unsubscriptions;
mod uploads;
mod verdicts;
mod webhook_runs;
mod webhooks;
mod work;

use std::sync::Arc;

use sqlx::{Any, Transaction};

pub(crate) use self::outbox::overrides;
pub(crate) use self::reviews::QUARANTINED;
pub(crate) use self::token_counts::count;
pub use self::{reviews::Reviewed, standings::Switched};
use crate::{Error, Joiner, LimitPolicy, Policy, ScreeningPolicy, database::Database};

/// Writes. Each call is one transaction, but for purging, which takes its time.
#[derive(Clone)]
pub struct Writer {
    database: Database,
    policy: Option<Arc<Policy>>,
    limits: Arc<LimitPolicy>,
    screening: Arc<ScreeningPolicy>,
    joiner: Option<Joiner>,
}

impl Writer {
    pub(crate) fn new(database: Database) -> Writer {
        Writer {
            database,
            policy: None,
            limits: Arc::default(),
            screening: Arc::default(),
            joiner: None,
        }
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
