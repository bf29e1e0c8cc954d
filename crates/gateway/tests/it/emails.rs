//! Reading mail: lists, one, its original, its attachments, threads, search.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, content};

#[tokio::test]
async fn pages_newest_first_to_the_end() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    for n in 0..5 {
        bench.deliver(&inbox, &content(&format!("Mail {n}"), "text", None)).await;
    }
    let mut subjects = Vec::new();
    let mut path = inbox.path("/emails?limit=2&direction=inbound");
    loop {
        let page = agent.get(&path).await.ok();
        for email in page["data"].as_array().unwrap() {
            assert_eq!(email["body"], Value::Null);
            assert_eq!(email["security"]["flags"], json!([]));
            subjects.push(email["subject"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page.get("cursor") else { break };
        path = inbox.path(&format!("/emails?limit=2&cursor={}", cursor.as_str().unwrap()));
    }
    assert_eq!(subjects, ["Mail 4", "Mail 3", "Mail 2", "Mail 1", "Mail 0"]);

    let newest = agent.get(&inbox.path("/emails?limit=2")).await.ok();
    let since = newest["data"][1]["createdAt"].as_str().unwrap().to_owned();
    let later = agent.get(&inbox.path(&format!("/emails?since={since}"))).await.ok();
    assert_eq!(later["data"], json!([newest["data"][0]]), "since is exclusive");
    let outbound = agent.get(&inbox.path("/emails?direction=outbound")).await.ok();
    assert_eq!(outbound, json!({ "data": [] }));
}

#[tokio::test]
async fn a_wrong_value_is_refused_by_name() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    for (path, name) in [
        ("/emails?limit=0", "limit"),
        ("/emails?limit=many", "limit"),
        ("/emails?since=yesterday", "since"),
        ("/emails?direction=both", "direction"),
        ("/emails?cursor=zzz", "cursor"),
        ("/emails/poll?timeout=soon", "timeout"),
        ("/threads?cursor=zzz", "cursor"),
    ] {
        let message = agent.get(&inbox.path(path)).await.is(400, "invalid_request");
        assert!(message.starts_with(name), "{path}: {message}");
    }
    let search = agent.get("/v1/emails/search?q=x&hasAttachments=perhaps").await;
    assert!(search.is(400, "invalid_request").starts_with("hasAttachments"));
}

#[tokio::test]
async fn one_email_has_its_text_and_its_octets() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let content = content("Code", "It is 42", None);
    let id = bench.deliver(&inbox, &content).await;

    let email = agent.get(&inbox.path(&format!("/emails/{id}"))).await.ok();
    assert_eq!(email["body"].as_str().unwrap().trim_end(), "It is 42");
    assert_eq!(email["from"], "sarah@example.com");
    assert_eq!(email["direction"], "inbound");

    let raw = agent.get(&inbox.path(&format!("/emails/{id}/raw"))).await;
    assert_eq!(raw.octets, content.as_bytes());
    assert_eq!(raw.headers["content-type"], "message/rfc822");
    assert_eq!(raw.headers["x-content-type-options"], "nosniff");
    agent.get(&inbox.path("/emails/eml_unknown")).await.is(404, "not_found");
    assert_eq!(agent.get(&inbox.path("")).await.ok()["emailCount"], 1);
}

#[tokio::test]
async fn an_attachment_needs_no_token_but_its_link() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let page = "<script>alert(1)</script>";
    let id = bench.deliver(&inbox, &content("Page", "See it", Some(page))).await;

    let link = agent.get(&inbox.path(&format!("/emails/{id}/attachments/0"))).await.ok();
    let link = link["downloadUrl"].as_str().unwrap();
    assert!(link.starts_with(&bench.url), "{link}");
    let download = Answer::to(bench.http.get(link)).await;
    assert_eq!((download.status.as_u16(), &*download.octets), (200, page.as_bytes()));
    assert_eq!(download.headers["content-type"], "text/html");
    assert_eq!(download.headers["content-security-policy"], "sandbox; default-src 'none'");
    let disposition = download.headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"page.html\""), "{disposition}");

    let email = agent.get(&inbox.path(&format!("/emails/{id}"))).await.ok();
    let inline = email["attachments"][0]["downloadUrl"].as_str().unwrap();
    assert_eq!(Answer::to(bench.http.get(inline)).await.octets, page.as_bytes());

    let forged = format!("{}A", &link[..link.len() - 1]);
    let forged = if forged == link { format!("{}B", &link[..link.len() - 1]) } else { forged };
    Answer::to(bench.http.get(&forged)).await.is(401, "authentication_error");
    for index in ["1", "x", "-1"] {
        let path = inbox.path(&format!("/emails/{id}/attachments/{index}"));
        agent.get(&path).await.is(404, "not_found");
    }
    agent.delete(&inbox.path("")).await.ok();
    Answer::to(bench.http.get(link)).await.is(404, "not_found");
}

