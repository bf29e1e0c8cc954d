//! The process is told to stop.

use std::time::Duration;

use intake::Config;
use service::Process;
use tokio::{net::TcpStream, time::timeout};

use crate::{Intake, PATIENCE, World, eventually, free_port};

#[tokio::test]
async fn mail_that_is_coming_in_is_taken_and_others_are_told() {
    let mut world = World::new().await;
    let mut idle = world.greeted().await;
    let mut busy = world.greeted().await;
    busy.begin("busy@client.example").await;
    busy.send("first half\r\n").await;

    world.intake.process.shutdown.cancel();
    idle.expect("421 4.3.2").await;
    idle.expect("closed").await;
    let address = world.intake.address;
    eventually(async || TcpStream::connect(address).await.is_err()).await;

    busy.ask("second half\r\n.\r\n", "250 2.0.0").await;
    busy.expect("421 4.3.2").await;
    busy.expect("closed").await;
    assert_eq!(world.next_mail().await.sent(), b"first half\r\nsecond half\r\n");
    let served = timeout(PATIENCE, world.intake.served).await.expect("stop").expect("join");
    served.expect("a good end");
}

#[tokio::test]
async fn who_does_not_finish_is_cut_off() {
    let world = World::with(|it| it.drain_timeout_secs = 1).await;
    let mut stuck = world.greeted().await;
    stuck.begin("stuck@client.example").await;
    world.intake.process.shutdown.cancel();
    let served = timeout(Duration::from_secs(5), world.intake.served).await.expect("stop");
    served.expect("join").expect("a good end");
    stuck.expect("closed").await;
}

#[tokio::test]
async fn a_busy_port_is_named_with_its_key() {
    let world = World::new().await;
    let config = Config { listen: world.intake.address, ..Intake::config(&world.nats) };
    let err = intake::run(config, Process::default()).await.expect_err("the port is taken");
    let text = format!("{err:#}");
    assert!(
        text.contains(&world.intake.address.to_string()) && text.contains("`listen`"),
        "{text}"
    );
}

#[tokio::test]
async fn run_ends_well_when_told_to() {
    let world = World::new().await;
    let process = Process::default();
    let config = Config { listen: free_port(), ..Intake::config(&world.nats) };
    let running = tokio::spawn(intake::run(config, process.clone()));
    let started = || process.metrics.text().expect("metrics").contains("mail_intake_connections");
    eventually(async || started()).await;
    process.shutdown.cancel();
    let ended = timeout(PATIENCE, running).await.expect("stop").expect("join");
    ended.expect("a good end");
}
