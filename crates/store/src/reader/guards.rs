//! What an account decided on the mail it sends, what waits for its decision, and what mail named.

use contract::Trace;
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{
    Allowance, Canary, Emails, Error, HoldFilter, Mentioned, News, OutboundPolicy, OutboundRules,
    Page, RulesOf, cursor::Cursor, email, moment::now, outbox::trace_of, sight, sql,
};

/// Events read at once.
const MOST_NEWS: i64 = 100;

/// Mails that named an item, as far as they are looked at.
const MOST_MENTIONS: i64 = 2_000;

/// Mails of a thread whose people are looked at.
const MOST_OF_THREAD: i64 = 200;

impl Reader {
    /// What was said; `None` if nothing was.
    pub async fn outbound_rules(&self, of: RulesOf<'_>) -> Result<Option<OutboundRules>, Error> {
        let statement =
            "SELECT policy FROM outbound_policies WHERE account_id = $1 AND inbox_id = $2";
        let found: Option<String> = sqlx::query_scalar(statement)
            .bind(sql::text(of.account_id))
            .bind(sql::text(of.inbox_id.unwrap_or_default()))
            .fetch_optional(&self.database.read)
            .await
            .map_err(Error::query("read an outbound policy"))?;
        found.map(|it| email::from_json(&it, "an outbound policy")).transpose()
    }

    /// What holds for an inbox.
    pub async fn outbound_policy(
        &self,
        account_id: &str,
        inbox_id: &str,
    ) -> Result<OutboundPolicy, Error> {
        let statement = "SELECT policy FROM outbound_policies WHERE account_id = $1 \
                         AND inbox_id IN ('', $2) ORDER BY inbox_id";
        let found: Vec<String> = sqlx::query_scalar(statement)
            .bind(sql::text(account_id))
            .bind(sql::text(inbox_id))
            .fetch_all(&self.database.read)
            .await
            .map_err(Error::query("read an outbound policy"))?;
        let mut policy = OutboundPolicy::default();
        for rules in found {
            policy = policy.under(&email::from_json(&rules, "an outbound policy")?);
        }
        Ok(policy)
    }

