//! What is expected meets the mail that comes, in the transaction that stores it.

use std::collections::HashSet;

use contract::{Authentication, MailReviewed, Message, Review};
use store::{
    Actor, Arrival, Expectation, ExpectationKind, ExpectationState, Expected, Inbox, MAX_WAITING,
    NewExpectation, Offer, ScreeningSettings, Store, Threshold,
};

use crate::fixture::{
    ACCOUNT, answer, edit, inbox, mail, mailbox, now, on_both, on_both_urls, store_one, submission,
};

const MINUTE: i64 = 60_000_000;

fn new(inbox: &Inbox, kind: ExpectationKind, key: &str) -> NewExpectation {
    NewExpectation {
        account_id: ACCOUNT.to_owned(),
        inbox_id: inbox.id.clone(),
        idempotency_key: key.to_owned(),
        kind,
        in_reply_to: None,
        from_domain: None,
        deadline: now() + 10 * MINUTE,
    }
}

async fn made(store: &Store, new: &NewExpectation) -> anyhow::Result<Expectation> {
    match store.writer.expect(new).await? {
        Expected::Made(made) => Ok(*made),
        other => anyhow::bail!("{other:?}"),
    }
}

async fn now_is(store: &Store, it: &Expectation) -> anyhow::Result<Expectation> {
    let found = store.reader.expectation(ACCOUNT, &it.id).await?;
    found.ok_or_else(|| anyhow::anyhow!("{} is gone", it.id))
}

/// A mail that is received now, and has these codes.
fn coded(number: u32, inbox: &Inbox, codes: &[&str]) -> Arrival {
    let mut arrival = mail(number, &[inbox]);
    arrival.scanned.received_at_micros = now();
    let codes = codes.iter().map(|it| (*it).to_owned()).collect();
    arrival.offer = Some(Offer { codes, ..Offer::default() });
    arrival
}

fn proven(mut arrival: Arrival) -> Arrival {
    arrival.scanned.authentication =
        Some(Authentication { author: "alice@example.com".to_owned(), ..Default::default() });
    arrival
}

/// The events that wait to be published, which are forgotten with that.
async fn told(store: &Store) -> anyhow::Result<Vec<(String, serde_json::Value)>> {
    let mut told = Vec::new();
    for it in store.reader.announcements(1_000).await? {
        assert!(store.writer.forget_announcement(&it).await?);
        assert!(!store.writer.forget_announcement(&it).await?, "somebody else did");
        if it.event.starts_with("expectation.") {
            let event: serde_json::Value = serde_json::from_slice(&it.record().payload)?;
            told.push((it.event, event["data"].clone()));
        }
    }
    Ok(told)
}

