//! Postfix with one domain, delivered to a Maildir.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::{SOON, Smtp, eventually};
use tokio::time::sleep;

use crate::{
    PROBES,
    figures::{Latencies, Rates},
    mail, rates,
    shared::postfix::{self, Load, OWNER_ID, Package},
};

const RECIPIENT: &str = "u@bench.localhost";

const SETTINGS: &str = "virtual_mailbox_domains = bench.localhost
virtual_mailbox_base = {path}/mail
virtual_mailbox_maps = static:u/
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
";

pub(crate) struct Postfix {
    mta: postfix::Postfix,
}

impl Postfix {
    pub(crate) async fn start(package: &Package) -> anyhow::Result<Postfix> {
        let settings = format!(
            "{SETTINGS}virtual_uid_maps = static:{OWNER_ID}\nvirtual_gid_maps = static:{OWNER_ID}\n"
        );
        let services = ["virtual unix - n n - - virtual"];
        Ok(Postfix { mta: postfix::Postfix::start(package, &settings, &services).await? })
    }

    pub(crate) async fn round(&self, package: &Package, load: &Load) -> anyhow::Result<Rates> {
        let before = self.delivered();
        let start = Instant::now();
        package.load(&self.mta.address.to_string(), RECIPIENT, load).await?;
        let accepted = start.elapsed();
        eventually(Duration::from_secs(300), "every mail to be in the Maildir", async || {
            Ok((self.delivered() == before + load.mails).then_some(()))
        })
        .await
        .with_context(|| self.log())?;
        Ok(rates(load, accepted, start.elapsed()))
    }

    pub(crate) async fn latency(&self) -> anyhow::Result<Latencies> {
        let mut smtp = Smtp::connect(self.mta.address).await?;
        let mut latencies = Latencies::default();
        for probe in 0..PROBES {
            let before = self.delivered();
            smtp.command("MAIL FROM:<bench@client.example>").await?;
            smtp.command(&format!("RCPT TO:<{RECIPIENT}>")).await?;
            smtp.command("DATA").await?;
            let content = mail(&format!("probe-{probe}"));
            let start = Instant::now();
            let reply = smtp.content(&content).await?;
            latencies.accepted.push(start.elapsed());
            ensure!(reply.code == 250, "{reply:?}");
            while self.delivered() == before {
                ensure!(start.elapsed() < SOON, "not delivered: {}", self.log());
                sleep(Duration::from_millis(1)).await;
            }
            latencies.there.push(start.elapsed());
        }
        Ok(latencies)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.mta.stop().await
    }

    fn delivered(&self) -> usize {
        let mail = self.mta.folder.path().join("mail/u/new");
        std::fs::read_dir(mail).map_or(0, Iterator::count)
    }

    fn log(&self) -> String {
        self.mta.log()
    }
}
