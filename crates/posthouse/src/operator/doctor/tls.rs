//! Whether an intake offers TLS, and whether others would believe its certificate.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Check, Verdict::*};

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Lines of a reply.
const MOST_LINES: usize = 100;

const NAME: &str = "tls";

pub(super) async fn look(smtp: Option<&str>) -> Check {
    let Some(smtp) = smtp else {
        let way_out = "give --smtp, such as mx.example.org:25";
        return Check::bad(NAME, Skipped, "no intake to look at", way_out);
    };
    match timeout(PATIENCE, offered(smtp)).await {
        Ok(Ok(stream)) => verified(smtp, stream).await,
        Ok(Err(err)) => {
            let way_out = "see that an intake listens there, with tls.cert and tls.key configured";
            Check::bad(NAME, Failed, format!("{smtp}: {err:#}"), way_out)
        }
        Err(_) => {
            Check::bad(NAME, Failed, format!("{smtp} does not answer"), "see the intake's log")
        }
    }
}

/// A connection that is ready for the handshake.
async fn offered(smtp: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(smtp).await.context("connect")?;
    let mut stream = BufReader::new(stream);
    let (code, _) = reply(&mut stream).await?;
    ensure!(code == "220", "it greets with {code}");
    stream.write_all(b"EHLO doctor.invalid\r\n").await.context("say EHLO")?;
    let (code, lines) = reply(&mut stream).await?;
    ensure!(code == "250", "EHLO is answered with {code}");
    ensure!(lines.iter().any(|it| it.eq_ignore_ascii_case("STARTTLS")), "it offers no STARTTLS");
    stream.write_all(b"STARTTLS\r\n").await.context("say STARTTLS")?;
    let (code, _) = reply(&mut stream).await?;
    ensure!(code == "220", "STARTTLS is answered with {code}");
    Ok(stream.into_inner())
}

/// The code, and what follows it on each line.
async fn reply(stream: &mut BufReader<TcpStream>) -> anyhow::Result<(String, Vec<String>)> {
    let mut lines = Vec::new();
    while lines.len() < MOST_LINES {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line).await.context("read a reply")? > 0, "it hangs up");
        let line = line.trim_end();
        let (Some(code), Some(rest)) = (line.get(..3), line.get(4..).or(Some(""))) else {
            bail!("it says {line:?}");
        };
        lines.push(rest.to_owned());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok((code.to_owned(), lines));
        }
    }
    bail!("its reply has no end")
}

async fn verified(smtp: &str, stream: TcpStream) -> Check {
    let host = smtp.rsplit_once(':').map_or(smtp, |(host, _)| host);
    let way_out = "a certificate for this name by an authority that others know, and its whole chain; \
                   without it, senders with MTA-STS do not deliver";
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return Check::bad(NAME, Failed, format!("{host} is no name"), "give --smtp a host name");
    };
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    match timeout(PATIENCE, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => {
            let version = stream.get_ref().1.protocol_version();
            let version = version.and_then(|it| it.as_str()).unwrap_or("TLS");
            Check::ok(NAME, format!("{smtp}: {version}, its certificate is good"))
        }
        Ok(Err(err)) => Check::bad(NAME, Warning, format!("{smtp}: {err}"), way_out),
        Err(_) => Check::bad(
            NAME,
            Failed,
            format!("{smtp}: the handshake stalls"),
            "see the intake's log",
        ),
    }
}
