//! An inbox whose mail bounces is stopped, and agents that answer each other come to an end.

use anyhow::Context as _;
use e2e::{Cluster, DOMAIN, Program, SOON, binary, eventually, operate};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    nats_send::Agent,
    pipeline_out::{captured, mail},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_bounces_is_stopped_until_the_operator_resumes_it() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let folder = TempDir::new()?;
    let mut noisy = Agent::new(&cluster).await?;
    let (agent, inbox) = (noisy.agent.clone(), noisy.inbox.clone());
    let neighbour = agent.inbox().await?;

    // Six of fifty recipients are unknown here: intake answers 550 5.1.1.
    let known = (0..44).map(|n| format!("{n}@elsewhere.example"));
    let unknown = (0..6).map(|n| format!("nobody.{n}@{DOMAIN}"));
    let mut many = mail(&inbox, "", "To many");
    many["to"] = known.chain(unknown).collect();
    agent.send(&many, None).await?.success()?;
    let stopped = noisy.event("inbox.stopped").await?;
    let standing = &stopped["data"];
    assert_eq!((&stopped["inboxId"], &standing["reason"]), (&json!(inbox.id), &json!("bounces")));
    assert_eq!(standing["figures"]["bounced"], 6, "{stopped}");

    let refused = agent.send(&mail(&inbox, "bob@elsewhere.example", "By REST"), None).await?;
    let problem = refused.json()?;
    assert_eq!((refused.status, &problem["error"]), (422, &json!("inbox_stopped")));
    let message = problem["message"].as_str().context("message")?;
    assert!(message.contains("recipients bounced") && message.contains("posthouse inbox resume"));
    let request =
        json!({ "to": ["bob@elsewhere.example"], "subject": "By NATS", "body": { "text": "x" } });
    noisy.publish(Some("stopped"), &request.to_string()).await?;
    let rejected = noisy.event("email.rejected").await?;
    assert_eq!(rejected["data"]["error"]["code"], "inbox_stopped", "{rejected}");

    // It still receives, and nobody else is touched.
    agent.send(&mail(&neighbour, &inbox.address, "To the stopped one"), None).await?.success()?;
    agent.wait_for(&inbox, "To the stopped one").await?;

    let database = ["--database", &cluster.database];
    let command = |verb| [&["inbox", verb, &inbox.id][..], &database].concat();
    let shown = operate(folder.path(), &command("show")).await?;
    assert!(shown.contains("stopped since") && shown.contains("inbox.stopped"), "{shown}");
    let resumed = operate(folder.path(), &command("resume")).await?;
    assert!(resumed.contains(&inbox.id) && resumed.contains("sends again"), "{resumed}");
    let event = noisy.event("inbox.resumed").await?;
    assert_eq!(event["data"]["state"], "good", "{event}");
    agent.send(&mail(&inbox, "bob@elsewhere.example", "Again"), None).await?.success()?;
    eventually(SOON, "the mail to be captured", async || {
        Ok((!captured(&cluster.captured(), "Again").is_empty()).then_some(()))
    })
    .await?;
    let of_inbox = format!("/v1/inboxes/{}/reputation", inbox.id);
    let reputation = agent.get(&of_inbox).await?.success()?;
    assert_eq!(reputation["standing"]["state"], "good", "{reputation}");
    assert_eq!(reputation["standing"]["figures"]["bounced"], 0, "{reputation}");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_stops_an_inbox_by_hand() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let folder = TempDir::new()?;
    let mut agent = Agent::new(&cluster).await?;
    let address = agent.inbox.address.clone();
    let database = ["--database", &cluster.database];
    let stop = |inbox| {
        let words = [&["inbox", "stop", inbox, "--reason", "Sends spam."][..], &database].concat();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let first: Vec<String> = stop(&address);
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    let said = operate(folder.path(), &first).await?;
    assert!(said.contains(&agent.inbox.id) && said.contains("is stopped"), "{said}");
    let event = agent.event("inbox.stopped").await?;
    assert_eq!(event["data"]["explanation"], "Sends spam.", "{event}");
    for (inbox, expected) in
        [(&*agent.inbox.id, "is stopped since"), ("ibx_unknown", "there is no inbox ibx_unknown")]
    {
        let mut again = Program::start("again", binary("posthouse")?, stop(inbox), folder.path())?;
        assert!(!again.wait().await?.success());
        assert!(again.log().contains(expected) && again.log().contains(inbox), "{}", again.log());
    }
    let refused =
        agent.agent.send(&mail(&agent.inbox, "bob@elsewhere.example", "No"), None).await?;
    let problem = refused.json()?;
    assert_eq!((refused.status, &problem["error"]), (422, &json!("inbox_stopped")));
    assert!(problem["message"].as_str().is_some_and(|it| it.contains("Sends spam.")), "{problem}");
    cluster.stop().await
}

/// Each answers at once whatever the other says. After 20 answers one of them is told to stop.
#[tokio::test(flavor = "multi_thread")]
async fn agents_that_answer_each_other_come_to_an_end() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let agents = [cluster.api()?.sign_up().await?, cluster.api()?.sign_up().await?];
    let inboxes = [agents[0].inbox().await?, agents[1].inbox().await?];
    let mut thread = Value::Null;
    for turn in 0.. {
        let (me, other) = (turn % 2, (turn + 1) % 2);
        let subject = format!("Turn {turn}");
        let mut words = mail(&inboxes[me], &inboxes[other].address, &subject);
        if !thread.is_null() {
            words["threadId"] = thread;
        }
        words["allowAutoReply"] = json!(true);
        let answer = agents[me].send(&words, None).await?;
        if answer.status != 200 {
            // The first mail answers nothing; the 21st answer is one too many.
            let problem = answer.json()?;
            assert_eq!((answer.status, &problem["error"]), (422, &json!("loop_suspected")));
            let message = problem["message"].as_str().context("message")?;
            assert!(
                message.contains("20 automatic mails") && message.contains(&inboxes[other].address)
            );
            assert_eq!(turn, 41);
            break;
        }
        assert!(turn < 41, "it goes on for ever");
        thread = agents[other].wait_for(&inboxes[other], &subject).await?["threadId"].clone();
    }
    cluster.stop().await
}
