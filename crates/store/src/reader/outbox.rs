use contract::SubmissionAccepted;
use prost::Message as _;
use sqlx::{AssertSqlSafe, Row as _};

use super::Reader;
use crate::{
    Backlog, Error, LimitOverrides, News, OutboxAgenda, email,
    moment::{DAY, now},
    outbox::{served, trace_of},
    sql,
    writer::overrides,
};

/// Events read at once.
const MOST_NEWS: i64 = 100;

/// Mails published again at once.
const MOST_UNCONFIRMED: i64 = 100;

impl Reader {
    /// What the outbox has to do. Every part is the first row of an index.
    pub async fn outbox_agenda(&self) -> Result<OutboxAgenda, Error> {
        let failed = Error::query("look into the outbox");
        let served = served(self.database.dialect);
        let statement = format!(
            "SELECT (SELECT q.next_release FROM queues q WHERE {served} \
             ORDER BY q.next_release LIMIT 1) AS next_release, \
             (SELECT expires_at FROM outbox WHERE state = 'waiting' AND expires_at > 0 \
             ORDER BY expires_at LIMIT 1) AS next_expiry, \
             (SELECT released_at FROM outbox WHERE state = 'releasing' \
             ORDER BY released_at LIMIT 1) AS unconfirmed_since, \
             (SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE announce <> '' LIMIT 1) AS t) AS news"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .fetch_one(&self.database.read)
            .await
            .map_err(&failed)?;
        Ok(OutboxAgenda {
            next_release: row.try_get("next_release").map_err(&failed)?,
            next_expiry: row.try_get("next_expiry").map_err(&failed)?,
            unconfirmed_since: row.try_get("unconfirmed_since").map_err(&failed)?,
            has_news: row.try_get::<i64, _>("news").map_err(&failed)? > 0,
        })
    }

    /// Mails released before this moment of which nobody knows whether they were published.
    pub async fn unconfirmed(&self, before: i64) -> Result<Vec<SubmissionAccepted>, Error> {
        let failed = Error::query("read unconfirmed mails");
        let statement = "SELECT handover, released_at FROM outbox WHERE state = 'releasing' \
                         AND released_at < $1 ORDER BY released_at LIMIT $2";
        let rows = sqlx::query(statement)
            .bind(before)
            .bind(MOST_UNCONFIRMED)
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let mut mails = Vec::new();
        for row in rows {
            let octets: Vec<u8> = row.try_get("handover").map_err(&failed)?;
            let handover = SubmissionAccepted::decode(octets.as_slice())
                .map_err(|_| Error::Corrupt { what: "what the sender is told" })?;
            let accepted_at_micros = row.try_get("released_at").map_err(&failed)?;
            mails.push(SubmissionAccepted { accepted_at_micros, ..handover });
        }
        Ok(mails)
    }

    /// What has yet to be announced, some of it.
    pub async fn news(&self) -> Result<Vec<News>, Error> {
        let failed = Error::query("read news of waiting mails");
        let statement = "SELECT email_id, announce, handover FROM outbox WHERE announce <> '' \
             ORDER BY email_id LIMIT $1";
        let mut connection = self.connection().await?;
        let rows = sqlx::query(statement)
            .bind(MOST_NEWS)
            .fetch_all(&mut *connection)
            .await
            .map_err(&failed)?;
        let mut events = Vec::new();
        for row in rows {
            let email_id: String = row.try_get("email_id").map_err(&failed)?;
            let event: String = row.try_get("announce").map_err(&failed)?;
            let octets: Vec<u8> = row.try_get("handover").map_err(&failed)?;
            events.push((email_id, event, trace_of(&octets)));
        }
        let ids: Vec<String> = events.iter().map(|(id, ..)| id.clone()).collect();
        let mut emails = email::find(&mut connection, &ids).await?;
        let news = events.into_iter().filter_map(|(id, event, trace)| {
            let found = emails.remove(&id)?;
            Some(News { event, account_id: found.account_id, email: found.email, trace })
        });
        Ok(news.collect())
    }

    /// How much waits in the outbox.
    pub async fn outbox_backlog(&self) -> Result<Backlog, Error> {
        let failed = Error::query("count the outbox");
        let statement = "SELECT (SELECT COUNT(*) FROM outbox WHERE state = 'waiting') AS waiting, \
             (SELECT MIN((SELECT o.due_at FROM outbox o WHERE o.inbox_id = q.inbox_id \
             AND o.state = 'waiting' ORDER BY o.due_at LIMIT 1)) FROM queues q \
             WHERE q.next_release IS NOT NULL) AS oldest";
        let row = sqlx::query(statement).fetch_one(&self.database.read).await.map_err(&failed)?;
        let oldest: Option<i64> = row.try_get("oldest").map_err(&failed)?;
        Ok(Backlog {
            waiting: row.try_get("waiting").map_err(&failed)?,
            oldest_due_at: oldest.filter(|it| *it <= now()),
        })
    }

    /// The submissions of an account that were accepted since midnight UTC.
    pub async fn accepted_today(&self, account_id: &str) -> Result<i64, Error> {
        let statement = "SELECT accepted FROM account_days WHERE account_id = $1 AND day = $2";
        let accepted: Option<i64> = sqlx::query_scalar(statement)
            .bind(sql::text(account_id))
            .bind(now() / DAY)
            .fetch_optional(&self.database.read)
            .await
            .map_err(Error::query("read an account's day"))?;
        Ok(accepted.unwrap_or(0))
    }

    /// What the operator decided for an inbox. `None` if there is no such inbox.
    pub async fn inbox_limits(&self, inbox_id: &str) -> Result<Option<LimitOverrides>, Error> {
        let failed = Error::query("read the limits of an inbox");
        let statement = "SELECT l.per_minute, l.per_hour, l.per_day, l.new_recipients_per_day \
                         FROM inboxes i LEFT JOIN inbox_limits l ON l.inbox_id = i.id \
                         WHERE i.id = $1";
        let row = sqlx::query(statement)
            .bind(sql::text(inbox_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        row.as_ref().map(overrides).transpose().map_err(&failed)
    }
}
