//! `posthouse dev`: everything in one process.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
};

use anyhow::{Context as _, ensure};
use async_nats::ConnectOptions;
use e2e::{Api, Program, SOON, Smtp, Tls, binary, eventually, free_port};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

/// The flags that say where to listen, with their variables.
const FLAGS: [(&str, &str); 6] = [
    ("--smtp", "POSTHOUSE_DEV_SMTP"),
    ("--submission", "POSTHOUSE_DEV_SUBMISSION"),
    ("--submissions", "POSTHOUSE_DEV_SUBMISSIONS"),
    ("--api", "POSTHOUSE_DEV_API"),
    ("--nats", "POSTHOUSE_DEV_NATS"),
    ("--admin", "POSTHOUSE_DEV_ADMIN"),
];

/// In the order of the flags.
type Addresses = [SocketAddr; FLAGS.len()];

struct Dev {
    program: Program,
    addresses: Addresses,
    smtp: SocketAddr,
    submission: SocketAddr,
    api: SocketAddr,
    admin: SocketAddr,
}

impl Dev {
    fn start(name: &str, folder: &Path) -> anyhow::Result<Dev> {
        let addresses = free_addresses()?;
        let [smtp, submission, _, api, _, admin] = addresses;
        let program = start(name, folder, addresses)?;
        Ok(Dev { program, addresses, smtp, submission, api, admin })
    }

    /// Waits until it says so, and checks that it is true.
    async fn ready(&mut self) -> anyhow::Result<()> {
        eventually(SOON, "posthouse dev to be ready", async || {
            self.program.ensure_running()?;
            Ok(self.program.output().contains("Posthouse is ready").then_some(()))
        })
        .await?;
        let admin = Api::new(self.admin)?;
        let ready = admin.call(Method::GET, "/readyz", None, &[], None).await?;
        ensure!(ready.status == 200, "{}", String::from_utf8_lossy(&ready.octets));
        Ok(())
    }
}

fn free_addresses() -> anyhow::Result<Addresses> {
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); FLAGS.len()];
    for address in &mut addresses {
        *address = free_port()?;
    }
    Ok(addresses)
}

fn start(name: &str, folder: &Path, addresses: Addresses) -> anyhow::Result<Program> {
    let mut arguments = vec!["dev".to_owned()];
    for ((flag, _), address) in FLAGS.iter().zip(addresses) {
        arguments.extend([(*flag).to_owned(), address.to_string()]);
    }
    Program::start(name, binary("posthouse")?, arguments, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_finds_the_data() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut first = Dev::start("first", folder.path())?;
    first.ready().await?;
    let said = first.program.output();
    for address in &first.addresses[..5] {
        assert!(said.contains(&address.to_string()), "{said}");
    }

    let agent = Api::new(first.api)?.sign_up().await?;
    let inbox = agent.inbox().await?;
    let mut submission = Smtp::submit(first.submission, Tls::Start).await?;
    assert_eq!(submission.log_in(&inbox.address, &agent.token).await?.code, 235);
    let mail = b"From: x@example.com\r\nSubject: Kept\r\n\r\nText\r\n";
    let mut smtp = Smtp::connect(first.smtp).await?;
    smtp.send("x@example.com", &[&inbox.address], mail).await?;
    agent.wait_for(&inbox, "Kept").await?;
    let order = crate::documents::order();
    smtp.send("x@example.com", &[&inbox.address], order.as_bytes()).await?;
    crate::documents::check_flagged(&agent.wait_for(&inbox, "Application").await?);
    let status = first.program.signal(Signal::INT).await?;
    assert!(status.success(), "{status}: {}", first.program.log());

    let mut second = Dev::start("second", folder.path())?;
    second.ready().await?;
    let agent = e2e::Agent { api: Api::new(second.api)?, ..agent };
    assert_eq!(agent.emails(&inbox).await?.len(), 2);
    second.program.terminate().await
}

/// What it tells a newcomer to paste into a shell.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_to_try_do_what_they_say() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut dev = Dev::start("dev", folder.path())?;
    dev.ready().await?;
    let said = dev.program.output();
    let script = said.lines().skip_while(|it| !it.starts_with("Try it"));
    let script = script.take_while(|it| !it.starts_with("Or on NATS"));
    let script: Vec<&str> = script.filter(|it| it.starts_with("  ")).collect();
    assert_eq!(script.len(), 9, "{said}");

    let shell = Command::new("bash").arg("-euc").arg(script.join("\n")).output();
    let output = timeout(SOON, shell).await.context("wait for the shell")??;
    assert!(output.status.success(), "{output:?}");
    let polled: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(polled["data"][0]["preview"], "Good morning.", "{polled}");
    the_token_is_a_password_at_nats(&dev, &said).await?;
    dev.program.terminate().await
}

