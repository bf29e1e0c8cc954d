//! A Postfix of our own: unpacked, not installed, and told by each benchmark what to do with mail.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use e2e::{SOON, Smtp, eventually, free_port};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The queue's owner: a user that every Debian has.
pub(crate) const OWNER: &str = "mail";
pub(crate) const OWNER_ID: u32 = 8;

/// Where the Debian package postfix is unpacked; the scripts in `tests` see to it.
pub(crate) struct Package {
    pub(crate) root: PathBuf,
}

impl Package {
    pub(crate) fn find() -> anyhow::Result<Package> {
        let root = std::env::var_os("POSTHOUSE_BENCH_POSTFIX")
            .context("POSTHOUSE_BENCH_POSTFIX is not set: run tests/bench or tests/bench-relay")?;
        Ok(Package { root: root.into() })
    }

    pub(crate) fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib/postfix")
    }

    /// Sends so many mails and returns when the last one has its 250.
    pub(crate) async fn load(
        &self,
        server: &str,
        recipient: &str,
        load: &Load,
    ) -> anyhow::Result<()> {
        let source = self.root.join("usr/sbin/smtp-source");
        let status = Command::new(&source)
            .env("LD_LIBRARY_PATH", self.libraries())
            .args((!load.one_mail_each).then_some("-d"))
            .args(["-s", &load.sessions.to_string(), "-m", &load.mails.to_string()])
            .args(["-l", &load.size_bytes.to_string(), "-f", "bench@client.example"])
            .args(["-t", recipient, server])
            .stdin(Stdio::null())
            .status()
            .await
            .with_context(|| format!("run {}", source.display()))?;
        ensure!(status.success(), "smtp-source {server}: {status}");
        Ok(())
    }
}

pub(crate) struct Load {
    pub(crate) mails: usize,
    pub(crate) sessions: usize,
    pub(crate) size_bytes: usize,
    /// A connection for every mail.
    pub(crate) one_mail_each: bool,
}

pub(crate) struct Postfix {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    master: Child,
}

impl Postfix {
    /// Needs root, as Postfix does. `settings` are lines of main.cf, where `{path}` is the folder;
    /// `services` lines of master.cf.
    pub(crate) async fn start(
        package: &Package,
        settings: &str,
        services: &[&str],
    ) -> anyhow::Result<Postfix> {
        let folder = TempDir::new().context("create folder")?;
        // The daemons drop root and must still get through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let address = free_port()?;
        configure(folder.path(), package, address, settings, services)?;
        make_folders(folder.path())?;
        let master = Command::new(package.root.join("usr/lib/postfix/sbin/master"))
            .arg("-c")
            .arg(folder.path().join("etc"))
            .env("MAIL_CONFIG", folder.path().join("etc"))
            .env("LD_LIBRARY_PATH", package.libraries())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("start Postfix's master")?;
        let postfix = Postfix { address, folder, master };
        eventually(SOON, "Postfix to answer", async || Ok(Smtp::connect(address).await.ok()))
            .await
            .with_context(|| postfix.log())?;
        Ok(postfix)
    }

    pub(crate) fn master(&self) -> anyhow::Result<Pid> {
        let pid = self.master.id().context("Postfix has exited")?;
        Pid::from_raw(pid.try_into()?).context("read process id")
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        // The master takes its daemons with it.
        kill_process(self.master()?, Signal::TERM)?;
        self.master.wait().await.context("wait for Postfix")?;
        Ok(())
    }

    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter(|it| !it.contains("status=sent")).take(20).collect::<Vec<_>>().join("\n")
    }
}

fn configure(
    folder: &Path,
    package: &Package,
    address: SocketAddr,
    settings: &str,
    services: &[&str],
) -> anyhow::Result<()> {
    let etc = folder.join("etc");
    fs::create_dir(&etc)?;
    let (root, libraries, path) = (package.root.display(), package.libraries(), folder.display());
    let libraries = libraries.display();
    let main = format!(
        "compatibility_level = 3.6
queue_directory = {path}/queue
data_directory = {path}/data
daemon_directory = {libraries}/sbin
command_directory = {root}/usr/sbin
shlib_directory = {libraries}
meta_directory = {path}/etc
mail_owner = {OWNER}
setgid_group = staff
import_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.localhost
mydestination =
smtpd_peername_lookup = no
maillog_file = {path}/log
maillog_file_prefixes = {path}
"
    );
    fs::write(etc.join("main.cf"), main + &settings.replace("{path}", &path.to_string()))?;
    let daemons = [
        "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "proxymap unix - - n - - proxymap",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "anvil unix - - n - 1 anvil",
        "postlog unix-dgram n - n - 1 postlogd",
    ];
    let master =
        format!("{address} inet n - n - 200 smtpd\n{}\n", [&daemons, services].concat().join("\n"));
    fs::write(etc.join("master.cf"), master).context("write master.cf")
}

/// What `postfix start` would make.
fn make_folders(folder: &Path) -> anyhow::Result<()> {
    let make = |name: &str, uid: u32, mode: u32| -> anyhow::Result<()> {
        let path: PathBuf = folder.join(name);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        chown(&path, Some(uid), Some(OWNER_ID)).context("give folder away (are you root?)")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(())
    };
    make("data", OWNER_ID, 0o700)?;
    make("mail", OWNER_ID, 0o755)?;
    make("queue", 0, 0o755)?;
    make("queue/pid", 0, 0o755)?;
    for name in
        ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private"]
    {
        make(&format!("queue/{name}"), OWNER_ID, 0o700)?;
    }
    for name in ["saved", "trace", "maildrop", "public"] {
        make(&format!("queue/{name}"), OWNER_ID, 0o755)?;
    }
    Ok(())
}
