//! Every operation that NATS answers, asked by an account for what is another's: 404, as if it never was.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    bench::{Bench, content},
    logins::AtNats,
};

#[tokio::test]
async fn a_foreign_id_is_unknown_to_every_operation() {
    let bench = Bench::with_logins().await;
    let (owner, stranger) = (bench.agent().await, bench.agent().await);
    let (inbox, own) = (owner.inbox().await, stranger.inbox().await);
    let email_id = bench.deliver(&inbox, &content("Secret", "Text", None)).await;
    let email = owner.get(&format!("/v1/emails/{email_id}")).await.ok();
    let expected = owner.post(&inbox.path("/expect"), &json!({ "kind": "any" })).await.json();
    let ids = json!({
        "inboxId": inbox.id, "emailId": email_id, "threadId": email["threadId"],
        "expectationId": expected["id"], "index": "0", "list": "allow", "sender": "a@example.com",
    });
    let at_nats = AtNats::of(&stranger).await;
    let openapi = owner.get("/openapi.json").await.ok();
    let mut asked = 0;
    for (path, item) in openapi["paths"].as_object().unwrap() {
        let names = path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
        let names: Vec<&str> = names.collect();
        let is_known = names.iter().all(|it| ids.get(it).is_some());
        let is_about_somebody = names.iter().any(|it| it.ends_with("Id"));
        if !is_known || !is_about_somebody {
            continue;
        }
        let fill = |inbox_id: &str| -> Map<String, Value> {
            let value = |name: &&str| match *name {
                "inboxId" => inbox_id.into(),
                name => ids[name].clone(),
            };
            names.iter().map(|it| ((*it).to_owned(), value(it))).collect()
        };
        for described in item.as_object().unwrap().values() {
            let id = described["operationId"].as_str().unwrap();
            // What has a body is refused for the body, or for what it is about.
            let refusals: &[&str] = match described.get("requestBody") {
                Some(_) => &["400", "404"],
                None => &["404"],
            };
            let mut fillings = vec![fill(&inbox.id)];
            if names.len() > 1 && names.contains(&"inboxId") && !names.contains(&"list") {
                fillings.push(fill(&own.id));
            }
            for filling in fillings {
                let answer = at_nats.ask(id, &Value::Object(filling)).await;
                let error = answer.expect_err(id);
                assert!(refusals.contains(&error[0].as_str().unwrap()), "{id}: {error}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 40, "only {asked} questions");
    let after = owner.request(Method::GET, &format!("/v1/emails/{email_id}"));
    assert_eq!(crate::bench::Answer::to(after).await.ok(), email);
    bench.stop().await;
}
