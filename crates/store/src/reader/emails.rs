use contract::Email;
use sqlx::{AssertSqlSafe, Row as _};

use super::Reader;
use crate::{
    ArrivalFilter, Direction, EmailFilter, Emails, Error, Original, Page, Stored,
    continuations::continuing,
    cursor::Cursor,
    email::{self, ALL_TABLES, COLUMNS, Read, TABLES},
    labels, sight,
    sql::{self, Bound},
    writer::QUARANTINED,
};

/// The most emails a long-poll gets at once.
const MOST_ARRIVALS: i64 = 50;

impl Reader {
    pub async fn emails(
        &self,
        account_id: &str,
        inbox_id: &str,
        filter: &EmailFilter,
    ) -> Result<Emails, Error> {
        let cursor = Cursor::from_option(filter.cursor.as_deref())?;
        let seen = if filter.include_quarantined {
            format!("{ALL_TABLES} WHERE (e.hidden = 0 OR e.status = '{QUARANTINED}')")
        } else {
            format!("{TABLES} WHERE e.hidden = 0")
        };
        let statement = format!(
            "SELECT {COLUMNS} FROM {seen} AND e.inbox_id = $1 AND e.account_id = $2 \
             AND (e.created_at, e.id) < ($3, $4) AND e.created_at > $5 \
             AND ($6 = '' OR e.direction = $6) AND ($7 = '' OR {labelled}) \
             AND ($8 < 0 OR e.is_read = $8) AND {in_threads} \
             ORDER BY e.created_at DESC, e.id DESC LIMIT $9",
            labelled = labels::on_email(7),
            in_threads = self.database.dialect.listed("e.thread_id", 10)
        );
        self.page_of_emails(&statement, filter.limit, |query| {
            query
                .bind(sql::text(inbox_id))
                .bind(sql::text(account_id))
                .bind(cursor.at)
                .bind(cursor.id)
                .bind(filter.since.unwrap_or(i64::MIN))
                .bind(filter.direction.map_or("", Direction::as_str))
                .bind(sql::text(filter.label.as_deref().unwrap_or_default()))
                .bind(filter.is_read.map_or(-1, i64::from))
                .bind(filter.limit.saturating_add(1))
                .bind(sight::parameter(filter.thread_ids.as_deref()))
        })
        .await
    }

