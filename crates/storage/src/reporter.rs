//! `outbound.reported` → statuses → `email.sent`, `email.deferred`, `email.bounced`, `email.unknown`,
//! `email.suppressed`, and notifications for those who asked for them

use anyhow::anyhow;
use bus::{BatchStage, Failure, Traced};
use contract::{Action, DeliveryReported, Emit as _, RecipientReport, Record};
use store::{Evidence, Reported, Writer};

use crate::{events, failure, metrics::Metrics, notices::Notices, reports};

const STAGE: &str = "reporter";

pub(crate) struct Reporter {
    pub(crate) writer: Writer,
    pub(crate) notices: Notices,
    pub(crate) metrics: Metrics,
}

impl BatchStage for Reporter {
    const DURABLE: &'static str = STAGE;
    type In = DeliveryReported;
    type Out = Vec<Record>;

    async fn handle(
        &self,
        reports: Vec<Traced<DeliveryReported>>,
    ) -> Result<Vec<Vec<Record>>, Failure> {
        let reports: Vec<DeliveryReported> = reports.into_iter().map(|it| it.event).collect();
        let work = self.writer.report(&reports);
        let reported = self.metrics.transaction(STAGE, reports.len(), work).await;
        let reported = reported.map_err(failure)?;
        // After the statuses: what is noted twice counts once, and what is missing is noted when the
        // reports come again.
        let evidence: Vec<Evidence> = reported.iter().flatten().flat_map(evidence).collect();
        self.writer.note_evidence(&evidence).await.map_err(failure)?;
        let known: Vec<Reported> = reported.iter().flatten().cloned().collect();
        let notices = self.notices.of_attempts(&known).await?;
        let mut outs = Vec::new();
        for (report, reported) in reports.iter().zip(reported) {
            let reported = reported.ok_or_else(|| {
                let (mail_id, domain) = (&report.mail_id, &report.domain);
                Failure::Permanent(anyhow!("mail {mail_id} to {domain} is not in the ledger"))
            })?;
            if reported.repeated {
                self.metrics.note_repeats(STAGE, 1);
            } else {
                let recipients = &reported.report.recipients;
                recipients.iter().for_each(|it| self.metrics.outcomes.note_attempted(it));
            }
            let mut out = events::reported(&reported).records();
            // With each report on the mail: either may be acknowledged first.
            let notice = notices.iter().find(|(email_id, _)| *email_id == reported.email.id);
            out.extend(notice.map(|(_, it)| it.clone()).records());
            outs.push(out);
        }
        Ok(outs)
    }
}

/// Whether a recipient failed because of what he is: what speaks against sending to him again counts
/// against who sent, too.
pub(crate) fn is_bounce(status: &str, diagnostic: &str) -> bool {
    mail::classify(status, diagnostic).suppression() != mail::Suppression::Never
}

/// What failed recipients say about mail to come.
fn evidence(reported: &Reported) -> Vec<Evidence> {
    let failed = |it: &&RecipientReport| it.action() == Action::Failed && !it.suppressed;
    let of = |it: &RecipientReport| {
        let class = mail::classify(&it.status, &it.diagnostic);
        let (account_id, source) = (&reported.account_id, reported.report.mail_id.clone());
        reports::evidence(account_id, &it.forward_path, source, class, &it.diagnostic)
    };
    reported.report.recipients.iter().filter(failed).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use store::Weight;

    use super::*;

    #[track_caller]
    fn check(status: &str, diagnostic: &str, expected: Option<(&str, Weight)>) {
        check_recipient(failed(status, diagnostic), expected);
    }

    fn failed(status: &str, diagnostic: &str) -> RecipientReport {
        RecipientReport {
            forward_path: "bob@example.net".to_owned(),
            action: Action::Failed.into(),
            status: status.to_owned(),
            diagnostic: diagnostic.to_owned(),
            ..RecipientReport::default()
        }
    }

    #[track_caller]
    fn check_recipient(recipient: RecipientReport, expected: Option<(&str, Weight)>) {
        let reported = Reported {
            report: DeliveryReported {
                mail_id: "eml_1".to_owned(),
                recipients: vec![recipient],
                ..DeliveryReported::default()
            },
            account_id: "acct_1".to_owned(),
            email: contract::Email::default(),
            idempotency_key: String::new(),
            repeated: false,
        };
        let found = evidence(&reported);
        let found = found.first().map(|it| (it.reason.as_str(), it.weight));
        assert_eq!(found, expected, "{reported:?}");
        let recipient = &reported.report.recipients[0];
        let is_bounce = is_bounce(&recipient.status, &recipient.diagnostic);
        assert_eq!(is_bounce, found.is_some() || recipient.suppressed, "{recipient:?}");
    }

    #[test]
    fn only_facts_about_the_recipient_count() {
        check("5.1.1", "550 5.1.1 no such user", Some(("recipient_unknown", Weight::Fact)));
        check("5.2.2", "552 5.2.2 mailbox full", Some(("mailbox_full", Weight::Strike)));
        check("5.1.1", "550 5.1.1 blocked using zen.spamhaus.org", None);
        check("5.7.1", "554 5.7.1 rejected as spam", None);
        let suppressed = RecipientReport { suppressed: true, ..failed("5.1.1", "user unknown") };
        check_recipient(suppressed, None);
    }
}
