//! `outbound.resolved` → statuses → `outbound.due` for what is to be sent again, and an event

use std::collections::BTreeMap;

use anyhow::anyhow;
use bus::{Failure, Stage};
use contract::{DeliveryDue, Emit as _, OnUnknown, OutcomeResolved, Record, Resolution};
use mail::Address;
use store::{Resolved, Writer};

use crate::{events, failure};

pub(crate) struct Resolver {
    pub(crate) writer: Writer,
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
        if decision.resolution() == Resolution::Retry {
            records.extend(due(&decision, &resolved).records());
        }
        records.extend(events::resolved(&decision, resolved).records());
        Ok(records)
    }
}

/// One delivery for each destination. The time it may take counts from the decision; what the request
/// said of it is over.
fn due(decision: &OutcomeResolved, resolved: &Resolved) -> Vec<DeliveryDue> {
    let mut destinations: BTreeMap<String, DeliveryDue> = BTreeMap::new();
    for (path, attempt) in &resolved.recipients {
        // It had a domain when it was sent.
        let Ok(address) = path.parse::<Address>() else { continue };
        let domain = address.domain().to_owned();
        let due = destinations.entry(domain.clone()).or_insert_with(|| DeliveryDue {
            mail_id: decision.mail_id.clone(),
            account_id: resolved.account_id.clone(),
            inbox_id: resolved.email.inbox_id.clone(),
            reverse_path: resolved.reverse_path.clone(),
            domain,
            accepted_at_micros: decision.resolved_at_micros,
            on_unknown: OnUnknown::Hold.into(),
            ..DeliveryDue::default()
        });
        due.forward_paths.push(path.clone());
        due.attempt = due.attempt.max(attempt.saturating_add(1));
    }
    destinations.into_values().collect()
}
