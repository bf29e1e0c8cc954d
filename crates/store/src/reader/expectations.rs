//! What agents wait for, and what came of it.

use std::collections::HashSet;

use contract::PassedOver;
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::{Reader, screening::page};
use crate::{
    Error, Expectation, Page,
    cursor::Cursor,
    email,
    expectation::{ExpectationKind, ExpectationState},
    sql,
};

pub(crate) const EXPECTATION: &str = "id, account_id, inbox_id, kind, in_reply_to, from_domain, \
     state, created_at, deadline, settled_at, email_id, code, link, candidates, passed_over";

impl Reader {
    /// `None` if the account has none of this identifier.
    pub async fn expectation(
        &self,
        account_id: &str,
        expectation_id: &str,
    ) -> Result<Option<Expectation>, Error> {
        let statement =
            format!("SELECT {EXPECTATION} FROM expectations WHERE id = $1 AND account_id = $2");
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(expectation_id))
            .bind(sql::text(account_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(Error::query("read an expectation"))?;
        row.as_ref().map(expectation).transpose()
    }

    /// Of an inbox, newest first; `state` narrows it.
    pub async fn expectations(
        &self,
        account_id: &str,
        inbox_id: &str,
        state: Option<ExpectationState>,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<Expectation>, Error> {
        let cursor = Cursor::from_option(cursor)?;
        let statement = format!(
            "SELECT {EXPECTATION} FROM expectations WHERE inbox_id = $1 AND account_id = $2 \
             AND ($3 = '' OR state = $3) AND (created_at, id) < ($4, $5) \
             ORDER BY created_at DESC, id DESC LIMIT $6"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(inbox_id))
            .bind(sql::text(account_id))
            .bind(state.map_or("", ExpectationState::as_str))
            .bind(cursor.at)
            .bind(cursor.id)
            .bind(limit.saturating_add(1))
            .fetch_all(&self.database.read)
            .await
            .map_err(Error::query("read expectations"))?;
        let items = rows.iter().map(expectation).collect::<Result<_, _>>()?;
        Ok(page(items, limit, |it: &Expectation| Cursor { at: it.created_at, id: it.id.clone() }))
    }

    /// Those of these inboxes in which somebody waits for something.
    pub async fn expecting(&self, inbox_ids: &[&str]) -> Result<HashSet<String>, Error> {
        let failed = Error::query("find inboxes in which something is expected");
        let mut connection = self.connection().await?;
        let statement = |ids| {
            format!(
                "SELECT DISTINCT inbox_id FROM expectations \
                 WHERE state = 'waiting' AND inbox_id IN (VALUES {ids})"
            )
        };
        let bind = |query: sql::Bound, id: &&str| query.bind((*id).to_owned());
        let rows = sql::fetch(&mut connection, inbox_ids, 1, statement, bind).await;
        let inbox_id = |row: &AnyRow| row.try_get("inbox_id").map_err(&failed);
        rows.map_err(&failed)?.iter().map(inbox_id).collect()
    }

    /// When the next one is over that waits.
    pub async fn next_expectation_deadline(&self) -> Result<Option<i64>, Error> {
        let statement = "SELECT MIN(deadline) FROM expectations WHERE state = 'waiting'";
        sqlx::query_scalar(statement)
            .fetch_one(&self.database.read)
            .await
            .map_err(Error::query("find the next deadline"))
    }
}

pub(crate) fn expectation(row: &AnyRow) -> Result<Expectation, Error> {
    let failed = Error::query("read an expectation");
    let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
    let optional = |column: &str| row.try_get::<Option<String>, _>(column).map_err(&failed);
    let moment = |column: &str| row.try_get::<i64, _>(column).map_err(&failed);
    let corrupt = Error::Corrupt { what: "an expectation" };
    let kind = ExpectationKind::parse(&text("kind")?);
    let state = ExpectationState::parse(&text("state")?);
    let (Some(kind), Some(state)) = (kind, state) else { return Err(corrupt) };
    let passed_over = optional("passed_over")?;
    let passed_over = passed_over.map(|it| email::from_json::<PassedOver>(&it, "an expectation"));
    Ok(Expectation {
        id: text("id")?,
        account_id: text("account_id")?,
        inbox_id: text("inbox_id")?,
        kind,
        in_reply_to: optional("in_reply_to")?,
        from_domain: optional("from_domain")?,
        state,
        created_at: moment("created_at")?,
        deadline: moment("deadline")?,
        settled_at: row.try_get("settled_at").map_err(&failed)?,
        email_id: optional("email_id")?,
        code: optional("code")?,
        link: optional("link")?,
        candidates: email::from_json(&text("candidates")?, "an expectation")?,
        passed_over: passed_over.transpose()?,
    })
}
