//! Two accounts, each of which knows every id of the other's, and gets 404 for it.

use anyhow::Context as _;
use e2e::{Agent, Cluster, Inbox};
use reqwest::Method;
use serde_json::{Value, json};

const MAIL: &[u8] = b"From: x@example.com\r\nSubject: Secret\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nText\r\n--b\r\n\
    Content-Type: text/plain\r\nContent-Disposition: attachment; filename=secret.txt\r\n\r\n\
    Attached\r\n--b--\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_id_is_unknown_on_every_route() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let (owner, stranger) = (cluster.api()?.sign_up().await?, cluster.api()?.sign_up().await?);
    let (secret, own) = (owner.inbox().await?, stranger.inbox().await?);
    let mut smtp = cluster.connect().await?;
    smtp.send("x@example.com", &[&secret.address], MAIL).await?;
    let email = owner.wait_for(&secret, "Secret").await?;

    let routes = routes(&cluster, &secret, &own, &email).await?;
    assert!(routes.len() >= 8, "{routes:?}");
    for (method, path) in &routes {
        let answer =
            stranger.api.call(method.clone(), path, Some(&stranger.token), &[], None).await?;
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        // Not even that it exists can be told from the answer.
        let unknown = path.replace(&secret.id, "ibx_0").replace(&*id(&email, "id"), "eml_0");
        let other =
            stranger.api.call(method.clone(), &unknown, Some(&stranger.token), &[], None).await?;
        assert_eq!(shape(&answer.json()?), shape(&other.json()?), "{method} {path}");
        let nobody = stranger.api.call(method.clone(), path, None, &[], None).await?;
        assert_eq!(nobody.status, 401, "{method} {path}");
    }
    // And it is all still there.
    assert_eq!(owner.wait_for(&secret, "Secret").await?["id"], email["id"]);
    lists_show_nothing_foreign(&stranger, &secret, &own).await?;
    cluster.stop().await
}

/// Every route that names an inbox, from the API's own description, filled with foreign ids.
async fn routes(
    cluster: &Cluster,
    secret: &Inbox,
    own: &Inbox,
    email: &Value,
) -> anyhow::Result<Vec<(Method, String)>> {
    let openapi =
        cluster.api()?.call(Method::GET, "/openapi.json", None, &[], None).await?.success()?;
    let mut routes = Vec::new();
    for (template, operations) in openapi["paths"].as_object().context("paths")? {
        if !template.contains("{inbox") {
            continue;
        }
        let fill = |inbox: &str| {
            let parts = template.split('/').map(|part| match part {
                it if it.starts_with("{inbox") => inbox.to_owned(),
                it if it.starts_with("{email") => id(email, "id"),
                it if it.starts_with("{thread") => id(email, "threadId"),
                it if it.starts_with('{') => "0".to_owned(),
                it => it.to_owned(),
            });
            parts.collect::<Vec<_>>().join("/")
        };
        for method in operations.as_object().context("operations")?.keys() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            routes.push((method.clone(), fill(&secret.id)));
            // A foreign mail is not to be had through an inbox of one's own either.
            if template.contains("{email") || template.contains("{thread") {
                routes.push((method, fill(&own.id)));
            }
        }
    }
    Ok(routes)
}

async fn lists_show_nothing_foreign(
    stranger: &Agent,
    secret: &Inbox,
    own: &Inbox,
) -> anyhow::Result<()> {
    let inboxes = stranger.get("/v1/inboxes").await?.success()?;
    assert_eq!(inboxes["data"].as_array().map(Vec::len), Some(1), "{inboxes}");
    for query in ["q=Secret".to_owned(), format!("q=&inboxId={}", secret.id)] {
        let answer = stranger.get(&format!("/v1/emails/search?{query}")).await?;
        let is_empty =
            answer.status == 404 || answer.success()?["data"].as_array().is_some_and(Vec::is_empty);
        assert!(is_empty, "{query}");
    }
    let forged = json!({
        "from": secret.address, "to": [own.address], "subject": "Forged", "body": { "text": "x" },
    });
    let answer = stranger.send(&forged, None).await?;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    Ok(())
}

/// An error without what differs between any two.
fn shape(error: &Value) -> (Value, bool) {
    (error["error"].clone(), error["requestId"].is_string())
}

fn id(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or("missing").to_owned()
}
