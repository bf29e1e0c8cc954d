//! The operator's commands.

use anyhow::Context as _;
use e2e::{Agent, Cluster, Program, binary, operate};
use local_nats::{LocalNats, Options};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_planned_applied_and_verified() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut nats = LocalNats::start(&Options::new(&folder.path().join("nats"))?).await?;
    let streams = |command| vec!["streams", command, "--nats", &nats.url];

    let arguments = streams("verify").into_iter().map(str::to_owned).collect();
    let mut verify = Program::start("verify", binary("posthouse")?, arguments, folder.path())?;
    assert!(!verify.wait().await?.success());
    assert!(verify.output().contains("create stream INBOUND"), "{}", verify.output());

    let planned = operate(folder.path(), &streams("plan")).await?;
    assert!(planned.contains("create stream INBOUND"), "{planned}");
    operate(folder.path(), &streams("apply")).await?;
    let verified = operate(folder.path(), &streams("verify")).await?;
    assert!(verified.contains("everything is as it should be"), "{verified}");
    nats.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_made_by_the_operator_can_be_used() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let folder = TempDir::new()?;
    let database = ["--database", &cluster.database];
    let token = |said: &str| -> anyhow::Result<String> {
        let line = said.lines().find_map(|it| it.strip_prefix("token "));
        Ok(line.context("find the token")?.to_owned())
    };

    let create = [["account", "create"], ["--id", "acct_operator"], database].concat();
    let first = token(&operate(folder.path(), &create).await?)?;
    let add = [["token", "add"], database].concat();
    let second = token(&operate(folder.path(), &[&add[..], &["acct_operator"]].concat()).await?)?;
    assert_ne!(first, second);
    for token in [first, second] {
        let agent = Agent { api: cluster.api()?, account: "acct_operator".into(), token };
        let account = agent.get("/v1/account").await?.success()?;
        assert_eq!(account["id"], "acct_operator");
    }

    let arguments = create.iter().map(|it| (*it).to_owned()).collect();
    let mut again = Program::start("again", binary("posthouse")?, arguments, folder.path())?;
    assert!(!again.wait().await?.success());
    assert!(again.log().contains("acct_operator exists already"), "{}", again.log());
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_return_paths_is_replaced_with_care() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let database = format!("sqlite:{}", folder.path().join("posthouse.db").display());
    let database = ["--database", &*database];
    operate(folder.path(), &[&["migrate"][..], &database].concat()).await?;
    let rotate = [&["return-paths", "rotate"][..], &database].concat();
    let arguments = rotate.iter().map(|it| (*it).to_owned()).collect();
    let mut early = Program::start("early", binary("posthouse")?, arguments, folder.path())?;
    assert!(!early.wait().await?.success());
    assert!(early.log().contains("younger than 14 days"), "{}", early.log());
    let said = operate(folder.path(), &[&rotate[..], &["--leaked"]].concat()).await?;
    assert!(said.contains("nothing that was made before is believed"), "{said}");

    let list = [&["suppress", "ls"][..], &database].concat();
    assert!(operate(folder.path(), &list).await?.contains("none"));
    let lift =
        [&["suppress", "rm", "bob@example.net", "--reason", "asked for"][..], &database].concat();
    let arguments = lift.iter().map(|it| (*it).to_owned()).collect();
    let mut lift = Program::start("lift", binary("posthouse")?, arguments, folder.path())?;
    assert!(!lift.wait().await?.success());
    assert!(
        lift.log().contains("bob@example.net is not suppressed for everybody"),
        "{}",
        lift.log()
    );
    Ok(())
}