/// And nothing else is. What the tool `nats` would be told, its options say.
async fn the_token_is_a_password_at_nats(dev: &Dev, said: &str) -> anyhow::Result<()> {
    let url = format!("nats://{}", dev.addresses[4]);
    assert!(said.contains(&format!("--server {url} --user agent --password $token")), "{said}");
    assert!(said.contains("request mail.v1.api.$name.inboxes.list"), "{said}");
    let agent = Api::new(dev.api)?.sign_up().await?;
    let name = format!("{}.{}", agent.account, &bus::token_hash(&agent.token)[..12]);
    let options = ConnectOptions::with_user_and_password("agent".to_owned(), agent.token);
    let client = options.custom_inbox_prefix(format!("_INBOX_{name}")).connect(&url).await?;
    let asked = client.request(format!("mail.v1.api.{name}.inboxes.list"), "{}".into()).await?;
    let listed: Value = serde_json::from_slice(&asked.payload)?;
    assert_eq!(listed["data"], Value::Array(vec![]), "{listed}");
    assert!(ConnectOptions::new().connect(&url).await.is_err(), "who is nobody gets in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_is_told_who_has_the_folder() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut first = Dev::start("first", folder.path())?;
    first.ready().await?;

    let mut second = Dev::start("second", folder.path())?;
    let status = second.program.wait().await?;
    assert!(!status.success());
    let said = second.program.log();
    assert!(said.contains(".posthouse is in use by process "), "{said}");
    assert!(said.contains("POSTHOUSE_DEV_DATA"), "{said}");
    first.program.terminate().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_is_named_with_its_setting() -> anyhow::Result<()> {
    for (busy, (flag, variable)) in FLAGS.iter().enumerate() {
        let folder = TempDir::new()?;
        let mut addresses = free_addresses()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        addresses[busy] = listener.local_addr()?;
        let mut program = start("busy", folder.path(), addresses)?;
        let status = program.wait().await?;
        assert!(!status.success());
        let said = program.log();
        let port = addresses[busy].port().to_string();
        let is_clear = said.contains(&port) && said.contains(flag) && said.contains(variable);
        assert!(is_clear, "{flag}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_on_the_loopback_interface() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut addresses = free_addresses()?;
    addresses[0] = "0.0.0.0:2525".parse()?;
    let mut program = start("open", folder.path(), addresses)?;
    ensure!(!program.wait().await?.success());
    assert!(program.log().contains("loopback"), "{}", program.log());
    Ok(())
}

/// Without NATS nothing goes on, and a parent that is killed leaves nothing that is in the way.
#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_nats_and_recovers_from_a_kill() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut dev = Dev::start("dev", folder.path())?;
    dev.ready().await?;
    dev.program.kill().await?;
    // The orphaned nats-server still has the port: it is replaced.
    dev.program.restart()?;
    eventually(SOON, "posthouse dev to be ready again", async || {
        dev.program.ensure_running()?;
        Ok((dev.program.output().matches("Posthouse is ready").count() == 2).then_some(()))
    })
    .await?;

    let pid = std::fs::read_to_string(folder.path().join(".posthouse/nats/nats-server.pid"))?;
    let pid = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("process id"), Signal::KILL)?;
    let status = dev.program.wait().await?;
    assert!(!status.success());
    assert!(dev.program.log().contains("nats-server exited"), "{}", dev.program.log());
    Ok(())
}
