//! What operators do: on record, suspended, traced, given up.

use std::{collections::BTreeSet, time::Duration};

use contract::Action;
use store::{OperatorAct, QueueFilter, Store, Suspension, SuspensionScope};
use tokio::time::{Instant, sleep};

use crate::fixture::{ACCOUNT, inbox, inbox_of, mail, now, on_both, report, submission};

fn suspension(scope: SuspensionScope, target: &str, until: Option<i64>) -> Suspension {
    Suspension {
        scope,
        target: target.to_owned(),
        since: 0,
        until,
        who: "ann@bastion".to_owned(),
        reason: "too loud".to_owned(),
    }
}

async fn released(store: &Store) -> anyhow::Result<Vec<String>> {
    let released = store.writer.release(&[], 100).await?;
    Ok(released.mails.into_iter().map(|it| it.mail_id).collect())
}

#[tokio::test]
async fn what_was_begun_stays_on_record() {
    on_both(async |store| {
        let act = OperatorAct {
            who: "ann@bastion".to_owned(),
            command: "dead drop".to_owned(),
            target: "7".to_owned(),
            reason: "a \0 test".to_owned(),
            ..OperatorAct::default()
        };
        let first = store.writer.begin_act(&act).await?;
        store.writer.begin_act(&OperatorAct { target: "8".to_owned(), ..act }).await?;
        store.writer.end_act(&first, "failed", "it was gone").await?;
        let acts = store.reader.operator_audit(0, 10).await?;
        let seen: Vec<_> = acts.iter().map(|it| (&*it.target, &*it.outcome, &*it.detail)).collect();
        anyhow::ensure!(seen == [("8", "begun", ""), ("7", "failed", "it was gone")], "{seen:?}");
        anyhow::ensure!(store.reader.operator_audit(now() + 60_000_000, 10).await?.is_empty());
        anyhow::ensure!(store.reader.operator_audit(0, 1).await?.len() == 1);
        let clock = store.reader.clock().await?;
        anyhow::ensure!((clock - now()).abs() < 60_000_000, "{clock}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_suspended_inbox_keeps_its_mail_and_others_go() {
    on_both(async |store| {
        let (loud, quiet) = (inbox(&store, "loud").await?, inbox(&store, "quiet").await?);
        let held = suspension(SuspensionScope::Inbox, &loud.id, None);
        store.writer.suspend(&held).await?;
        let mails =
            [submission("one", &loud, &["b@b.test"]), submission("two", &quiet, &["b@b.test"])];
        let entered = store.writer.enter(&mails).await?;
        let to_send: Vec<bool> = entered.iter().map(|it| it.to_send).collect();
        anyhow::ensure!(to_send == [false, true], "{to_send:?}");
        anyhow::ensure!(released(&store).await?.is_empty());
        anyhow::ensure!(store.reader.outbox_agenda().await?.next_release.is_none());
        let suspended = store.reader.suspensions().await?;
        anyhow::ensure!(suspended[0].reason == "too loud" && suspended[0].since > 0);

        anyhow::ensure!(store.writer.resume(held.scope, &held.target).await?);
        anyhow::ensure!(!store.writer.resume(held.scope, &held.target).await?, "only once");
        anyhow::ensure!(released(&store).await? == [mails[0].mail_id.clone()]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_suspended_account_goes_on_by_itself() {
    on_both(async |store| {
        let inbox = inbox(&store, "loud").await?;
        crate::fixture::account(&store, "acct_2").await?;
        let other = inbox_of(&store, "acct_2", "other").await?;
        let until = now() + 1_500_000;
        let held = suspension(SuspensionScope::Account, ACCOUNT, Some(until));
        store.writer.suspend(&held).await?;
        let mails =
            [submission("one", &inbox, &["b@b.test"]), submission("two", &other, &["b@b.test"])];
        let entered = store.writer.enter(&mails).await?;
        let to_send: Vec<bool> = entered.iter().map(|it| it.to_send).collect();
        anyhow::ensure!(to_send == [false, true] || now() >= until, "{to_send:?}");
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut gone: Vec<String> = entered
            .iter()
            .zip(&mails)
            .filter(|it| it.0.to_send)
            .map(|it| it.1.mail_id.clone())
            .collect();
        while gone.len() < 2 {
            anyhow::ensure!(Instant::now() < deadline, "{gone:?}");
            gone.extend(released(&store).await?);
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::ensure!(now() >= until, "not before its time");
        anyhow::ensure!(store.reader.suspensions().await?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mail_is_found_by_all_that_is_known_of_it() {
    on_both(async |store| {
        let inbox = inbox(&store, "ada").await?;
        let sent = submission("key-1", &inbox, &["Bob@B.test", "carl@c.test"]);
        store.writer.enter(std::slice::from_ref(&sent)).await?;
        store
            .writer
            .report(&[report(&sent.mail_id, 1, &[("Bob@B.test", Action::Delivered)])])
            .await?;
        for number in 1..=3 {
            store.writer.store(&[mail(number, &[&inbox])]).await?;
        }
        let id = sent.mail_id.as_str();
        for sought in [id, "key-1", "key-1@posthouse.localhost", "bob@b.test", "CARL@C.TEST"] {
            let found = store.reader.trace(sought, 10).await?;
            let ids: Vec<&str> = found.iter().map(|it| it.email_id.as_str()).collect();
            anyhow::ensure!(ids == [id], "{sought}: {ids:?}");
        }
        let received = store.reader.trace(&inbox.address, 2).await?;
        let numbers: Vec<&str> = received.iter().map(|it| it.mail_id.as_str()).collect();
        anyhow::ensure!(numbers == ["mail_0003", "mail_0002"], "the newest: {numbers:?}");
        let one = store.reader.trace("2@example.com", 10).await?;
        anyhow::ensure!(one.len() == 1 && one[0].direction == "inbound", "{one:?}");
        anyhow::ensure!(store.reader.trace("nothing", 10).await?.is_empty());

        let found = store.reader.trace(id, 10).await?.remove(0);
        let request = found.request.clone().expect("a request");
        anyhow::ensure!(request.idempotency_key == "key-1" && request.rejection.is_none());
        let life = store.reader.life(found).await?;
        let actions: Vec<&str> = life.recipients.iter().map(|it| it.action.as_str()).collect();
        anyhow::ensure!(actions == ["delivered", ""], "{actions:?}");
        anyhow::ensure!(life.hold.is_none() && life.turn.is_some_and(|it| it.state == "attempted"));
        anyhow::ensure!(store.reader.calls_about(ACCOUNT, &["evt_1".into()]).await?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn waiting_mail_is_seen_and_given_up() {
    on_both(async |store| {
        let inbox = inbox(&store, "ada").await?;
        store.writer.suspend(&suspension(SuspensionScope::Inbox, &inbox.id, None)).await?;
        let mails = [
            submission("one", &inbox, &["b@B.test"]),
            submission("two", &inbox, &["b@b.test", "c@c.test"]),
        ];
        store.writer.enter(&mails).await?;
        let queued = async |filter: QueueFilter| -> anyhow::Result<usize> {
            Ok(store.reader.queued(&filter, 10).await?.len())
        };
        let any = QueueFilter::default();
        let domain = |it: &str| QueueFilter { domain: Some(it.to_owned()), ..any.clone() };
        anyhow::ensure!(queued(any.clone()).await? == 2);
        anyhow::ensure!(
            queued(domain("b.test")).await? == 2 && queued(domain("c.test")).await? == 1
        );
        let of_other = QueueFilter { account_id: Some("acct_2".to_owned()), ..any.clone() };
        anyhow::ensure!(queued(of_other).await? == 0);
        anyhow::ensure!(store.reader.queued(&any, 1).await?.len() == 1);

        let meant = [(mails[0].mail_id.clone(), inbox.id.clone())];
        let given_up = store.writer.give_up(&meant, "by the operator: too late").await?;
        anyhow::ensure!(given_up == [mails[0].mail_id.clone()]);
        anyhow::ensure!(store.writer.give_up(&meant, "again").await?.is_empty(), "it has left");
        let news = store.reader.news().await?;
        anyhow::ensure!(news.len() == 1 && news[0].event == "email.expired", "{news:?}");
        let recipient = &news[0].email.recipients[0];
        anyhow::ensure!(recipient.action == "failed" && recipient.status == "4.4.7");
        anyhow::ensure!(recipient.diagnostic == "by the operator: too late", "{recipient:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_address_is_suppressed_for_everybody_until_it_is_lifted() {
    on_both(async |store| {
        crate::fixture::account(&store, ACCOUNT).await?;
        let addresses: BTreeSet<String> = ["Bob@B.test".to_owned(), "c@c.test".to_owned()].into();
        store.writer.suppress_for_all(&addresses, "manual", "asked for").await?;
        let asked = ["bob@b.test".to_owned(), "d@d.test".to_owned()];
        let suppressed = async || store.reader.suppressed(ACCOUNT, &asked).await;
        let found = suppressed().await?;
        anyhow::ensure!(found.len() == 1 && found[0].address == "bob@b.test", "{found:?}");
        store.writer.lift_global_suppression("bob@b.test").await?;
        anyhow::ensure!(suppressed().await?.is_empty());
        store.writer.suppress_for_all(&addresses, "manual", "again").await?;
        anyhow::ensure!(suppressed().await?[0].evidence == "again");
        Ok(())
    })
    .await;
}
