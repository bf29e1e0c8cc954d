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

/// Ends a transaction that is to change nothing, and hands on what came of it. One that is dropped keeps its
/// locks until the pool has got round to its connection, and whoever passes over what is locked passes over
/// that.
async fn unchanged<T>(transaction: Transaction<'static, Any>, answer: T) -> Result<T, Error> {
    transaction.rollback().await.map_err(Error::query("roll back"))?;
    Ok(answer)
}

async fn commit(transaction: Transaction<'static, Any>) -> Result<(), Error> {
    transaction.commit().await.map_err(Error::query("commit"))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let entries =
            fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").path());
        entries.flat_map(|it| if it.is_dir() { sources(&it) } else { vec![it] }).collect()
    }

    /// Lines that answer while a transaction is open, by the functions of this file.
    fn left_open(source: &str) -> Vec<&str> {
        let (mut open_until, mut found) = (None, Vec::new());
        for line in source.lines() {
            let indent = line.len() - line.trim_start().len();
            if line.contains("self.database.begin()") {
                open_until.get_or_insert(indent);
            }
            // The block in which it was begun ends.
            if open_until.is_some_and(|it| line.trim_start().starts_with('}') && indent < it) {
                open_until = None;
            }
            if open_until.is_some() && line.contains("return Ok(") {
                found.push(line.trim());
            }
        }
        found
    }

    #[test]
    fn whoever_answers_early_ends_his_transaction() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/writer");
        for path in sources(&folder) {
            let source = fs::read_to_string(&path).expect("a source");
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            // What is answered for each of several requests, after the commit.
            let found = left_open(source).into_iter().filter(|it| !it.contains("not_kept(it"));
            assert_eq!(found.collect::<Vec<_>>(), [""; 0], "{}", path.display());
        }
    }

    #[test]
    fn what_is_left_open_is_found() {
        let begin = "    let mut transaction = self.database.begin().await?;";
        let early = "        return Ok(None);";
        let body =
            format!("fn f() {{\n{early}\n{begin}\n    if x {{\n{early}\n    }}\n}}\n{early}");
        assert_eq!(left_open(&body), [early.trim()]);
    }
}
