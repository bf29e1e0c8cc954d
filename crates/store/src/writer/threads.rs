//! Threading, with the database: what a batch needs to know, and what it changes.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{AnyConnection, Row as _};

use super::{emails::EmailRow, work};
use crate::{
    Error, email,
    moment::DAY,
    sql,
    threading::{Book, Candidate, NewThread, SUBJECT_DAYS, Subject},
};

/// The most threads with a mail's subject that are looked at.
const MOST_SUBJECT_THREADS: usize = 5;

/// Finds the thread of each email, in their order, and writes what that changes but for the emails
/// themselves. `candidates` go with `emails`.
pub(super) async fn thread(
    connection: &mut AnyConnection,
    emails: &mut [EmailRow],
    candidates: &[Candidate],
) -> Result<(), Error> {
    let mut books: BTreeMap<String, Book> =
        emails.iter().map(|it| (it.inbox_id.clone(), Book::default())).collect();
    know_keys(connection, &mut books, emails, candidates).await?;
    know_named(connection, &mut books, candidates).await?;
    for (email, candidate) in emails.iter_mut().zip(candidates) {
        if let Some(book) = books.get_mut(&email.inbox_id) {
            email.thread_id = Some(book.place(candidate, new_thread_id));
        }
    }
    let mut writes = Writes::default();
    for (inbox_id, book) in books {
        for email in emails.iter_mut().filter(|it| it.inbox_id == inbox_id) {
            let thread_id = email.thread_id.as_deref().map(|it| book.now(it));
            if let Some(thread_id) = thread_id.clone() {
                let joined = writes.joined.entry(thread_id).or_default();
                joined.emails += 1;
                joined.last_email_at = joined.last_email_at.max(email.created_at);
            }
            email.thread_id = thread_id;
        }
        writes.add(&inbox_id, book);
    }
    writes.run(connection).await
}

/// What a transaction adds to a thread.
#[derive(Default)]
struct Joined {
    emails: i64,
    last_email_at: i64,
}

/// What all books of a batch change.
#[derive(Default)]
struct Writes {
    /// With their inboxes.
    created: Vec<(String, NewThread)>,
    keys: Vec<(String, String, String)>,
    merges: Vec<(String, String, String)>,
    joined: HashMap<String, Joined>,
}

impl Writes {
    fn add(&mut self, inbox_id: &str, book: Book) {
        let keys = book.resolved_keys().into_iter();
        self.keys.extend(keys.map(|(key, thread)| (inbox_id.to_owned(), key, thread)));
        let changes = book.into_changes();
        self.created.extend(changes.created.into_iter().map(|it| (inbox_id.to_owned(), it)));
        let merges = changes.merges.into_iter();
        self.merges.extend(merges.map(|(loser, winner)| (inbox_id.to_owned(), loser, winner)));
    }

    async fn run(self, connection: &mut AnyConnection) -> Result<(), Error> {
        create(connection, &self.created).await?;
        merge(connection, &self.merges).await?;
        let statement = |rows| {
            format!(
                "INSERT INTO thread_keys (inbox_id, key, thread_id) {rows} \
                 ON CONFLICT (inbox_id, key) DO NOTHING"
            )
        };
        sql::insert(connection, &self.keys, 3, statement, |query, (inbox_id, key, thread_id)| {
            query.bind(inbox_id.clone()).bind(key.clone()).bind(thread_id.clone())
        })
        .await
        .map_err(Error::query("store message identifiers"))?;
        let joined: Vec<_> = self.joined.into_iter().collect();
        let statement = |tuples| {
            format!(
                "UPDATE threads SET email_count = threads.email_count + v.column2, \
                 last_email_at = v.column3 FROM (VALUES {tuples}) AS v \
                 WHERE threads.id = v.column1"
            )
        };
        sql::execute(connection, &joined, 3, statement, |query, (thread_id, joined)| {
            query.bind(thread_id.clone()).bind(joined.emails).bind(joined.last_email_at)
        })
        .await
        .map_err(Error::query("count the emails of threads"))
    }
}

fn new_thread_id() -> String {
    format!("thd_{}", uuid::Uuid::now_v7().simple())
}

async fn know_keys(
    connection: &mut AnyConnection,
    books: &mut BTreeMap<String, Book>,
    emails: &[EmailRow],
    candidates: &[Candidate],
) -> Result<(), Error> {
    let keys: HashSet<(&str, &str)> = emails
        .iter()
        .zip(candidates)
        .flat_map(|(email, it)| it.keys.iter().map(|key| (email.inbox_id.as_str(), key.as_str())))
        .collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let statement = |tuples| {
        format!(
            "SELECT k.inbox_id, k.key, t.id, t.created_at FROM (VALUES {tuples}) AS v \
             JOIN thread_keys k ON k.inbox_id = v.column1 AND k.key = v.column2 \
             JOIN threads t ON t.id = k.thread_id"
        )
    };
    let failed = Error::query("find threads by message identifiers");
    let rows = sql::fetch(connection, &keys, 2, statement, |query, (inbox_id, key)| {
        query.bind((*inbox_id).to_owned()).bind((*key).to_owned())
    })
    .await
    .map_err(&failed)?;
    for row in rows {
        let inbox_id: String = row.try_get("inbox_id").map_err(&failed)?;
        let key = row.try_get("key").map_err(&failed)?;
        let thread_id = row.try_get("id").map_err(&failed)?;
        let began = row.try_get("created_at").map_err(&failed)?;
        if let Some(book) = books.get_mut(&inbox_id) {
            book.know(key, thread_id, began);
        }
    }
    Ok(())
}

