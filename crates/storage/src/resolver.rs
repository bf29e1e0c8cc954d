//! `outbound.resolved` → statuses → `outbound.due` for what is to be sent again, and an event

use std::collections::BTreeMap;

use anyhow::anyhow;
use bus::{Failure, Stage};
use contract::{
    DeliveryDue, Emit as _, OnUnknown, OutcomeResolved, Record, Resolution, SubmissionAccepted,
};
use mail::Address;
use store::{Resolved, Writer};

use crate::{
    events, failure,
    return_paths::{self, ReturnPaths},
};

pub(crate) struct Resolver {
    pub(crate) writer: Writer,
    pub(crate) return_paths: ReturnPaths,
}

impl Stage for Resolver {
    const DURABLE: &'static str = "resolver";
    type In = OutcomeResolved;
    type Out = Vec<Record>;

    async fn handle(&self, decision: OutcomeResolved) -> Result<Vec<Record>, Failure> {
        let resolved = self.writer.resolve(&decision).await.map_err(failure)?.ok_or_else(|| {
            Failure::Permanent(anyhow!("mail {} is not in the ledger", decision.mail_id))
        })?;
        let mut records = Vec::new();
        if decision.resolution() == Resolution::Retry && !resolved.recipients.is_empty() {
            let keys = self.return_paths.keys().await?;
            let accepted = return_paths::give(&keys, accepted(&decision, &resolved))?;
            records.extend(due(&accepted, &resolved.recipients).records());
        }
        records.extend(events::resolved(&decision, resolved).records());
        Ok(records)
    }
}

/// The whole mail, accepted once more. The time it may take counts from the decision; what the request
/// said of it is over.
fn accepted(decision: &OutcomeResolved, resolved: &Resolved) -> SubmissionAccepted {
    SubmissionAccepted {
        mail_id: decision.mail_id.clone(),
        account_id: resolved.account_id.clone(),
        inbox_id: resolved.email.inbox_id.clone(),
        reverse_path: resolved.reverse_path.clone(),
        forward_paths: resolved.email.recipients.iter().map(|it| it.address.clone()).collect(),
        accepted_at_micros: decision.resolved_at_micros,
        on_unknown: OnUnknown::Hold.into(),
        ..SubmissionAccepted::default()
    }
}

/// One delivery for each destination of these recipients, who come with their last attempts.
fn due(accepted: &SubmissionAccepted, recipients: &[(String, u32)]) -> Vec<DeliveryDue> {
    let mut destinations: BTreeMap<String, DeliveryDue> = BTreeMap::new();
    for (path, attempt) in recipients {
        // It had a domain when it was sent.
        let Ok(address) = path.parse::<Address>() else { continue };
        let domain = address.domain().to_owned();
        let due = destinations.entry(domain.clone()).or_insert_with(|| DeliveryDue {
            mail_id: accepted.mail_id.clone(),
            account_id: accepted.account_id.clone(),
            inbox_id: accepted.inbox_id.clone(),
            domain,
            accepted_at_micros: accepted.accepted_at_micros,
            on_unknown: accepted.on_unknown,
            ..DeliveryDue::default()
        });
        due.forward_paths.push(path.clone());
        due.attempt = due.attempt.max(attempt.saturating_add(1));
    }
    let mut dues: Vec<DeliveryDue> = destinations.into_values().collect();
    for due in &mut dues {
        due.reverse_path = accepted.reverse_path_to(&due.forward_paths).to_owned();
    }
    dues
}
