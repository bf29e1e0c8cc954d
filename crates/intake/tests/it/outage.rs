//! NATS is full, or away.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};

use crate::{World, eventually};

async fn stream(world: &World, name: &str) -> (jetstream::Context, stream::Info) {
    let client = async_nats::connect(&world.nats.url).await.expect("connect");
    let jetstream = jetstream::new(client);
    let info = jetstream.get_stream(name).await.expect("stream").cached_info().clone();
    (jetstream, info)
}

#[tokio::test]
async fn refuses_when_full() {
    let mut world = World::new().await;
    let (jetstream, info) = stream(&world, "INBOUND").await;
    let small = stream::Config { max_bytes: 100, ..info.config.clone() };
    jetstream.update_stream(small).await.expect("make the stream small");

    let mut client = world.greeted().await;
    client.begin("small@client.example").await;
    client.ask("x\r\n.\r\n", "452 4.3.1").await;
    client.begin("large@client.example").await;
    client.ask(&format!("\r\n{}.\r\n", "x\r\n".repeat(100_000)), "452 4.3.1").await;
    // Nothing refers to the claim, so it is gone; what it was called stays known.
    let (_, claims) = stream(&world, "OBJ_CLAIMS").await;
    assert!(claims.state.bytes < 1000, "{:?}", claims.state);

    jetstream.update_stream(info.config).await.expect("make the stream large");
    client.send_mail("later@client.example", "x\r\n").await;
    assert_eq!(world.next_mail().await.envelope().reverse_path, "later@client.example");
}

#[tokio::test]
async fn answers_451_without_nats() {
    let mut world = World::new().await;
    let mut early = world.greeted().await;
    early.begin("early@client.example").await;
    let mut known = world.greeted().await;
    known.ask("MAIL FROM:<known@client.example>\r\n", "250").await;

    world.nats.kill().await.expect("kill");
    let asked_at = Instant::now();
    early.ask("x\r\n.\r\n", "451 4.3.0").await;
    known.ask("RCPT TO:<user@local.example>\r\n", "451 4.4.3").await;
    assert!(asked_at.elapsed() < Duration::from_secs(15), "{:?}", asked_at.elapsed());

    let mut late = world.greeted().await;
    eventually(async || {
        late.send("RSET\r\nMAIL FROM:<late@client.example>\r\n").await;
        late.expect("250").await;
        late.reply().await.starts_with("451 4.3.0")
    })
    .await;
    let unready = world.intake.process.health.unready();
    assert_eq!(unready.len(), 1, "{unready:?}");

    world.nats.restart().await.expect("restart");
    eventually(async || {
        late.send("RSET\r\nMAIL FROM:<late@client.example>\r\n").await;
        late.expect("250").await;
        late.reply().await.starts_with("250")
    })
    .await;
    late.ask("RCPT TO:<user@local.example>\r\n", "250").await;
    late.ask("DATA\r\n", "354").await;
    late.ask("x\r\n.\r\n", "250").await;
    assert_eq!(world.next_mail().await.envelope().reverse_path, "late@client.example");
    assert_eq!(world.intake.process.health.unready(), Vec::<String>::new());
    // The sessions of before have lived through it.
    early.send_mail("early@client.example", "x\r\n").await;
}
