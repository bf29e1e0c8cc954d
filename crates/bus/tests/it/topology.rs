use async_nats::jetstream::stream::RetentionPolicy;
use bus::Bus;
use service::Process;

use crate::Bench;

#[tokio::test]
async fn applying_twice_changes_nothing() {
    let bench = Bench::new().await;
    assert_eq!(bus::apply(&bench.nats.url, 1, false).await.expect("apply"), []);
}

#[tokio::test]
async fn a_dry_run_says_what_is_missing_and_does_nothing() {
    let bench = Bench::new().await;
    let jetstream = bench.jetstream().await;
    jetstream.delete_stream("EVENTS").await.expect("delete");
    let changes = bus::apply(&bench.nats.url, 1, true).await.expect("plan");
    assert_eq!(
        changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["create stream EVENTS", "create consumer webhook-waker on EVENTS"]
    );
    jetstream.get_stream("EVENTS").await.expect_err("still missing");
}

/// One server cannot hold three copies, so only what is said of it can be seen here; that three do is seen
/// end to end.
#[tokio::test]
async fn replicas_are_compared_only_where_they_are_asked_for() {
    let bench = Bench::new().await;
    let url = &bench.nats.url;
    assert_eq!(bus::apply(url, None, true).await.expect("plan"), []);
    let changes = bus::apply(url, 3, true).await.expect("plan");
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert!(
        changes.contains(&"update stream INBOUND: replicas is 1, not 3".to_owned()),
        "{changes:?}"
    );
    assert!(
        changes.contains(&"update stream KV_DIRECTORY: replicas is 1, not 3".to_owned()),
        "{changes:?}"
    );
    bus::apply(url, 3, false).await.expect_err("there is one server");
}

#[tokio::test]
async fn a_service_refuses_to_start_without_its_streams() {
    let bench = Bench::new().await;
    bench.jetstream().await.delete_stream("EVENTS").await.expect("delete");
    let err = Bus::connect(&bench.nats.url, "second", &Process::default()).await.err();
    let err = format!("{:#}", err.expect("refuse"));
    assert!(err.contains("EVENTS") && err.contains("posthouse streams apply"), "{err}");
}

#[tokio::test]
async fn refuses_a_change_that_loses_messages() {
    let bench = Bench::new().await;
    let jetstream = bench.jetstream().await;
    jetstream.delete_stream("INBOUND").await.expect("delete");
    let config = async_nats::jetstream::stream::Config {
        name: "INBOUND".to_owned(),
        subjects: vec!["inbound.received".to_owned()],
        retention: RetentionPolicy::Interest,
        ..Default::default()
    };
    jetstream.create_stream(config).await.expect("create");
    let err = bus::apply(&bench.nats.url, 1, false).await.expect_err("refuse");
    assert!(format!("{err:#}").contains("INBOUND"), "{err:#}");
}
