//! Asks a process that runs whether it is ready: for container runtimes that start a program of the image for
//! that, where the image has no other.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// For connecting, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(3);

/// An answer is a few lines.
const MAX_ANSWER: u64 = 16 * 1024;

/// Ends well if the admin port says that the process is ready; otherwise says what it answered.
pub(crate) fn ask(admin: SocketAddr) -> Result<(), String> {
    let address = reachable(admin);
    let answer = get(address).map_err(|err| format!("cannot ask {address}: {err}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(body.trim().to_owned()) }
}

/// Who listens on every address is asked on the machine's own.
fn reachable(admin: SocketAddr) -> SocketAddr {
    let ip = match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, admin.port())
}

fn get(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Process, admin};

    async fn said(process: &Process) -> Result<(), String> {
        let listener = admin::listen(SocketAddr::from(([127, 0, 0, 1], 0)), "admin").await;
        let listener = listener.expect("listen");
        let port = listener.local_addr().expect("address").port();
        let server = tokio::spawn(admin::serve(listener, process.clone()));
        let everywhere = SocketAddr::from(([0, 0, 0, 0], port));
        let answer = tokio::task::spawn_blocking(move || ask(everywhere)).await.expect("ask");
        server.abort();
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn says_what_the_admin_port_says() {
        let process = Process::default();
        assert_eq!(said(&process).await, Err("starting".to_owned()));
        process.health.add("nats", || Ok(()));
        assert_eq!(said(&process).await, Ok(()));
        process.health.add("database", || Err("away".to_owned()));
        assert_eq!(said(&process).await, Err("database: away".to_owned()));
    }

    #[test]
    fn nobody_there_is_no_yes() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        drop(listener);
        assert!(ask(address).is_err_and(|it| it.contains("cannot ask")));
    }
}
