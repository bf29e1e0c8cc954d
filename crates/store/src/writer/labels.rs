//! What an account notes of its emails: that it has read them, and labels.

use std::collections::BTreeSet;

use sqlx::AnyConnection;

use super::{Writer, commit, unchanged};
use crate::{Change, Changed, Error, MAX_LABELS, MAX_LABELS_OF_EMAIL, labels, sql};

impl Writer {
    /// Changes an email, or leaves it as it is.
    pub async fn change(
        &self,
        account_id: &str,
        email_id: &str,
        change: &Change,
    ) -> Result<Changed, Error> {
        let failed = Error::query("change an email");
        let mut transaction = self.database.begin().await?;
        let lock = self.database.dialect.lock_rows();
        // Two changes of one email one after the other: each sees the labels that the other left.
        let statement =
            format!("SELECT id FROM emails WHERE id = $1 AND account_id = $2 AND hidden = 0{lock}");
        let found: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .bind(sql::text(email_id))
            .bind(sql::text(account_id))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        let Some(email_id) = found else { return unchanged(transaction, Changed::Unknown).await };
        if let Some(read) = change.read {
            sqlx::query("UPDATE emails SET is_read = $2 WHERE id = $1")
                .bind(email_id.clone())
                .bind(i64::from(read))
                .execute(&mut *transaction)
                .await
                .map_err(&failed)?;
        }
        let known = labels::of(&mut transaction, std::slice::from_ref(&email_id)).await?;
        let known: BTreeSet<String> = known.into_values().flatten().collect();
        let mut wanted = known.clone();
        wanted.retain(|it| !change.remove.contains(it));
        wanted.extend(change.add.iter().cloned());
        if wanted.len() > MAX_LABELS_OF_EMAIL {
            return unchanged(transaction, Changed::TooManyOfEmail).await;
        }
        for label in known.difference(&wanted) {
            take_off(&mut transaction, &email_id, label).await.map_err(&failed)?;
        }
        for label in wanted.difference(&known) {
            if !register(&mut transaction, account_id, label).await.map_err(&failed)? {
                return unchanged(transaction, Changed::TooMany).await;
            }
            put_on(&mut transaction, account_id, &email_id, label).await.map_err(&failed)?;
        }
        commit(transaction).await?;
        Ok(Changed::Done(wanted.into_iter().collect()))
    }
}

async fn take_off(connection: &mut AnyConnection, email_id: &str, label: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM email_labels WHERE email_id = $1 AND label = $2")
        .bind(email_id.to_owned())
        .bind(label.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

async fn put_on(
    connection: &mut AnyConnection,
    account_id: &str,
    email_id: &str,
    label: &str,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO email_labels (email_id, account_id, label) VALUES ($1, $2, $3)")
        .bind(email_id.to_owned())
        .bind(account_id.to_owned())
        .bind(label.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes the label one of the account's; false if it has too many. Of two that do it at once for
/// different emails both may fit where only one should: the bound is against growth, not exact.
async fn register(
    connection: &mut AnyConnection,
    account_id: &str,
    label: &str,
) -> sqlx::Result<bool> {
    let known = "SELECT COUNT(*) FROM labels WHERE account_id = $1 AND label <> $2";
    for statement in [
        None,
        // Those that are on no email make room.
        Some(
            "DELETE FROM labels WHERE account_id = $1 AND label <> $2 AND NOT EXISTS \
             (SELECT 1 FROM email_labels t WHERE t.account_id = $1 AND t.label = labels.label)",
        ),
    ] {
        if let Some(statement) = statement {
            sqlx::query(statement)
                .bind(account_id.to_owned())
                .bind(label.to_owned())
                .execute(&mut *connection)
                .await?;
        }
        let others: i64 = sqlx::query_scalar(known)
            .bind(account_id.to_owned())
            .bind(label.to_owned())
            .fetch_one(&mut *connection)
            .await?;
        if usize::try_from(others).unwrap_or(usize::MAX) < MAX_LABELS {
            let insert = "INSERT INTO labels (account_id, label) VALUES ($1, $2) \
                          ON CONFLICT (account_id, label) DO NOTHING";
            sqlx::query(insert)
                .bind(account_id.to_owned())
                .bind(label.to_owned())
                .execute(&mut *connection)
                .await?;
            return Ok(true);
        }
    }
    Ok(false)
}