#[tokio::test]
async fn behind_a_proxy_links_lead_to_the_proxy() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let id = bench.deliver(&inbox, &content("Page", "See it", Some("x"))).await;
    let request = agent
        .request(Method::GET, &inbox.path(&format!("/emails/{id}/attachments/0")))
        .header("host", "mail.example.com")
        .header("x-forwarded-proto", "https");
    let link = Answer::to(request).await.ok();
    let link = link["downloadUrl"].as_str().unwrap();
    assert!(link.starts_with("https://mail.example.com/v1/downloads/"), "{link}");
}

#[tokio::test]
async fn threads_are_listed_and_read() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    for n in 0..3 {
        bench.deliver(&inbox, &content(&format!("Topic {n}"), "text", None)).await;
    }
    let first = agent.get(&inbox.path("/threads?limit=2")).await.ok();
    assert_eq!((first["data"].as_array().unwrap().len(), &first["hasMore"]), (2, &json!(true)));
    let cursor = first["cursor"].as_str().unwrap();
    let last = agent.get(&inbox.path(&format!("/threads?limit=2&cursor={cursor}"))).await.ok();
    assert_eq!((&last["hasMore"], &last["cursor"]), (&json!(false), &Value::Null));

    let summary = &last["data"][0];
    let id = summary["id"].as_str().unwrap();
    let detail = agent.get(&inbox.path(&format!("/threads/{id}"))).await.ok();
    for (key, value) in summary.as_object().unwrap() {
        assert_eq!(&detail[key], value, "{key}");
    }
    let email = &detail["emails"][0];
    assert_eq!(email["subject"], "Topic 0");
    assert_eq!(email["isInjectionRisk"], false);
    assert_eq!(email.as_object().unwrap().len(), 6, "{email}");
    agent.get(&inbox.path("/threads/thd_unknown")).await.is(404, "not_found");
}

#[tokio::test]
async fn search_finds_words_of_the_text_in_own_mail_only() {
    let bench = Bench::new().await;
    let (agent, stranger) = (bench.agent().await, bench.agent().await);
    let (inbox, other) = (agent.inbox().await, agent.inbox().await);
    bench.deliver(&inbox, &content("Order", "Your parcel left Rotterdam", None)).await;
    bench.deliver(&other, &content("Order", "Your parcel left Hamburg", Some("x"))).await;

    let found = async |query: &str| {
        let found = agent.get(&format!("/v1/emails/search?{query}")).await.ok();
        assert_eq!(found["pagination"], json!({ "hasMore": false, "cursor": null }));
        found["data"].as_array().unwrap().len()
    };
    assert_eq!(found("q=rotterdam").await, 1);
    assert_eq!(found("q=parcel+order").await, 2);
    assert_eq!(found(&format!("q=parcel&inboxId={}", other.id)).await, 1);
    assert_eq!(found("q=&hasAttachments=true").await, 1);
    assert_eq!(found("q=parcel&direction=outbound").await, 0);
    assert_eq!(found("q=parcel&from=SARAH").await, 2);

    let nothing = stranger.get("/v1/emails/search?q=parcel").await.ok();
    assert_eq!(nothing["data"], json!([]));
    let foreign = format!("/v1/emails/search?q=parcel&inboxId={}", inbox.id);
    stranger.get(&foreign).await.is(404, "not_found");
}
