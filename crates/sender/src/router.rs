//! `outbound.accepted` → the first delivery attempt if there is one destination, else `outbound.due`
//! for each

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bus::{Failure, Stage};
use contract::{
    Action, DeliveryDue, DeliveryReported, Emit as _, RecipientReport, Record, SubmissionAccepted,
};
use mail::Address;

use crate::{attempts::Attempts, shaping::HANDS};

pub(crate) struct Router {
    pub(crate) attempts: Arc<Attempts>,
}

impl Stage for Router {
    const DURABLE: &'static str = "router";

    /// As many as the deliverer has.
    const CONCURRENCY: usize = HANDS;

    type In = SubmissionAccepted;
    type Out = Vec<Record>;

    async fn handle(&self, submission: SubmissionAccepted) -> Result<Vec<Record>, Failure> {
        let (mut dues, refused) = route(&submission);
        if dues.len() > 1 {
            let mut records: Vec<Record> = dues.into_iter().map(|it| it.at(None)).collect();
            records.extend(refused.records());
            return Ok(records);
        }
        // Passing it on would cost two synced writes, and a message here is as safe as one there.
        let mut records = match dues.pop() {
            Some(due) => self.attempts.make(due).await?,
            None => Vec::new(),
        };
        records.extend(refused.records());
        Ok(records)
    }
}

/// What is to be delivered where, and what is said of recipients that are no addresses.
fn route(submission: &SubmissionAccepted) -> (Vec<DeliveryDue>, Option<DeliveryReported>) {
    let (destinations, invalid) = by_destination(&submission.forward_paths);
    let due = |(domain, forward_paths)| due(submission, domain, forward_paths);
    let refused = (!invalid.is_empty()).then(|| refused(submission, invalid));
    (destinations.into_iter().map(due).collect(), refused)
}

/// The recipients of each domain (lower-case A-labels), and the reports on those that have none.
fn by_destination(
    forward_paths: &[String],
) -> (BTreeMap<String, Vec<String>>, Vec<RecipientReport>) {
    let mut destinations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut invalid = Vec::new();
    for path in forward_paths {
        match path.parse::<Address>() {
            Ok(address) => {
                destinations.entry(address.domain().to_owned()).or_default().push(path.clone());
            }
            Err(err) => invalid.push(RecipientReport {
                forward_path: path.clone(),
                action: Action::Failed.into(),
                status: "5.1.3".to_owned(),
                diagnostic: err.to_string(),
                ..RecipientReport::default()
            }),
        }
    }
    (destinations, invalid)
}

fn due(submission: &SubmissionAccepted, domain: String, forward_paths: Vec<String>) -> DeliveryDue {
    DeliveryDue {
        mail_id: submission.mail_id.clone(),
        account_id: submission.account_id.clone(),
        inbox_id: submission.inbox_id.clone(),
        reverse_path: submission.reverse_path_to(&forward_paths).to_owned(),
        domain,
        forward_paths,
        attempt: 1,
        accepted_at_micros: submission.accepted_at_micros,
        expires_at_micros: submission.expires_at_micros,
        deferrals: 0,
        on_unknown: submission.on_unknown,
    }
}

fn refused(submission: &SubmissionAccepted, recipients: Vec<RecipientReport>) -> DeliveryReported {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    DeliveryReported {
        mail_id: submission.mail_id.clone(),
        account_id: submission.account_id.clone(),
        inbox_id: submission.inbox_id.clone(),
        domain: String::new(),
        attempt: 1,
        attempted_at_micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
        recipients,
        next_attempt_at_micros: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(forward_paths: &[&str]) -> SubmissionAccepted {
        SubmissionAccepted {
            mail_id: "eml_1".to_owned(),
            forward_paths: forward_paths.iter().map(|it| (*it).to_owned()).collect(),
            ..SubmissionAccepted::default()
        }
    }

    #[test]
    fn each_destination_gets_its_recipients() {
        let (dues, refused) = route(&to(&["a@Example.org", "b@bücher.example", "c@example.ORG"]));
        assert_eq!(dues.len(), 2);
        assert_eq!(dues[0].domain, "example.org");
        assert_eq!(dues[0].forward_paths, ["a@Example.org", "c@example.ORG"]);
        assert_eq!(dues[1].domain, "xn--bcher-kva.example");
        assert!(dues.iter().all(|it| it.attempt == 1));
        assert!(refused.is_none());
    }

    #[test]
    fn who_is_alone_at_a_destination_has_a_return_path_of_his_own() {
        let submission = SubmissionAccepted {
            reverse_path: "all@a.test".to_owned(),
            reverse_paths: ["0@a.test", "1@a.test", "2@a.test"].map(str::to_owned).to_vec(),
            ..to(&["a@x.test", "b@y.test", "c@x.test"])
        };
        let reverse_paths = |submission: &SubmissionAccepted| -> Vec<String> {
            route(submission).0.into_iter().map(|it| it.reverse_path).collect()
        };
        assert_eq!(reverse_paths(&submission), ["all@a.test", "1@a.test"]);
        let without = SubmissionAccepted { reverse_paths: Vec::new(), ..submission };
        assert_eq!(reverse_paths(&without), ["all@a.test", "all@a.test"]);
    }

    #[test]
    fn the_times_go_with_it() {
        let submission = SubmissionAccepted {
            accepted_at_micros: 3,
            expires_at_micros: 7,
            ..to(&["a@example.org"])
        };
        let (dues, _) = route(&submission);
        assert_eq!((dues[0].accepted_at_micros, dues[0].expires_at_micros), (3, 7));
    }

    #[test]
    fn what_is_no_address_has_failed() {
        let (dues, refused) = route(&to(&["nobody", "a@example.org"]));
        assert_eq!(dues.len(), 1);
        let recipients = refused.expect("a report").recipients;
        assert_eq!(recipients.len(), 1);
        assert_eq!(recipients[0].action(), Action::Failed);
        assert_eq!(recipients[0].status, "5.1.3");
    }
}
