//! `outbound.due` → one delivery attempt

use std::sync::Arc;

use bus::{Failure, Stage};
use contract::{DeliveryDue, Record};

use crate::{attempts::Attempts, shaping::HANDS};

pub(crate) struct Deliverer {
    pub(crate) attempts: Arc<Attempts>,
}

impl Stage for Deliverer {
    const DURABLE: &'static str = "deliverer";

    /// An attempt mostly waits for the other side.
    const CONCURRENCY: usize = HANDS;

    type In = DeliveryDue;
    type Out = Vec<Record>;

    async fn handle(&self, due: DeliveryDue) -> Result<Vec<Record>, Failure> {
        self.attempts.make(due).await
    }
}
