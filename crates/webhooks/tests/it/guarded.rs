//! Where requests go, and where never.

use contract::WebhookDue;
use test_dns::Dns;
use webhooks::Config;

use crate::bench::{Answer, Bench, eventually};

async fn error(bench: &Bench, id: &str) -> String {
    bench.due(WebhookDue { ping: true, ..WebhookDue::next(id, format!("ping-{id}")) }).await;
    eventually(async || !bench.attempts(id).await.is_empty()).await;
    bench.attempts(id).await.remove(0).error
}

/// The name was a public one when the webhook was made, and is looked up again at the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_inside_by_now_is_not_followed() {
    let dns =
        Dns::start("rebound IN A 127.0.0.1\nmixed IN A 192.88.100.1\nmixed IN A 127.0.0.1").await;
    let mut bench = Bench::with(Config { dns: vec![dns.address], ..Config::default() }).await;
    bench.config.allow_private_targets = false;
    let port = bench.receiver.address.port();
    bench.start();
    for host in ["rebound.test", "mixed.test"] {
        let id = bench.webhook_at(&format!("https://{host}:{port}/hook"), &[]).await;
        let error = error(&bench, &id).await;
        assert!(error.contains("127.0.0.1, which is not a public address"), "{error}");
    }
    // What was taken under another setting is looked at again, too.
    for url in [bench.receiver.url("hook"), format!("https://127.0.0.1:{port}/hook")] {
        let id = bench.webhook_at(&url, &[]).await;
        let error = error(&bench, &id).await;
        assert!(error.contains("https://") || error.contains("not a public address"), "{error}");
    }
    assert!(bench.receiver.calls("hook").is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_followed_to_where_it_leads_now() {
    let dns = Dns::start("hook IN A 127.0.0.1").await;
    let mut bench = Bench::with(Config { dns: vec![dns.address], ..Config::default() }).await;
    let port = bench.receiver.address.port();
    bench.start();
    let id = bench.webhook_at(&format!("http://hook.test:{port}/hook"), &[]).await;
    assert_eq!(error(&bench, &id).await, "");
    assert_eq!(bench.receiver.calls("hook").len(), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_answers_like_others() {
    let mut bench = Bench::new().await;
    bench.receiver.answer(|_, _| Answer::Redirect);
    bench.start();
    let id = bench.webhook("hook", &[]).await;
    let error = error(&bench, &id).await;
    assert!(error.contains("307") && error.contains("not followed"), "{error}");
    assert!(bench.receiver.calls("elsewhere").is_empty());
    bench.stop().await;
}
