use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::{Agent, Cluster, eventually};
use tokio::time::sleep;

use crate::{
    PROBES,
    figures::{Latencies, Rates},
    mail, rates,
    shared::postfix::{Load, Package},
};

const PATIENCE: Duration = Duration::from_secs(300);

/// Every stage as a process of its own, on SQLite.
pub(crate) struct Posthouse {
    cluster: Cluster,
    agent: Agent,
}

impl Posthouse {
    pub(crate) async fn start() -> anyhow::Result<Posthouse> {
        let cluster = Cluster::start().await?;
        let agent = cluster.api()?.sign_up().await?;
        Ok(Posthouse { cluster, agent })
    }

    pub(crate) async fn round(&self, package: &Package, load: &Load) -> anyhow::Result<Rates> {
        let inbox = self.agent.inbox().await?;
        let server = self.cluster.smtp()[0].to_string();
        let start = Instant::now();
        package.load(&server, &inbox.address, load).await?;
        let accepted = start.elapsed();
        let path = format!("/v1/inboxes/{}", inbox.id);
        let mails = load.mails as u64;
        eventually(PATIENCE, "every mail to be in the API", async || {
            let count = self.agent.get(&path).await?.success()?["emailCount"].as_u64();
            ensure!(count.is_none_or(|it| it <= mails), "{count:?} mails of {mails}");
            Ok((count == Some(mails)).then_some(()))
        })
        .await?;
        Ok(rates(load, accepted, start.elapsed()))
    }

    pub(crate) async fn latency(&self) -> anyhow::Result<Latencies> {
        let inbox = self.agent.inbox().await?;
        let mut smtp = self.cluster.connect().await?;
        let mut latencies = Latencies::default();
        for probe in 0..PROBES {
            let subject = format!("probe-{probe}");
            let path = format!(
                "/v1/inboxes/{}/emails/poll?timeout=25&since=2000-01-01T00:00:00Z&subject={subject}",
                inbox.id
            );
            let agent = self.agent.clone();
            let poll = tokio::spawn(async move {
                let answer = agent.get(&path).await?;
                ensure!(answer.status == 200, "poll answered {}", answer.status);
                anyhow::Ok(Instant::now())
            });
            // Until the poll waits.
            sleep(Duration::from_millis(20)).await;
            smtp.command("MAIL FROM:<bench@client.example>").await?;
            smtp.command(&format!("RCPT TO:<{}>", inbox.address)).await?;
            smtp.command("DATA").await?;
            let content = mail(&subject);
            let start = Instant::now();
            let reply = smtp.content(&content).await?;
            latencies.accepted.push(start.elapsed());
            ensure!(reply.code == 250, "{reply:?}");
            let answered = poll.await.context("poll")??;
            latencies.there.push(answered - start);
        }
        Ok(latencies)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.cluster.stop().await
    }
}
