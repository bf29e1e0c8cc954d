//! What an account decides on the mail it sends beforehand: policies, allowances, canaries. And what mail
//! named.

use sqlx::AnyConnection;

use super::{Writer, commit, holds::too_many, unchanged};
use crate::{
    Allowance, Canary, Error, MENTIONED_FOR, Mentions, OutboundRules, RulesOf, email,
    hold::WRITTEN_FOR, moment::now, sql,
};

const MOST_ALLOWANCES: i64 = 1_000;

/// Every mail of the account is searched for all of them.
const MOST_CANARIES: i64 = 100;

/// Rows removed in one transaction.
const MOST_PURGED: i64 = 2_000;

impl Writer {
    /// In place of what was said before. `None` takes it back.
    pub async fn set_outbound_rules(
        &self,
        of: RulesOf<'_>,
        rules: Option<&OutboundRules>,
    ) -> Result<(), Error> {
        let failed = Error::query("write an outbound policy");
        let inbox_id = of.inbox_id.unwrap_or_default();
        let statement = match rules {
            Some(_) => {
                "INSERT INTO outbound_policies (account_id, inbox_id, policy) VALUES ($1, $2, $3) \
                 ON CONFLICT (account_id, inbox_id) DO UPDATE SET policy = excluded.policy"
            }
            None => "DELETE FROM outbound_policies WHERE account_id = $1 AND inbox_id = $2",
        };
        let query = sqlx::query(statement).bind(sql::text(of.account_id)).bind(sql::text(inbox_id));
        let query = match rules {
            Some(rules) => query.bind(email::to_json(rules)),
            None => query,
        };
        query.execute(&self.database.write).await.map_err(failed)?;
        Ok(())
    }

    /// One that is there already stays as it is. Refused if the account has too many.
    pub async fn allow(
        &self,
        account_id: &str,
        allowances: &[Allowance],
    ) -> Result<Result<(), contract::Rejection>, Error> {
        let mut transaction = self.database.begin().await?;
        let statement = "SELECT COUNT(*) FROM outbound_allowances WHERE account_id = $1";
        let before = count(&mut transaction, statement, account_id).await?;
        let new = i64::try_from(allowances.len()).unwrap_or(i64::MAX);
        if before.saturating_add(new) > MOST_ALLOWANCES {
            return unchanged(transaction, Err(too_many("rules that allow mail", MOST_ALLOWANCES)))
                .await;
        }
        let statement = |rows| {
            format!(
                "INSERT INTO outbound_allowances (id, account_id, inbox_id, recipient, kind, note, \
                 created_at, created_by) {rows} \
                 ON CONFLICT (account_id, inbox_id, recipient, kind) DO NOTHING"
            )
        };
        sql::insert(&mut transaction, allowances, 8, statement, |query, it| {
            query
                .bind(it.id.clone())
                .bind(sql::text(account_id))
                .bind(sql::text(it.inbox_id.as_deref().unwrap_or_default()))
                .bind(sql::text(&it.recipient))
                .bind(sql::text(it.kind.as_deref().unwrap_or_default()))
                .bind(sql::text(&it.note))
                .bind(it.created_at)
                .bind(sql::text(&it.created_by))
        })
        .await
        .map_err(Error::query("allow mail"))?;
        commit(transaction).await?;
        Ok(Ok(()))
    }

    /// Says whether there was one.
    pub async fn disallow(&self, account_id: &str, id: &str) -> Result<bool, Error> {
        self.remove(
            "DELETE FROM outbound_allowances WHERE account_id = $1 AND id = $2",
            account_id,
            id,
        )
        .await
    }

