//! A claim whose answer was lost is asked again: it gets what it got, not more.

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::{
    Claim, Error, Lease, LeaseState,
    dialect::Dialect,
    sql,
    work::{HELD_FOR_A_KEY, LEASE_TABLES, lease, lease_columns},
};

/// The leases that were given for this very claim and have not ended, in the order in which they were.
pub(super) async fn held(
    connection: &mut AnyConnection,
    dialect: Dialect,
    claim: &Claim<'_>,
) -> Result<Vec<Lease>, Error> {
    let Some(key) = claim.key else { return Ok(Vec::new()) };
    let failed = Error::query("find what a claim was given");
    let columns = lease_columns(dialect.clock());
    let statement = format!(
        "SELECT {columns} FROM {LEASE_TABLES} WHERE {HELD_FOR_A_KEY} ORDER BY e.created_at, e.id"
    );
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(sql::text(claim.inbox_id))
        .bind(sql::text(key))
        .bind(sql::text(claim.worker))
        .bind(sql::text(claim.account_id))
        .fetch_all(connection)
        .await
        .map_err(&failed)?;
    let mut leases = rows.iter().map(lease).collect::<sqlx::Result<Vec<_>>>().map_err(&failed)?;
    leases.retain(|it| it.state == LeaseState::Active);
    Ok(leases)
}