/// The threads that candidates name.
async fn know_named(
    connection: &mut AnyConnection,
    books: &mut BTreeMap<String, Book>,
    candidates: &[Candidate],
) -> Result<(), Error> {
    let failed = Error::query("find threads by name");
    let named: Vec<&String> = candidates.iter().filter_map(|it| it.named.as_ref()).collect();
    let statement =
        |ids| format!("SELECT id, inbox_id, created_at FROM threads WHERE id IN (VALUES {ids})");
    let rows = sql::fetch(connection, &named, 1, statement, |query, id| query.bind(sql::text(id)))
        .await
        .map_err(&failed)?;
    for row in rows {
        let inbox_id: String = row.try_get("inbox_id").map_err(&failed)?;
        let thread_id = row.try_get("id").map_err(&failed)?;
        let began = row.try_get("created_at").map_err(&failed)?;
        if let Some(book) = books.get_mut(&inbox_id) {
            book.know_thread(thread_id, began);
        }
    }
    Ok(())
}

async fn create(
    connection: &mut AnyConnection,
    created: &[(String, NewThread)],
) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO threads (id, inbox_id, subject, base_subject, email_count, last_email_at, \
             created_at) {rows}"
        )
    };
    sql::insert(connection, created, 7, statement, |query, (inbox_id, thread)| {
        query
            .bind(thread.id.clone())
            .bind(inbox_id.clone())
            .bind(sql::text(&thread.subject))
            .bind(Subject::of(&thread.subject).base)
            .bind(0_i64)
            .bind(thread.created_at)
            .bind(thread.created_at)
    })
    .await
    .map_err(Error::query("create threads"))
}

/// Moves what losers have to their winners, and leaves redirects.
async fn merge(
    connection: &mut AnyConnection,
    merges: &[(String, String, String)],
) -> Result<(), Error> {
    for (inbox_id, loser, winner) in merges {
        for statement in [
            "UPDATE emails SET thread_id = $2 WHERE thread_id = $1",
            "UPDATE thread_keys SET thread_id = $2 WHERE thread_id = $1",
            "UPDATE thread_redirects SET target = $2 WHERE target = $1",
            "UPDATE threads SET email_count = email_count + \
             (SELECT l.email_count FROM threads l WHERE l.id = $1) WHERE id = $2",
        ] {
            sqlx::query(statement)
                .bind(loser.clone())
                .bind(winner.clone())
                .execute(&mut *connection)
                .await
                .map_err(Error::query("merge threads"))?;
        }
        sqlx::query("DELETE FROM threads WHERE id = $1")
            .bind(loser.clone())
            .execute(&mut *connection)
            .await
            .map_err(Error::query("merge threads"))?;
        let statement =
            "INSERT INTO thread_redirects (thread_id, inbox_id, target) VALUES ($1, $2, $3)";
        sqlx::query(statement)
            .bind(loser.clone())
            .bind(inbox_id.clone())
            .bind(winner.clone())
            .execute(&mut *connection)
            .await
            .map_err(Error::query("merge threads"))?;
        work::merge(connection, inbox_id, loser, winner).await?;
    }
    Ok(())
}

/// The thread that a mail without any reference continues, going by its subject: a recent one of the
/// same base subject that its sender takes part in.
pub(super) async fn by_subject(
    connection: &mut AnyConnection,
    inbox_id: &str,
    subject: &str,
    sender: &str,
    now: i64,
) -> Result<Option<String>, Error> {
    let failed = Error::query("find threads by subject");
    let subject = Subject::of(subject);
    if !subject.is_reply || subject.base.is_empty() || sender.is_empty() {
        return Ok(None);
    }
    let statement = "SELECT t.id, m.from_address, m.to_addresses, m.cc_addresses \
         FROM (SELECT id, last_email_at FROM threads WHERE inbox_id = $1 AND base_subject = $2 \
               AND last_email_at >= $3 ORDER BY last_email_at DESC LIMIT $4) AS t \
         JOIN emails e ON e.thread_id = t.id JOIN mails m ON m.id = e.mail_id \
         ORDER BY t.last_email_at DESC, t.id LIMIT 500";
    let rows = sqlx::query(statement)
        .bind(inbox_id.to_owned())
        .bind(subject.base)
        .bind(now - SUBJECT_DAYS * DAY)
        .bind(MOST_SUBJECT_THREADS as i64)
        .fetch_all(connection)
        .await
        .map_err(&failed)?;
    for row in rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let mut participants: Vec<String> = email::from_json(&text("to_addresses")?, "recipients")?;
        participants.extend(email::from_json::<Vec<String>>(&text("cc_addresses")?, "recipients")?);
        participants.push(text("from_address")?);
        if participants.iter().any(|it| it.eq_ignore_ascii_case(sender)) {
            return Ok(Some(text("id")?));
        }
    }
    Ok(None)
}
