//! Deciding at the console: with a reason, by who may, from its own pages, and on record.

use contract::Verdict;
use reqwest::Method;
use serde_json::json;

use crate::{
    bench::{Agent, Answer, Bench, Inbox, content},
    console::{Browser, between, goes_to, narrowed, text},
    holds::held,
};

async fn quarantined(bench: &Bench, agent: &Agent<'_>, inbox: &Inbox) -> String {
    let policy = agent.request(Method::PUT, "/v1/policy").json(&json!({ "quarantineAt": 0.5 }));
    Answer::to(policy).await.ok();
    let verdict = Verdict { score: 0.9, ..Verdict::default() };
    let stored = bench.store_judged(inbox, &content("Order", "Do it.", None), verdict).await;
    stored.data.unwrap().id
}

#[tokio::test]
async fn a_held_mail_is_approved_as_it_was_looked_at() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let (yes, no) = (held(&bench, &inbox, "a").await, held(&bench, &inbox, "b").await);
    let browser = Browser::of(&bench, &agent.token).await;
    let list = browser.page("/console/holds").await;
    assert!(list.contains(&yes) && list.contains(&no), "{list}");
    assert!(browser.page("/console/inboxes").await.contains("2 held before sending"));
    let page = browser.page(&format!("/console/emails/{yes}")).await;
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"");
    let sha256 = between(&page, "name=\"sha256\" value=\"", "\"");

    let approve = format!("/console/emails/{yes}/approve");
    for (fields, status) in [
        (vec![("csrf", csrf), ("sha256", "00")], 409),
        (vec![("csrf", "00"), ("sha256", sha256)], 403),
        (vec![("sha256", sha256)], 403),
    ] {
        let refused = browser.submit(&approve, &fields).await;
        assert_eq!(refused.status.as_u16(), status, "{}", text(&refused));
    }
    let still = agent.get(&format!("/v1/emails/{yes}")).await.ok();
    assert_eq!(still["hold"]["state"], "waiting", "{still}");
    let fields = [("csrf", csrf), ("sha256", sha256), ("reason", "A test key.")];
    let done = browser.submit(&approve, &fields).await;
    assert_eq!((done.status.as_u16(), goes_to(&done)), (303, &*format!("/console/emails/{yes}")));
    let decline = format!("/console/emails/{no}/decline");
    assert_eq!(browser.submit(&decline, &[("csrf", csrf)]).await.status, 303);
    let again = browser.submit(&format!("/console/emails/{no}/approve"), &[("csrf", csrf)]).await;
    assert_eq!(again.status, 409);
    let page = browser.page(&format!("/console/emails/{yes}?view=timeline")).await;
    assert!(page.contains("A test key."), "{page}");
    assert!(page.contains(&gateway::token::hash(&agent.token)[..12]), "who did it: {page}");
    assert!(browser.page("/console/holds?state=declined").await.contains(&no));
}

#[tokio::test]
async fn quarantine_takes_a_reason_and_foreign_forms_do_nothing() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let email = quarantined(&bench, &agent, &inbox).await;
    let browser = Browser::of(&bench, &agent.token).await;
    assert!(browser.page("/console/quarantine").await.contains(&email));
    let listed = browser.page(&format!("/console/inboxes/{}?show=received", inbox.id)).await;
    assert!(!listed.contains(&email), "as agents see it");
    let page = browser.page(&format!("/console/emails/{email}")).await;
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"");
    let path = format!("/console/emails/{email}/release");

    let bare = browser.submit(&path, &[("csrf", csrf)]).await;
    assert_eq!(bare.status, 400);
    assert!(text(&bare).contains("say why"), "{}", text(&bare));
    let fields = [("csrf", csrf), ("reason", "x"), ("allowSender", "yes")];
    assert_eq!(browser.submit(&path, &fields).await.status, 422, "he has not proved who he is");
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.test")] {
        let body = format!("csrf={csrf}&reason=x");
        let foreign = browser.request(Method::POST, &path).header(name, value).body(body);
        assert_eq!(Answer::to(foreign).await.status, 403, "{name}");
    }
    // A page of another session, of the same account too.
    let other = Browser::of(&bench, &agent.token).await.csrf().await;
    let fields = [("csrf", other.as_str()), ("reason", "x")];
    assert_eq!(browser.submit(&path, &fields).await.status, 403);
    assert_eq!(bench.count("REVIEWS").await, 0, "nothing was decided");
    assert_eq!(browser.get(&path).await.status, 405, "a link decides nothing");

    // Nobody is there to carry it out.
    let fields = [("csrf", csrf), ("reason", "Known.")];
    let taken = browser.submit(&path, &fields).await;
    assert_eq!(goes_to(&taken), format!("/console/emails/{email}?later=yes"));
    assert!(browser.page(goes_to(&taken)).await.contains("The decision is taken"));
    assert_eq!(bench.count("REVIEWS").await, 1);
}

#[tokio::test]
async fn who_looks_on_has_no_buttons_and_no_way_without_them() {
    let bench = Bench::new().await;
    let agent = bench.agent().await;
    let inbox = agent.inbox().await;
    let waits = held(&bench, &inbox, "a").await;
    let email = quarantined(&bench, &agent, &inbox).await;
    let reader = narrowed(&agent, json!({ "rights": ["read"] })).await;
    let browser = Browser::of(&bench, &reader).await;
    let csrf = browser.csrf().await;
    for (id, decisions) in [(&waits, ["approve", "decline"]), (&email, ["release", "refuse"])] {
        let page = browser.page(&format!("/console/emails/{id}")).await;
        assert!(page.contains("Your token may look on."), "{page}");
        assert!(!page.contains("<textarea"), "{page}");
        for decision in decisions {
            let path = format!("/console/emails/{id}/{decision}");
            let refused = browser.submit(&path, &[("csrf", &csrf), ("reason", "x")]).await;
            assert_eq!(refused.status, 403, "{path}");
            assert!(text(&refused).contains("\"admin\"") || text(&refused).contains("&quot;admin"));
        }
    }
    assert_eq!(bench.count("REVIEWS").await, 0);
    let still = agent.get(&format!("/v1/emails/{waits}")).await.ok();
    assert_eq!(still["hold"]["state"], "waiting");
    for path in ["quarantine", "holds", "suppressions", "domains", "record"] {
        assert_eq!(browser.get(&format!("/console/{path}")).await.status, 403, "{path}");
    }
}
