use crate::{BatchStage, Bus, Stage};

impl Bus {
    /// Runs a stage until shutdown, then lets the events in hand finish.
    pub async fn run<S: Stage>(&self, stage: S) -> anyhow::Result<()> {
        unimplemented!()
    }

    /// As `run`, for a stage that takes many events at once.
    pub async fn run_batches<S: BatchStage>(&self, stage: S) -> anyhow::Result<()> {
        unimplemented!()
    }
}
