//! The REST API, as a client that knows nothing of the service's own types.

use std::{fmt, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail, ensure};
use reqwest::{Client, Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{SOON, eventually};

#[derive(Clone)]
pub struct Api {
    base: String,
    http: Client,
}

/// What came back: the status and the octets.
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub octets: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.octets))
    }
}

impl Answer {
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.octets)
            .with_context(|| format!("read as JSON: {}", String::from_utf8_lossy(&self.octets)))
    }

    /// The JSON of a 2xx.
    pub fn success(&self) -> anyhow::Result<Value> {
        ensure!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }
}

impl Api {
    pub fn new(address: SocketAddr) -> anyhow::Result<Api> {
        // A long-poll is held up to 25 s.
        let http = Client::builder().timeout(Duration::from_secs(40)).no_proxy().build()?;
        Ok(Api { base: format!("http://{address}"), http })
    }

    /// The address that paths go after.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let url =
            if path.starts_with("http") { path.into() } else { format!("{}{path}", self.base) };
        let mut request = self.http.request(method.clone(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|it| it.to_str().ok()).unwrap_or("").to_owned();
        let octets = response.bytes().await.with_context(|| format!("read {path}"))?.to_vec();
        Ok(Answer { status, content_type, octets })
    }

    /// Makes an account.
    pub async fn sign_up(&self) -> anyhow::Result<Agent> {
        let answer = self.call(Method::POST, "/v1/signup", None, &[], None).await?.success()?;
        Ok(Agent {
            api: self.clone(),
            account: text(&answer, "id")?,
            token: text(&answer, "token")?,
        })
    }
}

/// Somebody with an account.
#[derive(Clone)]
pub struct Agent {
    pub api: Api,
    pub account: String,
    pub token: String,
}

#[derive(Clone, Debug)]
pub struct Inbox {
    pub id: String,
    pub address: String,
}

impl Agent {
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.api.call(Method::GET, path, Some(&self.token), &[], None).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.api.call(Method::DELETE, path, Some(&self.token), &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.api.call(Method::POST, path, Some(&self.token), &[], Some(body)).await
    }

    /// An inbox with an address of the service's choice.
    pub async fn inbox(&self) -> anyhow::Result<Inbox> {
        let inbox = self.post("/v1/inboxes", &json!({})).await?.success()?;
        Ok(Inbox { id: text(&inbox, "id")?, address: text(&inbox, "address")? })
    }

    /// Sends a mail; under an idempotency key, if there is one.
    pub async fn send(&self, mail: &Value, key: Option<&str>) -> anyhow::Result<Answer> {
        let headers: Vec<_> = key.map(|key| ("Idempotency-Key", key)).into_iter().collect();
        let token = Some(self.token.as_str());
        self.api.call(Method::POST, "/v1/emails/send", token, &headers, Some(mail)).await
    }

    /// Every email of an inbox, newest first, page by page.
    pub async fn emails(&self, inbox: &Inbox) -> anyhow::Result<Vec<Value>> {
        let mut emails = Vec::new();
        let mut cursor = String::new();
        // More pages than any test has; a cursor that goes round must not hang it.
        for _ in 0..1_000 {
            let path = format!("/v1/inboxes/{}/emails?limit=100{cursor}", inbox.id);
            let page = self.get(&path).await?.success()?;
            emails.extend(page["data"].as_array().context("read page")?.iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(emails),
            }
        }
        bail!("the pages of {} do not end", inbox.id)
    }

    /// Waits until the inbox has an email with this subject, and reads it whole.
    pub async fn wait_for(&self, inbox: &Inbox, subject: &str) -> anyhow::Result<Value> {
        let what = format!("an email {subject:?} in {}", inbox.address);
        let id = eventually(SOON, &what, async || {
            let emails = self.emails(inbox).await?;
            Ok(emails.into_iter().find(|it| it["subject"] == subject))
        })
        .await?["id"]
            .clone();
        let id = id.as_str().context("read id")?;
        self.get(&format!("/v1/inboxes/{}/emails/{id}", inbox.id)).await?.success()
    }

    /// Our header lines, then the octets that were received or sent.
    pub async fn raw(&self, inbox: &Inbox, email: &Value) -> anyhow::Result<Vec<u8>> {
        let path = format!("/v1/inboxes/{}/emails/{}/raw", inbox.id, text(email, "id")?);
        let answer = self.get(&path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(answer.octets)
    }
}

fn text(value: &Value, key: &str) -> anyhow::Result<String> {
    value[key].as_str().map(str::to_owned).with_context(|| format!("find {key} in {value}"))
}
