//! What an agent expects ends once (docs/expectations.md): whoever waits, whatever is killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{Agent, Backend, Cluster, DOMAIN, Inbox, Plan, SOON, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::pipeline_out::mail;

const ROUNDS: usize = 30;

async fn expect(agent: &Agent, inbox: &Inbox, what: Value) -> anyhow::Result<String> {
    let answer = agent.post(&format!("/v1/inboxes/{}/expect", inbox.id), &what).await?;
    ensure!(answer.status == 201, "{answer:?}");
    let made = answer.json()?;
    ensure!(made["state"] == "waiting", "{made}");
    Ok(made["id"].as_str().context("id")?.to_owned())
}

async fn look(agent: &Agent, id: &str, timeout: u32) -> anyhow::Result<Value> {
    agent.get(&format!("/v1/expectations/{id}?timeout={timeout}")).await?.success()
}

/// A mail from outside, of somebody who proves nothing.
async fn receive(cluster: &Cluster, inbox: &Inbox, more: &str, text: &str) -> anyhow::Result<()> {
    let content = format!(
        "From: Acme <no-reply@acme.example>\r\nTo: {}\r\nSubject: Sign in\r\n{more}\r\n{text}\r\n",
        inbox.address
    );
    let mut smtp = cluster.connect().await?;
    let reply = smtp.send("no-reply@acme.example", &[&inbox.address], content.as_bytes()).await?;
    ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}

