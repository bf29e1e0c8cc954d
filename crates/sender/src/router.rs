//! `outbound.accepted` → route → `outbound.due`, one for each destination

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use bus::{Failure, Stage};
use contract::{
    Action, DeliveryDue, DeliveryReported, Emit as _, RecipientReport, Record, SubmissionAccepted,
};
use mail::Address;

pub(crate) struct Router;

impl Stage for Router {
    const DURABLE: &'static str = "router";
    type In = SubmissionAccepted;
    type Out = Vec<Record>;

    async fn handle(&self, submission: SubmissionAccepted) -> Result<Vec<Record>, Failure> {
        let (destinations, invalid) = by_destination(&submission.forward_paths);
        let mut records: Vec<Record> = destinations
            .into_iter()
            .map(|(domain, forward_paths)| due(&submission, domain, forward_paths).at(None))
            .collect();
        if !invalid.is_empty() {
            records.extend(refused(&submission, invalid).records());
        }
        Ok(records)
    }
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
    use contract::{Delivered, Input};

    use super::*;

    async fn route(forward_paths: &[&str]) -> Vec<Record> {
        let submission = SubmissionAccepted {
            mail_id: "eml_1".to_owned(),
            forward_paths: forward_paths.iter().map(|it| (*it).to_owned()).collect(),
            ..SubmissionAccepted::default()
        };
        Router.handle(submission).await.expect("route")
    }

    fn decode<E: Input>(record: &Record) -> E {
        assert_eq!(record.subject, E::SUBJECT);
        E::decode(Delivered {
            subject: &record.subject,
            payload: &record.payload,
            message_id: Some(&record.identity),
            claim: None,
            stream_sequence: 1,
            stored_at_micros: 0,
        })
        .expect("decode")
    }

    #[tokio::test]
    async fn each_destination_gets_its_recipients() {
        let records = route(&["a@Example.org", "b@bücher.example", "c@example.ORG"]).await;
        let dues: Vec<DeliveryDue> = records.iter().map(decode).collect();
        assert_eq!(dues.len(), 2);
        assert_eq!(dues[0].domain, "example.org");
        assert_eq!(dues[0].forward_paths, ["a@Example.org", "c@example.ORG"]);
        assert_eq!(dues[1].domain, "xn--bcher-kva.example");
        assert!(dues.iter().all(|it| it.attempt == 1));
        assert!(records.iter().all(|it| it.due.is_none()));
    }

    #[tokio::test]
    async fn who_is_alone_at_a_destination_has_a_return_path_of_his_own() {
        let submission = SubmissionAccepted {
            mail_id: "eml_1".to_owned(),
            reverse_path: "all@a.test".to_owned(),
            forward_paths: ["a@x.test", "b@y.test", "c@x.test"].map(str::to_owned).to_vec(),
            reverse_paths: ["0@a.test", "1@a.test", "2@a.test"].map(str::to_owned).to_vec(),
            ..SubmissionAccepted::default()
        };
        let dues = |records: Vec<Record>| -> Vec<String> {
            records.iter().map(|it| decode::<DeliveryDue>(it).reverse_path).collect()
        };
        let records = Router.handle(submission.clone()).await.expect("route");
        assert_eq!(dues(records), ["all@a.test", "1@a.test"]);
        let without = SubmissionAccepted { reverse_paths: Vec::new(), ..submission };
        let records = Router.handle(without).await.expect("route");
        assert_eq!(dues(records), ["all@a.test", "all@a.test"]);
    }

    #[tokio::test]
    async fn the_times_go_with_it() {
        let submission = SubmissionAccepted {
            mail_id: "eml_1".to_owned(),
            forward_paths: vec!["a@example.org".to_owned()],
            accepted_at_micros: 3,
            expires_at_micros: 7,
            ..SubmissionAccepted::default()
        };
        let records = Router.handle(submission).await.expect("route");
        let due: DeliveryDue = decode(&records[0]);
        assert_eq!((due.accepted_at_micros, due.expires_at_micros), (3, 7));
    }

    #[tokio::test]
    async fn what_is_no_address_has_failed() {
        let records = route(&["nobody", "a@example.org"]).await;
        let report: DeliveryReported = decode(&records[1]);
        assert_eq!(report.recipients.len(), 1);
        assert_eq!(report.recipients[0].action(), Action::Failed);
        assert_eq!(report.recipients[0].status, "5.1.3");
    }
}
