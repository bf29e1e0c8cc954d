use contract::{Action, DeliveryReported, RecipientReport};
use sqlx::{Connection as _, Executor as _};
use store::{Brakes, Breakers, Inbox, InboxState, Policy, Standing, Store, Switched, Tally, Whose};

use crate::fixture::{ACCOUNT, account, inbox, inbox_of, on_both, on_both_urls, submission};

/// Four recipients are enough.
fn breakers() -> Breakers {
    Breakers {
        bounce_min_recipients: 4,
        bounce_min: 1,
        complaint_min_delivered: 2,
        complaint_min: 1,
        ..Breakers::default()
    }
}

fn judging(store: Store) -> Store {
    let is_bounce = |it: &RecipientReport| it.status == "5.1.1";
    let policy = Policy { breakers: breakers(), brakes: Brakes::released(), is_bounce };
    Store { writer: store.writer.judging(policy), ..store }
}

/// What became of recipient number n.
fn report(mail_id: &str, attempt: u32, outcomes: &[(usize, Action, &str)]) -> DeliveryReported {
    let recipients = outcomes.iter().map(|(n, action, said)| RecipientReport {
        forward_path: format!("{n}@example.net"),
        action: (*action).into(),
        status: said.split(' ').next().unwrap_or_default().to_owned(),
        diagnostic: (*said).to_owned(),
        ..RecipientReport::default()
    });
    DeliveryReported {
        mail_id: mail_id.to_owned(),
        domain: "example.net".to_owned(),
        attempt,
        recipients: recipients.collect(),
        ..DeliveryReported::default()
    }
}

