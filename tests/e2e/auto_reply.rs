//! Machines do not answer machines, unless they are told to.

use anyhow::Context as _;
use e2e::{Cluster, SOON, eventually};
use serde_json::{Value, json};

use crate::{
    nats_send::Agent,
    pipeline_out::{captured, mail},
};

fn listed(to: &str) -> String {
    format!(
        "From: Grace <grace@example.com>\r\nTo: {to}\r\nSubject: Digest\r\nMessage-ID: <1@example.com>\r\n\
         List-Id: <digest.example.com>\r\n\r\nNews.\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_not_answered_over_any_door() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut agent = Agent::new(&cluster).await?;
    let address = agent.inbox.address.clone();
    let mut smtp = cluster.connect().await?;
    smtp.send("grace@example.com", &[&address], listed(&address).as_bytes()).await?;
    let email = agent.agent.wait_for(&agent.inbox, "Digest").await?;
    assert_eq!(email["autoReply"]["allowed"], false, "{email}");

    let id = email["id"].as_str().context("id")?;
    let reply = format!("/v1/emails/{id}/reply");
    let refused = agent.agent.post(&reply, &json!({ "body": { "text": "Thanks" } })).await?;
    assert_eq!((refused.status, &refused.json()?["error"]), (422, &"auto_reply_refused".into()));
    let mut answer = json!({
        "to": ["grace@example.com"], "subject": "Re: Digest", "body": { "text": "Thanks" },
        "inReplyTo": "<1@example.com>",
    });
    agent.publish(Some("machine"), &answer.to_string()).await?;
    let event = agent.event("email.rejected").await?;
    assert_eq!(event["data"]["error"]["code"], "auto_reply_refused", "{event}");

    answer["allowAutoReply"] = true.into();
    answer["subject"] = "Re: Digest, allowed".into();
    agent.publish(Some("allowed"), &answer.to_string()).await?;
    agent.event("email.sent").await?;
    let sent = captured(&cluster.captured(), "Re: Digest, allowed");
    assert!(sent[0].contains("\r\nAuto-Submitted: auto-replied\r\n"), "{sent:?}");

    // A person may write to whom he likes.
    let by_person = json!({ "body": { "text": "Thanks" }, "automatic": "no" });
    agent.agent.post(&reply, &by_person).await?.success()?;
    let sent = eventually(SOON, "the answer to be captured", async || {
        Ok(captured(&cluster.captured(), "Re: Digest").first().cloned())
    });
    assert!(!sent.await?.contains("Auto-Submitted"));
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_one_service_can_talk() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let (ada, bob) = (cluster.api()?.sign_up().await?, cluster.api()?.sign_up().await?);
    let (from, to) = (ada.inbox().await?, bob.inbox().await?);
    ada.send(&mail(&from, &to.address, "Offer"), None).await?.success()?;
    let offer = bob.wait_for(&to, "Offer").await?;
    assert_eq!(offer["autoReply"], json!({ "allowed": true }), "{offer}");
    let raw = String::from_utf8_lossy(&bob.raw(&to, &offer).await?).into_owned();
    assert!(raw.contains("\r\nAuto-Submitted: auto-generated\r\n"), "{raw}");

    let reply = |email: &Value| format!("/v1/emails/{}/reply", email["id"].as_str().unwrap_or("?"));
    bob.post(&reply(&offer), &json!({ "body": { "text": "Fifty" } })).await?.success()?;
    let answer = ada.wait_for(&from, "Re: Offer").await?;
    let raw = String::from_utf8_lossy(&ada.raw(&from, &answer).await?).into_owned();
    assert!(raw.contains("\r\nAuto-Submitted: auto-replied\r\n"), "{raw}");
    ada.post(&reply(&answer), &json!({ "body": { "text": "Sixty" } })).await?.success()?;

    // A stranger's machine gets no answer by saying that it is one of ours.
    let forged = format!(
        "From: {}\r\nTo: {}\r\nSubject: Forged\r\nAuto-Submitted: auto-replied\r\n\
         Message-ID: <0123@posthouse.test>\r\n\r\nHi\r\n",
        from.address, to.address
    );
    let mut smtp = cluster.connect().await?;
    smtp.send("x@example.com", &[&to.address], forged.as_bytes()).await?;
    let forged = bob.wait_for(&to, "Forged").await?;
    assert_eq!(forged["autoReply"]["allowed"], false, "{forged}");
    cluster.stop().await
}
