//! Postfix's load generator, which is as strict a client as any.

use std::{env, process::Stdio};

use anyhow::Context as _;
use e2e::{Cluster, SOON, eventually, skip};
use tokio::{process::Command, time::timeout};

#[tokio::test(flavor = "multi_thread")]
async fn everything_smtp_source_sends_is_stored() -> anyhow::Result<()> {
    const MAILS: usize = 400;

    let (Some(program), Some(libraries)) = (
        env::var_os("POSTHOUSE_TEST_SMTP_SOURCE"),
        env::var_os("POSTHOUSE_TEST_SMTP_SOURCE_LIBRARIES"),
    ) else {
        skip("smtp-source is not at hand: tests/run fetches it");
        return Ok(());
    };
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    let inbox = agent.inbox().await?;

    let sent = Command::new(program)
        .env("LD_LIBRARY_PATH", libraries)
        .args(["-s", "20", "-l", "4096", "-m", &MAILS.to_string(), "-f", "load@example.com", "-t"])
        .arg(&inbox.address)
        .arg(cluster.smtp()[0].to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let sent = timeout(SOON, sent).await.context("wait for smtp-source")??;
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    eventually(SOON, "every mail to be stored", async || {
        let count = agent.emails(&inbox).await?.len();
        assert!(count <= MAILS, "{count} mails of {MAILS}");
        Ok((count == MAILS).then_some(()))
    })
    .await?;
    cluster.stop().await
}
