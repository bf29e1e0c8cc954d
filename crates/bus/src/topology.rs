//! Makes the streams, consumers and buckets as `contract::topology` says, or says how they differ.

/// What `apply` did, or would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub what: String,
}

/// Creates and updates; refuses what would lose messages. Idempotent.
pub async fn apply(url: &str, replicas: usize, dry_run: bool) -> anyhow::Result<Vec<Change>> {
    unimplemented!()
}
