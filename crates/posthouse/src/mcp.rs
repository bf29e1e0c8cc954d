//! `posthouse mcp`: the tools for language models on standard input and output, for the client that
//! starts this program. It speaks to a gateway, and keeps nothing but, if asked to, the token of the account
//! that it made.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use ::mcp::{Answer, Api, Call, Server, Unreachable};
use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::{
    Client, Method, RequestBuilder, StatusCode,
    header::{AUTHORIZATION, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use rmcp::{ServiceExt as _, transport::io::stdio_pipes};
use serde::Deserialize;
use tokio::{fs, io::AsyncWriteExt as _, runtime::Runtime};

/// The API holds a request for up to 25 seconds.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Options {
    /// The gateway's address; without, that of `posthouse dev`.
    #[arg(long, env = "POSTHOUSE_URL", default_value = "http://127.0.0.1:4801")]
    url: String,
    /// The token. Others on this machine can read it when it is a flag: the variable is better.
    #[arg(long, env = "POSTHOUSE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file with the token, instead.
    #[arg(long, env = "POSTHOUSE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Make an account if that file is not there yet, and keep its token in it.
    #[arg(long, requires = "token_file")]
    sign_up: bool,
}

/// In a runtime of its own: a read of standard input cannot be called off, and must not hold up the end.
pub(crate) fn serve(options: Options) -> ExitCode {
    let outcome = Runtime::new().context("start runtime").and_then(|runtime| {
        let outcome = runtime.block_on(run(options));
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("posthouse mcp: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// Until the client closes its input.
async fn run(options: Options) -> anyhow::Result<()> {
    let api = Gateway::new(&options).await?;
    api.check_token().await?;
    let server = Server::new(Arc::default(), api);
    let running = server.serve(stdio_pipes()).await.context("begin with the client")?;
    running.waiting().await.context("serve the client")?;
    Ok(())
}

/// The API of a gateway, over HTTP, with one token.
#[derive(Clone)]
struct Gateway {
    http: Client,
    /// Without a "/" at the end.
    url: String,
    authorization: HeaderValue,
}

impl Gateway {
    async fn new(options: &Options) -> anyhow::Result<Gateway> {
        let url = options.url.trim_end_matches('/').to_owned();
        let http = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .build()
            .context("make an HTTP client")?;
        let token = token(options, &http, &url).await?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .context("read the token: it has characters that none has")?;
        authorization.set_sensitive(true);
        Ok(Gateway { http, url, authorization })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    /// A gateway that is away may come back; a token that is wrong stays wrong.
    async fn check_token(&self) -> anyhow::Result<()> {
        let Ok(response) = self.request(Method::GET, "/v1/account").send().await else {
            eprintln!("posthouse mcp: {} does not answer yet", self.url);
            return Ok(());
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            bail!("{} does not know this token", self.url);
        }
        Ok(())
    }
}

impl Api for Gateway {
    async fn call(&self, call: Call) -> Result<Answer, Unreachable> {
        let mut request = self.request(call.method, &call.path);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|it| it.to_str().ok()?.parse().ok());
        let mut answer =
            Answer { status: response.status().as_u16(), retry_after, ..Answer::default() };
        while let Some(octets) = response.chunk().await.map_err(unreachable)? {
            let left = call.most - answer.octets.len();
            answer.octets.extend_from_slice(&octets[..octets.len().min(left)]);
            if octets.len() > left {
                answer.is_cut = true;
                break;
            }
        }
        Ok(answer)
    }
}

fn unreachable(err: reqwest::Error) -> Unreachable {
    Unreachable(err.without_url().into())
}

async fn token(options: &Options, http: &Client, url: &str) -> anyhow::Result<String> {
    if let Some(token) = &options.token {
        return Ok(token.trim().to_owned());
    }
    let Some(file) = &options.token_file else {
        bail!("a token is needed: POSTHOUSE_TOKEN, --token-file, or --token-file with --sign-up");
    };
    match fs::read_to_string(file).await {
        Ok(token) => Ok(token.trim().to_owned()),
        Err(err) if err.kind() == ErrorKind::NotFound && options.sign_up => {
            let token = sign_up(http, url).await?;
            keep(file, &token).await.with_context(|| format!("write {}", file.display()))?;
            Ok(token)
        }
        Err(err) => Err(err).with_context(|| format!("read {}", file.display())),
    }
}

#[derive(Deserialize)]
struct Account {
    token: String,
}

async fn sign_up(http: &Client, url: &str) -> anyhow::Result<String> {
    let response = http.post(format!("{url}/v1/signup")).send().await;
    let response = response.with_context(|| format!("make an account at {url}"))?;
    let status = response.status();
    if !status.is_success() {
        bail!("{url} makes no account ({status}): ask its operator for a token");
    }
    let account: Account = response.json().await.context("read the new account")?;
    Ok(account.token)
}

/// For its owner only.
async fn keep(file: &Path, token: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).await?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(file).await?;
    file.write_all(format!("{token}\n").as_bytes()).await?;
    file.flush().await
}
