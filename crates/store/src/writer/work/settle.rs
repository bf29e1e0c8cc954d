//! What workers say of the mail they have in hand.

use sqlx::AnyConnection;

use super::{Item, Queue, advance, end_lease, give_back, lock, set_aside};
use crate::{
    Error, Lease, LeaseState, Settled, Settlement, Writer,
    dialect::Dialect,
    sql,
    work::{LEASE_TABLES, lease, lease_columns},
    writer::{commit, unchanged},
};

/// Why a mail was set aside whose last worker gave no reason.
const GIVEN_BACK: &str = "its last worker gave it back";

impl Writer {
    /// Does as a worker says, if its lease is active. The same once more changes nothing.
    pub async fn settle_lease(
        &self,
        account_id: &str,
        lease_id: &str,
        settlement: Settlement<'_>,
    ) -> Result<Settled, Error> {
        let dialect = self.database.dialect;
        let mut transaction = self.database.begin().await?;
        let inbox_id: Option<String> =
            sqlx::query_scalar("SELECT inbox_id FROM leases WHERE id = $1 AND account_id = $2")
                .bind(sql::text(lease_id))
                .bind(sql::text(account_id))
                .fetch_optional(&mut *transaction)
                .await
                .map_err(Error::query("find a lease"))?;
        let Some(inbox_id) = inbox_id else {
            return unchanged(transaction, Settled::Unknown).await;
        };
        let queue = lock(&mut transaction, dialect, &inbox_id, dialect.lock_rows()).await?;
        let found = find(&mut transaction, dialect, &inbox_id, lease_id).await?;
        let (Some(queue), Some(mut lease)) = (queue, found) else {
            return unchanged(transaction, Settled::Unknown).await;
        };
        match (lease.state, settlement) {
            (LeaseState::Active, _) => (),
            (LeaseState::Acked, Settlement::Ack)
            | (LeaseState::Nacked, Settlement::Nack { .. }) => {
                return unchanged(
                    transaction,
                    Settled::Done { lease, is_repeat: true, set_aside: false },
                )
                .await;
            }
            _ => return unchanged(transaction, Settled::Lost(lease)).await,
        }
        let set_aside = match settlement {
            Settlement::Ack => {
                ack(&mut transaction, &lease.id, queue.now).await?;
                (lease.state, lease.ended_at) = (LeaseState::Acked, Some(queue.now));
                false
            }
            Settlement::Nack { delay, reason } => {
                (lease.state, lease.ended_at) = (LeaseState::Nacked, Some(queue.now));
                lease.reason = reason.to_owned();
                nack(&mut transaction, &queue, &lease, delay).await?
            }
            Settlement::Extend { lease: by } => {
                lease.expires_at = queue.now.saturating_add(by);
                extend(&mut transaction, &lease).await?;
                false
            }
        };
        commit(transaction).await?;
        Ok(Settled::Done { lease, is_repeat: false, set_aside })
    }
}

/// A lease of the inbox.
pub(super) async fn find(
    connection: &mut AnyConnection,
    dialect: Dialect,
    inbox_id: &str,
    lease_id: &str,
) -> Result<Option<Lease>, Error> {
    let failed = Error::query("read a lease");
    let columns = lease_columns(dialect.clock());
    let statement =
        format!("SELECT {columns} FROM {LEASE_TABLES} WHERE l.id = $1 AND l.inbox_id = $2");
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(sql::text(lease_id))
        .bind(sql::text(inbox_id))
        .fetch_optional(connection)
        .await
        .map_err(&failed)?;
    row.as_ref().map(lease).transpose().map_err(&failed)
}

/// The mail is done with, and the next of its thread may be handed out.
pub(super) async fn ack(
    connection: &mut AnyConnection,
    lease_id: &str,
    now: i64,
) -> Result<(), Error> {
    end_lease(connection, lease_id, LeaseState::Acked, "", now).await?;
    let lane: Option<String> = sqlx::query_scalar(
        "UPDATE work_items SET state = 'acked', lease_id = NULL, due_at = NULL \
         WHERE email_id = (SELECT email_id FROM leases WHERE id = $1) RETURNING lane",
    )
    .bind(lease_id.to_owned())
    .fetch_optional(&mut *connection)
    .await
    .map_err(Error::query("ack a mail"))?;
    match lane {
        Some(lane) => advance(connection, &lane).await,
        None => Ok(()),
    }
}

/// Says whether the mail was set aside.
async fn nack(
    connection: &mut AnyConnection,
    queue: &Queue,
    lease: &Lease,
    delay: i64,
) -> Result<bool, Error> {
    let failed = Error::query("give a mail back");
    end_lease(connection, &lease.id, LeaseState::Nacked, &lease.reason, queue.now).await?;
    let lane = sqlx::query_scalar("SELECT lane FROM work_items WHERE email_id = $1")
        .bind(lease.email_id.clone())
        .fetch_one(&mut *connection)
        .await
        .map_err(&failed)?;
    let (email_id, attempts) = (lease.email_id.clone(), lease.attempt);
    let item = Item { email_id, lane, attempts, lease_id: None };
    if attempts >= queue.max_attempts {
        let reason = if lease.reason.is_empty() { GIVEN_BACK } else { &lease.reason };
        set_aside(connection, queue, &item, reason).await?;
        return Ok(true);
    }
    if delay == 0 {
        give_back(connection, &item).await?;
        return Ok(false);
    }
    sqlx::query(
        "UPDATE work_items SET state = 'delayed', lease_id = NULL, due_at = $2 WHERE email_id = $1",
    )
    .bind(item.email_id)
    .bind(queue.now.saturating_add(delay))
    .execute(connection)
    .await
    .map_err(&failed)?;
    Ok(false)
}

/// Until its `expires_at`.
pub(super) async fn extend(connection: &mut AnyConnection, lease: &Lease) -> Result<(), Error> {
    for statement in [
        "UPDATE leases SET expires_at = $2 WHERE id = $1",
        "UPDATE work_items SET due_at = $2 WHERE lease_id = $1 AND email_id = $3",
    ] {
        let query = sqlx::query(statement).bind(lease.id.clone()).bind(lease.expires_at);
        let query =
            if statement.contains("$3") { query.bind(lease.email_id.clone()) } else { query };
        query.execute(&mut *connection).await.map_err(Error::query("extend a lease"))?;
    }
    Ok(())
}
