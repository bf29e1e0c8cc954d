//! Against the real nats-server.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use local_nats::{LocalNats, Logins, Options};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    time::{sleep, timeout},
};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("create directory")
}

fn address(nats: &LocalNats) -> &str {
    nats.url.strip_prefix("nats://").expect("address")
}

#[tokio::test]
async fn restarts_on_its_port() {
    let dir = directory();
    let mut nats = LocalNats::start(&Options::new(dir.path()).expect("find")).await.expect("start");
    let url = nats.url.clone();
    TcpStream::connect(address(&nats)).await.expect("connect");

    nats.kill().await.expect("kill");
    TcpStream::connect(address(&nats)).await.expect_err("killed");
    nats.restart().await.expect("restart");
    assert_eq!(nats.url, url);
    TcpStream::connect(address(&nats)).await.expect("connect");

    nats.restart().await.expect_err("it runs");
    nats.stop().await.expect("stop");
    TcpStream::connect(address(&nats)).await.expect_err("stopped");
}

#[tokio::test]
async fn names_a_busy_port() {
    let dir = directory();
    let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
    let listen = busy.local_addr().expect("address");
    let options = Options { listen, ..Options::new(dir.path()).expect("find") };
    let err = LocalNats::start(&options).await.err().expect("refuse");
    assert!(format!("{err:#}").contains(&listen.to_string()), "{err:#}");
}

#[tokio::test]
async fn says_why_it_exited() {
    let dir = directory();
    std::fs::write(dir.path().join("store"), "a file where a directory has to be").expect("write");
    let err = LocalNats::start(&Options::new(dir.path()).expect("find")).await.err();
    let err = format!("{:#}", err.expect("refuse"));
    assert!(err.contains("nats-server exited") && err.contains("not a directory"), "{err}");
}

#[tokio::test]
async fn replaces_a_server_that_was_left_running() {
    let dir = directory();
    let options = Options::new(dir.path()).expect("find");
    let mut left = LocalNats::start(&options).await.expect("start");
    let listen: SocketAddr = address(&left).parse().expect("parse");
    let stopped = tokio::spawn(async move { left.exited().await });

    LocalNats::start(&Options { listen, ..options }).await.expect("start in its place");
    stopped.await.expect("the first has stopped");
}

fn logins() -> Logins {
    Logins {
        issuer: "AAU5ZETLGJ3LF2OZODFXPXQOAVAYYDZAXYYHRGHK33QWGJYFGJH7LLZJ".to_owned(),
        password: "of-the-services".to_owned(),
        logins_password: "of-the-gateway".to_owned(),
    }
}

/// What a server says first.
async fn greeting(address: &str) -> Option<String> {
    let stream = TcpStream::connect(address).await.ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.ok()?;
    Some(line)
}

#[tokio::test]
async fn asks_who_is_there_if_there_are_logins() {
    let dir = directory();
    let open = LocalNats::start(&Options::new(dir.path()).expect("find")).await.expect("start");
    let said = greeting(address(&open)).await.expect("greet");
    assert!(said.starts_with("INFO ") && !said.contains("auth_required"), "{said}");

    let dir = directory();
    let options = Options { logins: Some(logins()), ..Options::new(dir.path()).expect("find") };
    let mut closed = LocalNats::start(&options).await.expect("start");
    let said = greeting(address(&closed)).await.expect("greet");
    assert!(said.contains("\"auth_required\":true"), "{said}");
    closed.stop().await.expect("stop");
    closed.restart().await.expect("restart");
    let said = greeting(address(&closed)).await.expect("greet");
    assert!(said.contains("\"auth_required\":true"), "{said}");
}

/// Whatever random secrets begin with.
#[tokio::test]
async fn takes_passwords_that_look_like_something_else() {
    for password in ["1f9", "0x", "-5a", "_", "true", "3k", "2026-11-24", "$HOME"] {
        let dir = directory();
        let password = password.to_owned();
        let logins = Logins { logins_password: password.clone(), password, ..logins() };
        let options = Options { logins: Some(logins), ..Options::new(dir.path()).expect("find") };
        LocalNats::start(&options).await.unwrap_or_else(|err| panic!("{err:#}"));
    }
}

/// `deploy/nats`, but for where it listens and keeps its streams.
#[tokio::test]
async fn the_sample_for_operators_starts() {
    let dir = directory();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nats");
    let accounts = fs::read_to_string(samples.join("accounts.conf")).expect("read");
    fs::write(dir.path().join("accounts.conf"), accounts).expect("write");
    let port = {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        free.local_addr().expect("address").port()
    };
    let mut config = fs::read_to_string(samples.join("nats-server.conf")).expect("read");
    for (sample, own) in [
        ("\"0.0.0.0:4222\"", format!("\"127.0.0.1:{port}\"")),
        ("\"/var/lib/nats\"", format!("{:?}", dir.path().join("store").display().to_string())),
    ] {
        assert_eq!(config.matches(sample).count(), 1, "{sample}");
        config = config.replace(sample, &own);
    }
    let file = dir.path().join("nats-server.conf");
    fs::write(&file, config).expect("write");
    let Logins { issuer, password, logins_password } = logins();
    let mut server = Command::new(local_nats::find().expect("find"))
        .arg("--config")
        .arg(&file)
        .env("POSTHOUSE_NATS_ISSUER", issuer)
        .env("POSTHOUSE_NATS_PASSWORD", password)
        .env("POSTHOUSE_NATS_LOGINS_PASSWORD", logins_password)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("start");
    let address = format!("127.0.0.1:{port}");
    let said = timeout(Duration::from_secs(30), async {
        loop {
            assert!(server.try_wait().expect("ask").is_none(), "it exited");
            if let Some(said) = greeting(&address).await {
                return said;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    let said = said.await.expect("in time");
    assert!(said.contains("\"auth_required\":true"), "{said}");
    assert!(said.contains("\"jetstream\":true"), "{said}");
}
