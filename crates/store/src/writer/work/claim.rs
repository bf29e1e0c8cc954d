//! Handing mail out.

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use sqlx::{AnyConnection, Row as _};

use super::{Queue, end_due, repeat};
use crate::{
    Claim, Claimed, Error, Lease, LeaseState, Writer, sql,
    writer::{commit, unchanged},
};

/// Mails of the inbox that are taken in at once as work.
const BATCH: i64 = 256;

/// So often in one transaction. After that others may have their turn.
const MOST_BATCHES: usize = 8;

/// The next ones: `$2` of them.
const READY: &str = "SELECT email_id, lane, attempts FROM work_items \
                     WHERE inbox_id = $1 AND state = 'ready' ORDER BY position LIMIT $2";

/// What came since work was looked at last, or before there was any. Also what was sent, so that nobody
/// has to pass over it twice. Mail that is kept from agents comes with a later moment if it is released.
const FRESH: &str = "SELECT id, thread_id, direction, created_at FROM emails \
                     WHERE inbox_id = $1 AND created_at > $2 AND hidden = 0 \
                     ORDER BY created_at, id LIMIT $3";

impl Writer {
    /// Hands out mail of an inbox, the oldest first, of each thread one at a time, each under a lease of its
    /// own; or what the same claim was handed before, as far as it still holds it. `None` if the account
    /// has no such active inbox.
    pub async fn claim(&self, claim: &Claim<'_>) -> Result<Option<Claimed>, Error> {
        let mut transaction = self.database.begin().await?;
        let queue = self.open_queue(&mut transaction, claim.account_id, claim.inbox_id).await?;
        let Some(mut queue) = queue else { return unchanged(transaction, None).await };
        let swept = end_due(&mut transaction, &queue).await?;
        let leases = repeat::held(&mut transaction, self.database.dialect, claim).await?;
        let is_repeat = !leases.is_empty();
        let mut claimed = Claimed { leases, has_more: false, is_repeat, swept };
        if !is_repeat {
            let (ready, is_all) = find_ready(&mut transaction, &mut queue, claim.most).await?;
            for it in ready {
                claimed.leases.push(lease_out(&mut transaction, &queue, claim, it).await?);
            }
            claimed.has_more = claimed.leases.is_empty() && !is_all;
        }
        commit(transaction).await?;
        Ok(Some(claimed))
    }
}

/// A mail that may be handed out.
struct Ready {
    email_id: String,
    lane: String,
    attempts: i64,
}

/// And whether there can be no more of them.
async fn find_ready(
    connection: &mut AnyConnection,
    queue: &mut Queue,
    most: i64,
) -> Result<(Vec<Ready>, bool), Error> {
    let mut is_all = false;
    for _ in 0..MOST_BATCHES {
        let found = ready(connection, queue, most).await?;
        if is_all || found.len() as i64 >= most {
            return Ok((found, is_all));
        }
        is_all = take_in(connection, queue).await?;
    }
    Ok((ready(connection, queue, most).await?, is_all))
}

async fn ready(
    connection: &mut AnyConnection,
    queue: &Queue,
    most: i64,
) -> Result<Vec<Ready>, Error> {
    let failed = Error::query("find mail to hand out");
    let rows = sqlx::query(READY)
        .bind(queue.inbox_id.clone())
        .bind(most)
        .fetch_all(connection)
        .await
        .map_err(&failed)?;
    let ready = rows.iter().map(|row| {
        Ok(Ready {
            email_id: row.try_get("email_id")?,
            lane: row.try_get("lane")?,
            attempts: row.try_get("attempts")?,
        })
    });
    ready.collect::<sqlx::Result<_>>().map_err(&failed)
}

/// Takes in some of the mail that is not known as work yet; says whether that is all.
async fn take_in(connection: &mut AnyConnection, queue: &mut Queue) -> Result<bool, Error> {
    let failed = Error::query("take mail in as work");
    let rows = sqlx::query(FRESH)
        .bind(queue.inbox_id.clone())
        .bind(queue.position)
        .bind(BATCH)
        .fetch_all(&mut *connection)
        .await
        .map_err(&failed)?;
    let mut received: Vec<(String, String, i64)> = Vec::new();
    let before = queue.position;
    for row in &rows {
        let id: String = row.try_get("id").map_err(&failed)?;
        let thread_id: Option<String> = row.try_get("thread_id").map_err(&failed)?;
        let direction: String = row.try_get("direction").map_err(&failed)?;
        queue.position = row.try_get("created_at").map_err(&failed)?;
        if direction == "inbound" {
            received.push((id.clone(), thread_id.unwrap_or(id), queue.position));
        }
    }
    insert(connection, queue, &received, before).await?;
    if queue.position > before {
        sqlx::query("UPDATE work_queues SET position = $2 WHERE inbox_id = $1")
            .bind(queue.inbox_id.clone())
            .bind(queue.position)
            .execute(connection)
            .await
            .map_err(&failed)?;
    }
    Ok((rows.len() as i64) < BATCH)
}

