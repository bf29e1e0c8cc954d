//! What mails say together, in the transaction that stores the last of them: the lock on its inbox has seen
//! to it that all that came before is there.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use super::Writer;
use crate::{
    Earlier, Error, Joiner, Together,
    carried::{CARRIED_FOR, MOST_EARLIER},
    moment::now,
    sql,
    suppression::key,
    threading::Keys,
};

/// Rows removed in one transaction.
const MOST_PURGED: i64 = 2_000;

/// A mail seldom leads to several threads.
const MOST_THREADS: usize = 4;

/// The score is kept in these.
const MILLIONTHS: f64 = 1_000_000.0;

/// A copy that is about to be stored.
pub(super) struct Copy<'a> {
    pub(super) email_id: &'a str,
    pub(super) inbox_id: &'a str,
    /// The address in From.
    pub(super) sender: &'a str,
    pub(super) keys: Keys,
    pub(super) text: &'a str,
    pub(super) score: f64,
    pub(super) at: i64,
}

impl Copy<'_> {
    fn is_near(&self, other: &Copy<'_>) -> bool {
        let sender = key(self.sender);
        self.inbox_id == other.inbox_id
            && (!sender.is_empty() && sender == key(other.sender)
                || self.keys.iter().any(|it| other.keys.iter().any(|other| it == other)))
    }

    fn earlier(&self) -> Earlier {
        Earlier {
            email_id: self.email_id.to_owned(),
            text: self.text.to_owned(),
            score: self.score,
            at: self.at,
        }
    }
}

impl Writer {
    /// Has received mail judged together with what came before it.
    #[must_use]
    pub fn joining(self, joiner: Joiner) -> Writer {
        Writer { joiner: Some(joiner), ..self }
    }

    /// Forgets what mails carried too long ago. Returns how many it were.
    pub async fn purge_carried(&self) -> Result<u64, Error> {
        let statement = "DELETE FROM carried WHERE email_id IN \
                         (SELECT email_id FROM carried WHERE carried_at < $1 LIMIT $2)";
        let mut purged = 0;
        loop {
            let done = sqlx::query(statement)
                .bind(now() - CARRIED_FOR)
                .bind(MOST_PURGED)
                .execute(&self.database.write)
                .await
                .map_err(Error::query("forget what mails carried"))?;
            purged += done.rows_affected();
            if done.rows_affected() < MOST_PURGED as u64 {
                return Ok(purged);
            }
        }
    }
}

