//! A host takes a mail, and reports on it later: by SMTP, to the return path it came with.

use anyhow::Context as _;
use async_nats::Subscriber;
use e2e::{Agent, Cluster, DOMAIN, Inbox, SOON, crlf, eventually};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::pipeline_out::{captured, mail, wait_for_status};

const BOB: &str = "bob@elsewhere.example";

struct World {
    cluster: Cluster,
    agent: Agent,
    inbox: Inbox,
    events: Subscriber,
}

/// A mail that another host has now.
struct Taken {
    id: String,
    return_path: String,
}

impl World {
    async fn new() -> anyhow::Result<World> {
        let cluster = Cluster::start().await?;
        let agent = cluster.api()?.sign_up().await?;
        let inbox = agent.inbox().await?;
        let client = async_nats::connect(&cluster.nats.url).await.context("connect to NATS")?;
        let subject = format!("mail.v1.event.{}.{}.>", agent.account, inbox.id);
        let events = client.subscribe(subject).await.context("subscribe")?;
        client.flush().await.context("subscribe")?;
        Ok(World { cluster, agent, inbox, events })
    }

    /// Sends a mail to Bob, which is captured as his host would get it.
    async fn sent(&self, subject: &str) -> anyhow::Result<Taken> {
        let sent = self.agent.send(&mail(&self.inbox, BOB, subject), None).await?.success()?;
        let id = sent["id"].as_str().context("id")?.to_owned();
        wait_for_status(&self.agent, &self.inbox, &id, "sent").await?;
        let captured = captured(&self.cluster.captured(), subject).pop().context("captured")?;
        let line = captured.lines().find_map(|it| it.strip_prefix("X-Posthouse-Envelope-From: <"));
        let return_path = line.and_then(|it| it.strip_suffix('>')).context("a return path")?;
        assert!(return_path.ends_with(&format!("@{DOMAIN}")), "aligned with From: {return_path}");
        assert!(captured.contains(&self.inbox.address), "From is as it was: {captured}");
        Ok(Taken { id, return_path: return_path.to_owned() })
    }

    async fn deliver(&self, to: &str, content: &str) -> anyhow::Result<u16> {
        let mut smtp = self.cluster.connect().await?;
        Ok(smtp.send("", &[to], &crlf(content.as_bytes())).await?.code)
    }

    /// The next event of this kind.
    async fn event(&mut self, kind: &str) -> anyhow::Result<Value> {
        let next = async {
            while let Some(message) = self.events.next().await {
                let event: Value = serde_json::from_slice(&message.payload)?;
                if event["event"] == kind {
                    return Ok(event);
                }
            }
            anyhow::bail!("the subscription ended")
        };
        timeout(SOON, next).await.with_context(|| format!("wait for {kind}"))?
    }

    /// Waits until so many reports met with this outcome.
    async fn counted(&self, outcome: &str, count: &str) -> anyhow::Result<()> {
        let label = format!("outcome=\"{outcome}\"");
        eventually(SOON, &format!("{count} reports that are {outcome}"), async || {
            let text = self.cluster.metrics("storage-1").await?;
            let mut lines = text.lines().filter(|it| it.starts_with("mail_storage_reports_total{"));
            Ok(lines.find(|it| it.contains(&label) && it.ends_with(count)).map(drop))
        })
        .await
    }

    async fn suppression(&self) -> anyhow::Result<Value> {
        let record = self.agent.get(&format!("/v1/suppressions/{BOB}")).await?.success()?;
        Ok(record["suppression"].clone())
    }

    async fn status(&self, id: &str) -> anyhow::Result<Value> {
        let path = format!("/v1/inboxes/{}/emails/{id}", self.inbox.id);
        Ok(self.agent.get(&path).await?.success()?["status"].clone())
    }
}

