//! A lease under which something is sent lasts until that can be expected to be in the ledger.

use contract::Rejection;

use super::{lock, settle};
use crate::{
    Error, Writer,
    work::unknown_lease,
    writer::{commit, unchanged},
};

impl Writer {
    /// Sees to it that a lease of the inbox does not end by itself within `least` microseconds from now. If
    /// nobody holds it any more, this says why, and changes nothing.
    pub async fn pin_lease(
        &self,
        account_id: &str,
        inbox_id: &str,
        lease_id: &str,
        least: i64,
    ) -> Result<Option<Rejection>, Error> {
        let dialect = self.database.dialect;
        let mut transaction = self.database.begin().await?;
        let queue = lock(&mut transaction, dialect, inbox_id, dialect.lock_rows()).await?;
        let found = settle::find(&mut transaction, dialect, inbox_id, lease_id).await?;
        let found = found.filter(|it| it.account_id == account_id);
        let (Some(queue), Some(mut lease)) = (queue, found) else {
            return unchanged(transaction, Some(unknown_lease(lease_id))).await;
        };
        let until = queue.now.saturating_add(least);
        let lost = lease.lost();
        if lost.is_some() || lease.expires_at >= until {
            return unchanged(transaction, lost).await;
        }
        lease.expires_at = until;
        settle::extend(&mut transaction, &lease).await?;
        commit(transaction).await?;
        Ok(None)
    }
}
