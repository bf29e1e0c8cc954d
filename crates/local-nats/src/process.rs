use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time,
};

use crate::{Options, PATIENCE};

const ACCOUNTS: &str = include_str!("../../../deploy/nats/accounts.conf");

const POLL: Duration = Duration::from_millis(20);

pub(crate) async fn spawn(options: &Options) -> anyhow::Result<(Child, SocketAddr)> {
    let dir = &options.dir;
    // nats-server's own message for a busy port is a stack of retries in its log.
    let free = TcpListener::bind(options.listen).await;
    drop(free.with_context(|| format!("listen for NATS on {}", options.listen))?);
    // A killed server leaves its file behind, and its process id may come round again.
    let ports = dir.join("ports");
    match fs::remove_dir_all(&ports) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => {
            return Err(err).context("remove the ports file of NATS");
        }
        _ => fs::create_dir_all(&ports).context("create the directory of NATS")?,
    }
    fs::write(config_path(dir), config(options)).context("write the configuration of NATS")?;
    let log = File::create(log_path(dir)).context("create the log of NATS")?;

    let mut command = Command::new(&options.binary);
    if let Some(logins) = &options.logins {
        fs::write(dir.join("accounts.conf"), ACCOUNTS).context("write the accounts of NATS")?;
        // A variable's value is read like the file: without quotes, "1f" is a number gone wrong.
        let quoted = |secret: &str| format!("{secret:?}");
        command
            .env("POSTHOUSE_NATS_ISSUER", quoted(&logins.issuer))
            .env("POSTHOUSE_NATS_PASSWORD", quoted(&logins.password))
            .env("POSTHOUSE_NATS_LOGINS_PASSWORD", quoted(&logins.logins_password));
    }
    let mut child = command
        .arg("--config")
        .arg(config_path(dir))
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the log of NATS")?)
        .stderr(log)
        // Ctrl-C is for the parent, which still needs NATS while it drains.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", options.binary.display()))?;
    tokio::select! {
        status = child.wait() => Err(death(dir, status.context("wait for nats-server")?)),
        address = time::timeout(PATIENCE, address(&ports)) => match address {
            Ok(address) => Ok((child, address?)),
            Err(_) => bail!("nats-server was not ready in {PATIENCE:?}: see {}", log_path(dir).display()),
        },
    }
}

fn config(options: &Options) -> String {
    let mut config = String::new();
    let port = match options.listen.port() {
        0 => -1,
        port => i32::from(port),
    };
    let path = |name| format!("{:?}", options.dir.join(name).display().to_string());
    let mut line = |text: String| _ = writeln!(config, "{text}");
    let name = options.member.as_ref().map_or("posthouse-local", |it| &it.name);
    line(format!("server_name: {name:?}"));
    line(format!("host: {:?}", options.listen.ip().to_string()));
    line(format!("port: {port}"));
    line(format!("ports_file_dir: {}", path("ports")));
    line(format!("pid_file: {}", path("nats-server.pid")));
    line(format!("jetstream {{\n  store_dir: {}\n  sync_interval: always\n}}", path("store")));
    if let Some(member) = &options.member {
        let routes = member.routes.iter().map(|it| format!("\"nats://{it}\"")).collect::<Vec<_>>();
        let (listen, routes) = (member.listen, routes.join(", "));
        line(format!(
            "cluster {{\n  name: posthouse\n  listen: \"{listen}\"\n  routes: [{routes}]\n}}"
        ));
    }
    if options.logins.is_some() {
        line("include \"accounts.conf\"".into());
    }
    config
}

/// Where the server listens. It writes this once it takes connections.
async fn address(ports: &Path) -> anyhow::Result<SocketAddr> {
    #[derive(Deserialize)]
    struct Ports {
        nats: Vec<String>,
    }

    loop {
        let entries = fs::read_dir(ports).context("read the ports file of NATS")?;
        for path in entries.flatten().map(|entry| entry.path()) {
            // Half a file parses as little as none.
            if let Ok(json) = fs::read(path)
                && let Ok(Ports { nats }) = serde_json::from_slice(&json)
                && let Some(address) = nats.first().and_then(|url| url.strip_prefix("nats://"))
            {
                return address.parse().with_context(|| format!("read NATS's address {address}"));
            }
        }
        time::sleep(POLL).await;
    }
}

/// Stops the server that a killed parent left behind: two on one store would ruin it.
pub(crate) async fn stop_orphan(dir: &Path) -> anyhow::Result<()> {
    let Some(pid) = orphan(dir) else { return Ok(()) };
    terminate(pid)?;
    time::timeout(PATIENCE, async {
        while orphan(dir).is_some() {
            time::sleep(POLL).await;
        }
    })
    .await
    .with_context(|| format!("nats-server {pid}, left running on {}, does not stop", dir.display()))
}

/// The process named by the pid file, if it still is the server of this directory.
fn orphan(dir: &Path) -> Option<u32> {
    let pid = fs::read_to_string(dir.join("nats-server.pid")).ok()?.trim().parse().ok()?;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let config = config_path(dir);
    command_line
        .split(|octet| *octet == 0)
        .any(|argument| argument == config.as_os_str().as_encoded_bytes())
        .then_some(pid)
}

pub(crate) fn terminate(pid: u32) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.context("read nats-server's process id")?, Signal::TERM)
        .context("stop nats-server")
}

pub(crate) fn death(dir: &Path, status: ExitStatus) -> anyhow::Error {
    let log = fs::read_to_string(log_path(dir)).unwrap_or_default();
    let why =
        log.lines().rev().find(|line| line.contains("[FTL]") || line.contains("nats-server:"));
    anyhow!(
        "nats-server exited ({status}): {} (log: {})",
        why.or(log.lines().last()).unwrap_or("it said nothing"),
        log_path(dir).display(),
    )
}

fn config_path(dir: &Path) -> PathBuf {
    dir.join("nats-server.conf")
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("nats-server.log")
}