    /// A page by a statement that asks for one more than `limit`, so as to know whether there is a next.
    pub(super) async fn page_of_emails(
        &self,
        statement: &str,
        limit: i64,
        bind: impl FnOnce(Bound) -> Bound,
    ) -> Result<Emails, Error> {
        let mut found = self.find_emails(statement, bind).await?;
        let limit = usize::try_from(limit).unwrap_or_default();
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| has_more);
        let cursor = last.map(|it| Cursor { at: it.created_at, id: it.email.id.clone() }.encode());
        Ok(Page { items: found.into_iter().map(|it| it.email).collect(), cursor })
    }

    pub(super) async fn find_emails(
        &self,
        statement: &str,
        bind: impl FnOnce(Bound) -> Bound,
    ) -> Result<Vec<Read>, Error> {
        let mut connection = self.connection().await?;
        let rows = bind(sqlx::query(AssertSqlSafe(statement.to_owned())))
            .fetch_all(&mut *connection)
            .await
            .map_err(Error::query("read emails"))?;
        email::read(&mut connection, rows).await
    }

    pub async fn arrivals(
        &self,
        account_id: &str,
        inbox_id: &str,
        filter: &ArrivalFilter,
    ) -> Result<Vec<Email>, Error> {
        let position = self.database.dialect.position();
        let in_threads = self.database.dialect.listed("e.thread_id", 7);
        let statement = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE e.inbox_id = $1 AND e.account_id = $2 \
             AND e.direction = 'inbound' AND e.created_at > $3 \
             AND ($4 = 0 OR m.from_address = $5) \
             AND ($6 = '' OR {position}(m.subject, $6) > 0) AND {in_threads} \
             ORDER BY e.created_at DESC, e.id DESC LIMIT {MOST_ARRIVALS}"
        );
        let found = self.find_emails(&statement, |query| {
            query
                .bind(sql::text(inbox_id))
                .bind(sql::text(account_id))
                .bind(filter.since)
                .bind(i64::from(filter.from.is_some()))
                .bind(sql::text(filter.from.as_deref().unwrap_or_default()))
                .bind(sql::text(filter.subject.as_deref().unwrap_or_default()))
                .bind(sight::parameter(filter.thread_ids.as_deref()))
        });
        Ok(found.await?.into_iter().map(|it| it.email).collect())
    }

    /// With `body` and the texts of its attachments.
    pub async fn email(
        &self,
        account_id: &str,
        inbox_id: &str,
        email_id: &str,
    ) -> Result<Option<Email>, Error> {
        self.whole_email(TABLES, account_id, inbox_id, email_id).await
    }

    /// As `email`, also of what is kept from agents.
    pub async fn any_email(
        &self,
        account_id: &str,
        inbox_id: &str,
        email_id: &str,
    ) -> Result<Option<Email>, Error> {
        self.whole_email(ALL_TABLES, account_id, inbox_id, email_id).await
    }

    async fn whole_email(
        &self,
        tables: &str,
        account_id: &str,
        inbox_id: &str,
        email_id: &str,
    ) -> Result<Option<Email>, Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM {tables} \
             WHERE e.id = $1 AND e.inbox_id = $2 AND e.account_id = $3"
        );
        let found = self.find_emails(&statement, |query| {
            query.bind(sql::text(email_id)).bind(sql::text(inbox_id)).bind(sql::text(account_id))
        });
        let Some(mut found) = found.await?.into_iter().next() else { return Ok(None) };
        self.tell_attachments(&found.mail_id, &mut found.email.attachments).await?;
        let body: Option<String> =
            sqlx::query_scalar("SELECT text FROM contents WHERE mail_id = $1")
                .bind(found.mail_id)
                .fetch_optional(&self.database.read)
                .await
                .map_err(Error::query("read the text of an email"))?;
        Ok(Some(Email { body: Some(body.unwrap_or_default()), ..found.email }))
    }

    /// The copies of a mail in whatever inboxes, as `Writer::store` gives them for one that is
    /// stored already.
    pub async fn copies(&self, mail_id: &str) -> Result<Vec<Stored>, Error> {
        let statement =
            format!("SELECT {COLUMNS} FROM {ALL_TABLES} WHERE e.mail_id = $1 ORDER BY e.id");
        let found = self.find_emails(&statement, |query| query.bind(sql::text(mail_id))).await?;
        let email_ids: Vec<String> = found.iter().map(|it| it.email.id.clone()).collect();
        let continuing = continuing(&mut *self.connection().await?, &email_ids).await?;
        let stored = |it: Read| Stored {
            account_id: it.account_id,
            repeated: true,
            continues_thread: continuing.contains(&it.email.id),
            email: it.email,
        };
        Ok(found.into_iter().map(stored).collect())
    }

    pub async fn original(
        &self,
        account_id: &str,
        inbox_id: &str,
        email_id: &str,
    ) -> Result<Option<Original>, Error> {
        self.find_original([account_id, inbox_id, email_id], 0).await
    }

    /// As `original`, also of what is kept from agents.
    pub async fn any_original(
        &self,
        account_id: &str,
        inbox_id: &str,
        email_id: &str,
    ) -> Result<Option<Original>, Error> {
        self.find_original([account_id, inbox_id, email_id], 1).await
    }

    async fn find_original(
        &self,
        [account_id, inbox_id, email_id]: [&str; 3],
        most_hidden: i64,
    ) -> Result<Option<Original>, Error> {
        let failed = Error::query("read the original of an email");
        let statement = "SELECT c.mail_id, c.octets FROM emails e \
                         JOIN contents c ON c.mail_id = e.mail_id \
                         WHERE e.id = $1 AND e.inbox_id = $2 AND e.account_id = $3 \
                         AND e.hidden <= $4";
        let row = sqlx::query(statement)
            .bind(sql::text(email_id))
            .bind(sql::text(inbox_id))
            .bind(sql::text(account_id))
            .bind(most_hidden)
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Original {
            mail_id: row.try_get("mail_id").map_err(&failed)?,
            octets: row.try_get("octets").map_err(&failed)?,
        }))
    }
}
