//! The console: who gets in, what he sees, how it ends.

use gateway::{Config, ConsoleConfig};
use reqwest::{
    Client, Method, RequestBuilder,
    header::{COOKIE, LOCATION, SET_COOKIE},
    redirect::Policy,
};
use serde_json::json;

use crate::bench::{Agent, Answer, Bench, content};

/// A browser with its one cookie, which goes where it is told but follows nothing by itself.
pub(crate) struct Browser<'a> {
    bench: &'a Bench,
    http: Client,
    cookie: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(bench: &'a Bench) -> Browser<'a> {
        let http = Client::builder().redirect(Policy::none()).build().unwrap();
        Browser { bench, http, cookie: String::new() }
    }

    /// Somebody who is signed in with this token.
    pub(crate) async fn of(bench: &'a Bench, token: &str) -> Browser<'a> {
        let mut browser = Browser::new(bench);
        let answer = browser.sign_in(token, "").await;
        assert_eq!((answer.status.as_u16(), goes_to(&answer)), (303, "/console"));
        browser
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.bench.url));
        if self.cookie.is_empty() { request } else { request.header(COOKIE, &self.cookie) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// The page of a success.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", text(&answer));
        text(&answer)
    }

    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new());
        let body = { body }.extend_pairs(fields).finish();
        let request = self.request(Method::POST, path);
        let form = "application/x-www-form-urlencoded";
        Answer::to(request.header("content-type", form).body(body)).await
    }

    async fn sign_in(&mut self, token: &str, next: &str) -> Answer {
        let fields = [("token", token), ("next", next)];
        let answer = self.submit("/console/sign-in", &fields).await;
        if let Some(cookie) = answer.headers.get(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        answer
    }

    /// What the forms of this session carry.
    pub(crate) async fn csrf(&self) -> String {
        let page = self.page("/console/inboxes").await;
        between(&page, "name=\"csrf\" value=\"", "\"").to_owned()
    }
}

pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8(answer.octets.clone()).unwrap()
}

pub(crate) fn goes_to(answer: &Answer) -> &str {
    answer.headers.get(LOCATION).map_or("", |it| it.to_str().unwrap())
}

#[track_caller]
pub(crate) fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin:?} in {text}"));
    rest.split_once(end).unwrap().0
}

pub(crate) async fn narrowed(agent: &Agent<'_>, wishes: serde_json::Value) -> String {
    let made = agent.post("/v1/tokens", &wishes).await.ok();
    made["token"].as_str().unwrap().to_owned()
}

pub(crate) async fn operator(bench: &Bench) -> String {
    let token = gateway::token::generate_for_operator().unwrap();
    let hash = gateway::token::hash(&token);
    bench.store.writer.add_operator_token(&hash, "Night shift", None).await.unwrap();
    token
}

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; frame-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

const OF_ACCOUNT: [&str; 6] =
    ["inboxes", "quarantine", "holds", "suppressions", "domains", "record"];
const OF_OPERATOR: [&str; 3] = ["pipeline", "dead", "accounts"];

