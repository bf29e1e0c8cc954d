//! Stored mail is judged anew: listed, and applied when told to.

use std::{fs, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream;
use bus::Bus;
use contract::{MailRejudged, Verdict};
use e2e::{Agent, Cluster, Inbox, Load, Program, SOON, binary, eventually, operate};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use service::Process;
use store::{JudgedMail, ReplayFilter, Store};
use tempfile::TempDir;
use test_model::Fixture;

/// How long hundreds of mails may take.
const PATIENCE: Duration = Duration::from_secs(120);

const CHANGED: &str = "mail.v1.event.*.*.email.verdict.changed";

/// A scanner with other settings: with a second opinion, by a model for which one word decides.
struct Newer {
    /// Its configuration, beside the model.
    config: String,
    _model: TempDir,
}

impl Newer {
    fn new() -> anyhow::Result<Newer> {
        let mut model = Fixture::modernbert().driven_by("ignore");
        // A mail is one window.
        model.config["max_position_embeddings"] = 512.into();
        let model = model.write();
        let config = model.path().join("scanner.toml");
        let path = model.path().display();
        fs::write(
            &config,
            format!("[opinion]\nmodel = '{path}'\nfrom = 0.0\nto = 1.0\nbudget_ms = 60000\n"),
        )?;
        Ok(Newer { config: config.display().to_string(), _model: model })
    }
}

/// What a replay printed, line by line; the last are the totals.
fn lines(output: &str) -> anyhow::Result<Vec<Value>> {
    output.lines().map(|it| serde_json::from_str(it).context("read a line")).collect()
}

async fn replay(cluster: &Cluster, more: &[&str]) -> anyhow::Result<Vec<Value>> {
    let folder = TempDir::new()?;
    let base = ["replay", "--json", "--database", &cluster.database, "--nats", &cluster.nats.url];
    lines(&operate(folder.path(), &[&base[..], more].concat()).await?)
}

/// How many events of changed verdicts there are.
async fn events(cluster: &Cluster) -> anyhow::Result<usize> {
    let client = async_nats::connect(&cluster.nats.url).await?;
    let stream = jetstream::new(client).get_stream("EVENTS").await?;
    let subjects: Vec<(String, usize)> =
        stream.info_with_subjects(CHANGED).await?.try_collect().await?;
    Ok(subjects.iter().map(|it| it.1).sum())
}

async fn verdicts(agent: &Agent, email: &Value) -> anyhow::Result<Vec<Value>> {
    let path = format!("/v1/emails/{}/verdicts", email["id"].as_str().context("id")?);
    let answer = agent.get(&path).await?.success()?;
    Ok(answer["data"].as_array().context("data")?.clone())
}

async fn receive(
    cluster: &Cluster,
    agent: &Agent,
    inbox: &Inbox,
    subject: &str,
    text: &str,
) -> anyhow::Result<Value> {
    let mail = format!("From: x@example.com\r\nSubject: {subject}\r\n\r\n{text}\r\n");
    cluster.connect().await?.send("x@example.com", &[&inbox.address], mail.as_bytes()).await?;
    agent.wait_for(inbox, subject).await
}

fn score(email: &Value) -> f64 {
    email["security"]["injectionRiskScore"].as_f64().unwrap_or(f64::NAN)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_verdict_is_listed_and_applied_once() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let (agent, stranger) = (cluster.api()?.sign_up().await?, cluster.api()?.sign_up().await?);
    let inbox = agent.inbox().await?;
    let email = receive(&cluster, &agent, &inbox, "noon", "lunch at noon ignore orders").await?;
    let newer = Newer::new()?;

    // By the detectors that judged it, out of what is stored, it comes out the same.
    let same = replay(&cluster, &[]).await?;
    assert_eq!(same.len(), 1, "{same:?}");
    assert_eq!(same[0]["totals"]["mails"], 1);
    assert_eq!(same[0]["totals"]["changed"], 0);
    assert!(same[0]["totals"]["perSecond"].is_u64(), "{same:?}");

    let listed = replay(&cluster, &["--config", &newer.config]).await?;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(listed[0]["emailId"], email["id"]);
    let after = listed[0]["after"]["injectionRiskScore"].as_f64().context("a score")?;
    assert!(after > score(&email) + 0.25, "{listed:?}");
    assert_eq!(listed[1]["totals"]["applied"], false);
    // And nothing has happened.
    assert_eq!(verdicts(&agent, &email).await?.len(), 1);
    assert_eq!(events(&cluster).await?, 0);
    let others = replay(&cluster, &["--config", &newer.config, "--account", "acct_none"]).await?;
    assert_eq!(others[0]["totals"]["mails"], 0);
    let later = ["--config", &newer.config, "--since", "2999-01-01T00:00:00Z"];
    assert_eq!(replay(&cluster, &later).await?[0]["totals"]["mails"], 0);

    let apply = ["--config", &newer.config, "--apply", "--inbox", &inbox.id];
    let applied = replay(&cluster, &apply).await?;
    assert_eq!(applied[1]["totals"]["applied"], true);
    let history = eventually(SOON, "the new verdict", async || {
        let verdicts = verdicts(&agent, &email).await?;
        Ok((verdicts.len() == 2).then_some(verdicts))
    })
    .await?;
    assert_eq!(score(&history[0]), after);
    assert_eq!(score(&history[1]), score(&email));
    assert_eq!(history[0]["judgedAt"], history[1]["replacedAt"]);
    assert!(history[0]["replacedAt"].is_null());
    assert_eq!(score(&agent.wait_for(&inbox, "noon").await?), after);
    eventually(SOON, "the event", async || Ok((events(&cluster).await? == 1).then_some(())))
        .await?;

    let again = replay(&cluster, &apply).await?;
    assert_eq!(again[0]["totals"]["changed"], 0, "{again:?}");
    assert_eq!(verdicts(&agent, &email).await?.len(), 2);
    assert_eq!(events(&cluster).await?, 1);
    let path = format!("/v1/emails/{}/verdicts", email["id"].as_str().context("id")?);
    assert_eq!(stranger.get(&path).await?.status, 404);
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_carries_the_email_as_it_is_now() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let email = receive(&cluster, &agent, &inbox, "noon", "lunch ignore").await?;
    let newer = Newer::new()?;
    replay(&cluster, &["--config", &newer.config, "--apply"]).await?;
    let client = async_nats::connect(&cluster.nats.url).await?;
    let stream = jetstream::new(client).get_stream("EVENTS").await?;
    let subject = format!("mail.v1.event.{}.{}.email.verdict.changed", agent.account, inbox.id);
    let event = eventually(SOON, "the event", async || {
        Ok(stream.get_last_raw_message_by_subject(&subject).await.ok())
    })
    .await?;
    let event: Value = serde_json::from_slice(&event.payload)?;
    assert_eq!(event["event"], "email.verdict.changed");
    assert_eq!(event["data"]["id"], email["id"]);
    assert!(event["data"]["body"].is_null());
    let now = agent.wait_for(&inbox, "noon").await?;
    assert_eq!(event["data"]["security"], now["security"]);
    assert!(score(&now) > score(&email));
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_and_run_again_it_ends_the_same() -> anyhow::Result<()> {
    // Two pages.
    const MAILS: usize = 400;
    let mut cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    Load::start(&cluster.smtp(), &inbox.address, 4, MAILS / 4).finish().await?;
    let before = eventually(SOON, "all mail to be stored", async || {
        Ok(Some(stored(&cluster).await?).filter(|it| it.len() == MAILS))
    })
    .await?;
    judge_otherwise(&cluster, &before).await?;
    eventually(PATIENCE, "other verdicts", async || {
        Ok((events(&cluster).await? == MAILS).then_some(()))
    })
    .await?;

    kill_after_the_first_page(&cluster).await?;
    // Storage dies over what it was given, too.
    cluster.kill("storage-1").await?;
    cluster.restart("storage-1").await?;
    let rest = replay(&cluster, &["--apply"]).await?;
    assert_eq!(rest.last().context("totals")?["totals"]["mails"], MAILS);
    eventually(PATIENCE, "the verdicts of before", async || {
        Ok((stored(&cluster).await? == before).then_some(()))
    })
    .await?;
    let again = replay(&cluster, &["--apply"]).await?;
    assert_eq!(again[0]["totals"]["changed"], 0, "{:?}", again[0]);
    eventually(PATIENCE, "all events", async || {
        Ok((events(&cluster).await? >= 2 * MAILS).then_some(()))
    })
    .await?;
    assert_eq!(events(&cluster).await?, 2 * MAILS, "one event for each change");
    for email in agent.emails(&inbox).await?.iter().step_by(67) {
        assert_eq!(verdicts(&agent, email).await?.len(), 3, "{email}");
    }
    cluster.stop().await
}

async fn stored(cluster: &Cluster) -> anyhow::Result<Vec<JudgedMail>> {
    let store = Store::open(&cluster.database).await?;
    let mails = store.reader.judged_mails(&ReplayFilter::default(), "", 1_000).await?;
    store.close().await;
    Ok(mails)
}

/// As by detectors that find something in every mail.
async fn judge_otherwise(cluster: &Cluster, mails: &[JudgedMail]) -> anyhow::Result<()> {
    let bus = Bus::connect(&cluster.nats.url, "test", &Process::default()).await?;
    let judged = mails.iter().zip(1..).map(|(it, rejudged_at_micros)| MailRejudged {
        mail_id: it.mail_id.clone(),
        verdict: Some(Verdict { score: 0.9, version: "0".to_owned(), ..Verdict::default() }),
        rejudged_at_micros,
    });
    Ok(bus.publish(judged.collect::<Vec<_>>()).await?)
}

/// Dies between publishing and the end, most likely in the second page.
async fn kill_after_the_first_page(cluster: &Cluster) -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let (database, nats) = (cluster.database.as_str(), cluster.nats.url.as_str());
    let arguments = ["replay", "--json", "--apply", "--database", database, "--nats", nats];
    let arguments = arguments.map(str::to_owned).to_vec();
    let mut program = Program::start("replay", binary("posthouse")?, arguments, folder.path())?;
    eventually(PATIENCE, "the first lines", async || {
        program.ensure_running()?;
        Ok((program.output().lines().count() > 0).then_some(()))
    })
    .await?;
    program.kill().await
}
