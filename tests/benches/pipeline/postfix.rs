//! A Postfix of our own: unpacked, not installed; one domain, delivered to a Maildir.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use e2e::{SOON, Smtp, eventually, free_port};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::{
    MAILS, PROBES, Package,
    figures::{Latencies, Rates},
    mail, rates,
};

const RECIPIENT: &str = "u@bench.localhost";

/// The queue's owner and the mailbox's: users that every Debian has.
const OWNER: &str = "mail";
const OWNER_ID: u32 = 8;

pub(crate) struct Postfix {
    address: SocketAddr,
    folder: TempDir,
    master: Child,
}

impl Postfix {
    /// Needs root, as Postfix does.
    pub(crate) async fn start(package: &Package) -> anyhow::Result<Postfix> {
        let folder = TempDir::new().context("create folder")?;
        // The daemons drop root and must still get through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let address = free_port()?;
        configure(folder.path(), package, address)?;
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

    pub(crate) async fn round(&self, package: &Package) -> anyhow::Result<Rates> {
        let before = self.delivered();
        let start = Instant::now();
        package.load(&self.address.to_string(), RECIPIENT).await?;
        let accepted = start.elapsed();
        eventually(Duration::from_secs(300), "every mail to be in the Maildir", async || {
            Ok((self.delivered() == before + MAILS).then_some(()))
        })
        .await
        .with_context(|| self.log())?;
        Ok(rates(accepted, start.elapsed()))
    }

    pub(crate) async fn latency(&self) -> anyhow::Result<Latencies> {
        let mut smtp = Smtp::connect(self.address).await?;
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

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.master.id().context("Postfix has exited")?;
        let pid = rustix::process::Pid::from_raw(pid.try_into()?).context("read process id")?;
        // The master takes its daemons with it.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.master.wait().await.context("wait for Postfix")?;
        Ok(())
    }

    fn delivered(&self) -> usize {
        fs::read_dir(self.folder.path().join("mail/u/new")).map_or(0, Iterator::count)
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter(|it| !it.contains("status=sent")).take(20).collect::<Vec<_>>().join("\n")
    }
}

fn configure(folder: &Path, package: &Package, address: SocketAddr) -> anyhow::Result<()> {
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
virtual_mailbox_domains = bench.localhost
virtual_mailbox_base = {path}/mail
virtual_mailbox_maps = static:u/
virtual_uid_maps = static:{OWNER_ID}
virtual_gid_maps = static:{OWNER_ID}
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
smtpd_peername_lookup = no
maillog_file = {path}/log
maillog_file_prefixes = {path}
"
    );
    fs::write(etc.join("main.cf"), main)?;
    let services = [
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
        "virtual unix - n n - - virtual",
        "anvil unix - - n - 1 anvil",
        "postlog unix-dgram n - n - 1 postlogd",
    ];
    let master = format!("{address} inet n - n - 200 smtpd\n{}\n", services.join("\n"));
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
