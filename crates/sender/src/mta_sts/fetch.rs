//! Fetches policies over HTTPS (RFC 8461 section 3.3): the certificate must be valid, redirects are not
//! followed, and a server that is slow or says too much gets nowhere.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderMap},
};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::TlsConnector;

use crate::dns::{self, Dns};

/// For everything about one policy.
const PATIENCE: Duration = Duration::from_secs(30);

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

const MOST_ADDRESSES: usize = 4;

/// As the RFC suggests.
pub(crate) const MOST_OCTETS: usize = 64 * 1024;

pub(crate) struct Fetcher {
    pub(crate) dns: Dns,
    pub(crate) port: u16,
    pub(crate) tls: Arc<ClientConfig>,
}

impl Fetcher {
    /// The text of a domain's policy.
    pub(crate) async fn fetch(&self, domain: &str) -> anyhow::Result<String> {
        let fetching = self.get(format!("mta-sts.{domain}"));
        timeout(PATIENCE, fetching).await.context("fetch a policy in time")?
    }

    async fn get(&self, host: String) -> anyhow::Result<String> {
        let stream = self.connect(&host).await?;
        let name = ServerName::try_from(host.clone()).context("name the policy host")?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        let stream = TokioIo::new(stream.context("do the TLS handshake")?);
        let mut http = http1::Builder::new();
        http.max_buf_size(MOST_OCTETS);
        let (mut requests, connection) = http.handshake(stream).await.context("speak HTTP")?;
        // Ends with this function, however that ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = Request::get("/.well-known/mta-sts.txt")
            .header(HOST, self.authority(&host))
            .body(Empty::<Bytes>::new())
            .context("make a request")?;
        let response = requests.send_request(request).await.context("ask for the policy")?;
        ensure!(response.status() == StatusCode::OK, "the answer is {}", response.status());
        ensure!(is_plain_text(response.headers()), "the policy is not text/plain");
        let body = Limited::new(response.into_body(), MOST_OCTETS).collect().await;
        let body = body.map_err(|err| anyhow!("read the policy: {err}"))?.to_bytes();
        String::from_utf8(body.into()).context("read the policy as text")
    }

    async fn connect(&self, host: &str) -> anyhow::Result<TcpStream> {
        let name = dns::fqdn(host).map_err(|outcome| anyhow!(outcome.diagnostic))?;
        let addresses = self.dns.addresses(&name).await;
        let addresses = addresses.map_err(|outcome| anyhow!(outcome.diagnostic))?;
        let allowed = addresses.into_iter().filter(|it| self.dns.may_connect(*it));
        let allowed: Vec<IpAddr> = allowed.take(MOST_ADDRESSES).collect();
        for ip in allowed {
            let connecting = TcpStream::connect((ip, self.port));
            if let Ok(Ok(stream)) = timeout(CONNECT_PATIENCE, connecting).await {
                return Ok(stream);
            }
        }
        bail!("no address of the policy host can be reached")
    }

    fn authority(&self, host: &str) -> String {
        if self.port == 443 { host.to_owned() } else { format!("{host}:{}", self.port) }
    }
}

/// Others may put files of other types there.
fn is_plain_text(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/plain")
}
