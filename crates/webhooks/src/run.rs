//! Work on one webhook, by one replica at a time, round after round.

use std::time::{Duration, SystemTime};

use bus::Failure;
use contract::{Emit as _, Record, WebhookDue};
use store::{Leased, Webhook};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    caller::Caller,
    failure,
    round::{LEASE, Rounded, round},
};

/// After so long others have their turn.
const TURN: Duration = Duration::from_secs(20);

/// Returns when somebody has to look again. The message that led here is acked only once that is
/// published, so whatever dies in between, somebody looks.
pub(crate) async fn run(caller: &Caller, webhook_id: &str) -> Result<Vec<Record>, Failure> {
    let owner = Uuid::now_v7().simple().to_string();
    let leased = caller.store.writer.lease_webhook(webhook_id, &owner, LEASE).await;
    match leased.map_err(failure)? {
        Leased::Idle => Ok(Vec::new()),
        // Whoever is at work on it looks at everything there is; should it die, somebody has to.
        Leased::Busy { until } => Ok(later(webhook_id, "busy", until)),
        Leased::Webhook(webhook) => {
            let done = work(caller, *webhook, &owner).await;
            if done.is_err() {
                // Else it is free when the lease runs out.
                _ = caller.store.writer.drop_webhook(webhook_id, &owner).await;
            }
            done
        }
    }
}

async fn work(caller: &Caller, mut webhook: Webhook, owner: &str) -> Result<Vec<Record>, Failure> {
    let (writer, id) = (&caller.store.writer, webhook.id.clone());
    let end = Instant::now() + TURN;
    while Instant::now() < end && !caller.stop.is_cancelled() {
        match round(caller, &mut webhook, owner).await? {
            Rounded::Worked => (),
            Rounded::Over => return Ok(Vec::new()),
            Rounded::Absent { until } => {
                writer.drop_webhook(&id, owner).await.map_err(failure)?;
                return Ok(later(&id, "absent", until));
            }
            Rounded::Idle { due_at, seen } => {
                if writer.release_webhook(&id, owner, seen).await.map_err(failure)? {
                    return Ok(due_at.map(|it| later(&id, "retry", it)).unwrap_or_default());
                }
            }
        }
    }
    writer.drop_webhook(&id, owner).await.map_err(failure)?;
    Ok(WebhookDue::next(&id, format!("turn-{owner}")).records())
}

/// Look again at this moment.
fn later(webhook_id: &str, why: &str, at: i64) -> Vec<Record> {
    let due = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at).unwrap_or_default());
    vec![WebhookDue::next(webhook_id, format!("{why}-{at}")).at(Some(due))]
}
