//! Attachments that are uploaded first.

use gateway::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    bench::{Agent, Answer, Bench, Inbox},
    send::ledger,
};

async fn upload(agent: &Agent<'_>, path: &str, octets: Vec<u8>) -> Answer {
    let request = agent.request(Method::POST, path).header("Content-Type", "application/pdf");
    Answer::to(request.body(octets)).await
}

/// What sending it would be answered with.
async fn attach(agent: &Agent<'_>, inbox: &Inbox, attachments: Value) -> Answer {
    let mail = json!({
        "from": inbox.address, "to": ["bob@example.net"], "subject": "Hi",
        "body": { "text": "Hi" }, "attachments": attachments, "validateOnly": true,
    });
    agent.post("/v1/emails/send", &mail).await
}

#[tokio::test]
async fn what_was_uploaded_can_be_named_in_mails_of_its_account() {
    let bench = Bench::new().await;
    let _ledger = ledger(&bench, None);
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let uploaded =
        upload(&agent, "/v1/uploads?filename=r%C3%A9port.pdf", b"abc".to_vec()).await.ok();
    assert_eq!((&uploaded["sizeBytes"], &uploaded["filename"]), (&3.into(), &"réport.pdf".into()));
    assert_eq!(uploaded["contentType"], "application/pdf");
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(uploaded["sha256"], sha256);
    assert!(uploaded["expiresAt"].is_string());
    let id = uploaded["uploadId"].as_str().unwrap();
    let (bare, named) = (json!({ "uploadId": id }), json!({ "uploadId": id, "filename": "x" }));
    attach(&agent, &inbox, json!([bare, named])).await.ok();

    let stored = bench.bus.uploads().find(&agent.id, id, 0).await.unwrap().unwrap();
    assert_eq!((stored.size_bytes, &*stored.content_type), (3, "application/pdf"));

    let stranger = bench.agent().await;
    let strangers = stranger.inbox().await;
    let foreign = attach(&stranger, &strangers, json!([bare])).await.is(422, "upload_not_found");
    assert!(foreign.starts_with("attachments[0].uploadId:"), "{foreign}");
    let unknown = json!({ "uploadId": format!("upl_{}", "0".repeat(32)) });
    attach(&agent, &inbox, json!([bare, unknown])).await.is(422, "upload_not_found");
    attach(&agent, &inbox, json!([{ "uploadId": "x" }])).await.is(422, "invalid_request");
    let both = json!([{ "uploadId": id, "content": "QQ==" }]);
    attach(&agent, &inbox, both).await.is(422, "invalid_request");
}

#[tokio::test]
async fn what_cannot_be_attached_is_not_taken() {
    let bench = Bench::with(Config::default()).await;
    let _ledger = ledger(&bench, None);
    let agent = bench.agent().await;
    let named = "/v1/uploads?filename=a";
    upload(&agent, "/v1/uploads", b"abc".to_vec()).await.is(400, "invalid_request");
    upload(&agent, "/v1/uploads?filename=a%0Ab", b"abc".to_vec()).await.is(422, "invalid_request");
    upload(&agent, named, Vec::new()).await.is(400, "invalid_request");
    let typed = agent.request(Method::POST, named).header("Content-Type", "multipart/form-data");
    Answer::to(typed.body("abc")).await.is(422, "invalid_request");
    let most = 25 * 1024 * 1024;
    upload(&agent, named, vec![0; most + 1]).await.is(413, "payload_too_large");
    let large = upload(&agent, named, vec![7; most]).await.ok();
    let large = json!({ "uploadId": large["uploadId"] });
    let inbox = agent.inbox().await;
    attach(&agent, &inbox, json!([large])).await.ok();
    attach(&agent, &inbox, json!([large, large])).await.is(413, "payload_too_large");
    let request = bench.request(Method::POST, named).body("abc");
    Answer::to(request).await.is(401, "authentication_error");
}
