//! What is the same for every route: errors, limits, the service's own paths, starting.

use std::time::{Duration, Instant};

use gateway::Config;
use reqwest::Method;
use serde_json::json;
use service::Process;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::bench::{Answer, Bench, eventually};

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_json() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    for path in ["/", "/v1", "/v1/nothing", "/v1/inboxes/", "/v1/inboxes/x/y"] {
        agent.get(path).await.is(404, "not_found");
    }
    let answer = Answer::to(agent.request(Method::PUT, "/v1/inboxes")).await;
    answer.is(405, "method_not_allowed");
    let allow = answer.headers["allow"].to_str().unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

/// As a browser does for a page: it asks first, and shows the page nothing that is not allowed.
#[tokio::test]
async fn only_web_pages_that_are_named_may_call() {
    const PAGE: &str = "https://app.example.com";

    let config = Config { cors_origins: vec![PAGE.to_owned()], ..Config::default() };
    let bench = Bench::with(config).await;
    let closed = Bench::new().await;
    let agent = bench.agent().await;
    let field = |answer: &Answer, name: &str| {
        answer.headers.get(name).map(|it| it.to_str().unwrap().to_lowercase())
    };
    for path in ["/v1/emails/send", "/v1/inboxes/x/emails/y", "/mcp"] {
        let preflight = async |bench: &Bench, origin: &str| {
            let request = bench.request(Method::OPTIONS, path).header("origin", origin);
            let request = request.header("access-control-request-method", "POST");
            let wanted = "authorization,content-type,idempotency-key";
            Answer::to(request.header("access-control-request-headers", wanted)).await
        };
        let allowed = preflight(&bench, PAGE).await;
        assert_eq!(allowed.status, 200, "{path}");
        assert_eq!(field(&allowed, "access-control-allow-origin").as_deref(), Some(PAGE));
        let fields = field(&allowed, "access-control-allow-headers").unwrap();
        assert!(fields.contains("authorization") && fields.contains("idempotency-key"), "{fields}");
        assert_eq!(field(&allowed, "access-control-allow-credentials"), None);
        for (bench, origin) in [(&bench, "https://evil.test"), (&closed, PAGE)] {
            let refused = preflight(bench, origin).await;
            assert_eq!(field(&refused, "access-control-allow-origin"), None, "{path} {origin}");
        }
    }
    let read = agent.request(Method::GET, "/v1/account").header("origin", PAGE);
    let read = Answer::to(read).await;
    read.ok();
    assert_eq!(field(&read, "access-control-allow-origin").as_deref(), Some(PAGE));
    assert!(field(&read, "access-control-expose-headers").unwrap().contains("x-request-id"));
    let wrong = Answer::to(bench.request(Method::GET, "/v1/account").header("origin", PAGE)).await;
    wrong.is(401, "authentication_error");
    assert_eq!(field(&wrong, "access-control-allow-origin").as_deref(), Some(PAGE), "errors, too");
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let call = agent.request(Method::POST, "/mcp").json(&list).header("origin", PAGE);
    let call = call.header("accept", "application/json, text/event-stream");
    Answer::to(call).await.ok();
}

#[tokio::test]
async fn every_answer_has_a_request_identifier() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let mut seen = Vec::new();
    for path in ["/health", "/v1/account", "/v1/inboxes/ibx_1", "/nowhere"] {
        let id = agent.get(path).await.headers["x-request-id"].to_str().unwrap().to_owned();
        assert!(id.starts_with("req_") && !seen.contains(&id), "{path}: {id}");
        seen.push(id);
    }
}

#[tokio::test]
async fn a_body_is_bounded_and_its_json_read_strictly() {
    let config = Config { max_body_bytes: 10_000, ..Config::default() };
    let bench = Bench::with(config).await;
    let agent = bench.agent().await;
    let post = async |body: String| {
        Answer::to(agent.request(Method::POST, "/v1/inboxes").body(body)).await
    };
    post("{".to_owned()).await.is(400, "invalid_request");
    post("{} {}".to_owned()).await.is(400, "invalid_request");
    post(" ".repeat(10_001)).await.is(413, "payload_too_large");
    // Without a content type, as the rest of the contract's clients may send it.
    post("{}".to_owned()).await.ok();
}

#[tokio::test]
async fn describes_itself() {
    let bench = Bench::new().await;
    let get = async |path: &str| Answer::to(bench.request(Method::GET, path)).await.ok();
    assert_eq!(get("/health").await, json!({ "status": "ok" }));
    let openapi = get("/openapi.json").await;
    assert_eq!(openapi, get("/v1/docs/openapi").await);

    // Whatever it describes is there.
    let agent = bench.agent().await;
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace(['{', '}'], "");
            let answer = Answer::to(agent.request(method.clone(), &path)).await;
            if answer.status == 404 {
                let message = answer.is(404, "not_found");
                assert_ne!(message, "there is no such path", "{method} {path}");
            }
            assert_ne!(answer.status, 405, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn metrics_name_routes_and_never_ids() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    agent.get(&inbox.path("?secret=1")).await.ok();
    agent.get("/somewhere/else").await.is(404, "not_found");
    let text = bench.process.metrics.text().unwrap();
    assert!(text.contains(r#"method="GET",route="/v1/inboxes/{inboxId}""#), "{text}");
    assert!(text.contains(r#"route="unmatched""#));
    assert!(!text.contains(&inbox.id) && !text.contains("secret"));
}

#[tokio::test]
async fn what_is_not_http_is_turned_away() {
    let bench = Bench::new().await;
    let mut stream = TcpStream::connect(bench.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(b"EHLO example.com\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_does_not_wait_for_silent_connections() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    agent.get("/v1/account").await.ok();
    let address = bench.url.trim_start_matches("http://").to_owned();
    let _silent = TcpStream::connect(&address).await.unwrap();
    let mut halfway = TcpStream::connect(&address).await.unwrap();
    halfway.write_all(b"GET /v1/account HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    bench.stop().await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// Storage has not migrated the database yet.
#[tokio::test]
async fn answers_503_until_the_database_is_there() {
    let bench = Bench::new().await;
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = Config {
        listen: port,
        nats: bench.nats.url.clone(),
        database: format!("sqlite:{}", dir.path().join("new.db").display()),
        ..Config::default()
    };
    let process = Process::default();
    let running = tokio::spawn(gateway::run(config.clone(), process.clone()));
    let health = || async {
        let answer = bench.http.get(format!("http://{port}/health")).send().await;
        answer.map(|it| it.status().as_u16()).unwrap_or(0)
    };
    eventually(async || health().await == 503).await;
    assert!(!process.health.unready().is_empty());

    store::migrate(&config.database).await.unwrap();
    eventually(async || health().await == 200).await;
    eventually(async || process.health.unready().is_empty()).await;
    process.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap().unwrap();
}
