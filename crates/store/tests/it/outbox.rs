//! Mail that waits: for limits, for its time, for its turn.

use std::sync::Arc;

use contract::{Action, SubmissionAccepted};
use sqlx::{AnyConnection, Connection as _};
use store::{
    Cancelled, Inbox, Limit, LimitOverrides, LimitPolicy, Limits, Outcome, Released, Store,
    Submitted, WarmUp,
};

use crate::fixture::{ACCOUNT, inbox, inbox_of, now, on_both_urls, report, submission};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 3_600 * SECOND;

fn limited(limits: Limits) -> LimitPolicy {
    LimitPolicy { inbox: [limits; 5], ..LimitPolicy::default() }
}

fn per_minute(most: i64) -> LimitPolicy {
    limited(Limits { per_minute: most, ..Limits::default() })
}

async fn open(url: &str, policy: LimitPolicy) -> anyhow::Result<Store> {
    store::migrate(url).await?;
    Ok(Store::open(url).await?.under(policy))
}

/// A request that may carry times.
fn timed(key: &str, inbox: &Inbox, send_at: i64, expires_at: i64) -> Submitted {
    let mut submitted = submission(key, inbox, &["bob@example.net"]);
    if let Outcome::Composed(composed) = &mut submitted.outcome {
        composed.send_at = send_at;
        composed.handover.expires_at_micros = expires_at;
    }
    submitted
}

/// Enters so many mails to one recipient; returns how many go at once.
async fn enter(store: &Store, inbox: &Inbox, mails: usize, name: &str) -> anyhow::Result<usize> {
    let mails: Vec<Submitted> = (0..mails)
        .map(|n| submission(&format!("{name}{n:03}"), inbox, &["bob@example.net"]))
        .collect();
    let entered = store.writer.enter(&mails).await?;
    Ok(entered.iter().filter(|it| it.to_send).count())
}

fn ids(mails: &[SubmissionAccepted]) -> Vec<String> {
    mails.iter().map(|it| it.mail_id.clone()).collect()
}

fn id(inbox: &Inbox, key: &str) -> String {
    format!("eml_{}_{key}", inbox.id)
}

async fn release(store: &Store) -> anyhow::Result<Vec<String>> {
    Ok(ids(&store.writer.release(&[], 1_000).await?.mails))
}

async fn attempt(store: &Store, mail_ids: &[String]) -> anyhow::Result<()> {
    let reports: Vec<_> = mail_ids
        .iter()
        .map(|it| report(it, 1, &[("bob@example.net", Action::Delivered)]))
        .collect();
    store.writer.report(&reports).await?;
    Ok(())
}