/// What each copy says together with those before it, in their order; those of the same batch count.
pub(super) async fn judge(
    connection: &mut AnyConnection,
    joiner: &Joiner,
    copies: &[Copy<'_>],
) -> Result<Vec<Option<Together>>, Error> {
    let threads = threads(connection, copies).await?;
    let mut judged = Vec::new();
    for (at, copy) in copies.iter().enumerate() {
        if copy.text.is_empty() {
            judged.push(None);
            continue;
        }
        let mut earlier = before(connection, copy, &threads).await?;
        earlier.extend(copies[..at].iter().filter(|it| it.is_near(copy)).map(Copy::earlier));
        earlier.retain(|it| !it.text.is_empty());
        earlier.sort_by(|a, b| (a.at, &a.email_id).cmp(&(b.at, &b.email_id)));
        let last = earlier.len().saturating_sub(MOST_EARLIER);
        let earlier = &earlier[last..];
        let together =
            if earlier.is_empty() { None } else { joiner(earlier, copy.text, copy.score) };
        judged.push(together);
    }
    Ok(judged)
}

/// The threads of inboxes by what leads there.
type Threads = BTreeMap<(String, String), String>;

async fn threads(connection: &mut AnyConnection, copies: &[Copy<'_>]) -> Result<Threads, Error> {
    let failed = Error::query("find the threads of mails");
    let keys: BTreeSet<(&str, &str)> = copies
        .iter()
        .flat_map(|it| it.keys.iter().map(|key| (it.inbox_id, key.as_str())))
        .collect();
    let keys: Vec<(&str, &str)> = keys.into_iter().collect();
    let statement = |tuples| {
        format!(
            "SELECT k.inbox_id, k.key, k.thread_id FROM (VALUES {tuples}) AS v \
             JOIN thread_keys k ON k.inbox_id = v.column1 AND k.key = v.column2"
        )
    };
    let rows = sql::fetch(connection, &keys, 2, statement, |query, (inbox_id, key)| {
        query.bind((*inbox_id).to_owned()).bind((*key).to_owned())
    });
    let thread = |row: &AnyRow| {
        Ok(((row.try_get("inbox_id")?, row.try_get("key")?), row.try_get("thread_id")?))
    };
    let rows = rows.await.map_err(&failed)?;
    rows.iter().map(thread).collect::<sqlx::Result<_>>().map_err(&failed)
}

/// The last mails of its sender and of its threads.
async fn before(
    connection: &mut AnyConnection,
    copy: &Copy<'_>,
    threads: &Threads,
) -> Result<Vec<Earlier>, Error> {
    let failed = Error::query("read what mails before carried");
    let since = copy.at - CARRIED_FOR;
    let mut found: BTreeMap<String, Earlier> = BTreeMap::new();
    let sender = key(copy.sender);
    if !sender.is_empty() {
        let statement = format!(
            "SELECT email_id, text, score, carried_at FROM carried WHERE inbox_id = $1 \
             AND sender = $2 AND carried_at >= $3 ORDER BY carried_at DESC LIMIT {MOST_EARLIER}"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(copy.inbox_id.to_owned())
            .bind(sender)
            .bind(since)
            .fetch_all(&mut *connection);
        take(rows.await.map_err(&failed)?, &mut found).map_err(&failed)?;
    }
    let own: BTreeSet<&String> = copy
        .keys
        .iter()
        .filter_map(|it| threads.get(&(copy.inbox_id.to_owned(), it.clone())))
        .collect();
    for thread_id in own.into_iter().take(MOST_THREADS) {
        let statement = format!(
            "SELECT c.email_id, c.text, c.score, c.carried_at FROM emails e \
             JOIN carried c ON c.email_id = e.id WHERE e.thread_id = $1 AND e.created_at >= $2 \
             ORDER BY e.created_at DESC LIMIT {MOST_EARLIER}"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(thread_id.clone())
            .bind(since)
            .fetch_all(&mut *connection);
        take(rows.await.map_err(&failed)?, &mut found).map_err(&failed)?;
    }
    Ok(found.into_values().collect())
}

fn take(rows: Vec<AnyRow>, found: &mut BTreeMap<String, Earlier>) -> sqlx::Result<()> {
    for row in rows {
        let email_id: String = row.try_get("email_id")?;
        let score: i64 = row.try_get("score")?;
        let earlier = Earlier {
            email_id: email_id.clone(),
            text: row.try_get("text")?,
            score: score as f64 / MILLIONTHS,
            at: row.try_get("carried_at")?,
        };
        found.insert(email_id, earlier);
    }
    Ok(())
}

/// Keeps what new emails carry. They are there already.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    copies: &[Copy<'_>],
) -> Result<(), Error> {
    let copies: Vec<&Copy<'_>> = copies.iter().filter(|it| !it.text.is_empty()).collect();
    let statement = |tuples| {
        format!(
            "INSERT INTO carried (email_id, inbox_id, sender, text, score, carried_at) \
             VALUES {tuples}"
        )
    };
    sql::execute(connection, &copies, 6, statement, |query, it| {
        query
            .bind(it.email_id.to_owned())
            .bind(it.inbox_id.to_owned())
            .bind(key(it.sender))
            .bind(sql::text(it.text))
            .bind((it.score * MILLIONTHS) as i64)
            .bind(it.at)
    })
    .await
    .map_err(Error::query("keep what mails carry"))
}
