//! What operators do, on record before it is done; and what they suspend.

use uuid::Uuid;

use super::Writer;
use crate::{Error, OperatorAct, Suspension, SuspensionScope, moment::now, sql};

impl Writer {
    /// Notes that an operator begins something; returns the id to end it with. Whatever becomes of the
    /// command, this stays.
    pub async fn begin_act(&self, act: &OperatorAct) -> Result<String, Error> {
        let id = format!("act_{}", Uuid::now_v7().simple());
        sqlx::query(
            "INSERT INTO operator_audit (id, at, who, command, target, reason, outcome, detail) \
             VALUES ($1, $2, $3, $4, $5, $6, 'begun', '')",
        )
        .bind(id.clone())
        .bind(now())
        .bind(sql::text(&act.who))
        .bind(sql::text(&act.command))
        .bind(sql::text(&act.target))
        .bind(sql::text(&act.reason))
        .execute(&self.database.write)
        .await
        .map_err(Error::query("put a command on record"))?;
        Ok(id)
    }

    /// Notes how it ended: "done" or "failed", and what it said.
    pub async fn end_act(&self, id: &str, outcome: &str, detail: &str) -> Result<(), Error> {
        sqlx::query("UPDATE operator_audit SET outcome = $2, detail = $3 WHERE id = $1")
            .bind(sql::text(id))
            .bind(sql::text(outcome))
            .bind(sql::text(detail))
            .execute(&self.database.write)
            .await
            .map(drop)
            .map_err(Error::query("put the end of a command on record"))
    }

    /// In place of one that is in force already.
    pub async fn suspend(&self, suspension: &Suspension) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO suspensions (scope, target, since, until, who, reason) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (scope, target) DO UPDATE SET \
             since = excluded.since, until = excluded.until, who = excluded.who, \
             reason = excluded.reason",
        )
        .bind(suspension.scope.as_str())
        .bind(sql::text(&suspension.target))
        .bind(now())
        .bind(suspension.until)
        .bind(sql::text(&suspension.who))
        .bind(sql::text(&suspension.reason))
        .execute(&self.database.write)
        .await
        .map(drop)
        .map_err(Error::query("suspend mail"))
    }

    /// Says whether it was suspended. Those whose time is over are forgotten meanwhile.
    pub async fn resume(&self, scope: SuspensionScope, target: &str) -> Result<bool, Error> {
        let failed = Error::query("resume mail");
        sqlx::query("DELETE FROM suspensions WHERE until <= $1")
            .bind(now())
            .execute(&self.database.write)
            .await
            .map_err(&failed)?;
        let done = sqlx::query("DELETE FROM suspensions WHERE scope = $1 AND target = $2")
            .bind(scope.as_str())
            .bind(sql::text(target))
            .execute(&self.database.write)
            .await
            .map_err(&failed)?;
        Ok(done.rows_affected() > 0)
    }
}