/// What was told of each expectation so far.
async fn told(agent: &Agent) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut after = "oldest".to_owned();
    loop {
        let path = format!("/v1/events?after={after}&types=expectation.*&timeout=0&limit=1000");
        let page = agent.get(&path).await?.success()?;
        let events = page["data"].as_array().context("events")?;
        for event in events {
            let id = event["data"]["id"].as_str().context("id")?.to_owned();
            let name = event["event"].as_str().context("event")?.to_owned();
            told.entry(id).or_default().push(name);
        }
        if events.is_empty() {
            return Ok(told);
        }
        after = page["cursor"].as_str().context("cursor")?.to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_a_link_and_a_reply() -> anyhow::Result<()> {
    journey(Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_a_link_and_a_reply_on_postgres() -> anyhow::Result<()> {
    journey(Backend::Postgres).await
}

async fn journey(backend: Backend) -> anyhow::Result<()> {
    let Some(cluster) = Cluster::plan(Plan { backend, ..Plan::default() }).await? else {
        return Ok(());
    };
    let (ada, bob) = (cluster.api()?.sign_up().await?, cluster.api()?.sign_up().await?);
    let (own, other) = (ada.inbox().await?, bob.inbox().await?);
    code(&cluster, &ada, &own).await?;
    link((&ada, &own), (&bob, &other)).await?;
    reply(&cluster, (&ada, &own), (&bob, &other)).await?;
    let short = expect(&ada, &own, json!({ "kind": "any", "timeoutSeconds": 1 })).await?;
    ensure!(look(&ada, &short, 25).await?["state"] == "expired");
    let all = eventually(SOON, "all to be told", async || {
        let told = told(&ada).await?;
        Ok((told.len() == 5).then_some(told))
    })
    .await?;
    for (id, names) in all {
        let name = if id == short { "expectation.expired" } else { "expectation.matched" };
        ensure!(names == [name], "{id}: {names:?}");
    }
    ensure!(told(&bob).await?.is_empty());
    cluster.stop().await
}

async fn code(cluster: &Cluster, ada: &Agent, own: &Inbox) -> anyhow::Result<()> {
    // An old one is there already. Nobody gets it.
    receive(cluster, own, "", "Your code is 111222.").await?;
    ada.wait_for(own, "Sign in").await?;
    let code = expect(ada, own, json!({ "kind": "code", "timeoutSeconds": 60 })).await?;
    let unproven = json!({ "kind": "code", "fromDomain": "acme.example", "timeoutSeconds": 60 });
    let unproven = expect(ada, own, unproven).await?;
    ensure!(look(ada, &code, 0).await?["state"] == "waiting");
    let held = tokio::spawn({
        let (ada, code) = (ada.clone(), code.clone());
        async move { look(&ada, &code, 25).await }
    });
    receive(cluster, own, "", "Your code is 482913.").await?;
    let found = held.await??;
    ensure!((&found["state"], &found["code"]) == (&json!("matched"), &json!("482913")), "{found}");
    let email = found["emailId"].as_str().context("emailId")?;
    ensure!(ada.get(&format!("/v1/emails/{email}")).await?.success()?["code"] == "482913");
    let passed = look(ada, &unproven, 0).await?;
    ensure!(passed["state"] == "waiting", "{passed}");
    ensure!(passed["passedOver"]["reason"] == "unauthenticated", "{passed}");
    let called_off = ada.delete(&format!("/v1/expectations/{unproven}")).await?.success()?;
    ensure!(called_off["state"] == "cancelled", "{called_off}");
    Ok(())
}

/// Between inboxes of this service it is known who wrote, though there is no DNS.
async fn link((ada, own): (&Agent, &Inbox), (bob, other): (&Agent, &Inbox)) -> anyhow::Result<()> {
    let link = json!({ "kind": "link", "fromDomain": DOMAIN, "timeoutSeconds": 60 });
    let link = expect(ada, own, link).await?;
    let url = "https://acme.example/verify/4f9d8a7b6c5e4d3c2b1a";
    let mut request = mail(other, &own.address, "Confirm your address");
    request["body"]["text"] = json!(format!("Confirm your address:\n{url}\n"));
    bob.send(&request, None).await?.success()?;
    let found = look(ada, &link, 25).await?;
    ensure!((&found["state"], &found["link"]) == (&json!("matched"), &json!(url)), "{found}");
    Ok(())
}

/// To a mail of ours, and not the note that somebody is away.
async fn reply(
    cluster: &Cluster,
    (ada, own): (&Agent, &Inbox),
    (bob, other): (&Agent, &Inbox),
) -> anyhow::Result<()> {
    let sent = ada.send(&mail(own, &other.address, "Offer"), None).await?.success()?;
    let reply = json!({ "kind": "reply", "inReplyTo": sent["id"], "fromDomain": DOMAIN });
    let reply = expect(ada, own, reply).await?;
    let any_reply = expect(ada, own, json!({ "kind": "reply" })).await?;
    let received = bob.wait_for(other, "Offer").await?;
    let message_id = received["messageId"].as_str().context("messageId")?;
    let away = format!("In-Reply-To: {message_id}\r\nAuto-Submitted: auto-replied\r\n");
    receive(cluster, own, &away, "I am away.").await?;
    eventually(SOON, "the note to be passed over", async || {
        let now = look(ada, &any_reply, 0).await?;
        Ok((now["passedOver"]["reason"] == "automatic").then_some(()))
    })
    .await?;
    let path = format!("/v1/emails/{}/reply", received["id"].as_str().context("id")?);
    bob.post(&path, &json!({ "body": { "text": "Yes." } })).await?.success()?;
    for id in [&reply, &any_reply] {
        let found = look(ada, id, 25).await?;
        ensure!(found["state"] == "matched" && found["emailId"].is_string(), "{found}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_twice_is_one_expectation() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let path = format!("/v1/inboxes/{}/expect", inbox.id);
    let ask = async |what: Value| {
        let (token, headers) = (Some(agent.token.as_str()), [("Idempotency-Key", "k")]);
        agent.api.call(Method::POST, &path, token, &headers, Some(&what)).await
    };
    let first = ask(json!({ "kind": "code" })).await?.success()?;
    ensure!(ask(json!({ "kind": "code" })).await?.success()? == first);
    let other = ask(json!({ "kind": "link" })).await?;
    ensure!(other.status == 409, "{other:?}");
    for (wrong, why) in [
        (json!({}), "kind"),
        (json!({ "kind": "sms" }), "sms"),
        (json!({ "kind": "code", "fromDomain": "com" }), "fromDomain"),
        (json!({ "kind": "code", "timeoutSeconds": 0 }), "timeoutSeconds"),
        (json!({ "kind": "code", "deadline": "2020-01-01T00:00:00Z" }), "deadline"),
        (json!({ "kind": "code", "until": "tomorrow" }), "until"),
    ] {
        let answer = agent.post(&path, &wrong).await?;
        let message = answer.json()?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(answer.status == 400 && message.contains(why), "{wrong}: {answer:?}");
    }
    let unknown = json!({ "kind": "reply", "inReplyTo": "eml_0" });
    ensure!(agent.post(&path, &unknown).await?.status == 404);
    let listed = format!("/v1/inboxes/{}/expectations?state=waiting", inbox.id);
    let listed = agent.get(&listed).await?.success()?;
    ensure!(listed["data"] == json!([first]), "{listed}");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_once_though_storage_is_killed() -> anyhow::Result<()> {
    survives(Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_once_though_storage_is_killed_on_postgres() -> anyhow::Result<()> {
    survives(Backend::Postgres).await
}

/// Two replicas of storage die again and again while codes come in and deadlines pass.
async fn survives(backend: Backend) -> anyhow::Result<()> {
    let plan = Plan { backend, replicas: 2, ..Plan::default() };
    let Some(mut cluster) = Cluster::plan(plan).await? else { return Ok(()) };
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let mut expected = Vec::new();
    for _ in 0..ROUNDS {
        let what = json!({ "kind": "code", "timeoutSeconds": 600 });
        expected.push(expect(&agent, &inbox, what).await?);
    }
    // Nobody is there: what was received waits to be matched, and deadlines to be noticed.
    cluster.kill("storage-1").await?;
    cluster.kill("storage-2").await?;
    let mut over = Vec::new();
    let patient = agent.inbox().await?;
    for _ in 0..ROUNDS {
        let what = json!({ "kind": "any", "timeoutSeconds": 1 });
        over.push(expect(&agent, &patient, what).await?);
    }
    let codes: Vec<String> = (0..ROUNDS).map(|it| format!("{}", 314_159 + 7_919 * it)).collect();
    for (round, code) in codes.iter().enumerate() {
        receive(&cluster, &inbox, "", &format!("Your code is {code}.")).await?;
        match round % 10 {
            3 => cluster.restart("storage-1").await?,
            5 => cluster.restart("storage-2").await?,
            // In the middle of whatever they are at.
            7 => cluster.kill("storage-1").await?,
            9 => cluster.kill("storage-2").await?,
            _ => (),
        }
    }
    cluster.restart("storage-1").await?;
    cluster.restart("storage-2").await?;

    let ids: Vec<String> = expected.into_iter().chain(over).collect();
    let settled = all_settled(&agent, &ids).await?;
    let (matched, expired) = settled.split_at(ROUNDS);
    let handed: BTreeSet<&str> = matched.iter().filter_map(|it| it["code"].as_str()).collect();
    ensure!(handed == codes.iter().map(String::as_str).collect(), "{handed:?}");
    ensure!(expired.iter().all(|it| it["state"] == "expired"), "{expired:?}");
    cluster.stop().await
}

/// What became of them; each was told of once, as what it is.
async fn all_settled(agent: &Agent, ids: &[String]) -> anyhow::Result<Vec<Value>> {
    let settled = eventually(Duration::from_secs(120), "everything to be settled", async || {
        let mut settled = Vec::new();
        for id in ids {
            let now = look(agent, id, 0).await?;
            if now["state"] == "waiting" {
                return Ok(None);
            }
            settled.push(now);
        }
        Ok(Some(settled))
    })
    .await?;
    let all = eventually(SOON, "everything to be told", async || {
        let told = told(agent).await?;
        Ok((told.len() == ids.len()).then_some(told))
    })
    .await?;
    for it in &settled {
        let (id, state) = (it["id"].as_str().context("id")?, &it["state"]);
        let expected = format!("expectation.{}", state.as_str().context("state")?);
        ensure!(all[id] == [expected], "{id}: {:?}", all[id]);
    }
    Ok(settled)
}
