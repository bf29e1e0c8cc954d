//! `outbound.reported` → statuses → `email.sent`, `email.deferred`, `email.bounced`

use anyhow::anyhow;
use bus::{BatchStage, Failure};
use contract::{DeliveryReported, Emit as _, Record};
use store::Writer;

use crate::{events, failure, metrics::Metrics};

const STAGE: &str = "reporter";

pub(crate) struct Reporter {
    pub(crate) writer: Writer,
    pub(crate) metrics: Metrics,
}

impl BatchStage for Reporter {
    const DURABLE: &'static str = STAGE;
    type In = DeliveryReported;
    type Out = Vec<Record>;

    async fn handle(&self, reports: Vec<DeliveryReported>) -> Result<Vec<Vec<Record>>, Failure> {
        let work = self.writer.report(&reports);
        let reported = self.metrics.transaction(STAGE, reports.len(), work).await;
        let mut outs = Vec::new();
        for (report, reported) in reports.iter().zip(reported.map_err(failure)?) {
            let reported = reported.ok_or_else(|| {
                let (mail_id, domain) = (&report.mail_id, &report.domain);
                Failure::Permanent(anyhow!("mail {mail_id} to {domain} is not in the ledger"))
            })?;
            if reported.repeated {
                self.metrics.note_repeats(STAGE, 1);
            }
            outs.push(events::reported(&reported).records());
        }
        Ok(outs)
    }
}
