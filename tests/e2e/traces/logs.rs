//! Whatever a service logs about a mail says which one it is, in one place.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, ensure};
use async_nats::{HeaderMap, jetstream};
use contract::{DeliveryReported, MailReceived, MailScanned, SubmissionAccepted};
use e2e::{Cluster, Plan, SERVICES, SOON, eventually};
use reqwest::Method;
use serde_json::Value;

use super::{TRACEPARENT, given, put};
use crate::pipeline_out::mail;

/// The lines of a service's log.
fn lines(cluster: &Cluster, service: &str) -> anyhow::Result<Vec<Value>> {
    let path = cluster.folder().join(format!("{service}-1.log"));
    let log = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    // The last one may be on its way.
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let read =
        |line: &str| serde_json::from_str(line).with_context(|| format!("{service}: {line}"));
    whole.lines().map(read).collect()
}

/// Waits for lines of a service that are about this mail, in this trace.
async fn wait_for(
    cluster: &Cluster,
    service: &str,
    mail_id: &str,
    trace_id: &str,
) -> anyhow::Result<Vec<Value>> {
    let what = format!("a line of {service} about {mail_id} in {trace_id}");
    eventually(SOON, &what, async || {
        let mut lines = lines(cluster, service)?;
        lines.retain(|it| it["mail.id"] == mail_id && it["trace_id"] == trace_id);
        Ok((!lines.is_empty()).then_some(lines))
    })
    .await
}

/// Publishes what its stage cannot handle, in a trace.
async fn provoke(
    cluster: &Cluster,
    subject: &str,
    message: impl prost::Message,
    n: u8,
) -> anyhow::Result<()> {
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, given(n).0);
    put(cluster, subject.to_owned(), headers, message.encode_to_vec().into()).await
}

/// From now on a stream takes nothing.
async fn fill(cluster: &Cluster, stream: &str) -> anyhow::Result<()> {
    let client = async_nats::connect(&cluster.nats.url).await.context("connect to NATS")?;
    let jetstream = jetstream::new(client);
    let mut stream = jetstream.get_stream(stream).await.context("find the stream")?;
    let info = stream.info().await.context("look at the stream")?;
    let config = jetstream::stream::Config { max_bytes: 1, ..info.config.clone() };
    jetstream.update_stream(config).await.context("limit the stream")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_about_a_mail_names_it() -> anyhow::Result<()> {
    let plan = Plan { common: "log = 'json'\n".to_owned(), ..Plan::default() };
    let cluster = Cluster::plan(plan).await?.context("SQLite is always there")?;

    let id = |n: u8| format!("provoked-{n}");
    let empty = MailReceived { mail_id: id(1), ..MailReceived::default() };
    provoke(&cluster, "inbound.received", empty, 1).await?;
    let empty = MailScanned { mail_id: id(2), ..MailScanned::default() };
    provoke(&cluster, "inbound.scanned", empty, 2).await?;
    let forward_paths = vec!["bob@elsewhere.example".to_owned()];
    let unknown =
        SubmissionAccepted { mail_id: id(3), forward_paths, ..SubmissionAccepted::default() };
    provoke(&cluster, "outbound.accepted", unknown, 3).await?;
    let unknown = DeliveryReported { mail_id: id(4), ..DeliveryReported::default() };
    provoke(&cluster, "outbound.reported", unknown, 4).await?;
    let provoked = [("scanner", 1), ("storage", 2), ("sender", 3), ("storage", 4)];
    for (service, n) in provoked {
        for line in wait_for(&cluster, service, &id(n), &given(n).1).await? {
            ensure!(line["stage"].is_string() && line["level"] != "INFO", "{line}");
        }
    }

    // At the doors, where the mail gets its identifier only then.
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    fill(&cluster, "INBOUND").await?;
    fill(&cluster, "SUBMISSIONS").await?;
    let mut smtp = cluster.connect().await?;
    let content = b"Subject: Too much\r\n\r\nHello.\r\n";
    let reply = smtp.send("bob@elsewhere.example", &[&inbox.address], content).await?;
    ensure!(reply.code == 452, "{reply:?}");
    let request = mail(&inbox, "bob@elsewhere.example", "Too much");
    let (traceparent, trace_id) = given(5);
    let fields = [(TRACEPARENT, traceparent.as_str())];
    let (token, path) = (Some(agent.token.as_str()), "/v1/emails/send");
    let answer = agent.api.call(Method::POST, path, token, &fields, Some(&request)).await?;
    ensure!(answer.status == 503, "{answer:?}");
    check_door(&cluster, "intake", None).await?;
    check_door(&cluster, "gateway", Some(&trace_id)).await?;

    check_all(&cluster, &provoked.map(|(_, n)| id(n)))?;
    cluster.stop().await
}

/// A door warned of the one mail that it could not take.
async fn check_door(cluster: &Cluster, service: &str, trace: Option<&str>) -> anyhow::Result<()> {
    let what = format!("a warning of {service}");
    let warned = eventually(SOON, &what, async || {
        let mut lines = lines(cluster, service)?;
        lines.retain(|it| it["level"] == "WARN" && it["mail.id"].is_string());
        Ok((!lines.is_empty()).then_some(lines))
    });
    for line in warned.await? {
        assert_eq!(line["trace_id"].as_str(), trace, "{service}: {line}");
    }
    Ok(())
}

/// No line speaks of a mail otherwise.
fn check_all(cluster: &Cluster, mail_ids: &[String]) -> anyhow::Result<()> {
    for service in SERVICES {
        for line in lines(cluster, service)? {
            let text = line.to_string();
            for mail_id in mail_ids.iter().filter(|it| text.contains(it.as_str())) {
                assert_eq!(line["mail.id"], mail_id.as_str(), "{service}: {line}");
            }
            let fields: BTreeMap<String, Value> = serde_json::from_value(line)?;
            for field in ["timestamp", "level", "target", "message"] {
                ensure!(fields.contains_key(field), "{service} has no {field} in {fields:?}");
            }
        }
    }
    Ok(())
}
