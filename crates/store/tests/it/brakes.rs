use contract::RecipientReport;
use sqlx::{Connection as _, Executor as _};
use store::{Brakes, Breakers, Entered, Inbox, Manner, Outcome, Policy, Store, Submitted};

use crate::fixture::{inbox, mail, on_both, on_both_urls, store_one, submission};

const BOB: &str = "bob@example.net";

fn braking(store: Store, brakes: Brakes) -> Store {
    let is_bounce = |_: &RecipientReport| false;
    let policy = Policy { breakers: Breakers::default(), brakes, is_bounce };
    Store { writer: store.writer.judging(policy), ..store }
}

fn saying(content: &str, is_automatic: bool, submitted: Submitted) -> Submitted {
    let manner = Manner { content_digest: content.to_owned(), is_automatic };
    Submitted { manner, ..submitted }
}

/// It answers mail number 1.
fn answering(mut submitted: Submitted) -> Submitted {
    if let Outcome::Composed(composed) = &mut submitted.outcome {
        composed.message.in_reply_to = vec!["1@example.com".to_owned()];
    }
    submitted
}

async fn enter(store: &Store, submitted: &[Submitted]) -> anyhow::Result<Vec<Option<String>>> {
    let code = |it: Entered| {
        assert_eq!(it.to_send, it.entry.rejection.is_none());
        it.entry.rejection.map(|it| it.code)
    };
    Ok(store.writer.enter(submitted).await?.into_iter().map(code).collect())
}

fn refused(codes: &[Option<String>]) -> (usize, Option<&str>) {
    let passed = codes.iter().take_while(|it| it.is_none()).count();
    assert!(codes[passed..].iter().all(Option::is_some), "{codes:?}");
    (passed, codes.last().and_then(Option::as_deref))
}

