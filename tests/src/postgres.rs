//! A PostgreSQL server of one's own, where its programs are installed.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{SOON, eventually, free_port, skip};

pub struct Postgres {
    pub url: String,
    // In this order: the server goes before its folder.
    _server: Child,
    _folder: TempDir,
}

impl Postgres {
    /// Makes an empty database; `None`, with a word about it, where PostgreSQL is not installed.
    pub async fn start() -> anyhow::Result<Option<Postgres>> {
        let Some(programs) = programs() else {
            skip("PostgreSQL is not installed: nothing tried on it");
            return Ok(None);
        };
        let folder = TempDir::new().context("create a folder for PostgreSQL")?;
        let data = folder.path().join("data");
        fs::create_dir(&data).context("create a folder for PostgreSQL")?;
        if rustix::process::geteuid().is_root() {
            // PostgreSQL refuses to run as root.
            run(Command::new("chown").arg("nobody").arg(&data)).await?;
            run(Command::new("chmod").arg("711").arg(folder.path())).await?;
        }
        let initdb = ["--auth=trust", "--username=posthouse", "--encoding=UTF8", "--no-sync", "-D"];
        run(as_nobody(&programs.join("initdb")).args(initdb).arg(&data)).await?;
        let address = free_port()?;
        let server = as_nobody(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c"])
            .arg(format!("listen_addresses={}", address.ip()))
            .args(["-c", "max_connections=200", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).context("create log")?)
            .kill_on_drop(true)
            .spawn()
            .context("start PostgreSQL")?;
        wait(&programs, address).await?;
        let url = format!("postgres://posthouse@{address}/postgres");
        Ok(Some(Postgres { url, _server: server, _folder: folder }))
    }
}

async fn wait(programs: &Path, address: SocketAddr) -> anyhow::Result<()> {
    eventually(SOON, "PostgreSQL to get ready", async || {
        let status = Command::new(programs.join("pg_isready"))
            .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .status()
            .await
            .context("run pg_isready")?;
        Ok(status.success().then_some(()))
    })
    .await
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
