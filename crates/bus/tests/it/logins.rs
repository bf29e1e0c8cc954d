//! Logging in, as each way of it is configured.

use std::{fs, net::Ipv4Addr, path::Path, process::Stdio, time::Duration};

use bus::{Bus, Login, Server};
use local_nats::{LocalNats, Logins, Options};
use nkeys::KeyPair;
use service::Process;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::eventually;

const PATIENCE: Duration = Duration::from_secs(30);

fn secret(dir: &TempDir, name: &str, secret: &str) -> std::path::PathBuf {
    let file = dir.path().join(name);
    fs::write(&file, format!("{secret}\n")).expect("write");
    file
}

#[tokio::test]
async fn a_password_opens_and_another_does_not() {
    let dir = tempfile::tempdir().expect("directory");
    let logins = Logins {
        issuer: KeyPair::new_account().public_key(),
        password: "1f-right".to_owned(),
        logins_password: "other".to_owned(),
    };
    let options =
        Options { logins: Some(logins), ..Options::new(dir.path()).expect("nats-server") };
    let nats = LocalNats::start(&options).await.expect("start nats-server");
    let (right, wrong) = (secret(&dir, "right", "1f-right"), secret(&dir, "wrong", "wrong"));
    // The first of the servers is nowhere.
    let url = format!("nats://127.0.0.1:1, {}", nats.url);
    let server = Server::new(&url, &Login::with_password("posthouse", &right));
    bus::apply(server.clone(), 1, false).await.expect("apply");
    timeout(PATIENCE, Bus::connect(server, "test", &Process::default()))
        .await
        .expect("in time")
        .expect("connect");

    for login in [Login::with_password("posthouse", &wrong), Login::default()] {
        let server = Server::new(&nats.url, &login);
        bus::apply(server.clone(), 1, false).await.expect_err("refuse");
        // A service waits for somebody to put it right, and is not ready.
        let process = Process::default();
        let connecting = tokio::spawn({
            let process = process.clone();
            async move { Bus::connect(server, "test", &process).await.map(drop) }
        });
        let is_unready = || process.health.unready().iter().any(|it| it.contains("nats"));
        eventually(PATIENCE, || std::future::ready(is_unready())).await;
        assert!(!connecting.is_finished());
        process.shutdown.cancel();
        timeout(PATIENCE, connecting).await.expect("in time").expect("no panic").expect_err("stop");
    }
    let missing = Login::with_password("posthouse", Path::new("/nonexistent/password"));
    let err = bus::apply(Server::new(&nats.url, &missing), 1, false).await.expect_err("refuse");
    assert!(format!("{err:#}").contains("/nonexistent/password"), "{err:#}");
}

#[tokio::test]
async fn an_nkey_opens() {
    let dir = tempfile::tempdir().expect("directory");
    let keys = KeyPair::new_user();
    let (_server, url) = server_for(&dir, &keys.public_key()).await;
    let seed = secret(&dir, "seed", &keys.seed().expect("seed"));
    let login = Login { nkey_file: Some(seed), ..Login::default() };
    bus::apply(Server::new(&url, &login), 1, true).await.expect("get in");

    let other = secret(&dir, "other", &KeyPair::new_user().seed().expect("seed"));
    let login = Login { nkey_file: Some(other), ..Login::default() };
    bus::apply(Server::new(&url, &login), 1, true).await.expect_err("refuse");
}

/// A server that only knows the user with that NKey.
async fn server_for(dir: &TempDir, public: &str) -> (Child, String) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
    let address = free.local_addr().expect("address");
    drop(free);
    let store = dir.path().join("store").display().to_string();
    let config = format!(
        "listen: \"{address}\"\njetstream {{ store_dir: {store:?} }}\n\
         authorization {{ users: [ {{ nkey: \"{public}\" }} ] }}\n"
    );
    let file = dir.path().join("nkey.conf");
    fs::write(&file, config).expect("write");
    let server = Command::new(local_nats::find().expect("find"))
        .arg("--config")
        .arg(file)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("start");
    let listens = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listens).await.expect("in time");
    (server, format!("nats://{address}"))
}
