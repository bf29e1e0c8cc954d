//! The least that a chain of three stages costs: the same octets through two streams into a database,
//! every step as durable as in Posthouse, and nothing else: no SMTP, nothing read, nothing indexed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use async_nats::jetstream::{
    self,
    consumer::{PullConsumer, pull},
    stream,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream as futures};
use local_nats::{LocalNats, Options};
use sqlx::{Connection as _, Executor as _, QueryBuilder, SqliteConnection};
use tempfile::TempDir;

use crate::{MAILS, SIZE_BYTES};

const IN_FLIGHT: usize = 256;
const BATCH: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Chain {
    jetstream: jetstream::Context,
    received: PullConsumer,
    scanned: PullConsumer,
    database: SqliteConnection,
    nats: LocalNats,
    _folder: TempDir,
}

impl Chain {
    pub(crate) async fn start() -> anyhow::Result<Chain> {
        let folder = TempDir::new().context("create folder")?;
        let nats = LocalNats::start(&Options::new(&folder.path().join("nats"))?).await?;
        let client = async_nats::connect(&nats.url).await.context("connect to NATS")?;
        let jetstream = jetstream::new(client);
        let received = consumer(&jetstream, "received").await?;
        let scanned = consumer(&jetstream, "scanned").await?;
        let path = folder.path().join("chain.db");
        let url = format!("sqlite:{}?mode=rwc", path.display());
        let mut database = SqliteConnection::connect(&url).await.context("open a database")?;
        let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                      CREATE TABLE mails (id INTEGER PRIMARY KEY, octets BLOB)";
        database.execute(schema).await.context("create a table")?;
        Ok(Chain { jetstream, received, scanned, database, nats, _folder: folder })
    }

    /// Mails per second from the first publish to the last commit.
    pub(crate) async fn round(&mut self) -> anyhow::Result<f64> {
        let start = Instant::now();
        let publish = publish(&self.jetstream);
        let pass = pass(&self.jetstream, &self.received);
        let store = store(&self.scanned, &mut self.database);
        let all = async { tokio::try_join!(publish, pass, store) };
        tokio::time::timeout(PATIENCE, all).await.context("run the bare chain")??;
        Ok(MAILS as f64 / start.elapsed().as_secs_f64())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.database.close().await.context("close the database")?;
        self.nats.stop().await
    }
}

/// A stream that keeps what is acknowledged, as the busy ones of Posthouse do, and its consumer.
async fn consumer(jetstream: &jetstream::Context, name: &str) -> anyhow::Result<PullConsumer> {
    let config = stream::Config {
        name: name.to_owned(),
        subjects: vec![name.to_owned()],
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.context("create a stream")?;
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        max_ack_pending: 5_000,
        ..Default::default()
    };
    stream.create_consumer(config).await.context("create a consumer")
}

async fn publish(jetstream: &jetstream::Context) -> anyhow::Result<()> {
    let octets = Bytes::from(vec![b'x'; SIZE_BYTES]);
    let publish = |_| async {
        let ack = jetstream.publish("received", octets.clone()).await?;
        ack.await.map(drop).context("publish")
    };
    futures::iter(0..MAILS).map(publish).buffer_unordered(IN_FLIGHT).try_collect().await
}

async fn pass(jetstream: &jetstream::Context, received: &PullConsumer) -> anyhow::Result<()> {
    let mut passed = 0;
    while passed < MAILS {
        let batch = fetch(received).await?;
        let publish = batch.iter().map(|it| async {
            let ack = jetstream.publish("scanned", it.payload.clone()).await?;
            ack.await.context("publish")
        });
        try_join_all(publish).await?;
        acknowledge(&batch).await?;
        passed += batch.len();
    }
    Ok(())
}

async fn store(scanned: &PullConsumer, database: &mut SqliteConnection) -> anyhow::Result<()> {
    let mut stored = 0;
    while stored < MAILS {
        let batch = fetch(scanned).await?;
        if !batch.is_empty() {
            let mut insert = QueryBuilder::new("INSERT INTO mails (octets) ");
            insert.push_values(&batch, |mut row, it| {
                row.push_bind(it.payload.to_vec());
            });
            insert.build().execute(&mut *database).await.context("store mails")?;
        }
        acknowledge(&batch).await?;
        stored += batch.len();
    }
    Ok(())
}

async fn fetch(consumer: &PullConsumer) -> anyhow::Result<Vec<jetstream::Message>> {
    let batch = consumer.batch().max_messages(BATCH).expires(Duration::from_millis(20));
    let batch = batch.messages().await.context("fetch")?;
    batch.map_err(|err| anyhow!(err)).try_collect().await
}

async fn acknowledge(batch: &[jetstream::Message]) -> anyhow::Result<()> {
    try_join_all(batch.iter().map(jetstream::Message::ack)).await.map_err(|err| anyhow!(err))?;
    Ok(())
}
