//! Addresses that an operator keeps everybody's mail from.

use std::collections::BTreeSet;

use super::{Writer, commit};
use crate::{
    Error,
    moment::{DAY, now},
    sql,
    suppression::key,
};

/// Until it is lifted: longer than anybody waits.
const FOR_EVER: i64 = 100 * 365 * DAY;

impl Writer {
    /// All or none. What was in force before is replaced, and what was lifted holds again.
    pub async fn suppress_for_all(
        &self,
        addresses: &BTreeSet<String>,
        reason: &str,
        evidence: &str,
    ) -> Result<(), Error> {
        let (reason, evidence) = (sql::text(reason), sql::text(evidence));
        let addresses: BTreeSet<String> = addresses.iter().map(|it| key(it)).collect();
        let addresses: Vec<String> = addresses.into_iter().collect();
        let now = now();
        let statement = |tuples| {
            format!(
                "INSERT INTO global_suppressions (address, reason, evidence, created_at, expires_at) \
                 VALUES {tuples} ON CONFLICT (address) DO UPDATE SET reason = excluded.reason, \
                 evidence = excluded.evidence, created_at = excluded.created_at, \
                 expires_at = excluded.expires_at, lifted_at = NULL, lifted_by = NULL"
            )
        };
        let mut transaction = self.database.begin().await?;
        sql::execute(&mut transaction, &addresses, 5, statement, |query, address| {
            query
                .bind(address.clone())
                .bind(reason.clone())
                .bind(evidence.clone())
                .bind(now)
                .bind(now + FOR_EVER)
        })
        .await
        .map_err(Error::query("suppress addresses for everybody"))?;
        commit(transaction).await
    }
}
