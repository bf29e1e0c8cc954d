//! `inbound.rejudged` → the stored verdict, with the one before kept beside it → `email.verdict.changed`

use bus::{Failure, Stage};
use contract::{Emit as _, MailRejudged, Record};
use store::Writer;

use crate::{events, failure, metrics::Metrics};

pub(crate) struct Rejudger {
    pub(crate) writer: Writer,
    pub(crate) metrics: Metrics,
}

impl Stage for Rejudger {
    const DURABLE: &'static str = "rejudger";
    type In = MailRejudged;
    type Out = Vec<Record>;

    async fn handle(&self, mail: MailRejudged) -> Result<Vec<Record>, Failure> {
        let rejudged = self.writer.rejudge(&mail).await.map_err(failure)?;
        if rejudged.is_new {
            self.metrics.rejudged.inc();
        }
        let events = rejudged.copies.into_iter().map(|it| events::verdict_changed(it, &mail));
        Ok(events.flat_map(|it| it.records()).collect())
    }
}
