use contract::{Emit, Input};

use crate::{Failure, Traced};

/// One step of the pipeline: takes an event off a subject and says what to publish next.
///
/// The runner publishes what `handle` returns, waits until JetStream has stored it, and only then
/// acks the input. A crash in between delivers the input again, so `handle` must be idempotent.
pub trait Stage: Send + Sync + 'static {
    /// The durable consumer that every replica of this stage shares.
    const DURABLE: &'static str;

    /// How many events one replica handles at the same time.
    const CONCURRENCY: usize = 32;

    type In: Input;
    type Out: Emit;

    fn handle(&self, event: Self::In) -> impl Future<Output = Result<Self::Out, Failure>> + Send;
}

/// A step that is cheaper for many events at once, as a database transaction is.
///
/// It is all or nothing: if `handle` fails, the runner hands it the events one by one, so that a bad
/// one hurts no other.
pub trait BatchStage: Send + Sync + 'static {
    /// The durable consumer that every replica of this stage shares.
    const DURABLE: &'static str;

    /// How many events it takes at once, at most.
    const BATCH: usize = 100;

    /// How many batches one replica handles at the same time.
    const CONCURRENCY: usize = 1;

    type In: Input;
    type Out: Emit;

    /// One output for each event, in their order.
    fn handle(
        &self,
        events: Vec<Traced<Self::In>>,
    ) -> impl Future<Output = Result<Vec<Self::Out>, Failure>> + Send;
}
