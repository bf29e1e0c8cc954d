//! What mails say together, in the transaction that stores the last of them: the lock on its inbox has seen
//! to it that all that came before is there.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AnyConnection, Row as _, any::AnyRow};

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

    /// The threads it leads to.
    fn threads<'a>(&self, threads: &'a Threads) -> impl Iterator<Item = &'a String> {
        let thread = |key: &String| threads.get(&(self.inbox_id.to_owned(), key.clone()));
        let own: BTreeSet<&String> = self.keys.iter().filter_map(thread).collect();
        own.into_iter().take(MOST_THREADS)
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
    let before = Before::read(connection, copies, &threads).await?;
    let mut judged = Vec::new();
    for (at, copy) in copies.iter().enumerate() {
        if copy.text.is_empty() {
            judged.push(None);
            continue;
        }
        let mut earlier = before.of(copy, &threads);
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

/// What mails before carried, by their senders in an inbox and by their threads: the last of each.
struct Before {
    of_sender: BTreeMap<(String, String), Vec<Earlier>>,
    of_thread: BTreeMap<String, Vec<Earlier>>,
}

impl Before {
    async fn read(
        connection: &mut AnyConnection,
        copies: &[Copy<'_>],
        threads: &Threads,
    ) -> Result<Before, Error> {
        let copies = || copies.iter().filter(|it| !it.text.is_empty());
        let Some(since) = copies().map(|it| it.at - CARRIED_FOR).min() else {
            return Ok(Before { of_sender: BTreeMap::new(), of_thread: BTreeMap::new() });
        };
        let senders: BTreeSet<(&str, String)> = copies()
            .map(|it| (it.inbox_id, key(it.sender)))
            .filter(|it| !it.1.is_empty())
            .collect();
        let thread_ids: BTreeSet<&String> = copies().flat_map(|it| it.threads(threads)).collect();
        Ok(Before {
            of_sender: of_senders(connection, senders, since).await?,
            of_thread: of_threads(connection, thread_ids, since).await?,
        })
    }

    /// The last mails of its sender and of its threads.
    fn of(&self, copy: &Copy<'_>, threads: &Threads) -> Vec<Earlier> {
        let sender = self.of_sender.get(&(copy.inbox_id.to_owned(), key(copy.sender)));
        let threads = copy.threads(threads).filter_map(|it| self.of_thread.get(it));
        let found = sender.into_iter().chain(threads).flatten();
        let found: BTreeMap<&str, &Earlier> = found
            .filter(|it| it.at >= copy.at - CARRIED_FOR)
            .map(|it| (it.email_id.as_str(), it))
            .collect();
        found.into_values().cloned().collect()
    }
}

async fn of_senders(
    connection: &mut AnyConnection,
    senders: BTreeSet<(&str, String)>,
    since: i64,
) -> Result<BTreeMap<(String, String), Vec<Earlier>>, Error> {
    let failed = Error::query("read what mails of the same senders carried");
    let senders: Vec<(&str, String)> = senders.into_iter().collect();
    let select = |[inbox_id, sender, since]: [String; 3]| {
        format!(
            "SELECT inbox_id, sender, email_id, text, score, carried_at FROM carried \
             WHERE inbox_id = {inbox_id} AND sender = {sender} AND carried_at >= {since} \
             ORDER BY carried_at DESC LIMIT {MOST_EARLIER}"
        )
    };
    let bind = |query: sql::Bound, (inbox_id, sender): &(&str, String)| {
        query.bind((*inbox_id).to_owned()).bind(sender.clone()).bind(since)
    };
    let rows = sql::fetch_each(connection, &senders, select, bind).await.map_err(&failed)?;
    let mut found: BTreeMap<_, Vec<Earlier>> = BTreeMap::new();
    for row in &rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let earlier = earlier(row).map_err(&failed)?;
        found.entry((text("inbox_id")?, text("sender")?)).or_default().push(earlier);
    }
    Ok(found)
}

async fn of_threads(
    connection: &mut AnyConnection,
    thread_ids: BTreeSet<&String>,
    since: i64,
) -> Result<BTreeMap<String, Vec<Earlier>>, Error> {
    let failed = Error::query("read what mails of the same threads carried");
    let thread_ids: Vec<&String> = thread_ids.into_iter().collect();
    let select = |[thread_id, since]: [String; 2]| {
        format!(
            "SELECT e.thread_id, c.email_id, c.text, c.score, c.carried_at FROM emails e \
             JOIN carried c ON c.email_id = e.id WHERE e.thread_id = {thread_id} \
             AND e.created_at >= {since} ORDER BY e.created_at DESC LIMIT {MOST_EARLIER}"
        )
    };
    let bind =
        |query: sql::Bound, thread_id: &&String| query.bind(sql::text(thread_id)).bind(since);
    let rows = sql::fetch_each(connection, &thread_ids, select, bind).await.map_err(&failed)?;
    let mut found: BTreeMap<_, Vec<Earlier>> = BTreeMap::new();
    for row in &rows {
        let thread_id: String = row.try_get("thread_id").map_err(&failed)?;
        found.entry(thread_id).or_default().push(earlier(row).map_err(&failed)?);
    }
    Ok(found)
}

fn earlier(row: &AnyRow) -> sqlx::Result<Earlier> {
    let score: i64 = row.try_get("score")?;
    Ok(Earlier {
        email_id: row.try_get("email_id")?,
        text: row.try_get("text")?,
        score: score as f64 / MILLIONTHS,
        at: row.try_get("carried_at")?,
    })
}

/// Keeps what new emails carry. They are there already.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    copies: &[Copy<'_>],
) -> Result<(), Error> {
    let copies: Vec<&Copy<'_>> = copies.iter().filter(|it| !it.text.is_empty()).collect();
    let statement = |rows| {
        format!(
            "INSERT INTO carried (email_id, inbox_id, sender, text, score, carried_at) \
             {rows}"
        )
    };
    sql::insert(connection, &copies, 6, statement, |query, it| {
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
