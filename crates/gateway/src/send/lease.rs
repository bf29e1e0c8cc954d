//! What a lease has to say of a request that is to be sent under it. The ledger looks at it again.

use contract::Rejection;
use store::{Inbox, LedgerEntry};

use super::{Request, Submitter};
use crate::problem::Problem;

/// A lease lasts for so long, in microseconds, from when something is to be sent under it: in that time what
/// is on its way to the ledger gets there, unless storage is away for longer.
const PINNED_FOR: i64 = 60 * 1_000_000;

impl Submitter {
    /// Refuses a lease on another email than the one that is answered or passed on.
    pub(crate) async fn check_lease_is_on(
        &self,
        email_id: &str,
        inbox: &Inbox,
        request: &Request,
    ) -> Result<(), Problem> {
        let Some(lease_id) = &request.lease_id else { return Ok(()) };
        let lease = self.reader.lease(&inbox.account_id, lease_id).await?;
        match lease.filter(|it| it.email_id != email_id) {
            Some(other) => Err(Problem::unprocessable(
                "invalid_request",
                format!("leaseId: this lease is on email {}", other.email_id),
            )),
            None => Ok(()),
        }
    }

    /// Refuses a request under a lost lease, unless it is the very one that was accepted under it.
    pub(super) async fn check_lease(
        &self,
        inbox: &Inbox,
        request: &Request,
        first: Option<&LedgerEntry>,
    ) -> Result<(), Problem> {
        let Some(lease_id) = &request.lease_id else { return Ok(()) };
        if is_under_its_lease(first, request) {
            return Ok(());
        }
        let lost = self.reader.lost_lease(&inbox.account_id, &inbox.id, lease_id).await?;
        lost.map_or(Ok(()), |it| Err(it.into()))
    }

    /// From here on the request waits for nothing but us: its lease is not to end meanwhile. Whether somebody
    /// ends it, by ack or otherwise, is his business.
    pub(super) async fn pin_lease(&self, inbox: &Inbox, request: &Request) -> Result<(), Problem> {
        let Some(lease_id) = &request.lease_id else { return Ok(()) };
        let pinned = self.writer.pin_lease(&inbox.account_id, &inbox.id, lease_id, PINNED_FOR);
        pinned.await?.map_or(Ok(()), |lost| Err(lost.into()))
    }

    /// Why nothing comes of a request any more that the ledger has not accepted: its lease has ended.
    pub(super) async fn ended_lease(&self, inbox: &Inbox, request: &Request) -> Option<Rejection> {
        let lease_id = request.lease_id.as_ref()?;
        let lease = self.reader.lease(&inbox.account_id, lease_id).await.ok().flatten()?;
        lease.ended_at.and_then(|_| lease.lost())
    }
}

/// What was entered came under the lease of this request.
pub(super) fn is_under_its_lease(entry: Option<&LedgerEntry>, request: &Request) -> bool {
    entry.is_some_and(|it| it.lease_id == request.lease_id)
}