async fn insert(
    connection: &mut AnyConnection,
    queue: &Queue,
    received: &[(String, String, i64)],
    before: i64,
) -> Result<(), Error> {
    let failed = Error::query("take mail in as work");
    if received.is_empty() {
        return Ok(());
    }
    let statement = |rows| {
        format!(
            "INSERT INTO work_items (email_id, inbox_id, lane, state, position, attempts, reason) \
             {rows} ON CONFLICT (email_id) DO NOTHING"
        )
    };
    sql::insert(connection, received, 7, statement, |query, (email_id, lane, position)| {
        let query = query.bind(email_id.clone()).bind(queue.inbox_id.clone()).bind(lane.clone());
        query.bind("blocked").bind(*position).bind(0_i64).bind("")
    })
    .await
    .map_err(&failed)?;
    // They are newer than all that is known: in front is who has nobody before him.
    sqlx::query(
        "UPDATE work_items SET state = 'ready' WHERE inbox_id = $1 AND state = 'blocked' \
         AND position > $2 AND NOT EXISTS (SELECT 1 FROM work_items o WHERE o.lane = work_items.lane \
         AND o.state IN ('ready', 'leased', 'delayed', 'blocked') \
         AND o.position < work_items.position)",
    )
    .bind(queue.inbox_id.clone())
    .bind(before)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed)
}

async fn lease_out(
    connection: &mut AnyConnection,
    queue: &Queue,
    claim: &Claim<'_>,
    ready: Ready,
) -> Result<Lease, Error> {
    let failed = Error::query("hand a mail out");
    let lease = Lease {
        id: new_id()?,
        account_id: sql::text(claim.account_id),
        inbox_id: queue.inbox_id.clone(),
        thread_id: (ready.lane != ready.email_id).then_some(ready.lane),
        email_id: ready.email_id,
        worker: sql::text(claim.worker),
        attempt: ready.attempts + 1,
        state: LeaseState::Active,
        claimed_at: queue.now,
        expires_at: queue.now.saturating_add(claim.lease),
        ended_at: None,
        reason: String::new(),
    };
    sqlx::query(
        "UPDATE work_items SET state = 'leased', lease_id = $2, due_at = $3, attempts = $4 \
         WHERE email_id = $1",
    )
    .bind(lease.email_id.clone())
    .bind(lease.id.clone())
    .bind(lease.expires_at)
    .bind(lease.attempt)
    .execute(&mut *connection)
    .await
    .map_err(&failed)?;
    sqlx::query(
        "INSERT INTO leases (id, account_id, inbox_id, email_id, worker, attempt, state, \
         claimed_at, expires_at, reason, claim_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(lease.id.clone())
    .bind(lease.account_id.clone())
    .bind(lease.inbox_id.clone())
    .bind(lease.email_id.clone())
    .bind(lease.worker.clone())
    .bind(lease.attempt)
    .bind(lease.state.as_str())
    .bind(lease.claimed_at)
    .bind(lease.expires_at)
    .bind("")
    .bind(claim.key.map(sql::text))
    .execute(connection)
    .await
    .map_err(&failed)?;
    Ok(lease)
}

/// 128 random bits: who knows it was given it.
fn new_id() -> Result<String, Error> {
    let mut octets = [0; 16];
    rand::fill(&mut octets).map_err(|_| Error::Random)?;
    Ok(format!("lease_{}", HEXLOWER.encode(&octets)))
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::{Store, work::HELD_FOR_A_KEY};

    /// However much mail an inbox has: no scan of a table, and nothing to sort.
    #[tokio::test]
    async fn a_claim_looks_into_indexes() {
        let dir = tempfile::tempdir().expect("directory");
        let url = format!("sqlite:{}", dir.path().join("work.db").display());
        crate::migrate(&url).await.expect("migrate");
        let store = Store::open(&url).await.expect("open");
        let plan = async |statement: &str| {
            let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")))
                .bind("ibx_1")
                .bind(1_i64)
                .bind(1_i64)
                .fetch_all(&store.writer.database.write)
                .await
                .expect("explain");
            let steps = rows.iter().map(|row| row.get::<String, _>("detail"));
            steps.collect::<Vec<_>>().join("; ")
        };
        let held = format!("SELECT l.id FROM leases l WHERE {HELD_FOR_A_KEY}");
        for (statement, index) in [
            (READY, "work_items_by_state (inbox_id=? AND state=?)"),
            (FRESH, "emails_by_inbox (inbox_id=? AND created_at>?)"),
            (&*held, "leases_by_claim (inbox_id=? AND claim_key=?)"),
        ] {
            let plan = plan(statement).await;
            assert!(plan.contains(index) && plan.starts_with("SEARCH"), "{plan}");
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
        }
        store.close().await;
    }

    #[test]
    fn nobody_guesses_a_lease() {
        let (one, other) = (new_id().expect("random"), new_id().expect("random"));
        assert_ne!(one, other);
        assert_eq!(one.len(), "lease_".len() + 32);
    }
}