#[tokio::test]
async fn a_session_is_signed_in_and_out_of() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let mut browser = Browser::new(&bench);
    let away = browser.get("/console/inboxes?find=a").await;
    assert_eq!(away.status, 303);
    assert_eq!(goes_to(&away), "/console/sign-in?next=%2Fconsole%2Finboxes%3Ffind%3Da");

    let refused = browser.sign_in("lm_sk_live_wrong", "").await;
    assert_eq!((refused.status.as_u16(), refused.headers.get(SET_COOKIE)), (403, None));
    assert!(text(&refused).contains("not valid"), "{}", text(&refused));
    let answer = browser.sign_in(&agent.token, "/console/inboxes?find=a").await;
    assert_eq!(goes_to(&answer), "/console/inboxes?find=a");
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-posthouse-console="), "{cookie}");
    let attributes = "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure";
    assert!(cookie.ends_with(attributes), "{cookie}");
    assert!(!cookie.contains(&agent.token), "the browser keeps no token");

    let csrf = browser.csrf().await;
    let forged = browser.submit("/console/sign-out", &[("csrf", "x")]).await;
    assert_eq!(forged.status, 403);
    browser.page("/console/inboxes").await;
    let out = browser.submit("/console/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!(goes_to(&out), "/console/sign-in");
    assert!(out.headers[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    // Who kept the cookie has nothing.
    assert_eq!(browser.get("/console/inboxes").await.status, 303);
}

#[tokio::test]
async fn any_gateway_knows_a_session_and_none_after_its_token() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let token = narrowed(&agent, json!({ "label": "Watcher" })).await;
    let browser = Browser::of(&bench, &token).await;
    let another = bench.another().await;
    let there = |path: &str| {
        let request = browser.http.get(format!("{another}{path}"));
        Answer::to(request.header(COOKIE, &browser.cookie))
    };
    crate::bench::eventually(async || there("/console/inboxes").await.status == 200).await;
    let id = &gateway::token::hash(&token)[..12];
    agent.delete(&format!("/v1/tokens/{id}")).await.ok();
    for answer in [browser.get("/console/inboxes").await, there("/console/inboxes").await] {
        assert_eq!(answer.status, 303);
        assert!(goes_to(&answer).starts_with("/console/sign-in"));
    }
}

#[tokio::test]
async fn every_page_has_a_strict_policy_and_nothing_inline() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    bench.deliver(&inbox, &content("Hello", "Text", None)).await;
    let member = Browser::of(&bench, &agent.token).await;
    let of_operator = Browser::of(&bench, &operator(&bench).await).await;
    let nobody = Browser::new(&bench);
    let paths = |names: &[&str]| -> Vec<String> {
        names.iter().map(|it| format!("/console/{it}")).collect()
    };
    let pages = [
        (
            &member,
            [paths(&OF_ACCOUNT), vec![format!("/console/inboxes/{}", inbox.id)]].concat(),
            200,
        ),
        (&of_operator, paths(&OF_OPERATOR), 200),
        (&nobody, paths(&["sign-in"]), 200),
        (&member, paths(&["nowhere", "pipeline"]), 0),
    ];
    for (browser, paths, status) in &pages {
        for path in paths {
            let answer = browser.get(path).await;
            assert!(*status == 0 || answer.status == *status, "{path}: {}", answer.status);
            assert_eq!(answer.headers["content-security-policy"], POLICY, "{path}");
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            assert_eq!(answer.headers["cache-control"], "no-store");
            assert_eq!(answer.headers["referrer-policy"], "same-origin");
            let page = text(&answer);
            assert!(page.starts_with("<!DOCTYPE html>"), "{path}");
            for inline in ["<style", " style=", " onclick=", " onload=", " onerror=", "javascript:"]
            {
                assert!(!page.contains(inline), "{path} has {inline}");
            }
            let scripts = page.matches("<script").count();
            assert_eq!(page.matches("<script src=\"/console/assets/").count(), scripts, "{path}");
        }
    }
    let page = member.page("/console/inboxes").await;
    for name in ["console.css", "console.js", "icon.svg"] {
        let at = page.find(name).unwrap();
        let path = &page[page[..at].rfind('"').unwrap() + 1..at + name.len()];
        let asset = nobody.get(path).await;
        assert_eq!(asset.status, 200, "{path}");
        assert!(asset.headers["cache-control"].to_str().unwrap().contains("immutable"));
    }
    assert_eq!(nobody.get("/console/assets/x/other").await.status, 404);
}

