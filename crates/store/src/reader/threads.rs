use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{
    Ancestry, Error, Page, Thread, ThreadDetail,
    cursor::Cursor,
    email::{self, COLUMNS, TABLES},
    sql, threading,
};

pub(super) const THREAD: &str =
    "t.id, t.inbox_id, t.subject, t.email_count, t.last_email_at, t.created_at FROM threads t";

/// The most emails shown of a thread, the newest ones.
const MOST_EMAILS: i64 = 500;

impl Reader {
    /// By last email, newest first.
    pub async fn threads(
        &self,
        account_id: &str,
        inbox_id: &str,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<Thread>, Error> {
        let failed = Error::query("read threads");
        let cursor = Cursor::from_option(cursor)?;
        let statement = format!(
            "SELECT {THREAD} JOIN inboxes i ON i.id = t.inbox_id \
             WHERE t.inbox_id = $1 AND i.account_id = $2 AND (t.last_email_at, t.id) < ($3, $4) \
             ORDER BY t.last_email_at DESC, t.id DESC LIMIT $5"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(inbox_id))
            .bind(sql::text(account_id))
            .bind(cursor.at)
            .bind(cursor.id)
            .bind(limit.saturating_add(1))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let mut items =
            rows.iter().map(thread).collect::<sqlx::Result<Vec<_>>>().map_err(&failed)?;
        let limit = usize::try_from(limit).unwrap_or_default();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| has_more);
        let cursor = last.map(|it| Cursor { at: it.last_email_at, id: it.id.clone() }.encode());
        Ok(Page { items, cursor })
    }

