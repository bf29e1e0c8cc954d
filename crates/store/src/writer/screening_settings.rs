//! What accounts want done with received mail: policies, and lists of senders. Each change is on record.

use serde_json::json;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::{
    Writer, audit, commit,
    screening::{RULE, rule},
};
use crate::{
    Actor, AuditEntry, Error, ScreeningPolicy, ScreeningSettings, SenderList, SenderRule, email,
    moment::now, reader::screening::DEFAULTS, sql,
};

impl Writer {
    /// Screens by this where accounts have set nothing.
    #[must_use]
    pub fn screening_by(self, policy: ScreeningPolicy) -> Writer {
        Writer { screening: std::sync::Arc::new(policy), ..self }
    }

    /// Lets others know what this writer screens by.
    pub async fn publish_screening(&self) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO policies (name, policy) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET policy = excluded.policy",
        )
        .bind(DEFAULTS)
        .bind(email::to_json(&*self.screening))
        .execute(&self.database.write)
        .await
        .map(drop)
        .map_err(Error::query("publish the policy of screening"))
    }

    /// Sets what an account, or an inbox of its, wants; all that is not set is inherited.
    pub async fn set_screening(
        &self,
        account_id: &str,
        inbox_id: Option<&str>,
        settings: &ScreeningSettings,
        actor: &Actor,
    ) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        let text = email::to_json(settings);
        sqlx::query(
            "INSERT INTO screening_settings (scope_id, settings, updated_at) VALUES ($1, $2, $3) \
             ON CONFLICT (scope_id) DO UPDATE SET settings = excluded.settings, \
             updated_at = excluded.updated_at",
        )
        .bind(sql::text(inbox_id.unwrap_or(account_id)))
        .bind(text.clone())
        .bind(now())
        .execute(&mut *transaction)
        .await
        .map_err(Error::query("set a policy"))?;
        let entry = AuditEntry {
            account_id: account_id.to_owned(),
            inbox_id: inbox_id.map(str::to_owned),
            action: "policy.changed".to_owned(),
            actor: actor.clone(),
            details: text,
            ..AuditEntry::default()
        };
        audit::record(&mut transaction, &entry).await?;
        commit(transaction).await
    }

    /// Puts a sender on a list; gives the entry. One that is on it stays as it is, with its note.
    pub async fn list_sender(
        &self,
        entry: &SenderRule,
        actor: &Actor,
    ) -> Result<SenderRule, Error> {
        let failed = Error::query("read an entry of a list");
        let mut transaction = self.database.begin().await?;
        list(&mut transaction, entry, actor).await?;
        let statement = format!(
            "SELECT {RULE} FROM sender_rules r WHERE r.account_id = $1 AND r.inbox_id = $2 \
             AND r.list = $3 AND r.entry = $4"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(&entry.account_id))
            .bind(sql::text(entry.inbox_id.as_deref().unwrap_or_default()))
            .bind(entry.list.as_str())
            .bind(sql::text(&entry.entry))
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        let listed = rule(&row).map_err(&failed)?;
        commit(transaction).await?;
        Ok(listed)
    }

    /// Takes a sender off a list; whether he was on it.
    pub async fn unlist_sender(
        &self,
        account_id: &str,
        inbox_id: Option<&str>,
        sender_list: SenderList,
        entry: &str,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let mut transaction = self.database.begin().await?;
        let done = sqlx::query(
            "DELETE FROM sender_rules \
             WHERE account_id = $1 AND inbox_id = $2 AND list = $3 AND entry = $4",
        )
        .bind(sql::text(account_id))
        .bind(sql::text(inbox_id.unwrap_or_default()))
        .bind(sender_list.as_str())
        .bind(sql::text(entry))
        .execute(&mut *transaction)
        .await
        .map_err(Error::query("take a sender off a list"))?;
        let was_listed = done.rows_affected() > 0;
        if was_listed {
            let about = (account_id, inbox_id, sender_list, entry);
            audit::record(&mut transaction, &told("sender.unlisted", about, actor)).await?;
        }
        commit(transaction).await?;
        Ok(was_listed)
    }
}

/// Whether the sender is new on the list.
pub(super) async fn list(
    connection: &mut AnyConnection,
    rule: &SenderRule,
    actor: &Actor,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "INSERT INTO sender_rules (account_id, inbox_id, list, entry, note, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id, inbox_id, list, entry) DO NOTHING",
    )
    .bind(sql::text(&rule.account_id))
    .bind(sql::text(rule.inbox_id.as_deref().unwrap_or_default()))
    .bind(rule.list.as_str())
    .bind(sql::text(&rule.entry))
    .bind(sql::text(&rule.note))
    .bind(rule.created_at)
    .execute(&mut *connection)
    .await
    .map_err(Error::query("put a sender on a list"))?;
    let is_new = done.rows_affected() > 0;
    if is_new {
        let about = (&*rule.account_id, rule.inbox_id.as_deref(), rule.list, &*rule.entry);
        audit::record(connection, &told("sender.listed", about, actor)).await?;
    }
    Ok(is_new)
}

fn told(
    action: &str,
    (account_id, inbox_id, list, entry): (&str, Option<&str>, SenderList, &str),
    actor: &Actor,
) -> AuditEntry {
    AuditEntry {
        account_id: account_id.to_owned(),
        inbox_id: inbox_id.map(str::to_owned),
        action: action.to_owned(),
        actor: actor.clone(),
        details: json!({ "list": list.as_str(), "sender": entry }).to_string(),
        ..AuditEntry::default()
    }
}
