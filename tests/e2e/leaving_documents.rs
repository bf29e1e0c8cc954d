//! What leaves in attached documents: secrets and canaries in them hold a mail, and one that nobody could
//! read is told, or held where that is wanted (docs/holds.md).

use anyhow::Context as _;
use data_encoding::BASE64;
use e2e::{Agent, Cluster, Inbox};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{documents::pdf, pipeline_out::mail};

fn attaching(inbox: &Inbox, subject: &str, name: &str, octets: &[u8]) -> Value {
    let mut mail = mail(inbox, "bob@elsewhere.example", subject);
    mail["attachments"] = json!([{
        "filename": name, "contentType": "application/octet-stream", "content": BASE64.encode(octets),
    }]);
    mail
}

async fn reasons(agent: &Agent, mail: &Value) -> anyhow::Result<(String, Value)> {
    let sent = agent.send(mail, None).await?.success()?;
    let path = format!("/v1/emails/{}", sent["id"].as_str().context("id")?);
    let email = agent.get(&path).await?.success()?;
    Ok((sent["status"].as_str().unwrap_or_default().to_owned(), email))
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_canaries_in_documents_hold_a_mail_and_locked_ones_are_told()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let secret = pdf(&format!("The token is {}", agent.token));
    let (status, held) = reasons(&agent, &attaching(&inbox, "Plan", "plan.pdf", &secret)).await?;
    assert_eq!(status, "held", "{held}");
    let reason = &held["hold"]["reasons"][0];
    assert_eq!((&reason["kind"], &reason["part"]), (&json!("secret"), &json!("attached:plan.pdf")));
    assert!(!held.to_string().contains(&agent.token), "{held}");

    let canary = agent.post("/v1/canaries", &json!({ "label": "wiki" })).await?.success()?;
    let leak = pdf(&format!("So it is {}", canary["token"].as_str().context("token")?));
    let (status, held) = reasons(&agent, &attaching(&inbox, "Notes", "notes.pdf", &leak)).await?;
    assert_eq!(status, "held", "{held}");
    let held = held["hold"]["reasons"].as_array().cloned().unwrap_or_default();
    assert!(held.iter().any(|it| it["kind"] == "canary" && it["detail"] == "wiki"), "{held:?}");

    let letter = pdf("Offer for seventeen rattan armchairs.");
    let (status, free) = reasons(&agent, &attaching(&inbox, "Offer", "a.pdf", &letter)).await?;
    assert_eq!((&*status, &free["security"]["flags"]), ("queued", &json!([])), "{free}");

    let locked = b"7z\xbc\xaf\x27\x1c\0\x04 nobody reads this";
    let (status, told) = reasons(&agent, &attaching(&inbox, "Archive", "a.7z", locked)).await?;
    assert_eq!((&*status, &told["security"]["flags"]), ("queued", &json!(["not_scanned"])));
    let path = format!("/v1/inboxes/{}/outbound-policy", inbox.id);
    let rules = json!({ "notScanned": "hold" });
    let api = cluster.api()?;
    let set = api.call(Method::PUT, &path, Some(&agent.token), &[], Some(&rules)).await?;
    assert_eq!(set.success()?["effective"]["notScanned"], "hold");
    let (status, held) = reasons(&agent, &attaching(&inbox, "Archive 2", "a.7z", locked)).await?;
    assert_eq!(status, "held", "{held}");
    let reason = &held["hold"]["reasons"][0];
    assert_eq!(
        (&reason["kind"], &reason["part"]),
        (&json!("not_scanned"), &json!("attached:a.7z"))
    );
    cluster.stop().await
}
