//! What a token reaches: the threads that it sees, whom it may answer, how much it has left to send.

use std::collections::BTreeSet;

use contract::Rejection;
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::{
    Reader,
    threads::{THREAD, thread},
};
use crate::{Error, Thread, Token, moment::now, sql, threading, token::over_limit, writer::count};

/// People are looked for in so many mails of a thread, the newest ones.
const MOST_MAILS: i64 = 500;

impl Reader {
    /// Those of these threads that are in the inbox, by last email, newest first.
    pub async fn threads_named(
        &self,
        account_id: &str,
        inbox_id: &str,
        thread_ids: &[String],
    ) -> Result<Vec<Thread>, Error> {
        let failed = Error::query("read threads");
        let mut connection = self.connection().await?;
        let statement = |tuples| {
            format!(
                "SELECT {THREAD} JOIN (VALUES {tuples}) AS v ON v.column1 = t.id \
                 AND v.column2 = t.inbox_id JOIN inboxes i ON i.id = t.inbox_id \
                 AND i.account_id = v.column3"
            )
        };
        let bind = |query: sql::Bound, id: &String| {
            query.bind(sql::text(id)).bind(sql::text(inbox_id)).bind(sql::text(account_id))
        };
        let rows = sql::fetch(&mut connection, thread_ids, 3, statement, bind).await;
        let threads = rows.map_err(&failed)?.iter().map(thread).collect::<sqlx::Result<Vec<_>>>();
        let mut threads = threads.map_err(&failed)?;
        threads.sort_by(|a, b| (b.last_email_at, &b.id).cmp(&(a.last_email_at, &a.id)));
        Ok(threads)
    }

    /// The inboxes of these threads, of those that are the account's: inbox and thread.
    pub async fn places_of_threads(
        &self,
        account_id: &str,
        thread_ids: &[String],
    ) -> Result<Vec<(String, String)>, Error> {
        let failed = Error::query("read where threads are");
        let mut connection = self.connection().await?;
        let statement = |tuples| {
            format!(
                "SELECT t.inbox_id, t.id FROM threads t JOIN (VALUES {tuples}) AS v \
                 ON v.column1 = t.id JOIN inboxes i ON i.id = t.inbox_id \
                 AND i.account_id = v.column2 AND i.deleted_at IS NULL"
            )
        };
        let bind =
            |query: sql::Bound, id: &String| query.bind(sql::text(id)).bind(sql::text(account_id));
        let rows = sql::fetch(&mut connection, thread_ids, 2, statement, bind).await;
        let place = |row: &AnyRow| Ok((row.try_get("inbox_id")?, row.try_get("id")?));
        rows.map_err(&failed)?.iter().map(place).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// The thread that this one is part of now, if the inbox has it.
    pub async fn present_thread(
        &self,
        inbox_id: &str,
        thread_id: &str,
    ) -> Result<Option<String>, Error> {
        let thread_id = self.merged(inbox_id, thread_id).await?;
        sqlx::query_scalar("SELECT id FROM threads WHERE id = $1 AND inbox_id = $2")
            .bind(thread_id)
            .bind(sql::text(inbox_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(Error::query("read a thread"))
    }

    /// The email in this inbox that agents know by this Message-ID, without angle brackets, and its
    /// thread.
    pub async fn answered(
        &self,
        inbox_id: &str,
        message_id: &str,
    ) -> Result<Option<(String, Option<String>)>, Error> {
        let failed = Error::query("find the email that is answered");
        let statement = "SELECT e.id, e.thread_id FROM emails e JOIN mails m ON m.id = e.mail_id \
             WHERE e.inbox_id = $1 AND e.hidden = 0 \
             AND e.thread_id = (SELECT thread_id FROM thread_keys WHERE inbox_id = $1 AND key = $2) \
             AND 'id:' || m.message_id = $2 ORDER BY e.created_at DESC, e.id DESC LIMIT 1";
        let row = sqlx::query(statement)
            .bind(sql::text(inbox_id))
            .bind(sql::text(&threading::id_key(message_id)))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let found = |row: AnyRow| Ok((row.try_get("id")?, row.try_get("thread_id")?));
        row.map(found).transpose().map_err(&failed)
    }

    /// Everybody whom the mails of a thread are from, to, or copied to, in lower case.
    pub async fn participants(
        &self,
        inbox_id: &str,
        thread_id: &str,
    ) -> Result<BTreeSet<String>, Error> {
        let failed = Error::query("read who takes part in a thread");
        let statement = format!(
            "SELECT m.from_address, m.to_addresses, m.cc_addresses FROM emails e \
             JOIN mails m ON m.id = e.mail_id WHERE e.thread_id = $1 AND e.inbox_id = $2 \
             AND e.hidden = 0 AND e.status <> 'rejected' \
             ORDER BY e.created_at DESC, e.id DESC LIMIT {MOST_MAILS}"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(thread_id))
            .bind(sql::text(inbox_id))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let mut people = BTreeSet::new();
        for row in rows {
            let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
            people.insert(text("from_address")?.to_lowercase());
            for list in [text("to_addresses")?, text("cc_addresses")?] {
                let list: Vec<String> = serde_json::from_str(&list)
                    .map_err(|_| Error::Corrupt { what: "the recipients of a mail" })?;
                people.extend(list.iter().map(|it| it.to_lowercase()));
            }
        }
        Ok(people)
    }

    /// Why the token may not send another mail now, and from when it may, if it ever does.
    pub async fn over_limit(
        &self,
        token: &Token,
    ) -> Result<Option<(Rejection, Option<i64>)>, Error> {
        for hash in token.counted_for() {
            let limits = if hash == token.hash {
                token.grant.limits.clone()
            } else {
                let other = self.token(&token.account_id, &hash).await?;
                other.map(|it| it.grant.limits).unwrap_or_default()
            };
            let mut connection = self.connection().await?;
            let count = count(&mut connection, &hash, &limits, now()).await?;
            if let Some(over) = over_limit(&limits, count) {
                return Ok(Some(over));
            }
        }
        Ok(None)
    }
}
