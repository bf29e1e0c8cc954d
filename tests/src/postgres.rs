//! A PostgreSQL server of one's own, where its programs are installed.

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{SOON, eventually, free_port, memory::children_of, program::send, skip};

pub struct Postgres {
    pub url: String,
    programs: PathBuf,
    address: SocketAddr,
    data: PathBuf,
    settings: Settings,
    // In this order: the server goes before its folder.
    server: Option<Child>,
    folder: TempDir,
}

/// How a server is run.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where its data are, if not in a folder of its own. A server that was there before goes on.
    pub data: Option<PathBuf>,
    /// Whether what it commits is on the disk. Without, it survives its own death only.
    pub sync: bool,
}

impl Postgres {
    /// Makes an empty database; `None`, with a word about it, where PostgreSQL is not installed.
    pub async fn start() -> anyhow::Result<Option<Postgres>> {
        Postgres::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> anyhow::Result<Option<Postgres>> {
        let Some(programs) = programs() else {
            skip("PostgreSQL is not installed: nothing tried on it");
            return Ok(None);
        };
        let folder = TempDir::new().context("create a folder for PostgreSQL")?;
        let data = settings.data.clone().unwrap_or_else(|| folder.path().join("data"));
        if !data.join("PG_VERSION").exists() {
            fs::create_dir_all(&data).context("create a folder for PostgreSQL")?;
            if rustix::process::geteuid().is_root() {
                // PostgreSQL refuses to run as root.
                run(Command::new("chown").arg("nobody").arg(&data)).await?;
                run(Command::new("chmod").arg("711").arg(folder.path())).await?;
            }
            let mut initdb = as_nobody(&programs.join("initdb"));
            initdb.args(["--auth=trust", "--username=posthouse", "--encoding=UTF8"]);
            if !settings.sync {
                initdb.arg("--no-sync");
            }
            run(initdb.arg("-D").arg(&data)).await?;
        }
        let address = free_port()?;
        let url = format!("postgres://posthouse@{address}/postgres");
        let mut postgres =
            Postgres { url, programs, address, data, settings, server: None, folder };
        postgres.restart().await?;
        Ok(Some(postgres))
    }

    /// Starts it after `kill`, where it was.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        // What a killed server leaves behind ends by itself; until then a new one says no.
        eventually(SOON, "PostgreSQL to start", async || {
            let mut server = self.spawn()?;
            let deadline = Instant::now() + SOON;
            while Instant::now() < deadline {
                if server.try_wait().context("ask whether PostgreSQL runs")?.is_some() {
                    return Ok(None);
                }
                if is_ready(&self.programs, self.address).await? {
                    self.server = Some(server);
                    return Ok(Some(()));
                }
                sleep(Duration::from_millis(20)).await;
            }
            bail!("PostgreSQL runs and takes no connections")
        })
        .await
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"));
        let sync = if self.settings.sync { "fsync=on" } else { "fsync=off" };
        as_nobody(&self.programs.join("postgres"))
            .arg("-D")
            .arg(&self.data)
            .args(["-c", "unix_socket_directories=", "-c", sync, "-c"])
            .arg(format!("listen_addresses={}", self.address.ip()))
            .args(["-c", "max_connections=200", "-p", &self.address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.context("create log")?)
            .kill_on_drop(true)
            .spawn()
            .context("start PostgreSQL")
    }

    /// As `kill -9` does to the server and its children.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let processes = self.processes();
        let mut server = self.server.take().context("PostgreSQL is down")?;
        server.kill().await.context("kill PostgreSQL")?;
        for child in processes.into_iter().skip(1) {
            // Some are gone by then.
            _ = send(child, Signal::KILL);
        }
        Ok(())
    }

    /// Whether it has given up by itself.
    pub fn has_exited(&mut self) -> anyhow::Result<bool> {
        let Some(server) = &mut self.server else { return Ok(false) };
        let has_exited = server.try_wait().context("ask whether PostgreSQL runs")?.is_some();
        if has_exited {
            self.server = None;
        }
        Ok(has_exited)
    }

    /// The server, while it runs, and its children.
    pub fn processes(&self) -> Vec<u32> {
        let Some(server) = self.server.as_ref().and_then(Child::id) else { return Vec::new() };
        let mut processes = vec![server];
        processes.extend(children_of(server));
        processes
    }
}

async fn is_ready(programs: &Path, address: SocketAddr) -> anyhow::Result<bool> {
    let status = Command::new(programs.join("pg_isready"))
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
        .stdout(Stdio::null())
        .status()
        .await
        .context("run pg_isready")?;
    Ok(status.success())
}

/// Where PostgreSQL's programs are: what `tests/run` found or fetched, or Debian's place.
fn programs() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("POSTHOUSE_TEST_POSTGRES") {
        return Some(folder.into());
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|it| it.path().join("bin")).filter(|it| it.join("initdb").is_file()).max()
}

fn as_nobody(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
    command
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.current_dir("/").output().await.context("run a program of PostgreSQL")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
