use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use bus::Server;
use sender::{Route, Rule, Smarthost, TlsPolicy};
use service::Process;
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::dev::{Options, folder::Folder, secrets::Secrets};

/// The stages at work, each of which would be a process of its own elsewhere.
pub(crate) struct Stages {
    tasks: JoinSet<anyhow::Result<()>>,
    /// Those still running.
    names: BTreeMap<Id, &'static str>,
    shutdown: CancellationToken,
}

impl Stages {
    pub(crate) fn spawn(
        options: &Options,
        folder: &Folder,
        secrets: &Secrets,
        server: &Server,
        process: &Process,
    ) -> Stages {
        let mut stages = Stages {
            tasks: JoinSet::new(),
            names: BTreeMap::new(),
            shutdown: process.shutdown.clone(),
        };
        let Configs { intake, scanner, storage, sender, webhooks, gateway } =
            Configs::new(options, folder, secrets, server);
        stages.add("intake", intake::run(intake, process.clone()));
        stages.add("scanner", scanner::run(scanner, process.clone()));
        stages.add("storage", storage::run(storage, process.clone()));
        stages.add("sender", sender::run(sender, process.clone()));
        stages.add("webhooks", webhooks::run(webhooks, process.clone()));
        stages.add("gateway", gateway::run(gateway, process.clone()));
        stages
    }

    fn add(
        &mut self,
        name: &'static str,
        stage: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(stage);
        self.names.insert(task.id(), name);
    }

    /// Resolves when a stage ends that nobody told to.
    pub(crate) async fn first_failure(&mut self) -> anyhow::Error {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let (name, outcome) = self.settle(ended);
            match outcome {
                Err(err) => return err.context(format!("{name} failed")),
                Ok(()) if self.shutdown.is_cancelled() => (),
                Ok(()) => return anyhow!("{name} ended although nobody told it to"),
            }
        }
        std::future::pending().await
    }

    /// Waits until all have ended, which they were told to.
    pub(crate) async fn drain(mut self, patience: Duration) -> anyhow::Result<()> {
        let drained = timeout(patience, async {
            let mut first = Ok(());
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let (name, outcome) = self.settle(ended);
                first = first.and(outcome.with_context(|| format!("stop {name}")));
            }
            first
        });
        match drained.await {
            Ok(outcome) => outcome,
            Err(_) => {
                let names: Vec<&str> = self.names.into_values().collect();
                bail!(
                    "still at work {patience:?} after the end was asked for: {}",
                    names.join(", ")
                )
            }
        }
    }

    fn settle(
        &mut self,
        ended: Result<(Id, anyhow::Result<()>), JoinError>,
    ) -> (&'static str, anyhow::Result<()>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(err) => (err.id(), Err(err.into())),
        };
        (self.names.remove(&id).unwrap_or("a stage"), outcome)
    }
}

struct Configs {
    intake: intake::Config,
    scanner: scanner::Config,
    storage: storage::Config,
    sender: sender::Config,
    webhooks: webhooks::Config,
    gateway: gateway::Config,
}

impl Configs {
    fn new(options: &Options, folder: &Folder, secrets: &Secrets, server: &Server) -> Configs {
        let (nats, login) = (&server.url, &server.login);
        let database = folder.database();
        let domains = vec![options.domain.clone()];
        // Own mail goes round by SMTP as it would from one machine to another; nothing else leaves.
        let own = Rule {
            domains: domains.clone(),
            route: Route::Smarthost(Smarthost {
                host: options.smtp.ip().to_string(),
                port: options.smtp.port(),
                tls: TlsPolicy::Opportunistic,
                ca_file: None,
                username: None,
                password: None,
                password_file: None,
            }),
        };
        // Where links lead; another machine would have to be told another name.
        let api = options.api;
        let public_url = api.ip().is_loopback().then(|| format!("http://{api}"));
        Configs {
            intake: intake::Config {
                listen: options.smtp,
                submission: Some(options.submission),
                submissions: Some(options.submissions),
                hostname: options.domain.clone(),
                domains: domains.clone(),
                nats: nats.clone(),
                nats_login: login.clone(),
                ..Default::default()
            },
            scanner: scanner::Config {
                hostname: options.domain.clone(),
                nats: nats.clone(),
                nats_login: login.clone(),
                ..Default::default()
            },
            storage: storage::Config {
                nats: nats.clone(),
                nats_login: login.clone(),
                database: database.clone(),
                domains: domains.clone(),
                public_url: public_url.clone(),
                // Nothing leaves this machine: nobody is there to distrust a new inbox.
                warm_up: storage::WarmUpConfig { first_day: 0, ..Default::default() },
                ..Default::default()
            },
            sender: sender::Config {
                nats: nats.clone(),
                nats_login: login.clone(),
                database: database.clone(),
                hostname: options.domain.clone(),
                default_route: Route::Capture { directory: folder.captured() },
                routes: vec![own],
                ..Default::default()
            },
            // Whoever tries webhooks here has his receiver on this machine.
            webhooks: webhooks::Config {
                nats: nats.clone(),
                nats_login: login.clone(),
                database: database.clone(),
                allow_private_targets: true,
                ..Default::default()
            },
            gateway: gateway::Config {
                listen: options.api,
                domains,
                nats: nats.clone(),
                nats_login: login.clone(),
                agent_logins: secrets.agent_logins(),
                database,
                public_url,
                allow_private_webhooks: true,
                // Elsewhere somebody has to put TLS in front first.
                console: gateway::ConsoleConfig {
                    plain_http: options.api.ip().is_loopback(),
                    ..Default::default()
                },
                ..Default::default()
            },
        }
    }
}
