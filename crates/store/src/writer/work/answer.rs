//! Mail that goes out under a lease: accepted and acked in one step, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use contract::Rejection;
use sqlx::AnyConnection;

use super::{Item, end, lock, settle};
use crate::{
    Error, Lease, LeaseState, Outcome, Submitted, dialect::Dialect, sql, work::unknown_lease,
};

/// What requests are told whose lease is lost, by lease. The work of their inboxes stays locked, so that what
/// is found here holds until the transaction ends. Only of requests that could be honoured: others leave
/// their lease as it is.
pub(in crate::writer) async fn lost_leases(
    connection: &mut AnyConnection,
    dialect: Dialect,
    new: &[&Submitted],
) -> Result<BTreeMap<String, Rejection>, Error> {
    let under_lease = new.iter().filter(|it| matches!(it.outcome, Outcome::Composed(_)));
    let under_lease: Vec<(&Submitted, &String)> =
        under_lease.filter_map(|it| Some((*it, it.lease_id.as_ref()?))).collect();
    let inbox_ids: BTreeSet<&String> = under_lease.iter().map(|(it, _)| &it.inbox_id).collect();
    let mut queues = BTreeMap::new();
    for inbox_id in inbox_ids {
        if let Some(queue) = lock(connection, dialect, inbox_id, dialect.lock_rows()).await? {
            queues.insert(inbox_id, queue);
        }
    }
    let mut lost = BTreeMap::new();
    for (submitted, lease_id) in under_lease {
        let found = settle::find(connection, dialect, &submitted.inbox_id, lease_id).await?;
        let found = found.filter(|it| it.account_id == submitted.account_id);
        let (Some(queue), Some(lease)) = (queues.get(&submitted.inbox_id), found) else {
            lost.insert(lease_id.clone(), unknown_lease(lease_id));
            continue;
        };
        if came_in_time(&lease, submitted.requested_at) {
            continue;
        }
        let Some(rejection) = lease.lost() else { continue };
        if lease.state == LeaseState::Expired && lease.ended_at.is_none() {
            // Whoever waits for what becomes of the request is to see that nothing does.
            let item = item(connection, &lease).await?;
            end(connection, queue, &item).await?;
        }
        lost.insert(lease_id.clone(), rejection);
    }
    Ok(lost)
}

/// Nobody has ended the lease, and the request was there before it was over: that it had to wait for us is
/// not its worker's fault.
fn came_in_time(lease: &Lease, requested_at: i64) -> bool {
    lease.state == LeaseState::Expired
        && lease.ended_at.is_none()
        && requested_at <= lease.expires_at
}

async fn item(connection: &mut AnyConnection, lease: &Lease) -> Result<Item, Error> {
    let lane = sqlx::query_scalar("SELECT lane FROM work_items WHERE email_id = $1")
        .bind(lease.email_id.clone())
        .fetch_one(connection)
        .await
        .map_err(Error::query("find the mail of a lease"))?;
    let (email_id, lease_id) = (lease.email_id.clone(), Some(lease.id.clone()));
    Ok(Item { email_id, lane, attempts: lease.attempt, lease_id })
}

/// Their mails are done with: what deals with them is in the ledger.
pub(in crate::writer) async fn ack_leases(
    connection: &mut AnyConnection,
    dialect: Dialect,
    lease_ids: &[&str],
) -> Result<(), Error> {
    if lease_ids.is_empty() {
        return Ok(());
    }
    let now = super::clock(connection, dialect).await?;
    for lease_id in lease_ids {
        settle::ack(connection, &sql::text(lease_id), now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_in_time_may_wait_for_us() {
        let lease = |state, ended_at| Lease {
            id: "lease_1".to_owned(),
            account_id: String::new(),
            inbox_id: String::new(),
            email_id: String::new(),
            thread_id: None,
            worker: String::new(),
            attempt: 1,
            state,
            claimed_at: 0,
            expires_at: 10,
            ended_at,
            reason: String::new(),
        };
        assert!(came_in_time(&lease(LeaseState::Expired, None), 10));
        assert!(!came_in_time(&lease(LeaseState::Expired, None), 11));
        assert!(!came_in_time(&lease(LeaseState::Expired, Some(12)), 10), "somebody ended it");
        assert!(!came_in_time(&lease(LeaseState::Revoked, None), 10));
    }
}