    /// A thread that was merged into another is found by either id. Of a very long one, the newest
    /// 500 emails.
    pub async fn thread(
        &self,
        account_id: &str,
        inbox_id: &str,
        thread_id: &str,
    ) -> Result<Option<ThreadDetail>, Error> {
        let failed = Error::query("read a thread");
        let thread_id = self.merged(inbox_id, thread_id).await?;
        let statement = format!(
            "SELECT {THREAD} JOIN inboxes i ON i.id = t.inbox_id \
             WHERE t.id = $1 AND t.inbox_id = $2 AND i.account_id = $3"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(thread_id.clone())
            .bind(sql::text(inbox_id))
            .bind(sql::text(account_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(thread) = row.as_ref().map(thread).transpose().map_err(&failed)? else {
            return Ok(None);
        };
        let statement = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE e.thread_id = $1 AND e.inbox_id = $2 \
             ORDER BY e.created_at DESC, e.id DESC LIMIT {MOST_EMAILS}"
        );
        let emails =
            self.find_emails(&statement, |query| query.bind(thread_id).bind(sql::text(inbox_id)));
        let emails = emails.await?.into_iter().rev().map(|it| it.email).collect();
        Ok(Some(ThreadDetail { thread, emails }))
    }

    /// The thread that this one is part of now.
    pub(super) async fn merged(&self, inbox_id: &str, thread_id: &str) -> Result<String, Error> {
        let statement =
            "SELECT target FROM thread_redirects WHERE thread_id = $1 AND inbox_id = $2";
        let target: Option<String> = sqlx::query_scalar(statement)
            .bind(sql::text(thread_id))
            .bind(sql::text(inbox_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(Error::query("read a thread"))?;
        Ok(target.unwrap_or_else(|| thread_id.to_owned()))
    }

    /// What an answer to the newest mail of a thread says of its ancestors. `None` if the inbox has
    /// no such thread.
    pub async fn ancestry(
        &self,
        inbox_id: &str,
        thread_id: &str,
    ) -> Result<Option<Ancestry>, Error> {
        let thread_id = self.merged(inbox_id, thread_id).await?;
        let exists: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM threads WHERE id = $1 AND inbox_id = $2")
                .bind(thread_id.clone())
                .bind(sql::text(inbox_id))
                .fetch_one(&self.database.read)
                .await
                .map_err(Error::query("read a thread"))?;
        if exists == 0 {
            return Ok(None);
        }
        let condition = "e.thread_id = $2 AND m.message_id IS NOT NULL";
        Ok(Some(self.ancestry_where(condition, inbox_id, &thread_id).await?.unwrap_or_default()))
    }

    /// What an answer to this mail, named by its Message-ID without angle brackets, says of its
    /// ancestors. `None` if the inbox has no such mail.
    pub async fn ancestry_of_message(
        &self,
        inbox_id: &str,
        message_id: &str,
    ) -> Result<Option<Ancestry>, Error> {
        let key = threading::id_key(message_id);
        let condition = "e.thread_id = (SELECT thread_id FROM thread_keys \
                         WHERE inbox_id = $1 AND key = $2) AND 'id:' || m.message_id = $2";
        self.ancestry_where(condition, inbox_id, &key).await
    }

    /// Why no machine may answer a received mail; `None` if one may, or if the inbox has no such mail.
    pub async fn auto_reply_refusal(
        &self,
        inbox_id: &str,
        message_id: &str,
    ) -> Result<Option<String>, Error> {
        let failed = Error::query("read whether a mail may be answered");
        let statement = "SELECT e.no_auto_reply FROM emails e JOIN mails m ON m.id = e.mail_id \
             WHERE e.inbox_id = $1 AND e.direction = 'inbound' AND e.no_auto_reply IS NOT NULL \
             AND e.thread_id = (SELECT thread_id FROM thread_keys WHERE inbox_id = $1 AND key = $2) \
             AND 'id:' || m.message_id = $2 ORDER BY e.created_at DESC, e.id DESC LIMIT 1";
        let found = sqlx::query_scalar(statement)
            .bind(sql::text(inbox_id))
            .bind(sql::text(&threading::id_key(message_id)))
            .fetch_optional(&self.database.read)
            .await
            .map_err(failed)?;
        Ok(found)
    }

    /// Whether this service has sent the mail with this identifier.
    pub async fn is_sent_here(&self, mail_id: &str, message_id: &str) -> Result<bool, Error> {
        let statement = "SELECT COUNT(*) FROM emails e JOIN mails m ON m.id = e.mail_id \
                         WHERE e.id = $1 AND e.direction = 'outbound' AND m.message_id = $2";
        let count: i64 = sqlx::query_scalar(statement)
            .bind(sql::text(mail_id))
            .bind(sql::text(message_id))
            .fetch_one(&self.database.read)
            .await
            .map_err(Error::query("look for a mail sent here"))?;
        Ok(count > 0)
    }

    /// RFC 5322 section 3.6.4: the References of the mail answered and then its Message-ID.
    async fn ancestry_where(
        &self,
        condition: &str,
        inbox_id: &str,
        value: &str,
    ) -> Result<Option<Ancestry>, Error> {
        let failed = Error::query("read the ancestors of a mail");
        let statement = format!(
            "SELECT m.message_id, m.reference_ids FROM emails e JOIN mails m ON m.id = e.mail_id \
             WHERE e.inbox_id = $1 AND {condition} ORDER BY e.created_at DESC, e.id DESC LIMIT 1"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(inbox_id))
            .bind(sql::text(value))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let message_id: String = row.try_get("message_id").map_err(&failed)?;
        let references: String = row.try_get("reference_ids").map_err(&failed)?;
        let mut references: Vec<String> = email::from_json(&references, "references")?;
        references.retain(|it| *it != message_id);
        references.push(message_id.clone());
        let references = threading::capped(references);
        Ok(Some(Ancestry { in_reply_to: Some(message_id), references }))
    }
}

pub(super) fn thread(row: &AnyRow) -> sqlx::Result<Thread> {
    Ok(Thread {
        id: row.try_get("id")?,
        inbox_id: row.try_get("inbox_id")?,
        subject: row.try_get("subject")?,
        email_count: row.try_get("email_count")?,
        last_email_at: row.try_get("last_email_at")?,
        created_at: row.try_get("created_at")?,
    })
}
