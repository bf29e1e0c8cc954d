//! The whole of Posthouse in one process, for one developer: the stages that are separate programs
//! elsewhere, on SQLite and a nats-server of their own.
//!
//! Everything it keeps is in one folder. It listens on the loopback interface only, and mail to
//! domains that are not its own is captured instead of sent.

mod folder;
mod ready;
pub(crate) mod secrets;
mod stages;
mod welcome;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};
use bus::Server;
use clap::Args;
use local_nats::LocalNats;
use service::Process;

use crate::dev::{folder::Folder, secrets::Secrets, stages::Stages};

/// How long everything may take to get ready.
const START: Duration = Duration::from_secs(60);

/// How long the stages may take to finish what they have in hand.
const DRAIN: Duration = Duration::from_secs(30);

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder that keeps everything; remove it to begin anew.
    #[arg(long, env = "POSTHOUSE_DEV_DATA", default_value = "./.posthouse")]
    data: PathBuf,
    /// Where mail is taken by SMTP.
    #[arg(long, env = "POSTHOUSE_DEV_SMTP", default_value = "127.0.0.1:2525")]
    smtp: SocketAddr,
    /// Where programs hand in mail to be sent, with STARTTLS.
    #[arg(long, env = "POSTHOUSE_DEV_SUBMISSION", default_value = "127.0.0.1:2587")]
    submission: SocketAddr,
    /// The same, with TLS from the first octet.
    #[arg(long, env = "POSTHOUSE_DEV_SUBMISSIONS", default_value = "127.0.0.1:2465")]
    submissions: SocketAddr,
    /// Where the API is served.
    #[arg(long, env = "POSTHOUSE_DEV_API", default_value = "127.0.0.1:4801")]
    api: SocketAddr,
    /// Where NATS listens.
    #[arg(long, env = "POSTHOUSE_DEV_NATS", default_value = "127.0.0.1:4222")]
    nats: SocketAddr,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "POSTHOUSE_DEV_ADMIN", default_value = "127.0.0.1:4800")]
    admin: SocketAddr,
    /// The domain that inboxes are made in.
    #[arg(long, env = "POSTHOUSE_DEV_DOMAIN", default_value = "posthouse.localhost")]
    domain: String,
}

/// Runs until the process is told to stop, or until the first part fails: half a pipeline would
/// only mislead.
pub(crate) async fn run(options: Options, process: Process) -> anyhow::Result<()> {
    options.check()?;
    let folder = Folder::lock(&options.data)?;
    options.check_ports().await?;
    let secrets = Secrets::open(&folder)?;
    let mut nats = LocalNats::start(&local_nats::Options {
        binary: local_nats::find()?,
        dir: folder.nats(),
        listen: options.nats,
        logins: Some(secrets.nats.clone()),
        member: None,
    })
    .await
    .context("start NATS (its address is set by --nats or POSTHOUSE_DEV_NATS)")?;
    let outcome = run_on(&options, &folder, &secrets, &mut nats, &process).await;
    let stopped = nats.stop().await.context("stop NATS");
    // What went wrong first explains the rest.
    outcome.and(stopped)
}

async fn run_on(
    options: &Options,
    folder: &Folder,
    secrets: &Secrets,
    nats: &mut LocalNats,
    process: &Process,
) -> anyhow::Result<()> {
    let server = Server::new(&nats.url, &secrets.login());
    bus::apply(server.clone(), 1, false).await.context("make the streams")?;
    store::migrate(&folder.database()).await.context("make the database")?;
    service::serve_admin(options.admin, process).await?;
    let mut stages = Stages::spawn(options, folder, secrets, &server, process);
    let outcome = tokio::select! {
        outcome = serve(options, folder, process) => outcome,
        err = stages.first_failure() => Err(err),
        err = nats.exited() => Err(err),
    };
    process.shutdown.cancel();
    outcome.and(stages.drain(DRAIN).await)
}

/// Tells the user when everything is ready, and waits to be told to stop.
async fn serve(options: &Options, folder: &Folder, process: &Process) -> anyhow::Result<()> {
    let told = process.shutdown.cancelled();
    tokio::select! {
        ready = ready::wait(options, process, START) => ready?,
        () = told => return Ok(()),
    }
    crate::print(welcome::text(options, folder));
    process.shutdown.cancelled().await;
    Ok(())
}

impl Options {
    fn addresses(&self) -> [(SocketAddr, &'static str, &'static str); 6] {
        [
            (self.smtp, "--smtp", "POSTHOUSE_DEV_SMTP"),
            (self.submission, "--submission", "POSTHOUSE_DEV_SUBMISSION"),
            (self.submissions, "--submissions", "POSTHOUSE_DEV_SUBMISSIONS"),
            (self.api, "--api", "POSTHOUSE_DEV_API"),
            (self.nats, "--nats", "POSTHOUSE_DEV_NATS"),
            (self.admin, "--admin", "POSTHOUSE_DEV_ADMIN"),
        ]
    }

    fn check(&self) -> anyhow::Result<()> {
        for (address, flag, variable) in self.addresses() {
            // Neither NATS nor the admin port asks who is there.
            ensure!(
                address.ip().is_loopback(),
                "{address} is not on the loopback interface ({flag} or {variable}): `posthouse dev` \
                 is for one machine, the services are for more",
            );
            ensure!(address.port() != 0, "port 0 is none to connect to ({flag} or {variable})");
        }
        Ok(())
    }

    /// Stages that fail to bind would say so too, but in the terms of their own configuration.
    async fn check_ports(&self) -> anyhow::Result<()> {
        for (address, flag, variable) in self.addresses() {
            if address == self.nats {
                continue; // A server left running there is ours to stop.
            }
            if let Err(err) = tokio::net::TcpListener::bind(address).await {
                let port = address.port();
                match err.kind() {
                    std::io::ErrorKind::AddrInUse => {
                        bail!("port {port} is in use ({flag} or {variable})")
                    }
                    _ => bail!("cannot listen on {address}: {err} ({flag} or {variable})"),
                }
            }
        }
        Ok(())
    }
}
