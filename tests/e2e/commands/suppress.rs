//! `posthouse suppress`: who gets no mail from anybody, and whom one account does not write to.

use anyhow::Context as _;
use e2e::{Cluster, SOON, eventually};
use serde_json::json;

use super::Operator;
use crate::pipeline_out::{captured, mail};

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_added_exported_imported_and_removed() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let operator = Operator::of(&cluster)?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let why = ["--reason", "they asked by telephone"];
    let add = [&["suppress", "add", "Bob@elsewhere.example", "ann@elsewhere.example"][..], &why];
    assert_eq!(operator.json(&add.concat()).await?["added"], 2);
    let refused = agent.send(&mail(&inbox, "bob@elsewhere.example", "No"), None).await?;
    let problem = refused.json()?;
    assert_eq!((refused.status, &problem["error"]), (422, &json!("recipient_suppressed")));
    let message = problem["message"].as_str().context("message")?;
    assert!(message.contains("by the operator: they asked by telephone"), "{message}");

    let exported = operator.run(&["suppress", "export"]).await?.output;
    let path = cluster.folder().join("suppressed.csv");
    std::fs::write(&path, &exported)?;
    let remove = [&["suppress", "rm", "bob@elsewhere.example"][..], &why].concat();
    operator.json(&remove).await?;
    let refused = operator.refused(&remove).await?;
    assert!(refused.contains("bob@elsewhere.example is not suppressed for everybody"), "{refused}");
    agent.send(&mail(&inbox, "bob@elsewhere.example", "Again"), None).await?.success()?;
    eventually(SOON, "the mail to be captured", async || {
        Ok((!captured(&cluster.captured(), "Again").is_empty()).then_some(()))
    })
    .await?;

    let path = path.display().to_string();
    let account = ["--account", &agent.account];
    let import = [&["suppress", "import", &path][..], &account, &why].concat();
    assert_eq!(operator.json(&import).await?["added"], 2);
    let listed = operator.json(&[&["suppress", "ls"][..], &account].concat()).await?;
    let listed = listed["suppressed"].as_array().context("suppressed")?;
    assert!(listed.iter().all(|it| it["scope"] == "account"), "{listed:?}");
    assert_eq!(listed.len(), 2, "{listed:?}");
    let listed = operator.json(&["suppress", "ls"]).await?;
    assert_eq!(listed["suppressed"].as_array().map(Vec::len), Some(1), "{listed}");
    std::fs::write(&path, "carl@elsewhere.example\nnobody\n")?;
    let refused = operator.refused(&import).await?;
    assert!(refused.contains("line 2: \"nobody\" is no address"), "{refused}");
    let nobody = [&["suppress", "add", "x@y.example", "--account", "acct_none"][..], &why].concat();
    let refused = operator.refused(&nobody).await?;
    assert!(refused.contains("there is no account acct_none"), "{refused}");
    let acts = operator.json(&["audit"]).await?;
    let commands = acts["acts"].as_array().into_iter().flatten().map(|it| it["command"].clone());
    let expected =
        ["suppress import", "suppress rm", "suppress add", "migrate"].map(|it| json!(it));
    assert_eq!(commands.collect::<Vec<_>>(), expected, "{acts}");
    cluster.stop().await
}