    /// Refused if the account has too many.
    pub async fn add_canary(
        &self,
        account_id: &str,
        canary: &Canary,
    ) -> Result<Result<(), contract::Rejection>, Error> {
        let mut transaction = self.database.begin().await?;
        let statement = "SELECT COUNT(*) FROM canaries WHERE account_id = $1";
        if count(&mut transaction, statement, account_id).await? >= MOST_CANARIES {
            return unchanged(transaction, Err(too_many("canaries", MOST_CANARIES))).await;
        }
        sqlx::query(
            "INSERT INTO canaries (id, account_id, kind, label, token, created_at, hits) \
             VALUES ($1, $2, $3, $4, $5, $6, 0)",
        )
        .bind(canary.id.clone())
        .bind(sql::text(account_id))
        .bind(canary.kind.clone())
        .bind(sql::text(&canary.label))
        .bind(canary.token.clone())
        .bind(canary.created_at)
        .execute(&mut *transaction)
        .await
        .map_err(Error::query("add a canary"))?;
        commit(transaction).await?;
        Ok(Ok(()))
    }

    /// Says whether there was one.
    pub async fn remove_canary(&self, account_id: &str, id: &str) -> Result<bool, Error> {
        self.remove("DELETE FROM canaries WHERE account_id = $1 AND id = $2", account_id, id).await
    }

    async fn remove(
        &self,
        statement: &'static str,
        account_id: &str,
        id: &str,
    ) -> Result<bool, Error> {
        let done = sqlx::query(statement)
            .bind(sql::text(account_id))
            .bind(sql::text(id))
            .execute(&self.database.write)
            .await
            .map_err(Error::query("remove what an account decided"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps what received mails named. Doing it again changes nothing.
    pub async fn note_mentions(&self, mentions: &[Mentions]) -> Result<(), Error> {
        let now = now();
        let rows: Vec<Row<'_>> = mentions.iter().flat_map(|it| rows(it, now)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin().await?;
        insert(&mut transaction, &rows).await?;
        commit(transaction).await
    }

    /// Forgets what was mentioned too long ago. Returns how many rows it was.
    pub async fn purge_mentions(&self) -> Result<u64, Error> {
        let statement = "DELETE FROM mentions WHERE (inbox_id, item, email_id) IN \
                         (SELECT inbox_id, item, email_id FROM mentions WHERE expires_at < $1 LIMIT $2)";
        let mut purged = 0;
        loop {
            let done = sqlx::query(statement)
                .bind(now())
                .bind(MOST_PURGED)
                .execute(&self.database.write)
                .await
                .map_err(Error::query("forget what mail named"))?;
            purged += done.rows_affected();
            if done.rows_affected() < MOST_PURGED as u64 {
                return Ok(purged);
            }
        }
    }
}

async fn count(
    connection: &mut AnyConnection,
    statement: &'static str,
    account_id: &str,
) -> Result<i64, Error> {
    sqlx::query_scalar(statement)
        .bind(sql::text(account_id))
        .fetch_one(connection)
        .await
        .map_err(Error::query("count what an account decided"))
}

struct Row<'a> {
    mentions: &'a Mentions,
    item: i64,
    at: i64,
    expires_at: i64,
}

fn rows(mentions: &Mentions, at: i64) -> impl Iterator<Item = Row<'_>> {
    let expires_at = at + MENTIONED_FOR;
    mentions.items.iter().map(move |item| Row { mentions, item: *item, at, expires_at })
}

async fn insert(connection: &mut AnyConnection, rows: &[Row<'_>]) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO mentions (inbox_id, item, email_id, trusted, suspicious, mentioned_at, \
             expires_at) {rows} ON CONFLICT (inbox_id, item, email_id) DO NOTHING"
        )
    };
    sql::insert(connection, rows, 7, statement, |query, row| {
        query
            .bind(sql::text(&row.mentions.inbox_id))
            .bind(row.item)
            .bind(sql::text(&row.mentions.email_id))
            .bind(i64::from(row.mentions.trusted))
            .bind(i64::from(row.mentions.suspicious))
            .bind(row.at)
            .bind(row.expires_at)
    })
    .await
    .map_err(Error::query("keep what mail named"))
}

/// Keeps what mails named that the inboxes themselves sent.
pub(super) async fn note_written(
    connection: &mut AnyConnection,
    mentions: &[Mentions],
    now: i64,
) -> Result<(), Error> {
    let rows: Vec<Row<'_>> = mentions
        .iter()
        .flat_map(|it| rows(it, now))
        .map(|row| Row { expires_at: now + WRITTEN_FOR, ..row })
        .collect();
    insert(connection, &rows).await
}
