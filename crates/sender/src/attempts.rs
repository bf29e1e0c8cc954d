//! One delivery attempt: `outbound.reported` says what came of it, `outbound.due` when the next one is

use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use bus::Failure;
use contract::{
    Action, DeliveryDue, DeliveryReported, Emit as _, OnUnknown, RecipientReport, Record,
};
use store::{Outgoing, Reader, Suppression};

use crate::{
    Delivery, content,
    delivery::{Attempt, now_micros},
    domain_keys::DomainKeys,
    dot::Dots,
    suspended::Suspended,
};

pub(crate) struct Attempts {
    pub(crate) ledger: Reader,
    pub(crate) domain_keys: DomainKeys,
    pub(crate) delivery: Delivery,
    pub(crate) dots: Dots,
    pub(crate) suspended: Suspended,
}

impl Attempts {
    pub(crate) async fn make(&self, mut due: DeliveryDue) -> Result<Vec<Record>, Failure> {
        let outgoing = self.ledger.outgoing(&due.mail_id).await;
        let outgoing = outgoing.map_err(failure)?.ok_or_else(|| {
            // A submission is accepted after its transaction is, so this is not a matter of time.
            Failure::Permanent(anyhow!("mail {} is not in the ledger", due.mail_id))
        })?;
        let on_unknown = due.on_unknown();
        // A redelivery, or an attempt scheduled twice: who is settled gets no second copy.
        due.forward_paths.retain(|it| is_open(&outgoing, it, on_unknown));
        if due.forward_paths.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(at_micros) = self.suspended.put_off(&due, now_micros(), fastrand::f64()) {
            return Ok(vec![put_off(due, at_micros)]);
        }
        let domain = content::from_domain(content::header_section(&outgoing.octets));
        let keys = match self.domain_keys.of(&domain).await {
            Err(err) if is_transient(&err) => return Err(Failure::Transient(err)),
            keys => keys,
        };
        // What was learned since the mail was accepted counts as well.
        let before = due.clone();
        let suppressed = self.suppressed(&due, outgoing.list_id.as_deref()).await;
        let suppressed = leave_out(&mut due, &suppressed.map_err(failure)?);
        let dot = self.dots.of(&due);
        let mut report = if due.forward_paths.is_empty() {
            nothing_tried(&due)
        } else if let Some(dot) = &dot
            && dot.is_noted().await?
        {
            may_be_sent(&due)
        } else {
            let attempted =
                self.delivery.attempt_with(&outgoing.octets, &due, keys.as_deref(), dot.clone());
            match attempted.await {
                Attempt::Reported(_) if dot.as_ref().is_some_and(|it| it.is_missing()) => {
                    let err =
                        anyhow!("the end of data could not be noted: the attempt is made again");
                    return Err(Failure::Transient(err));
                }
                Attempt::Reported(report) => report,
                Attempt::Postponed { at_micros } => return Ok(vec![put_off(before, at_micros)]),
            }
        };
        report.recipients.extend(suppressed);
        Ok(records(due, report))
    }

    /// Whom the account must not send to, those included who have left the list the mail goes to.
    async fn suppressed(
        &self,
        due: &DeliveryDue,
        list_id: Option<&str>,
    ) -> Result<Vec<Suppression>, store::Error> {
        let (account_id, paths) = (&due.account_id, &due.forward_paths);
        let mut suppressed = self.ledger.suppressed(account_id, paths).await?;
        if let Some(list_id) = list_id {
            suppressed.extend(self.ledger.unsubscribed(account_id, list_id, paths).await?);
        }
        Ok(suppressed)
    }
}

/// Whether there is anything to be done for a recipient.
fn is_open(outgoing: &Outgoing, path: &String, on_unknown: OnUnknown) -> bool {
    let may_have_it = outgoing.unknown.contains(path);
    outgoing.open.contains(path) || may_have_it && on_unknown != OnUnknown::Hold
}

/// Takes the suppressed recipients out; returns what is reported of them.
fn leave_out(due: &mut DeliveryDue, suppressed: &[Suppression]) -> Vec<RecipientReport> {
    let of = |path: &str| suppressed.iter().find(|it| it.address == path.to_lowercase());
    let report = |path: &String| {
        let suppression = of(path)?;
        Some(RecipientReport {
            forward_path: path.clone(),
            action: Action::Failed.into(),
            // Other address status: the diagnostic has the reason (RFC 3463 section 3.2).
            status: "5.1.0".to_owned(),
            diagnostic: format!("suppressed: {}: {}", suppression.reason, suppression.evidence),
            suppressed: true,
            ..RecipientReport::default()
        })
    };
    let reports = due.forward_paths.iter().filter_map(report).collect();
    due.forward_paths.retain(|it| of(it).is_none());
    reports
}

fn nothing_tried(due: &DeliveryDue) -> DeliveryReported {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    DeliveryReported {
        mail_id: due.mail_id.clone(),
        account_id: due.account_id.clone(),
        inbox_id: due.inbox_id.clone(),
        domain: due.domain.clone(),
        attempt: due.attempt,
        attempted_at_micros: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        ..DeliveryReported::default()
    }
}

/// A sender died in the middle of this very attempt, after it had noted that the end of data comes.
fn may_be_sent(due: &DeliveryDue) -> DeliveryReported {
    let recipient = |path: &String| RecipientReport {
        forward_path: path.clone(),
        action: Action::Unknown.into(),
        status: "4.4.2".to_owned(),
        diagnostic: "the outcome is unknown: the sender stopped before it could say".to_owned(),
        held: true,
        ..RecipientReport::default()
    };
    let recipients = due.forward_paths.iter().map(recipient).collect();
    DeliveryReported { recipients, ..nothing_tried(due) }
}

fn failure(err: store::Error) -> Failure {
    let transient = err.is_transient();
    let err = anyhow::Error::new(err).context("read the mail to deliver");
    if transient { Failure::Transient(err) } else { Failure::Permanent(err) }
}

fn is_transient(err: &anyhow::Error) -> bool {
    err.downcast_ref::<store::Error>().is_some_and(store::Error::is_transient)
}

/// The next attempt goes first. Were the report recorded and the schedule lost to a crash, the repeated
/// attempt's report would count as a repeated one, and whatever it found out would be forgotten.
fn records(due: DeliveryDue, report: DeliveryReported) -> Vec<Record> {
    let mut records = Vec::new();
    if report.next_attempt_at_micros > 0 {
        let at = Duration::from_micros(report.next_attempt_at_micros.unsigned_abs());
        records.push(next_attempt(due, &report).at(Some(SystemTime::UNIX_EPOCH + at)));
    }
    records.extend(report.records());
    records
}

/// The same attempt once more.
fn put_off(due: DeliveryDue, at_micros: i64) -> Record {
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(at_micros.unsigned_abs());
    DeliveryDue { deferrals: due.deferrals.saturating_add(1), ..due }.at(Some(at))
}

fn next_attempt(due: DeliveryDue, report: &DeliveryReported) -> DeliveryDue {
    let is_delayed = |it: &&RecipientReport| match it.action() {
        Action::Delayed => true,
        Action::Unknown => !it.held,
        _ => false,
    };
    let delayed = report.recipients.iter().filter(is_delayed);
    DeliveryDue {
        attempt: due.attempt.saturating_add(1),
        forward_paths: delayed.map(|it| it.forward_path.clone()).collect(),
        deferrals: 0,
        ..due
    }
}