fn dsn(action: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.elsewhere.example\nSubject: Delivery report\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\n\nAbout your mail.\n--b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.elsewhere.example\n\nFinal-Recipient: rfc822; {BOB}\n\
         Action: {action}\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 user unknown\n--b--\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounce_that_comes_later_counts() -> anyhow::Result<()> {
    let mut world = World::new().await?;
    let taken = world.sent("Late bounce").await?;
    assert_eq!(world.deliver(&taken.return_path, &dsn("failed")).await?, 250);
    let event = world.event("email.bounced").await?;
    assert_eq!(event["data"]["id"], taken.id.as_str());
    assert_eq!(event["data"]["recipients"][0]["diagnostic"], "550 5.1.1 user unknown", "{event}");
    wait_for_status(&world.agent, &world.inbox, &taken.id, "bounced").await?;
    assert_eq!(world.suppression().await?["reason"], "recipient_unknown");
    let log = world.agent.get(&format!("/v1/emails/{}/deliveries", taken.id)).await?.success()?;
    let rows: Vec<_> = log["data"].as_array().context("rows")?.iter().collect();
    assert_eq!((&rows[0]["source"], &rows[0]["action"]), (&json!("session"), &json!("delivered")));
    assert_eq!((&rows[1]["source"], &rows[1]["action"]), (&json!("dsn"), &json!("failed")));

    let refused = world.agent.send(&mail(&world.inbox, BOB, "No more"), None).await?;
    let refused = match refused.status {
        200..300 => world.event("email.rejected").await?["data"]["error"]["code"].clone(),
        _ => refused.json()?["error"].clone(),
    };
    assert_eq!(refused, "recipient_suppressed");
    assert!(world.agent.emails(&world.inbox).await?.iter().all(|it| it["direction"] == "outbound"));
    world.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn backscatter_is_dropped_and_counted() -> anyhow::Result<()> {
    let world = World::new().await?;
    let taken = world.sent("Forged").await?;
    let (local, domain) = taken.return_path.split_once('@').context("an address")?;
    let (kept, last) = local.split_at(local.len() - 1);
    let forged = format!("{kept}{}@{domain}", if last == "a" { "b" } else { "a" });
    assert_eq!(world.deliver(&forged, &dsn("failed")).await?, 250, "intake has no key");
    assert_eq!(world.deliver(&format!("b+anything@{domain}"), &dsn("failed")).await?, 550);
    world.counted("forged", "1").await?;
    let vacation = "From: bob@elsewhere.example\nSubject: Out of office\n\nBack on Monday.\n";
    assert_eq!(world.deliver(&taken.return_path, vacation).await?, 250);
    world.counted("no_report", "1").await?;
    assert_eq!(world.status(&taken.id).await?, "sent");
    assert_eq!(world.suppression().await?, Value::Null);
    assert_eq!(world.agent.emails(&world.inbox).await?.len(), 1, "nothing is shown to the agent");
    world.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_complains_gets_no_more_mail() -> anyhow::Result<()> {
    let mut world = World::new().await?;
    let taken = world.sent("Unwanted").await?;
    let report = format!(
        "From: fbl@elsewhere.example\nSubject: Abuse\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nSpam.\n\
         --b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x/1\n\
         Original-Mail-From: <{}>\n--b--\n",
        taken.return_path
    );
    assert_eq!(world.deliver(&format!("complaints@{DOMAIN}"), &report).await?, 250);
    let event = world.event("email.complained").await?;
    assert_eq!(event["data"]["recipients"][0]["address"], BOB);
    wait_for_status(&world.agent, &world.inbox, &taken.id, "complained").await?;
    let suppression = world.suppression().await?;
    assert_eq!(
        (&suppression["reason"], &suppression["scope"], &suppression["emailId"]),
        (&json!("complaint"), &json!("account"), &json!(taken.id))
    );
    world.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_confirmed_is_told() -> anyhow::Result<()> {
    let mut world = World::new().await?;
    let taken = world.sent("Confirmed").await?;
    assert_eq!(world.deliver(&taken.return_path.to_uppercase(), &dsn("delivered")).await?, 250);
    world.event("email.delivered").await?;
    wait_for_status(&world.agent, &world.inbox, &taken.id, "delivered").await?;
    assert_eq!(world.suppression().await?, Value::Null);
    world.cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_comes_to_the_inbox_that_asked_for_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let nobody = format!("nobody.at.all@{DOMAIN}");
    let mut request = mail(&world.inbox, &nobody, "To nobody");
    request["notify"] = json!(["failure"]);
    world.agent.send(&request, None).await?.success()?;
    let notice = world.agent.wait_for(&world.inbox, "Undelivered mail").await?;
    assert_eq!(notice["from"], format!("MAILER-DAEMON@{DOMAIN}"));
    assert!(notice["body"].as_str().is_some_and(|it| it.contains(&nobody)), "{notice}");
    let raw = String::from_utf8_lossy(&world.agent.raw(&world.inbox, &notice).await?).into_owned();
    for line in ["Return-Path: <>", "Auto-Submitted: auto-replied", "Action: failed"] {
        assert!(raw.contains(line), "{line} in {raw}");
    }
    let emails = world.agent.emails(&world.inbox).await?;
    let asked = emails.iter().find(|it| it["subject"] == "To nobody").context("the mail")?;
    assert_eq!(notice["threadId"], asked["threadId"], "it stands with the mail it is about");

    request["subject"] = json!("Wrong");
    request["notify"] = json!(["never"]);
    let refused = world.agent.send(&request, None).await?;
    assert_eq!(refused.status, 422, "{refused:?}");
    world.cluster.stop().await
}