/// Lets time pass, by moving everything into the past.
async fn pass(url: &str, micros: i64) -> anyhow::Result<()> {
    let mut connection = AnyConnection::connect(url).await?;
    for statement in [
        "UPDATE outbox SET due_at = due_at - $1, released_at = released_at - $1, \
         attempted_at = attempted_at - $1, expires_at = CASE WHEN expires_at > 0 \
         THEN expires_at - $1 ELSE 0 END",
        "UPDATE queues SET next_release = next_release - $1, \
         first_released_at = first_released_at - $1",
    ] {
        sqlx::query(statement).bind(micros).execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

async fn status(store: &Store, inbox: &Inbox, key: &str) -> anyhow::Result<String> {
    let email = store.reader.email(ACCOUNT, &inbox.id, &id(inbox, key)).await?;
    Ok(email.and_then(|it| it.status).unwrap_or_default())
}

#[tokio::test]
async fn what_is_over_the_limit_waits_and_says_so() {
    on_both_urls(async |url| {
        let store = open(url, per_minute(3)).await?;
        let inbox = inbox(&store, "agent").await?;
        assert_eq!(enter(&store, &inbox, 5, "a").await?, 3);
        let email = store.reader.email(ACCOUNT, &inbox.id, &id(&inbox, "a003")).await?;
        let email = email.expect("an email");
        assert_eq!(email.status.as_deref(), Some("held"));
        let reason = email.held_reason.as_deref();
        assert_eq!(reason, Some("this inbox may send 3 mails a minute"));
        assert!(email.held_until.is_some());
        assert_eq!(release(&store).await?, [] as [&str; 0], "three are under way");

        let sent: Vec<String> = (0..3).map(|n| id(&inbox, &format!("a{n:03}"))).collect();
        pass(url, 40 * SECOND).await?;
        attempt(&store, &sent).await?;
        pass(url, 30 * SECOND).await?;
        store.writer.wake_all_queues().await?;
        assert_eq!(release(&store).await?, [] as [&str; 0], "they count from the attempt on");
        pass(url, 31 * SECOND).await?;
        assert_eq!(release(&store).await?, [id(&inbox, "a003"), id(&inbox, "a004")]);
        assert_eq!(status(&store, &inbox, "a003").await?, "queued");
        let entry = store.reader.email(ACCOUNT, &inbox.id, &id(&inbox, "a003")).await?;
        assert_eq!(entry.and_then(|it| it.held_reason), None);
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_limit_is_passed_whoever_releases() {
    on_both_urls(async |url| {
        let stores = [open(url, per_minute(7)).await?, open(url, per_minute(7)).await?];
        let first = inbox(&stores[0], "first").await?;
        let second = inbox(&stores[0], "second").await?;
        let tasks: Vec<_> = (0..12_usize)
            .map(|n| {
                let store = stores[n % 2].clone();
                let inbox = if n % 4 < 2 { first.clone() } else { second.clone() };
                tokio::spawn(async move {
                    let name = format!("{n}-");
                    let sent = enter(&store, &inbox, 4, &name).await?;
                    anyhow::Ok(sent + release(&store).await?.len())
                })
            })
            .collect();
        let mut released = 0;
        for task in tasks {
            released += task.await??;
        }
        assert_eq!(released, 14, "seven of each");
        for store in &stores {
            store.writer.wake_all_queues().await?;
            assert_eq!(release(store).await?, [] as [&str; 0]);
            store.close().await;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn inboxes_take_turns_the_oldest_mail_first() {
    on_both_urls(async |url| {
        let store = open(url, LimitPolicy::default()).await?;
        let first = inbox(&store, "first").await?;
        let second = inbox(&store, "second").await?;
        assert_eq!(enter(&store, &first, 70, "a").await?, 64, "no more at once");
        assert_eq!(enter(&store, &second, 66, "b").await?, 64);
        assert_eq!(status(&store, &first, "a064").await?, "queued", "no limit holds it");
        let released = store.writer.release(&[], 4).await?;
        let expected = ["a064", "a065"].map(|it| id(&first, it));
        let mut found = ids(&released.mails);
        found.sort();
        let both =
            [expected[0].clone(), expected[1].clone(), id(&second, "b064"), id(&second, "b065")];
        assert_eq!(found, both);
        assert_eq!(release(&store).await?.len(), 4, "the rest of the first");
        assert_eq!(store.reader.outbox_agenda().await?.next_release, None);
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_quiet_inbox_passes_a_crowd() {
    on_both_urls(async |url| {
        let store = open(url, LimitPolicy::default()).await?;
        for n in 0..4 {
            let loud = inbox(&store, &format!("loud{n}")).await?;
            enter(&store, &loud, 70, "a").await?;
        }
        let served = store.writer.release(&[], 4).await?;
        assert_eq!(served.mails.len(), 4, "one of each");
        let quiet = inbox(&store, "quiet").await?;
        assert_eq!(enter(&store, &quiet, 4, "q").await?, 2, "few of it at once");
        let released = store.writer.release(&[], 5).await?;
        let first = &released.mails[0];
        assert_eq!(first.mail_id, id(&quiet, "q002"), "who begins to wait comes first");
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_waits_in_a_stopped_inbox_says_so() {
    on_both_urls(async |url| {
        let store = open(url, per_minute(1)).await?;
        let inbox = inbox(&store, "agent").await?;
        enter(&store, &inbox, 2, "m").await?;
        let shown = async || -> anyhow::Result<_> {
            let email = store.reader.email(ACCOUNT, &inbox.id, &id(&inbox, "m001")).await?;
            let email = email.expect("an email");
            Ok((email.status, email.held_reason, email.held_until))
        };
        let before = shown().await?;
        assert_eq!(before.0.as_deref(), Some("held"));
        assert!(before.1.is_some() && before.2.is_some(), "{before:?}");
        store.writer.stop_inbox(&inbox, "spam").await?;
        let stopped = Some("the inbox is stopped".to_owned());
        assert_eq!(shown().await?, (Some("held".to_owned()), stopped, None));
        let sent = store.reader.email(ACCOUNT, &inbox.id, &id(&inbox, "m000")).await?;
        assert_eq!(sent.expect("an email").held_reason, None, "that is on its way");
        store.writer.resume_inbox(&inbox).await?;
        assert_eq!(shown().await?, before);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mail_for_later_waits_for_its_time_and_then_for_its_limit() {
    on_both_urls(async |url| {
        let store = open(url, per_minute(1)).await?;
        let inbox = inbox(&store, "agent").await?;
        let send_at = now() + 3_600 * SECOND;
        let mails = [timed("one", &inbox, send_at, 0), timed("two", &inbox, send_at + 1, 0)];
        let entered = store.writer.enter(&mails).await?;
        assert!(entered.iter().all(|it| !it.to_send));
        let email = store.reader.email(ACCOUNT, &inbox.id, &id(&inbox, "one")).await?;
        let email = email.expect("an email");
        assert_eq!(email.status.as_deref(), Some("scheduled"));
        assert_eq!(email.send_at, Some(store::rfc3339(send_at)));
        assert_eq!(store.reader.outbox_agenda().await?.next_release, Some(send_at));
        assert_eq!(release(&store).await?, [] as [&str; 0]);
        assert_eq!(enter(&store, &inbox, 1, "now").await?, 1, "it lets others pass");
        attempt(&store, &[id(&inbox, "now000")]).await?;

        pass(url, 3_601 * SECOND).await?;
        let released = store.writer.release(&[], 100).await?;
        assert_eq!(ids(&released.mails), [id(&inbox, "one")]);
        assert!(released.mails[0].accepted_at_micros >= now() - 5 * SECOND, "free to go just now");
        assert_eq!(released.held, [Limit::Minute]);
        assert_eq!(status(&store, &inbox, "two").await?, "held");
        let news = store.reader.news().await?;
        assert_eq!((&*news[0].event, &*news[0].email.id), ("email.held", &*id(&inbox, "two")));
        store.writer.told_news(&[id(&inbox, "two")]).await?;
        assert_eq!(store.reader.news().await?, []);
        assert_eq!(status(&store, &inbox, "two").await?, "held");
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn mail_to_strangers_lets_mail_to_others_pass() {
    on_both_urls(async |url| {
        let limits = Limits { new_recipients_per_day: 2, ..Limits::default() };
        let store = open(url, limited(limits)).await?;
        let inbox = inbox(&store, "agent").await?;
        let to = |key: &str, to: &[&str]| submission(key, &inbox, to);
        let mails = [
            to("first", &["ann@x.example"]),
            to("many", &["p@x.example", "q@x.example", "r@x.example"]),
            to("two", &["bob@x.example", "carol@x.example"]),
            to("known", &["ANN@x.example"]),
            to("second", &["bob@x.example"]),
        ];
        let entered = store.writer.enter(&mails).await?;
        let statuses: Vec<&str> = entered.iter().map(|it| &*it.entry.status).collect();
        assert_eq!(statuses, ["queued", "rejected", "held", "queued", "queued"]);
        let refused = entered[1].entry.rejection.as_ref().expect("a rejection");
        assert_eq!(refused.code, "rate_limited");
        assert!(refused.message.contains("2 new recipients"), "{}", refused.message);
        assert_eq!(entered[2].held, Some(Limit::NewRecipients));
        assert_eq!(store.reader.usage(ACCOUNT).await?.emails_sent_today, 4);

        attempt(&store, &[id(&inbox, "first"), id(&inbox, "second")]).await?;
        pass(url, DAY - 60 * SECOND).await?;
        store.writer.wake_all_queues().await?;
        assert_eq!(release(&store).await?, [] as [&str; 0]);
        pass(url, 120 * SECOND).await?;
        assert_eq!(release(&store).await?, [id(&inbox, "two")], "both places are free again");
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_waits_can_be_called_back() {
    on_both_urls(async |url| {
        let limits = Limits { per_minute: 1, new_recipients_per_day: 5, ..Limits::default() };
        let store = open(url, limited(limits)).await?;
        let inbox = inbox(&store, "agent").await?;
        enter(&store, &inbox, 1, "a").await?;
        let waiting = submission("b", &inbox, &["carol@example.net"]);
        store.writer.enter(std::slice::from_ref(&waiting)).await?;
        let cancel = async |account, key| store.writer.cancel(account, &id(&inbox, key)).await;
        assert_eq!(cancel("acct_other", "b").await?, Cancelled::Unknown);
        assert_eq!(cancel(ACCOUNT, "b").await?, Cancelled::Done);
        assert_eq!(cancel(ACCOUNT, "b").await?, Cancelled::Done, "as often as one likes");
        assert_eq!(cancel(ACCOUNT, "a000").await?, Cancelled::TooLate("queued".to_owned()));
        assert_eq!(cancel(ACCOUNT, "unknown").await?, Cancelled::Unknown);
        assert_eq!(status(&store, &inbox, "b").await?, "cancelled");
        let news = store.reader.news().await?;
        assert_eq!((&*news[0].event, &*news[0].account_id), ("email.cancelled", ACCOUNT));
        store.writer.told_news(&[id(&inbox, "b")]).await?;
        assert_eq!(cancel(ACCOUNT, "b").await?, Cancelled::Done, "also when it is forgotten");

        let again = store.writer.enter(&[waiting]).await?;
        assert!(again[0].repeated && !again[0].to_send);
        pass(url, DAY).await?;
        assert_eq!(release(&store).await?, [] as [&str; 0]);
        assert_eq!(store.reader.outbox_agenda().await?, Default::default());
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn whose_time_is_over_is_given_up() {
    on_both_urls(async |url| {
        let store = open(url, per_minute(1)).await?;
        let inbox = inbox(&store, "agent").await?;
        enter(&store, &inbox, 1, "a").await?;
        let expires_at = now() + 30 * SECOND;
        store.writer.enter(&[timed("b", &inbox, 0, expires_at)]).await?;
        assert_eq!(store.reader.outbox_agenda().await?.next_expiry, Some(expires_at));
        assert_eq!(store.writer.expire_waiting().await?, 0);
        pass(url, 31 * SECOND).await?;
        assert_eq!(store.writer.expire_waiting().await?, 1);
        let email = store.reader.email(ACCOUNT, &inbox.id, &id(&inbox, "b")).await?;
        let email = email.expect("an email");
        assert_eq!((email.status.as_deref(), email.held_reason), (Some("expired"), None));
        let recipient = &email.recipients[0];
        assert_eq!((&*recipient.action, &*recipient.status), ("failed", "4.4.7"));
        let outgoing = store.reader.outgoing(&id(&inbox, "b")).await?.expect("a mail");
        assert_eq!(outgoing.open, [] as [&str; 0]);
        assert_eq!(store.reader.news().await?[0].event, "email.expired");
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_the_sender_gives_up_has_expired() {
    on_both_urls(async |url| {
        let store = open(url, LimitPolicy::default()).await?;
        let inbox = inbox(&store, "agent").await?;
        enter(&store, &inbox, 2, "a").await?;
        for (key, status) in [("a000", "4.4.7"), ("a001", "5.1.1")] {
            let mut given_up = report(&id(&inbox, key), 1, &[("bob@example.net", Action::Failed)]);
            given_up.recipients[0].status = status.to_owned();
            store.writer.report(&[given_up]).await?;
        }
        assert_eq!(status(&store, &inbox, "a000").await?, "expired");
        assert_eq!(status(&store, &inbox, "a001").await?, "bounced");
        store.close().await;
        Ok(())
    })
    .await;
}

/// A process died between the release and saying that it was published.
#[tokio::test]
async fn what_is_not_confirmed_is_found_again() {
    on_both_urls(async |url| {
        let store = open(url, per_minute(1)).await?;
        let inbox = inbox(&store, "agent").await?;
        enter(&store, &inbox, 2, "a").await?;
        attempt(&store, &[id(&inbox, "a000")]).await?;
        pass(url, 61 * SECOND).await?;
        let Released { mails, .. } = store.writer.release(&[], 9).await?;
        assert_eq!(ids(&mails), [id(&inbox, "a001")]);
        assert_eq!(store.reader.unconfirmed(mails[0].accepted_at_micros).await?, []);
        assert_eq!(store.reader.unconfirmed(now() + SECOND).await?, mails);
        assert!(store.reader.outbox_agenda().await?.unconfirmed_since.is_some());
        store.writer.confirm_released(&ids(&mails)).await?;
        assert_eq!(store.reader.unconfirmed(now() + SECOND).await?, []);
        assert_eq!(store.reader.outbox_agenda().await?, Default::default());

        pass(url, 61 * SECOND).await?;
        assert_eq!(enter(&store, &inbox, 1, "b").await?, 0, "it is under way still");
        attempt(&store, &ids(&mails)).await?;
        store.writer.confirm_released(&ids(&mails)).await?;
        pass(url, 61 * SECOND).await?;
        assert_eq!(release(&store).await?, [id(&inbox, "b000")], "and attempted for good");
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_operator_decides_for_an_inbox() {
    on_both_urls(async |url| {
        let store = open(url, per_minute(1)).await?;
        let inbox = inbox(&store, "agent").await?;
        assert_eq!(enter(&store, &inbox, 4, "a").await?, 1);
        let overrides = LimitOverrides { per_minute: Some(3), ..LimitOverrides::default() };
        store.writer.set_inbox_limits(&inbox.id, overrides).await?;
        assert_eq!(store.reader.inbox_limits(&inbox.id).await?, Some(overrides));
        assert_eq!(release(&store).await?.len(), 2, "at once");
        store.writer.set_inbox_limits(&inbox.id, LimitOverrides::default()).await?;
        assert_eq!(release(&store).await?, [] as [&str; 0]);
        assert_eq!(store.reader.inbox_limits("ibx_unknown").await?, None);
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_new_inbox_warms_up() {
    on_both_urls(async |url| {
        let policy =
            LimitPolicy { warm_up: WarmUp { first_day: 2, factor: 2.0 }, ..LimitPolicy::default() };
        let store = open(url, policy).await?;
        let inbox = inbox(&store, "agent").await?;
        assert_eq!(enter(&store, &inbox, 9, "a").await?, 2);
        attempt(&store, &[id(&inbox, "a000"), id(&inbox, "a001")]).await?;
        let email = store.reader.email(ACCOUNT, &inbox.id, &id(&inbox, "a002")).await?;
        let reason = email.and_then(|it| it.held_reason).expect("a reason");
        assert!(reason.contains("is new") && reason.contains("2 mails"), "{reason}");
        pass(url, DAY + SECOND).await?;
        assert_eq!(release(&store).await?.len(), 4);
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_account_has_its_day() {
    on_both_urls(async |url| {
        let policy = LimitPolicy { account_day: [Some(5); 5], ..LimitPolicy::default() };
        let store = open(url, policy).await?;
        let inboxes = [inbox(&store, "first").await?, inbox(&store, "second").await?];
        let inboxes = Arc::new(inboxes);
        let tasks: Vec<_> = (0..8_usize)
            .map(|n| {
                let (store, inboxes) = (store.clone(), Arc::clone(&inboxes));
                tokio::spawn(
                    async move { enter(&store, &inboxes[n % 2], 2, &format!("{n}-")).await },
                )
            })
            .collect();
        let mut sent = 0;
        for task in tasks {
            sent += task.await??;
        }
        assert_eq!(sent, 5);
        assert_eq!(store.reader.accepted_today(ACCOUNT).await?, 5);
        assert_eq!(store.reader.usage(ACCOUNT).await?.emails_sent_today, 5);
        let refused = store.writer.enter(&[submission("k", &inboxes[0], &["b@x.example"])]).await?;
        let rejection = refused[0].entry.rejection.as_ref().expect("a rejection");
        assert_eq!(rejection.code, "rate_limited");
        assert_eq!(refused[0].email.status.as_deref(), Some("rejected"));

        store.writer.ensure_account("acct_2", 1).await?;
        let other = inbox_of(&store, "acct_2", "other").await?;
        assert_eq!(enter(&store, &other, 1, "o").await?, 1, "the others' day is theirs");
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn old_rows_go_and_their_mails_stay() {
    on_both_urls(async |url| {
        let store = open(url, per_minute(1)).await?;
        let inbox = inbox(&store, "agent").await?;
        let first = submission("a", &inbox, &["bob@example.net"]);
        store.writer.enter(std::slice::from_ref(&first)).await?;
        attempt(&store, &[id(&inbox, "a")]).await?;
        enter(&store, &inbox, 1, "waiting").await?;
        assert_eq!(store.writer.purge_outbox().await?, 0);
        pass(url, 26 * 3_600 * SECOND).await?;
        assert_eq!(store.writer.purge_outbox().await?, 1);
        let again = store.writer.enter(&[first]).await?;
        assert!(!again[0].to_send, "it was sent, even if the outbox forgot");
        let backlog = store.reader.outbox_backlog().await?;
        assert!(backlog.waiting == 1 && backlog.oldest_due_at.is_some());
        store.close().await;
        Ok(())
    })
    .await;
}
