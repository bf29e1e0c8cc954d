//! Leaving a list by the link in its mail, and what that does to further mail.

use contract::Event;
use gateway::Config;
use reqwest::Method;
use serde_json::{Value, json};
use store::{Subscription, UnsubscribeTokens};

use crate::{
    bench::{Agent, Answer, Bench, Inbox},
    send::ledger,
};

const BOB: &str = "bob@example.net";

async fn bench() -> Bench {
    let public_url = Some("https://mail.example.com".to_owned());
    Bench::with(Config { public_url, ..Config::default() }).await
}

async fn token(bench: &Bench, account_id: &str, address: &str, mail_id: &str) -> String {
    let secret = bench.store.writer.secret("unsubscribe").await.unwrap();
    UnsubscribeTokens::new(&secret).sign(&Subscription {
        account_id: account_id.to_owned(),
        list_id: "news".to_owned(),
        address: address.to_owned(),
        mail_id: mail_id.to_owned(),
    })
}

fn mail(inbox: &Inbox, list: Option<&str>) -> Value {
    let list = list.map(|id| json!({ "id": id, "name": "News" }));
    json!({ "from": inbox.address, "to": [BOB], "subject": "Hi", "body": { "text": "Hi" }, "list": list })
}

/// Whether such a mail would go, without sending it.
async fn try_to(agent: &Agent<'_>, inbox: &Inbox, list: Option<&str>) -> Answer {
    let mut mail = mail(inbox, list);
    mail["validateOnly"] = true.into();
    agent.post("/v1/emails/send", &mail).await
}

/// As a mail program does: no login, no cookie.
async fn click(bench: &Bench, token: &str, body: &'static str) -> Answer {
    let request = bench.request(Method::POST, &format!("/v1/unsubscribe/{token}"));
    let form = request.header("Content-Type", "application/x-www-form-urlencoded").body(body);
    Answer::to(form).await
}

fn html(answer: &Answer) -> String {
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("'none'"));
    assert!(!answer.headers.contains_key("set-cookie"));
    String::from_utf8(answer.octets.clone()).unwrap()
}

#[tokio::test]
async fn one_click_leaves_the_list_and_nothing_else() {
    let bench = bench().await;
    let _ledger = ledger(&bench, None);
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let token = token(&bench, &agent.id, BOB, "eml_gone").await;
    try_to(&agent, &inbox, Some("news")).await.ok();

    // Whoever only looks, as filters do, stays on it.
    let path = format!("/v1/unsubscribe/{token}");
    let shown = Answer::to(bench.request(Method::GET, &path)).await;
    assert_eq!(shown.status, 200);
    assert!(html(&shown).contains(BOB) && html(&shown).contains("<form method=\"post\">"));
    try_to(&agent, &inbox, Some("news")).await.ok();

    for _ in 0..2 {
        let left = click(&bench, &token, "List-Unsubscribe=One-Click").await;
        assert_eq!(left.status, 200);
        assert!(html(&left).contains("no more mail from the list news"));
    }
    let refused = try_to(&agent, &inbox, Some("news")).await.is(422, "unsubscribed");
    assert!(refused.contains(BOB) && refused.contains("the list news"), "{refused}");
    try_to(&agent, &inbox, Some("offers")).await.ok();
    try_to(&agent, &inbox, None).await.ok();

    let page = agent.get("/v1/suppressions?scope=lists").await.ok();
    let [entry] = &page["data"].as_array().unwrap()[..] else { panic!("{page}") };
    assert_eq!((&entry["address"], &entry["reason"]), (&BOB.into(), &"unsubscribed".into()));
    assert_eq!((&entry["scope"], &entry["emailId"]), (&"list:news".into(), &"eml_gone".into()));
    assert_eq!(agent.get("/v1/suppressions").await.ok()["data"], json!([]));

    let lifted = format!("/v1/suppressions/{BOB}?list=news");
    assert_eq!(agent.delete(&lifted).await.ok(), json!({}));
    agent.delete(&lifted).await.is(404, "not_found");
    try_to(&agent, &inbox, Some("news")).await.ok();
}

#[tokio::test]
async fn a_person_can_leave_all_lists() {
    let bench = bench().await;
    let _ledger = ledger(&bench, None);
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let other = bench.agent().await;
    let others_inbox = other.inbox().await;
    let token = token(&bench, &agent.id, BOB, "eml_gone").await;
    let left = click(&bench, &token, "scope=all").await;
    assert!(html(&left).contains("any list of this sender"));
    for list in ["news", "offers"] {
        try_to(&agent, &inbox, Some(list)).await.is(422, "unsubscribed");
    }
    try_to(&agent, &inbox, None).await.ok();
    try_to(&other, &others_inbox, Some("news")).await.ok();
    let page = agent.get("/v1/suppressions?scope=lists").await.ok();
    assert_eq!(page["data"][0]["scope"], "lists");
    agent.delete(&format!("/v1/suppressions/{BOB}?list=*")).await.ok();
    try_to(&agent, &inbox, Some("offers")).await.ok();
}

#[tokio::test]
async fn a_forged_link_leaves_nothing() {
    let bench = bench().await;
    let _ledger = ledger(&bench, None);
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let own = token(&bench, &agent.id, "tom@example.net", "eml_1").await;
    let (_, signature) = own.split_once('.').unwrap();
    let bobs = token(&bench, &agent.id, BOB, "eml_1").await;
    let (payload, _) = bobs.split_once('.').unwrap();
    for forged in [&format!("{payload}.{signature}"), payload, "x"] {
        let path = format!("/v1/unsubscribe/{forged}");
        let shown = Answer::to(bench.request(Method::GET, &path)).await;
        let posted = click(&bench, forged, "List-Unsubscribe=One-Click").await;
        assert!(shown.is(404, "not_found").contains("no link of this service"));
        posted.is(404, "not_found");
    }
    try_to(&agent, &inbox, Some("news")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_is_an_event_of_the_mail() {
    let bench = bench().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let _ledger = ledger(&bench, None);
    let sent = agent.post("/v1/emails/send", &mail(&inbox, Some("news"))).await.ok();
    let id = sent["id"].as_str().unwrap();
    let entered = async || agent.get(&inbox.path(&format!("/emails/{id}"))).await.status == 200;
    crate::bench::eventually(entered).await;
    let token = token(&bench, &agent.id, BOB, id).await;
    click(&bench, &token, "List-Unsubscribe=One-Click").await;
    let client = async_nats::connect(&bench.nats.url).await.unwrap();
    let events = async_nats::jetstream::new(client).get_stream("EVENTS").await.unwrap();
    let subject = format!("mail.v1.event.{}.{}.email.unsubscribed", agent.id, inbox.id);
    let told = async || events.get_last_raw_message_by_subject(&subject).await;
    crate::bench::eventually(async || told().await.is_ok()).await;
    let event: Event = serde_json::from_slice(&told().await.unwrap().payload).unwrap();
    let email = event.data.unwrap();
    assert_eq!((&*email.id, &*email.recipients[0].address), (id, BOB));
}

#[tokio::test]
async fn lists_are_refused_where_nobody_could_leave_them() {
    let bench = Bench::new().await;
    let _ledger = ledger(&bench, None);
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    try_to(&agent, &inbox, Some("news")).await.is(422, "lists_unavailable");
    let mut two = mail(&inbox, Some("news"));
    two["cc"] = json!(["tom@example.net"]);
    let refused = agent.post("/v1/emails/send", &two).await.is(422, "invalid_request");
    assert!(refused.starts_with("list: mail to a list goes to each recipient"), "{refused}");
}