#[tokio::test]
async fn an_operator_sees_stages_and_nobodys_mail() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let email = bench.deliver(&inbox, &content("Private", "Words", None)).await;
    let token = operator(&bench).await;
    let browser = Browser::of(&bench, &token).await;
    assert_eq!(goes_to(&browser.get("/console").await), "/console/pipeline");
    let pipeline = browser.page("/console/pipeline").await;
    assert!(pipeline.contains("submission-scanner") && pipeline.contains("nobody there"));
    assert!(pipeline.contains("http-equiv=\"refresh\""), "also without JavaScript");
    assert!(browser.page("/console/dead").await.contains("Nothing is parked."));
    let accounts = browser.page("/console/accounts").await;
    assert!(accounts.contains(&agent.id) && accounts.contains("1 inbox,"), "{accounts}");
    assert!(!accounts.contains(&inbox.address));
    let of_account = OF_ACCOUNT.map(str::to_owned).into_iter();
    for path in of_account.chain([format!("inboxes/{}", inbox.id), format!("emails/{email}")]) {
        let refused = browser.get(&format!("/console/{path}")).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(!text(&refused).contains("Private"), "{path}");
    }
    let member = Browser::of(&bench, &agent.token).await;
    for path in OF_OPERATOR {
        assert_eq!(member.get(&format!("/console/{path}")).await.status, 403, "{path}");
    }
    // It is no token of the API.
    let api = bench.request(Method::GET, "/v1/inboxes").bearer_auth(&token);
    Answer::to(api).await.is(401, "authentication_error");
    let hash = gateway::token::hash(&token);
    assert!(bench.store.writer.revoke_operator_token(&hash).await.unwrap());
    assert_eq!(browser.get("/console/pipeline").await.status, 303);
}

#[tokio::test]
async fn a_narrowed_token_sees_its_inboxes_and_is_told_what_it_may_not() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let (seen, unseen) = (agent.inbox().await, agent.inbox().await);
    let wishes = json!({ "rights": ["read", "admin"], "inboxIds": [seen.id] });
    let browser = Browser::of(&bench, &narrowed(&agent, wishes).await).await;
    let page = browser.page("/console/inboxes").await;
    assert!(page.contains(&seen.address) && !page.contains(&unseen.address), "{page}");
    assert!(page.contains("/console/quarantine"), "what waits in its inboxes is");
    assert_eq!(browser.get("/console/quarantine").await.status, 200);
    assert!(!page.contains("/console/suppressions"), "what is about the account is not offered");
    let refused = browser.get("/console/suppressions").await;
    assert_eq!(refused.status, 403);
    assert!(text(&refused).contains("your token is for some inboxes"), "{}", text(&refused));
    assert_eq!(browser.get(&format!("/console/inboxes/{}", unseen.id)).await.status, 404);
    let sends = narrowed(&agent, json!({ "rights": ["send"] })).await;
    let answer = Browser::new(&bench).sign_in(&sends, "").await;
    assert_eq!(answer.status, 403);
    assert!(text(&answer).contains("neither read nor administer"));
}

#[tokio::test]
async fn guessing_tokens_is_slow_and_foreign_pages_sign_nobody_in() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let mut browser = Browser::new(&bench);
    let foreign = browser.request(Method::POST, "/console/sign-in");
    let foreign = foreign.header("sec-fetch-site", "cross-site");
    let foreign = foreign.body(format!("token={}", agent.token));
    assert_eq!(Answer::to(foreign).await.status, 403);
    for _ in 0..20 {
        assert_eq!(browser.sign_in("lm_sk_live_guess", "").await.status, 403);
    }
    let slowed = browser.sign_in(&agent.token, "").await;
    assert_eq!(slowed.status, 429);
    assert!(slowed.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn over_plain_http_the_cookie_says_so_and_switched_off_nothing_is_there() {
    let console = ConsoleConfig { plain_http: true, ..ConsoleConfig::default() };
    let bench = Bench::with(Config { console, ..Config::default() }).await;
    let agent = bench.agent().await;
    let answer = Browser::new(&bench).sign_in(&agent.token, "https://evil.test").await;
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("posthouse-console=") && !cookie.contains("Secure"), "{cookie}");
    assert_eq!(goes_to(&answer), "/console", "to nobody else's page");

    let console = ConsoleConfig { enabled: false, ..ConsoleConfig::default() };
    let bench = Bench::with(Config { console, ..Config::default() }).await;
    Browser::new(&bench).get("/console").await.is(404, "not_found");
}