    /// Newest first. With an inbox, those that hold for it.
    pub async fn allowances(
        &self,
        account_id: &str,
        inbox_id: Option<&str>,
    ) -> Result<Vec<Allowance>, Error> {
        let failed = Error::query("read what may be sent");
        let statement = "SELECT id, inbox_id, recipient, kind, note, created_at, created_by \
                         FROM outbound_allowances WHERE account_id = $1 \
                         AND ($2 = '' OR inbox_id = '' OR inbox_id = $2) \
                         ORDER BY created_at DESC, id DESC";
        let rows = sqlx::query(statement)
            .bind(sql::text(account_id))
            .bind(sql::text(inbox_id.unwrap_or_default()))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        rows.iter().map(allowance).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// Newest first.
    pub async fn canaries(&self, account_id: &str) -> Result<Vec<Canary>, Error> {
        let failed = Error::query("read canaries");
        let statement = "SELECT id, kind, label, token, created_at, hits, last_hit_at FROM canaries \
                         WHERE account_id = $1 ORDER BY created_at DESC, id DESC";
        let rows = sqlx::query(statement)
            .bind(sql::text(account_id))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        rows.iter().map(canary).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// Emails of the account that are or were held, in this state if one is given; newest first.
    pub async fn holds(
        &self,
        account_id: &str,
        filter: &HoldFilter<'_>,
        cursor: Option<&str>,
    ) -> Result<Emails, Error> {
        let failed = Error::query("read held mails");
        let cursor = Cursor::from_option(cursor)?;
        let mut connection = self.connection().await?;
        let statement = format!(
            "SELECT {}, h.created_at AS held_at FROM {} WHERE h.account_id = $1 \
             AND ($2 = '' OR h.state = $2) \
             AND (h.created_at < $3 OR h.created_at = $3 AND h.email_id < $4) AND {} \
             ORDER BY h.created_at DESC, h.email_id DESC LIMIT $5",
            email::COLUMNS,
            email::TABLES,
            self.database.dialect.listed("e.inbox_id", 6)
        );
        let limit = filter.limit;
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(account_id))
            .bind(sql::text(filter.state.unwrap_or_default()))
            .bind(cursor.at)
            .bind(cursor.id)
            .bind(limit.saturating_add(1))
            .bind(sight::parameter(filter.inbox_ids))
            .fetch_all(&mut *connection)
            .await
            .map_err(&failed)?;
        let held_at = |row: &AnyRow| row.try_get::<i64, _>("held_at").map_err(&failed);
        let held_at: Vec<i64> = rows.iter().map(held_at).collect::<Result<_, Error>>()?;
        let mut items: Vec<_> =
            email::read(&mut connection, rows).await?.into_iter().map(|it| it.email).collect();
        let limit = usize::try_from(limit).unwrap_or_default();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().zip(items.len().checked_sub(1).map(|it| held_at[it]));
        let cursor = last.filter(|_| has_more).map(|(it, at)| Cursor { at, id: it.id.clone() });
        Ok(Page { items, cursor: cursor.map(|it| it.encode()) })
    }

    /// The first moment at which a mail is to be given up on which nobody has decided.
    pub async fn next_hold_expiry(&self) -> Result<Option<i64>, Error> {
        let statement =
            "SELECT expires_at FROM holds WHERE state = 'waiting' ORDER BY expires_at LIMIT 1";
        sqlx::query_scalar(statement)
            .fetch_optional(&self.database.read)
            .await
            .map_err(Error::query("find the next hold to give up"))
    }

    /// Decisions that have yet to be announced, some of them.
    pub async fn hold_news(&self) -> Result<Vec<News>, Error> {
        let failed = Error::query("read decisions on held mails");
        let statement = "SELECT h.email_id, h.announce, o.handover FROM holds h \
                         LEFT JOIN outbox o ON o.email_id = h.email_id \
                         WHERE h.announce <> '' ORDER BY h.email_id LIMIT $1";
        let mut connection = self.connection().await?;
        let rows = sqlx::query(statement)
            .bind(MOST_NEWS)
            .fetch_all(&mut *connection)
            .await
            .map_err(&failed)?;
        let mut events: Vec<(String, String, Option<Trace>)> = Vec::new();
        for row in rows {
            let email_id = row.try_get("email_id").map_err(&failed)?;
            let handover: Option<Vec<u8>> = row.try_get("handover").map_err(&failed)?;
            let trace = handover.as_deref().and_then(trace_of);
            events.push((email_id, row.try_get("announce").map_err(&failed)?, trace));
        }
        let ids: Vec<String> = events.iter().map(|(id, ..)| id.clone()).collect();
        let mut emails = email::find(&mut connection, &ids).await?;
        let news = events.into_iter().filter_map(|(id, event, trace)| {
            let found = emails.remove(&id)?;
            Some(News { event, account_id: found.account_id, email: found.email, trace })
        });
        Ok(news.collect())
    }

    /// The mails that named one of the items, the suspicious ones first, then the earliest.
    pub async fn mentioned(&self, inbox_id: &str, items: &[i64]) -> Result<Vec<Mentioned>, Error> {
        let failed = Error::query("find what mail named");
        let inbox_id = sql::text(inbox_id);
        let now = now();
        let mut connection = self.connection().await?;
        let statement = |tuples: String| {
            format!(
                "SELECT n.item, n.email_id, n.trusted, n.suspicious, n.mentioned_at, e.thread_id, \
                 m.from_address FROM (VALUES {tuples}) AS v \
                 JOIN mentions n ON n.inbox_id = v.column1 AND n.item = v.column2 \
                 LEFT JOIN emails e ON e.id = n.email_id AND e.direction = 'inbound' \
                 LEFT JOIN mails m ON m.id = e.mail_id WHERE n.expires_at > {now} \
                 ORDER BY n.suspicious DESC, n.mentioned_at LIMIT {MOST_MENTIONS}"
            )
        };
        let bind = |query: sql::Bound, item: &i64| query.bind(inbox_id.clone()).bind(*item);
        let rows = sql::fetch(&mut connection, items, 2, statement, bind).await.map_err(&failed)?;
        rows.iter().map(mentioned).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// Since when the inbox writes to each of the addresses; those it never wrote to are left out.
    pub async fn correspondents(
        &self,
        inbox_id: &str,
        addresses: &[String],
    ) -> Result<Vec<(String, i64)>, Error> {
        let failed = Error::query("find whom an inbox wrote to");
        let inbox_id = sql::text(inbox_id);
        let mut connection = self.connection().await?;
        let statement = |tuples| {
            format!(
                "SELECT c.address, c.first_at FROM (VALUES {tuples}) AS v JOIN correspondents c \
                 ON c.inbox_id = v.column1 AND c.address = v.column2"
            )
        };
        let bind = |query: sql::Bound, address: &String| {
            query.bind(inbox_id.clone()).bind(sql::text(&address.to_lowercase()))
        };
        let rows =
            sql::fetch(&mut connection, addresses, 2, statement, bind).await.map_err(&failed)?;
        let known = |row: &AnyRow| Ok((row.try_get("address")?, row.try_get("first_at")?));
        rows.iter().map(known).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// Those of the canonical addresses that are the account's own inboxes.
    pub async fn own_addresses(
        &self,
        account_id: &str,
        canonicals: &[String],
    ) -> Result<Vec<String>, Error> {
        let failed = Error::query("find an account's own addresses");
        let account_id = sql::text(account_id);
        let mut connection = self.connection().await?;
        let statement = |tuples| {
            format!(
                "SELECT i.canonical FROM (VALUES {tuples}) AS v JOIN inboxes i \
                 ON i.account_id = v.column1 AND i.canonical = v.column2"
            )
        };
        let bind =
            |query: sql::Bound, it: &String| query.bind(account_id.clone()).bind(sql::text(it));
        let rows =
            sql::fetch(&mut connection, canonicals, 2, statement, bind).await.map_err(&failed)?;
        rows.iter()
            .map(|row| row.try_get("canonical"))
            .collect::<sqlx::Result<_>>()
            .map_err(&failed)
    }

    /// The threads of the inbox that mails with these Message-IDs are in.
    pub async fn threads_of_messages(
        &self,
        inbox_id: &str,
        message_ids: &[String],
    ) -> Result<Vec<String>, Error> {
        let failed = Error::query("find the threads of messages");
        let inbox_id = sql::text(inbox_id);
        let mut connection = self.connection().await?;
        let statement = |tuples| {
            format!(
                "SELECT DISTINCT k.thread_id FROM (VALUES {tuples}) AS v JOIN thread_keys k \
                 ON k.inbox_id = v.column1 AND k.key = v.column2"
            )
        };
        let bind = |query: sql::Bound, id: &String| {
            query.bind(inbox_id.clone()).bind(sql::text(&crate::threading::id_key(id)))
        };
        let rows =
            sql::fetch(&mut connection, message_ids, 2, statement, bind).await.map_err(&failed)?;
        rows.iter()
            .map(|row| row.try_get("thread_id"))
            .collect::<sqlx::Result<_>>()
            .map_err(&failed)
    }

    /// The thread of a received email of the inbox.
    pub async fn thread_of_email(
        &self,
        inbox_id: &str,
        email_id: &str,
    ) -> Result<Option<String>, Error> {
        let statement = "SELECT thread_id FROM emails WHERE id = $1 AND inbox_id = $2 \
                         AND direction = 'inbound' AND thread_id IS NOT NULL";
        sqlx::query_scalar(statement)
            .bind(sql::text(email_id))
            .bind(sql::text(inbox_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(Error::query("find the thread of an email"))
    }

    /// Everybody that mails of the threads are from or to, in lower case.
    pub async fn people_of_threads(&self, thread_ids: &[String]) -> Result<Vec<String>, Error> {
        let failed = Error::query("read who is in a thread");
        let mut people = Vec::new();
        let mut connection = self.connection().await?;
        let statement = |ids| {
            format!(
                "SELECT m.from_address, m.to_addresses, m.cc_addresses FROM emails e \
                 JOIN mails m ON m.id = e.mail_id WHERE e.thread_id IN (VALUES {ids}) \
                 ORDER BY e.created_at DESC LIMIT {MOST_OF_THREAD}"
            )
        };
        let bind = |query: sql::Bound, id: &String| query.bind(sql::text(id));
        let rows = sql::fetch(&mut connection, thread_ids, 1, statement, bind).await;
        for row in rows.map_err(&failed)? {
            people.push(row.try_get("from_address").map_err(&failed)?);
            for column in ["to_addresses", "cc_addresses"] {
                let list: String = row.try_get(column).map_err(&failed)?;
                people.extend(email::from_json::<Vec<String>>(&list, "recipients")?);
            }
        }
        people.iter_mut().for_each(|it: &mut String| *it = it.to_lowercase());
        Ok(people)
    }
}

fn allowance(row: &AnyRow) -> sqlx::Result<Allowance> {
    let some = |column| -> sqlx::Result<Option<String>> {
        Ok(Some(row.try_get(column)?).filter(|it: &String| !it.is_empty()))
    };
    Ok(Allowance {
        id: row.try_get("id")?,
        inbox_id: some("inbox_id")?,
        recipient: row.try_get("recipient")?,
        kind: some("kind")?,
        note: row.try_get("note")?,
        created_at: row.try_get("created_at")?,
        created_by: row.try_get("created_by")?,
    })
}

fn canary(row: &AnyRow) -> sqlx::Result<Canary> {
    Ok(Canary {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        label: row.try_get("label")?,
        token: row.try_get("token")?,
        created_at: row.try_get("created_at")?,
        hits: row.try_get("hits")?,
        last_hit_at: row.try_get("last_hit_at")?,
    })
}

fn mentioned(row: &AnyRow) -> sqlx::Result<Mentioned> {
    let text = |column| -> sqlx::Result<String> {
        Ok(row.try_get::<Option<_>, _>(column)?.unwrap_or_default())
    };
    Ok(Mentioned {
        item: row.try_get("item")?,
        email_id: row.try_get("email_id")?,
        trusted: row.try_get::<i64, _>("trusted")? != 0,
        suspicious: row.try_get::<i64, _>("suspicious")? != 0,
        at: row.try_get("mentioned_at")?,
        thread_id: text("thread_id")?,
        from: text("from_address")?,
    })
}
