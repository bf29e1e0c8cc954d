use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use service::Process;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::dev::Options;

const POLL: Duration = Duration::from_millis(50);
const PROBE: Duration = Duration::from_secs(2);

/// Waits until every part says that it is ready, and SMTP and the API answer.
pub(crate) async fn wait(
    options: &Options,
    process: &Process,
    patience: Duration,
) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    let ready = timeout(patience, async {
        loop {
            missing = what_is_missing(options, process).await;
            if missing.is_empty() {
                return;
            }
            sleep(POLL).await;
        }
    });
    if ready.await.is_err() {
        bail!("not ready after {patience:?}: {}", missing.join("; "));
    }
    Ok(())
}

async fn what_is_missing(options: &Options, process: &Process) -> Vec<String> {
    let mut missing = process.health.unready();
    if let Err(err) = answers(options.smtp, "", "220 ").await {
        missing.push(format!("SMTP: {err:#}"));
    }
    // The port where TLS comes first opens together with this one.
    if let Err(err) = answers(options.submission, "", "220 ").await {
        missing.push(format!("SMTP submission: {err:#}"));
    }
    let get = format!("GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", options.api);
    if let Err(err) = answers(options.api, &get, "HTTP/1.1 200 ").await {
        missing.push(format!("API: {err:#}"));
    }
    missing
}

/// Whether who listens at `address` says `expected` once it has heard `question`.
async fn answers(address: SocketAddr, question: &str, expected: &str) -> anyhow::Result<()> {
    let mut answer = vec![0; expected.len()];
    timeout(PROBE, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(question.as_bytes()).await?;
        stream.read_exact(&mut answer).await
    })
    .await
    .with_context(|| format!("{address} does not answer"))?
    .with_context(|| format!("ask {address}"))?;
    if answer != expected.as_bytes() {
        bail!("{address} answers {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
