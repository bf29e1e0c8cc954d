//! What operators did and what they suspended.

use sqlx::{Row as _, any::AnyRow};

use super::Reader;
use crate::{Error, OperatorAct, Suspension, SuspensionScope, moment::now};

impl Reader {
    /// What operators did since then, newest first.
    pub async fn operator_audit(&self, since: i64, limit: i64) -> Result<Vec<OperatorAct>, Error> {
        let failed = Error::query("read what operators did");
        let statement = "SELECT id, at, who, command, target, reason, outcome, detail \
                         FROM operator_audit WHERE at >= $1 ORDER BY id DESC LIMIT $2";
        let rows = sqlx::query(statement)
            .bind(since)
            .bind(limit)
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        rows.iter().map(act).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// What is suspended now, the newest first.
    pub async fn suspensions(&self) -> Result<Vec<Suspension>, Error> {
        let failed = Error::query("read suspensions");
        let statement = "SELECT scope, target, since, until, who, reason FROM suspensions \
                         WHERE until IS NULL OR until > $1 ORDER BY since DESC, scope, target";
        let rows = sqlx::query(statement)
            .bind(now())
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        rows.iter().map(suspension).collect()
    }

    /// The time by the database's clock.
    pub async fn clock(&self) -> Result<i64, Error> {
        let statement = format!("SELECT {}", self.database.dialect.clock());
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .fetch_one(&self.database.read)
            .await
            .map_err(Error::query("ask the database for the time"))
    }
}

fn act(row: &AnyRow) -> sqlx::Result<OperatorAct> {
    Ok(OperatorAct {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        who: row.try_get("who")?,
        command: row.try_get("command")?,
        target: row.try_get("target")?,
        reason: row.try_get("reason")?,
        outcome: row.try_get("outcome")?,
        detail: row.try_get("detail")?,
    })
}

fn suspension(row: &AnyRow) -> Result<Suspension, Error> {
    let failed = Error::query("read a suspension");
    let scope: String = row.try_get("scope").map_err(&failed)?;
    Ok(Suspension {
        scope: SuspensionScope::of(&scope)
            .ok_or(Error::Corrupt { what: "the scope of a suspension" })?,
        target: row.try_get("target").map_err(&failed)?,
        since: row.try_get("since").map_err(&failed)?,
        until: row.try_get("until").map_err(&failed)?,
        who: row.try_get("who").map_err(&failed)?,
        reason: row.try_get("reason").map_err(&failed)?,
    })
}
