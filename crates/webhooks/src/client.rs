//! One request to somebody else's server: bounded in every way, and never to an address of ours.

use std::{
    error::Error as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use outside::{Lookup, Target};
use reqwest::{
    Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, RETRY_AFTER},
    redirect::Policy,
};

use crate::Config;

/// Of an answer so much is read, so that the connection can be used again; nobody looks at it.
const MOST_READ: usize = 16 * 1024;

/// For the name, the connection and TLS, within the time of the whole.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next event.
const IDLE: Duration = Duration::from_secs(15);

const IDLE_PER_HOST: usize = 4;

/// Characters of an error that are kept.
const LONGEST_ERROR: usize = 300;

pub(crate) struct Client {
    http: reqwest::Client,
    allow_private: bool,
}

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// 0 if there was none.
    pub(crate) status: u16,
    /// Why there was none, or why it is no success.
    pub(crate) error: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Looks names up for the connections, which go to the addresses it hands out and to no others: nobody
/// asks again in between.
struct Guarded(Lookup);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.0.clone();
        Box::pin(async move {
            let addresses = lookup.addresses(name.as_str()).await?;
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

impl Client {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Client> {
        let lookup = Lookup::new(&config.dns, config.allow_private_targets)?;
        let timeout = Duration::from_secs(config.timeout_seconds);
        let http = reqwest::Client::builder()
            .dns_resolver(Guarded(lookup))
            // A redirect would be followed to where nobody has looked.
            .redirect(Policy::none())
            .no_proxy()
            .timeout(timeout)
            .connect_timeout(timeout.min(CONNECT))
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .user_agent(concat!("Posthouse-Webhooks/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("set up the HTTP client")?;
        Ok(Client { http, allow_private: config.allow_private_targets })
    }

    /// The URL is looked at each time: an address in it is no name that `Guarded` would see, and the
    /// setting may have changed since it was taken.
    pub(crate) async fn post(&self, url: &str, headers: HeaderMap, body: Vec<u8>) -> Answer {
        let started = Instant::now();
        let answer = match Target::parse(url, self.allow_private) {
            Ok(target) => self.send(target, headers, body).await,
            Err(err) => Answer { error: err.to_string(), ..Answer::default() },
        };
        Answer { took: started.elapsed(), ..answer }
    }

    async fn send(&self, target: Target, headers: HeaderMap, body: Vec<u8>) -> Answer {
        let request = self.http.post(target.url().clone()).headers(headers).body(body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(err) => return Answer { error: described(err), ..Answer::default() },
        };
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|it| it.to_str().ok()?.trim().parse().ok());
        let error = match status.as_u16() {
            200..300 => String::new(),
            300..400 => format!("it answered {status}: redirects are not followed"),
            _ => format!("it answered {status}"),
        };
        drain(response).await;
        let retry_after = retry_after.map(Duration::from_secs);
        Answer { status: status.as_u16(), error, retry_after, took: Duration::ZERO }
    }
}

/// What is left of the answer does not matter any more: it has been given.
async fn drain(mut response: Response) {
    let mut size = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        size += chunk.len();
        if size > MOST_READ {
            return;
        }
    }
}

/// The causes, without the URL, which its owner knows.
fn described(err: reqwest::Error) -> String {
    let timed_out = err.is_timeout();
    let err = err.without_url();
    let mut text = if timed_out { "it did not answer in time".to_owned() } else { err.to_string() };
    let mut cause = err.source();
    while let Some(err) = cause.filter(|_| !timed_out) {
        let said = err.to_string();
        if !text.contains(&said) {
            text += &format!(": {said}");
        }
        cause = err.source();
    }
    text.chars().take(LONGEST_ERROR).collect()
}