#[tokio::test]
async fn a_code_is_handed_out_once_and_told_once() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = made(&store, &new(&inbox, ExpectationKind::Code, "a")).await?;
        let second = made(&store, &new(&inbox, ExpectationKind::Code, "b")).await?;
        assert_eq!(made(&store, &new(&inbox, ExpectationKind::Code, "a")).await?, first);
        assert!(store.reader.expecting(&["ibx_other", &inbox.id]).await?.contains(&inbox.id));

        let code = coded(1, &inbox, &["482913"]);
        let email = store_one(&store, code.clone()).await?.email;
        let (done, waits) = (now_is(&store, &first).await?, now_is(&store, &second).await?);
        assert_eq!((done.state, done.code.as_deref()), (ExpectationState::Matched, Some("482913")));
        assert_eq!(done.email_id, Some(email.id.clone()));
        assert_eq!(waits.state, ExpectationState::Waiting);
        assert_eq!(waits.passed_over.map(|it| it.reason).as_deref(), Some("handed_out"));
        let events = told(&store).await?;
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].0, "expectation.matched");
        assert_eq!(events[0].1, serde_json::to_value(done.shown())?);

        // Delivered to storage again: nothing new.
        assert!(store_one(&store, code).await?.repeated);
        // The same code in a second mail is for nobody who waited when it was handed out.
        store_one(&store, coded(2, &inbox, &["482913"])).await?;
        assert_eq!(now_is(&store, &second).await?.state, ExpectationState::Waiting);
        assert!(told(&store).await?.is_empty());
        store_one(&store, coded(3, &inbox, &["117204"])).await?;
        assert_eq!(now_is(&store, &second).await?.code.as_deref(), Some("117204"));
        assert_eq!(told(&store).await?.len(), 1);
        assert!(store.reader.expecting(&[&inbox.id]).await?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn mails_of_one_transaction_go_to_one_each() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = made(&store, &new(&inbox, ExpectationKind::Code, "a")).await?;
        let second = made(&store, &new(&inbox, ExpectationKind::Code, "b")).await?;
        let batch = [coded(1, &inbox, &["111111"]), coded(2, &inbox, &["222222"])];
        store.writer.store(&batch).await?;
        let code = async |it: &Expectation| now_is(&store, it).await.map(|it| it.code);
        assert_eq!(code(&first).await?.as_deref(), Some("111111"));
        assert_eq!(code(&second).await?.as_deref(), Some("222222"));
        assert_eq!(told(&store).await?.len(), 2);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn several_codes_in_one_mail_are_ambiguous() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let it = made(&store, &new(&inbox, ExpectationKind::Code, "a")).await?;
        let second = made(&store, &new(&inbox, ExpectationKind::Code, "b")).await?;
        store_one(&store, coded(1, &inbox, &["111111", "222222"])).await?;
        let it = now_is(&store, &it).await?;
        assert_eq!((it.state, &it.code), (ExpectationState::Ambiguous, &None));
        let codes: Vec<_> = it.candidates.iter().filter_map(|it| it.code.as_deref()).collect();
        assert_eq!(codes, ["111111", "222222"]);
        let events = told(&store).await?;
        assert_eq!(events[0].0, "expectation.ambiguous");
        assert_eq!(events[0].1["candidates"][1]["code"], "222222");

        // Who was told several has them: they are for nobody else who waited then.
        for (number, code) in [(2, "111111"), (3, "222222")] {
            store_one(&store, coded(number, &inbox, &[code])).await?;
            let waits = now_is(&store, &second).await?;
            assert_eq!(waits.state, ExpectationState::Waiting, "{code}");
            assert_eq!(waits.passed_over.map(|it| it.reason).as_deref(), Some("handed_out"));
        }
        store_one(&store, coded(4, &inbox, &["333333"])).await?;
        assert_eq!(now_is(&store, &second).await?.code.as_deref(), Some("333333"));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_came_before_never_matches() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        // Received before, stored after: it was on its way through the pipeline.
        let early = coded(1, &inbox, &["111111"]);
        let first = proven(coded(2, &inbox, &["222222"]));
        store_one(&store, first).await?;
        let it = made(&store, &new(&inbox, ExpectationKind::Code, "a")).await?;
        store_one(&store, early).await?;
        let why = async || now_is(&store, &it).await.map(|it| it.passed_over.map(|it| it.reason));
        assert_eq!(why().await?.as_deref(), Some("older"));
        // A host that sends a mail once more, under the Message-ID that it had.
        let again = edit(coded(3, &inbox, &["222222"]), |it| {
            it.message_id = "2@example.com".to_owned();
        });
        store_one(&store, again).await?;
        assert_eq!(why().await?.as_deref(), Some("older"));
        // One that was written long before, and held up.
        let late = edit(coded(4, &inbox, &["333333"]), |it| it.date_micros = now() - 10 * MINUTE);
        store_one(&store, late).await?;
        assert_eq!(why().await?.as_deref(), Some("older"));
        store_one(&store, coded(5, &inbox, &[])).await?;
        assert_eq!(why().await?.as_deref(), Some("no_code"));
        assert_eq!(now_is(&store, &it).await?.state, ExpectationState::Waiting);
        assert!(told(&store).await?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_domain_counts_if_it_is_proven() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let wanted = NewExpectation {
            from_domain: Some("example.com".to_owned()),
            ..new(&inbox, ExpectationKind::Code, "a")
        };
        let it = made(&store, &wanted).await?;
        store_one(&store, coded(1, &inbox, &["111111"])).await?;
        let now = now_is(&store, &it).await?;
        assert_eq!(now.passed_over.map(|it| it.reason).as_deref(), Some("unauthenticated"));
        let other = edit(proven(coded(2, &inbox, &["222222"])), |it| {
            it.from = vec![mailbox("alice@elsewhere.com")];
        });
        store_one(&store, other).await?;
        assert_eq!(now_is(&store, &it).await?.state, ExpectationState::Waiting);
        store_one(&store, proven(coded(3, &inbox, &["333333"]))).await?;
        let now = now_is(&store, &it).await?;
        assert_eq!((now.code.as_deref(), now.passed_over), (Some("333333"), None));

        // What this service sent itself is as good, for the copy that it knows of.
        let it =
            made(&store, &NewExpectation { idempotency_key: "b".to_owned(), ..wanted }).await?;
        let mut own = coded(4, &inbox, &["444444"]);
        let offer = own.offer.as_mut().expect("an offer");
        offer.sent_here = HashSet::from([format!("eml_0004_{}", inbox.id)]);
        store_one(&store, own).await?;
        assert_eq!(now_is(&store, &it).await?.code.as_deref(), Some("444444"));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_reply_answers_what_the_inbox_has_sent() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store.writer.enter(&[submission("k", &inbox, &["bob@example.net"])]).await?;
        let reply = new(&inbox, ExpectationKind::Reply, "any");
        let any = made(&store, &reply).await?;
        let named = NewExpectation {
            idempotency_key: "named".to_owned(),
            in_reply_to: Some("k@posthouse.localhost".to_owned()),
            ..reply
        };
        let named = made(&store, &named).await?;
        let state = async |it: &Expectation| now_is(&store, it).await.map(|it| it.state);
        let received = |arrival: Arrival, is_automatic| {
            let mut arrival = arrival;
            arrival.scanned.received_at_micros = now();
            arrival.offer = Some(Offer { is_automatic, ..Offer::default() });
            arrival
        };
        // An answer to a mail that somebody else sent to the inbox.
        store_one(&store, received(mail(1, &[&inbox]), false)).await?;
        store_one(&store, received(answer(2, 1, &inbox), false)).await?;
        let to_own = |number: u32| {
            edit(mail(number, &[&inbox]), |it| {
                it.in_reply_to = vec!["k@posthouse.localhost".to_owned()];
            })
        };
        store_one(&store, received(to_own(3), true)).await?;
        assert_eq!(state(&any).await?, ExpectationState::Waiting);
        let why = now_is(&store, &named).await?.passed_over.map(|it| it.reason);
        assert_eq!(why.as_deref(), Some("automatic"));
        store_one(&store, received(to_own(4), false)).await?;
        assert_eq!(state(&any).await?, ExpectationState::Matched);
        assert_eq!(state(&named).await?, ExpectationState::Matched);
        assert_eq!(told(&store).await?.len(), 2);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn quarantined_mail_counts_when_it_is_released() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let settings = ScreeningSettings {
            quarantine_at: Some(Threshold::At(0.5)),
            ..ScreeningSettings::default()
        };
        store.writer.set_screening(ACCOUNT, None, &settings, &Actor::default()).await?;
        let it = made(&store, &new(&inbox, ExpectationKind::Code, "a")).await?;
        let email = store_one(&store, coded(1, &inbox, &["111111"])).await?.email;
        assert_eq!(email.status.as_deref(), Some("quarantined"));
        assert_eq!(now_is(&store, &it).await?, it, "of what agents do not see they hear nothing");

        let message = Message {
            message_id: "1@example.com".to_owned(),
            from: vec![mailbox("alice@example.com")],
            ..Message::default()
        };
        let offer = Offer { codes: vec!["111111".to_owned()], ..Offer::default() };
        let decided = MailReviewed {
            email_id: email.id.clone(),
            account_id: ACCOUNT.to_owned(),
            review: Review::Released.into(),
            ..MailReviewed::default()
        };
        for _ in 0..2 {
            store.writer.review(&decided, Some(&message), Some(&offer)).await?.expect("released");
        }
        assert_eq!(now_is(&store, &it).await?.code.as_deref(), Some("111111"));
        assert_eq!(told(&store).await?.len(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_expectation_ends_once_whoever_ends_it() {
    on_both_urls(async |url| {
        store::migrate(url).await?;
        let (one, other) = (Store::open(url).await?, Store::open(url).await?);
        let inbox = inbox(&one, "agent").await?;
        for round in 0..20_u32 {
            let key = round.to_string();
            let soon = NewExpectation {
                deadline: now() + 5_000,
                ..new(&inbox, ExpectationKind::Code, &key)
            };
            let it = made(&one, &soon).await?;
            // A mail, the sweepers of two replicas, and the agent, at about the deadline.
            let arrivals = [coded(round, &inbox, &[&format!("{}", 100_000 + round)])];
            let sweep = async |store: &Store| {
                while now() < soon.deadline - 1_000 + i64::from(round % 3) * 1_000 {
                    tokio::task::yield_now().await;
                }
                store.writer.expire_expectations().await
            };
            let (stored, first, second, cancelled) = tokio::join!(
                async {
                    while now() < soon.deadline - 2_000 {
                        tokio::task::yield_now().await;
                    }
                    one.writer.store(&arrivals).await
                },
                sweep(&one),
                sweep(&other),
                async {
                    match round % 4 {
                        0 => other.writer.cancel_expectation(ACCOUNT, &it.id).await.map(drop),
                        _ => Ok(()),
                    }
                },
            );
            stored?;
            first?;
            second?;
            cancelled?;
            while !now_is(&one, &it).await?.is_settled() {
                other.writer.expire_expectations().await?;
            }
            let ended = now_is(&other, &it).await?;
            let expected: Vec<String> = match ended.state {
                ExpectationState::Cancelled => Vec::new(),
                state => vec![format!("expectation.{}", state.as_str())],
            };
            let events: Vec<String> = told(&one).await?.into_iter().map(|it| it.0).collect();
            assert_eq!(events, expected, "round {round}");
        }
        one.close().await;
        other.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_is_over_is_said_also_of_an_inbox_that_is_gone() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let it = made(&store, &new(&inbox, ExpectationKind::Any, "a")).await?;
        let soon = NewExpectation { deadline: now() + 1, ..new(&inbox, ExpectationKind::Any, "b") };
        let soon = made(&store, &soon).await?;
        assert_eq!(store.reader.next_expectation_deadline().await?, Some(soon.deadline));
        let called_off = made(&store, &new(&inbox, ExpectationKind::Any, "c")).await?;
        assert_eq!(store.writer.cancel_expectation("acct_2", &called_off.id).await?, None);
        for _ in 0..2 {
            let found = store.writer.cancel_expectation(ACCOUNT, &called_off.id).await?;
            assert_eq!(found.map(|it| it.state), Some(ExpectationState::Cancelled));
        }
        store.writer.delete_inbox(ACCOUNT, &inbox.id).await?;
        assert_eq!(
            store.writer.expect(&new(&inbox, ExpectationKind::Any, "d")).await?,
            Expected::NoInbox
        );
        store.writer.purge_inboxes(now() + MINUTE).await?;
        assert_eq!(store.reader.expectation(ACCOUNT, &called_off.id).await?, None);
        assert_eq!(now_is(&store, &it).await?.state, ExpectationState::Waiting);
        assert_eq!(store.writer.expire_expectations().await?, 1);
        let events: Vec<String> = told(&store).await?.into_iter().map(|it| it.0).collect();
        assert_eq!(events, ["expectation.expired"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_account_sees_and_makes_its_own() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let mut ids = Vec::new();
        for number in 0..MAX_WAITING {
            let new = new(&inbox, ExpectationKind::Any, &number.to_string());
            ids.push(made(&store, &new).await?.id);
        }
        let more = new(&inbox, ExpectationKind::Any, "more");
        assert_eq!(store.writer.expect(&more).await?, Expected::TooMany);
        let foreign = NewExpectation { account_id: "acct_2".to_owned(), ..more };
        assert_eq!(store.writer.expect(&foreign).await?, Expected::NoInbox);
        assert_eq!(store.reader.expectation("acct_2", &ids[0]).await?, None);

        let mut listed = Vec::new();
        let mut cursor = None;
        loop {
            let page = store.reader.expectations(ACCOUNT, &inbox.id, None, 30, cursor.as_deref());
            let page = page.await?;
            listed.extend(page.items.into_iter().map(|it| it.id));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        ids.reverse();
        assert_eq!(listed, ids, "the newest first");
        let others = store.reader.expectations("acct_2", &inbox.id, None, 30, None).await?;
        assert!(others.items.is_empty());
        let matched = Some(ExpectationState::Matched);
        let none = store.reader.expectations(ACCOUNT, &inbox.id, matched, 30, None).await?;
        assert!(none.items.is_empty());
        Ok(())
    })
    .await;
}