#[tokio::test]
async fn automatic_mail_to_one_is_refused_after_so_many() {
    on_both(async |store| {
        let brakes = Brakes { automatic_per_hour: 3, ..Brakes::default() };
        let store = braking(store, brakes);
        let (inbox, other) = (inbox(&store, "agent").await?, inbox(&store, "other").await?);
        let automatic = |n: usize, inbox: &Inbox, to| {
            saying(&n.to_string(), true, submission(&n.to_string(), inbox, &[to]))
        };
        assert_eq!(refused(&enter(&store, &[automatic(0, &inbox, BOB)]).await?), (1, None));
        // Those of this batch and those before count together, in whatever case.
        let batch: Vec<_> = (1..6).map(|n| automatic(n, &inbox, "Bob@example.net")).collect();
        let codes = enter(&store, &batch).await?;
        assert_eq!(refused(&codes), (2, Some("loop_suspected")));
        assert_eq!(enter(&store, &batch).await?, codes, "a repeat gets the first result");
        assert_eq!(enter(&store, &[automatic(7, &inbox, "carol@example.net")]).await?, [None]);
        assert_eq!(enter(&store, &[automatic(7, &other, BOB)]).await?, [None]);
        let by_hand = saying("x", false, submission("x", &inbox, &[BOB]));
        assert_eq!(enter(&store, &[by_hand]).await?, [None]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_automatic_while_the_mail_is_fresh() {
    on_both(async |store| {
        let brakes = Brakes { automatic_per_hour: 2, ..Brakes::default() };
        let store = braking(store, brakes.clone());
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        let answer = |n: usize| answering(submission(&n.to_string(), &inbox, &[BOB]));
        let answers: Vec<_> = (0..4).map(answer).collect();
        let codes = enter(&store, &answers).await?;
        assert_eq!(refused(&codes), (2, Some("loop_suspected")));
        // A dry run says the same, and enters nothing.
        let objection = store.writer.objection(&answer(5)).await?;
        assert_eq!(objection.map(|it| it.code).as_deref(), Some("loop_suspected"));
        assert_eq!(store.writer.objection(&submission("6", &inbox, &[BOB])).await?, None);
        assert_eq!(store.reader.ledger_entry(&inbox.id, "5").await?, None);
        // Without the window only what says so is automatic.
        let store = braking(store, Brakes { answer_seconds: 0, ..brakes });
        assert_eq!(enter(&store, &[answer(7)]).await?, [None]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_thread_is_refused_after_so_many() {
    on_both(async |store| {
        let brakes = Brakes { answer_seconds: 0, thread_per_day: 3, ..Brakes::default() };
        let store = braking(store, brakes);
        let inbox = inbox(&store, "agent").await?;
        let received = store_one(&store, mail(1, &[&inbox])).await?.email;
        let answer = |n: usize| answering(submission(&n.to_string(), &inbox, &[BOB]));
        assert_eq!(enter(&store, &[answer(0), answer(1)]).await?, [None, None]);
        // Named instead of referred to, it is the same thread.
        let mut named = submission("named", &inbox, &[BOB]);
        if let Outcome::Composed(composed) = &mut named.outcome {
            composed.thread_id = received.thread_id;
        }
        let codes = enter(&store, &[named, answer(2), answer(3)]).await?;
        assert_eq!(refused(&codes), (1, Some("thread_too_long")));
        assert_eq!(enter(&store, &[submission("new", &inbox, &[BOB])]).await?, [None]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_same_content_is_refused_after_so_many() {
    on_both_urls(async |url| {
        store::migrate(url).await?;
        let brakes = Brakes {
            same_content_recipients_per_hour: 4,
            same_content_per_hour: 2,
            ..Brakes::default()
        };
        let store = braking(Store::open(url).await?, brakes);
        let (inbox, other) = (inbox(&store, "agent").await?, inbox(&store, "other").await?);
        let same =
            |n: usize, to: &[&str]| saying("same", false, submission(&n.to_string(), &inbox, to));
        let twice = [same(0, &[BOB]), same(1, &[BOB, "1@x.example"]), same(2, &[BOB])];
        assert_eq!(refused(&enter(&store, &twice).await?), (2, Some("identical_content")));
        let fan_out = [same(3, &["2@x.example", "3@x.example"]), same(4, &["4@x.example"])];
        assert_eq!(refused(&enter(&store, &fan_out).await?), (1, Some("identical_content")));
        assert_eq!(enter(&store, &[same(5, &["2@x.example"])]).await?, [None], "who had it once");
        let elsewhere = saying("same", false, submission("5", &other, &[BOB]));
        assert_eq!(enter(&store, &[elsewhere]).await?, [None]);

        let again = saying("same", false, submission("again", &inbox, &["5@x.example"]));
        assert!(store.writer.objection(&again).await?.is_some());
        sqlx::any::install_default_drivers();
        let url = url.replace("post house", "post%20house");
        let mut connection = sqlx::AnyConnection::connect(&url).await?;
        connection.execute("UPDATE sendings SET sent_at = sent_at - 3600000000").await?;
        connection.close().await?;
        assert_eq!(store.writer.objection(&again).await?, None, "an hour later");
        assert_eq!(store.writer.forget_sendings().await?, 7);
        store.close().await;
        Ok(())
    })
    .await;
}

/// The count holds whoever enters what is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_share_a_brake() {
    on_both_urls(async |url| {
        store::migrate(url).await?;
        let brakes = || Brakes { automatic_per_hour: 10, ..Brakes::default() };
        let stores = [
            braking(Store::open(url).await?, brakes()),
            braking(Store::open(url).await?, brakes()),
        ];
        let inbox = inbox(&stores[0], "agent").await?;
        let tasks: Vec<_> = (0..8_usize)
            .map(|n| {
                let store = stores[n % 2].clone();
                let key = |it: usize| format!("{n}-{it}");
                let batch: Vec<_> = (0..5)
                    .map(|it| saying(&key(it), true, submission(&key(it), &inbox, &[BOB])))
                    .collect();
                tokio::spawn(async move { enter(&store, &batch).await })
            })
            .collect();
        let mut passed = 0;
        for task in tasks {
            passed += task.await??.iter().filter(|it| it.is_none()).count();
        }
        assert_eq!(passed, 10);
        for store in stores {
            store.close().await;
        }
        Ok(())
    })
    .await;
}