/// The identifier of a mail to so many recipients.
async fn sent(
    store: &Store,
    inbox: &Inbox,
    key: &str,
    recipients: usize,
) -> anyhow::Result<String> {
    let to: Vec<String> = (0..recipients).map(|n| format!("{n}@example.net")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let submitted = submission(key, inbox, &to);
    store.writer.enter(std::slice::from_ref(&submitted)).await?;
    Ok(submitted.mail_id)
}

/// Sends a mail of which so many are delivered and so many bounce.
async fn send(
    store: &Store,
    inbox: &Inbox,
    key: &str,
    ok: usize,
    bad: usize,
) -> anyhow::Result<()> {
    let mail_id = sent(store, inbox, key, ok + bad).await?;
    let outcomes: Vec<_> = (0..ok)
        .map(|n| (n, Action::Delivered, "2.0.0"))
        .chain((ok..ok + bad).map(|n| (n, Action::Failed, "5.1.1 who?")))
        .collect();
    store.writer.report(&[report(&mail_id, 1, &outcomes)]).await?;
    Ok(())
}

async fn tally(store: &Store, inbox: &Inbox) -> anyhow::Result<Tally> {
    Ok(store.reader.tally(Whose::Inbox(&inbox.id), &breakers()).await?)
}

async fn events(store: &Store, inbox: &Inbox) -> anyhow::Result<Vec<String>> {
    let changes = store.reader.standing_changes(&inbox.id, 10).await?;
    Ok(changes.into_iter().rev().map(|it| it.event).collect())
}

async fn standing(store: &Store, inbox: &Inbox) -> anyhow::Result<Standing> {
    Ok(store.reader.standing(inbox).await?)
}

#[tokio::test]
async fn each_recipient_counts_once() {
    on_both(async |store| {
        let store = judging(store);
        let inbox = inbox(&store, "agent").await?;
        let mail_id = sent(&store, &inbox, "k", 6).await?;
        let first = report(
            &mail_id,
            1,
            &[
                (0, Action::Delivered, "2.0.0"),
                (1, Action::Delayed, "4.7.1 later"),
                (2, Action::Failed, "5.1.1 who?"),
                (3, Action::Failed, "5.7.1 spam"),
                (4, Action::Failed, "suppressed: recipient_unknown: 5.1.1"),
            ],
        );
        let second = report(&mail_id, 2, &[(1, Action::Delayed, "4.7.1 later")]);
        let third = report(&mail_id, 3, &[(1, Action::Delivered, "2.0.0")]);
        let late = report(&mail_id, 4, &[(1, Action::Failed, "5.1.1 who?")]);
        for reports in [vec![first.clone(), first.clone()], vec![second], vec![third, first, late]]
        {
            store.writer.report(&reports).await?;
        }
        let expected = Tally {
            attempted: 4,
            delivered: 2,
            deferred: 1,
            bounced: 1,
            refused: 1,
            complained: 0,
            suppressed: 1,
        };
        assert_eq!(tally(&store, &inbox).await?, expected);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_writer_without_a_policy_counts_nothing() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        send(&store, &inbox, "k", 0, 8).await?;
        assert_eq!(tally(&store, &inbox).await?, Tally::default());
        let standing = standing(&store, &inbox).await?;
        assert_eq!((standing.state, standing.since), (InboxState::Good, inbox.created_at));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_inbox_is_warned_and_stopped_and_its_neighbour_is_not() {
    on_both(async |store| {
        let store = judging(store);
        let (noisy, quiet) = (inbox(&store, "noisy").await?, inbox(&store, "quiet").await?);
        send(&store, &quiet, "q", 3, 0).await?;
        send(&store, &noisy, "1", 14, 1).await?;
        let warned = standing(&store, &noisy).await?;
        assert_eq!(warned.state, InboxState::Warned);
        assert!(
            warned.explanation.starts_with("1 of 15 recipients bounced (6.67 %)"),
            "{warned:?}"
        );
        assert_eq!(warned.refusal(&noisy.id), None);
        send(&store, &noisy, "2", 1, 1).await?;
        send(&store, &noisy, "3", 100, 0).await?;
        let stopped = standing(&store, &noisy).await?;
        assert_eq!(stopped.state, InboxState::Stopped, "for good");
        assert!(stopped.explanation.starts_with("2 of 17"), "{stopped:?}");
        assert_eq!(events(&store, &noisy).await?, ["inbox.warned", "inbox.stopped"]);
        assert_eq!(standing(&store, &quiet).await?.state, InboxState::Good);
        assert_eq!(events(&store, &quiet).await?, [""; 0]);
        assert_eq!(store.reader.troubled_inboxes().await?, (0, 1));

        // What it asks for now is refused, in the transaction itself; what is known is repeated.
        let refused = [submission("4", &noisy, &["bob@example.net"]), submission("q", &quiet, &[])];
        let entered = store.writer.enter(&refused).await?;
        let rejection = entered[0].entry.rejection.as_ref().expect("a rejection");
        assert_eq!((&*rejection.code, entered[0].to_send), ("inbox_stopped", false));
        assert!(rejection.message.contains("2 of 17"), "{}", rejection.message);
        assert_eq!(entered[0].email.to, ["bob@example.net"]);
        assert!(entered[1].repeated && entered[1].entry.rejection.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_warning_is_lifted_by_better_mail() {
    on_both(async |store| {
        let store = judging(store);
        let inbox = inbox(&store, "agent").await?;
        send(&store, &inbox, "1", 14, 1).await?;
        send(&store, &inbox, "2", 8, 0).await?;
        assert_eq!(standing(&store, &inbox).await?.state, InboxState::Warned, "4.3 % is close");
        send(&store, &inbox, "3", 10, 0).await?;
        let standing = standing(&store, &inbox).await?;
        assert_eq!((standing.state, &*standing.explanation), (InboxState::Good, ""));
        assert_eq!(events(&store, &inbox).await?, ["inbox.warned", "inbox.cleared"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_complaint_counts_once() {
    on_both(async |store| {
        let store = judging(store);
        let inbox = inbox(&store, "agent").await?;
        send(&store, &inbox, "k", 4, 0).await?;
        let mail_id = submission("k", &inbox, &[]).mail_id;
        assert!(store.writer.note_complaint(&mail_id, "0@Example.net").await?);
        assert!(!store.writer.note_complaint(&mail_id, "0@example.net").await?);
        assert!(!store.writer.note_complaint("eml_unknown", "0@example.net").await?);
        assert_eq!(tally(&store, &inbox).await?.complained, 1);
        let standing = standing(&store, &inbox).await?;
        assert_eq!(standing.state, InboxState::Stopped);
        assert!(standing.explanation.starts_with("1 of 4 delivered mails"), "{standing:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_operator_stops_and_resumes_and_nothing_before_counts() {
    on_both(async |store| {
        let judge = judging(store.clone());
        let inbox = inbox(&store, "agent").await?;
        send(&judge, &inbox, "1", 2, 2).await?;
        let Switched::Unchanged(stopped) = store.writer.stop_inbox(&inbox, "again").await? else {
            panic!("stopped twice");
        };
        assert!(stopped.explanation.starts_with("2 of 4"), "{stopped:?}");
        let Switched::Done(resumed) = store.writer.resume_inbox(&inbox).await? else {
            panic!("it was stopped");
        };
        assert_eq!((resumed.state, resumed.counted_from), (InboxState::Good, resumed.since));
        let again = store.writer.resume_inbox(&inbox).await?;
        assert_eq!(again, Switched::Unchanged(resumed));
        assert_eq!(tally(&store, &inbox).await?, Tally::default());
        send(&judge, &inbox, "2", 4, 0).await?;
        assert_eq!(standing(&store, &inbox).await?.state, InboxState::Good);
        assert_eq!(tally(&store, &inbox).await?.delivered, 4);

        store.writer.stop_inbox(&inbox, "spam\0 at the door").await?;
        let standing = standing(&store, &inbox).await?;
        assert_eq!(standing.explanation, "spam at the door");
        let refusal = standing.refusal(&inbox.id).expect("stopped");
        assert!(refusal.message.contains("by the operator: spam"), "{}", refusal.message);
        assert_eq!(
            events(&store, &inbox).await?,
            ["inbox.stopped", "inbox.resumed", "inbox.stopped"]
        );
        let last = store.reader.standing_changes(&inbox.id, 1).await?;
        assert_eq!(last[0].standing.reason.as_deref(), Some("operator"));
        assert_eq!(last[0].standing.figures.as_ref().map(|it| it.delivered), Some(4));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn changes_wait_until_they_are_announced() {
    on_both(async |store| {
        let store = judging(store);
        let inbox = inbox(&store, "agent").await?;
        send(&store, &inbox, "1", 14, 1).await?;
        send(&store, &inbox, "2", 0, 4).await?;
        let changes = store.reader.unannounced(10).await?;
        let names: Vec<_> = changes.iter().map(|it| (it.number, it.event.as_str())).collect();
        assert_eq!(names, [(1, "inbox.warned"), (2, "inbox.stopped")]);
        assert_eq!((&*changes[0].account_id, &*changes[0].inbox_id), (ACCOUNT, &*inbox.id));
        assert_eq!(changes[0].standing.figures.as_ref().map(|it| it.bounced), Some(1));
        assert!(store.writer.announced(&inbox.id, 1).await?);
        assert!(!store.writer.announced(&inbox.id, 1).await?, "somebody else's");
        assert_eq!(store.reader.unannounced(10).await?, changes[1..]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn inboxes_add_up_to_domains_and_accounts() {
    on_both(async |store| {
        let store = judging(store);
        account(&store, "acct_2").await?;
        let (first, second) = (inbox(&store, "first").await?, inbox(&store, "second").await?);
        let foreign = inbox_of(&store, "acct_2", "foreign").await?;
        for (inbox, delivered) in [(&first, 1), (&second, 2), (&foreign, 4)] {
            send(&store, inbox, "k", delivered, 0).await?;
        }
        let domain = "posthouse.localhost";
        for (whose, expected) in [
            (Whose::Inbox(&first.id), 1),
            (Whose::Account(ACCOUNT), 3),
            (Whose::AccountOnDomain(ACCOUNT, domain), 3),
            (Whose::AccountOnDomain(ACCOUNT, "example.org"), 0),
            (Whose::Domain(domain), 7),
        ] {
            let tally = store.reader.tally(whose, &breakers()).await?;
            assert_eq!(tally.delivered, expected, "{whose:?}");
        }
        // A purged inbox has sent what it sent.
        store.writer.stop_inbox(&first, "gone").await?;
        store.writer.delete_inbox(ACCOUNT, &first.id).await?;
        assert_eq!(store.writer.purge_inboxes(i64::MAX).await?, 1);
        let tally = store.reader.tally(Whose::Account(ACCOUNT), &breakers()).await?;
        assert_eq!(tally.delivered, 3);
        assert_eq!(store.reader.unannounced(10).await?, []);
        Ok(())
    })
    .await;
}

/// Two processes that report at once: nothing is lost, and only one of them crosses the line.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_count_everything_and_stop_once() {
    on_both_urls(async |url| {
        store::migrate(url).await?;
        let stores = [judging(Store::open(url).await?), judging(Store::open(url).await?)];
        let (a, b) = (inbox(&stores[0], "a").await?, inbox(&stores[0], "b").await?);
        let mut reports = Vec::new();
        for n in 0..40 {
            for inbox in [&a, &b] {
                let mail_id = sent(&stores[0], inbox, &n.to_string(), 2).await?;
                let outcomes = [(0, Action::Delivered, "2.0.0"), (1, Action::Failed, "5.1.1 no")];
                reports.push(report(&mail_id, 1, &outcomes));
            }
        }
        let tasks: Vec<_> = (0..8_usize)
            .map(|n| {
                let store = stores[n % 2].clone();
                // Each report comes twice, and the inboxes in different orders.
                let mut batch: Vec<_> = reports[n / 2 * 20..][..20].to_vec();
                if n % 2 == 1 {
                    batch.reverse();
                }
                tokio::spawn(async move { store.writer.report(&batch).await })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        for inbox in [&a, &b] {
            let tally = tally(&stores[0], inbox).await?;
            assert_eq!((tally.attempted, tally.delivered, tally.bounced), (80, 40, 40));
            assert_eq!(events(&stores[1], inbox).await?, ["inbox.stopped"]);
        }
        for store in stores {
            store.close().await;
        }
        Ok(())
    })
    .await;
}

async fn edit(url: &str, statement: &'static str) -> anyhow::Result<()> {
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(url).await?;
    connection.execute(statement).await?;
    connection.close().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_older_than_the_window_does_not_count() {
    on_both_urls(async |url| {
        store::migrate(url).await?;
        let store = judging(Store::open(url).await?);
        let inbox = inbox(&store, "agent").await?;
        send(&store, &inbox, "1", 14, 1).await?;
        let url = url.replace("post house", "post%20house");
        edit(&url, "UPDATE tallies SET day = day - 6").await?;
        store.writer.review_warnings().await?;
        assert_eq!(tally(&store, &inbox).await?.bounced, 1, "the seventh day");
        assert_eq!(standing(&store, &inbox).await?.state, InboxState::Warned);
        edit(&url, "UPDATE tallies SET day = day - 1").await?;
        assert_eq!(tally(&store, &inbox).await?, Tally::default());
        store.writer.review_warnings().await?;
        assert_eq!(standing(&store, &inbox).await?.state, InboxState::Good);
        assert_eq!(events(&store, &inbox).await?, ["inbox.warned", "inbox.cleared"]);

        edit(&url, "UPDATE tallies SET day = day - 90").await?;
        store.writer.forget_tallies().await?;
        let longest = Breakers { window_days: 60_000, ..breakers() };
        let left = store.reader.tally(Whose::Inbox(&inbox.id), &longest).await?;
        assert_eq!(left, Tally::default());
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn others_see_what_is_judged_by() {
    on_both(async |store| {
        assert_eq!(store.reader.breakers().await?, Breakers::default());
        store.writer.publish_policy().await?;
        assert_eq!(store.reader.breakers().await?, Breakers::default(), "it has none");
        let judge = judging(store.clone());
        for _ in 0..2 {
            judge.writer.publish_policy().await?;
        }
        assert_eq!(store.reader.breakers().await?, breakers());
        Ok(())
    })
    .await;
}
