//! What an agent notes of its mail: read, and labels.

use e2e::{Agent, Cluster, Inbox};
use reqwest::Method;
use serde_json::{Value, json};

async fn call(
    agent: &Agent,
    method: Method,
    path: &str,
    body: Value,
) -> anyhow::Result<e2e::Answer> {
    agent.api.call(method, path, Some(&agent.token), &[], Some(&body)).await
}

/// The subjects of a list, newest first.
async fn subjects(agent: &Agent, inbox: &Inbox, query: &str) -> anyhow::Result<Vec<String>> {
    let list = agent.get(&format!("/v1/inboxes/{}/emails?{query}", inbox.id)).await?.success()?;
    let subjects = list["data"].as_array().into_iter().flatten();
    Ok(subjects.map(|it| it["subject"].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn read_state_and_labels_are_kept_listed_and_changed_at_once() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let (agent, stranger) = (cluster.api()?.sign_up().await?, cluster.api()?.sign_up().await?);
    let inbox = agent.inbox().await?;
    let mut smtp = cluster.connect().await?;
    let mut ids = Vec::new();
    for subject in ["One", "Two", "Three"] {
        let content = format!("From: x@y.example\r\nSubject: {subject}\r\n\r\nx\r\n");
        smtp.send("x@y.example", &[&inbox.address], content.as_bytes()).await?;
        let email = agent.wait_for(&inbox, subject).await?;
        assert_eq!((&email["isRead"], &email["labels"]), (&false.into(), &json!([])));
        ids.push(email["id"].as_str().unwrap_or_default().to_owned());
    }

    let path = format!("/v1/emails/{}", ids[0]);
    let change = json!({ "read": true, "addLabels": ["todo", "a/b"] });
    let answer = call(&agent, Method::PATCH, &path, change.clone()).await?.success()?;
    assert_eq!(answer, json!({ "id": ids[0], "isRead": true, "labels": ["a/b", "todo"] }));
    assert_eq!(call(&stranger, Method::PATCH, &path, change).await?.status, 404);
    for (wrong, status) in [
        (json!({}), 400),
        (json!({ "labels": ["a"] }), 400),
        (json!({ "addLabels": ["no spaces"] }), 422),
    ] {
        assert_eq!(call(&agent, Method::PATCH, &path, wrong).await?.status, status);
    }
    let many: Vec<String> = (0..21).map(|n| format!("l{n}")).collect();
    let answer =
        call(&agent, Method::PATCH, &path, json!({ "read": false, "addLabels": many })).await?;
    assert_eq!((answer.status, &answer.json()?["error"]), (422, &"too_many_labels".into()));
    assert_eq!(subjects(&agent, &inbox, "unread=false").await?, ["One"], "nothing of it was done");

    let named = json!({ "ids": [ids[1], "eml_0", ids[2]], "addLabels": ["todo"] });
    let answer = call(&agent, Method::POST, "/v1/emails/batch", named.clone()).await?.success()?;
    assert_eq!(answer["updated"], json!([ids[1], ids[2]]));
    assert_eq!(
        (&answer["failed"][0]["id"], &answer["failed"][0]["error"]),
        (&"eml_0".into(), &"not_found".into())
    );
    let foreign = call(&stranger, Method::POST, "/v1/emails/batch", named).await?.success()?;
    assert_eq!(foreign["updated"], json!([]));
    let filter = json!({ "inboxId": inbox.id, "label": "todo", "unread": true });
    let found = json!({ "filter": filter, "read": true, "removeLabels": ["todo"] });
    assert_eq!(call(&stranger, Method::POST, "/v1/emails/batch", found.clone()).await?.status, 404);
    let answer = call(&agent, Method::POST, "/v1/emails/batch", found).await?.success()?;
    assert_eq!(answer["updated"], json!([ids[2], ids[1]]));
    assert_eq!(subjects(&agent, &inbox, "unread=true").await?, [""; 0]);
    assert_eq!(subjects(&agent, &inbox, "label=todo").await?, ["One"]);
    assert_eq!(agent.get("/v1/labels").await?.success()?["data"], json!(["a/b", "todo"]));
    assert_eq!(stranger.get("/v1/labels").await?.success()?["data"], json!([]));
    cluster.stop().await
}
