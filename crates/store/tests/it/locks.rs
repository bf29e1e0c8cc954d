//! Whoever was told that nothing changes has let go of all locks when he hears it. On PostgreSQL a
//! transaction that is dropped keeps them for a while, and whoever skips what is locked misses it.

use std::fmt::Debug;

use sqlx::{Connection as _, PgConnection};
use store::{
    Cancelled, Change, Changed, Claim, ExpectationKind, Expected, NewExpectation, Requeued,
    Settled, Settlement, Store, Switched,
};

use crate::{
    fixture::{ACCOUNT, inbox, mail, now, store_one, submission},
    postgres,
    work::one,
};

/// So often each: it is a race that is lost by chance.
const TIMES: usize = 20;

struct Onlooker(PgConnection);

impl Onlooker {
    /// Does it, and looks at once whether a transaction was left open.
    async fn check<T: Debug>(
        &mut self,
        what: &str,
        mut act: impl AsyncFnMut() -> Result<T, store::Error>,
        is_expected: impl Fn(&T) -> bool,
    ) -> anyhow::Result<()> {
        for _ in 0..TIMES {
            let answer = act().await?;
            assert!(is_expected(&answer), "{what}: {answer:?}");
            let open: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND state LIKE 'idle in transaction%'",
            )
            .fetch_one(&mut self.0)
            .await?;
            assert_eq!(open, 0, "{what}: a transaction is open");
        }
        Ok(())
    }
}

#[tokio::test]
async fn who_hears_that_nothing_changes_holds_no_lock() -> anyhow::Result<()> {
    let Some(url) = postgres::database().await else { return Ok(()) };
    store::migrate(&url).await?;
    let store = Store::open(&url).await?;
    let mut onlooker = Onlooker(PgConnection::connect(&url).await?);
    outbound(&store, &mut onlooker).await?;
    work(&store, &mut onlooker).await?;
    settings(&store, &mut onlooker).await?;
    onlooker.0.close().await?;
    store.close().await;
    Ok(())
}

async fn outbound(store: &Store, onlooker: &mut Onlooker) -> anyhow::Result<()> {
    let inbox = inbox(store, "sender").await?;
    let writer = &store.writer;
    let sent = submission("sent", &inbox, &["bob@example.net"]);
    let id = sent.mail_id.clone();
    writer.enter(&[sent]).await?;
    let cancel = async || writer.cancel(ACCOUNT, &id).await;
    onlooker.check("cancel", cancel, |it| matches!(it, Cancelled::TooLate(_))).await?;
    let cancel = async || writer.cancel(ACCOUNT, "eml_0").await;
    onlooker.check("cancel nothing", cancel, |it| *it == Cancelled::Unknown).await?;
    writer.stop_inbox(&inbox, "test").await?;
    let stop = async || writer.stop_inbox(&inbox, "test").await;
    onlooker.check("stop again", stop, |it| matches!(it, Switched::Unchanged(_))).await?;
    let expire = async || writer.expire_holds().await;
    onlooker.check("expire holds", expire, |it| *it == 0).await
}

async fn work(store: &Store, onlooker: &mut Onlooker) -> anyhow::Result<()> {
    let inbox = inbox(store, "worker").await?;
    let writer = &store.writer;
    store_one(store, mail(1, &[&inbox])).await?;
    let lease = one(store, &inbox).await?;
    let requeue = async || writer.requeue(ACCOUNT, &lease.email_id).await;
    onlooker.check("requeue", requeue, |it| *it == Requeued::Done).await?;
    writer.settle_lease(ACCOUNT, &lease.id, Settlement::Ack).await?;
    let requeue = async || writer.requeue(ACCOUNT, &lease.email_id).await;
    onlooker.check("requeue too late", requeue, |it| *it == Requeued::Acked).await?;
    let ack = async || writer.settle_lease(ACCOUNT, &lease.id, Settlement::Ack).await;
    onlooker
        .check("ack again", ack, |it| matches!(it, Settled::Done { is_repeat: true, .. }))
        .await?;
    let extend = Settlement::Extend { lease: 1 };
    let extend = async || writer.settle_lease(ACCOUNT, &lease.id, extend).await;
    onlooker.check("extend", extend, |it| matches!(it, Settled::Lost(_))).await?;
    let pin = async || writer.pin_lease(ACCOUNT, &inbox.id, &lease.id, 1).await;
    onlooker.check("pin", pin, Option::is_some).await?;
    let (worker, key) = ("w", None);
    let claim = Claim { account_id: "acct_2", inbox_id: &inbox.id, most: 1, lease: 1, worker, key };
    let claim = async || writer.claim(&claim).await;
    onlooker.check("claim", claim, Option::is_none).await?;
    let sweep = async || writer.sweep_work().await;
    onlooker.check("sweep", sweep, |it| it.expired == 0).await
}

async fn settings(store: &Store, onlooker: &mut Onlooker) -> anyhow::Result<()> {
    let inbox = inbox(store, "settings").await?;
    let writer = &store.writer;
    let change = Change::default();
    let change = async || writer.change(ACCOUNT, "eml_0", &change).await;
    onlooker.check("label", change, |it| *it == Changed::Unknown).await?;
    let new = NewExpectation {
        account_id: ACCOUNT.to_owned(),
        inbox_id: inbox.id.clone(),
        idempotency_key: "k".to_owned(),
        kind: ExpectationKind::Any,
        in_reply_to: None,
        from_domain: None,
        deadline: now() + 60_000_000,
    };
    let expect = async || writer.expect(&new).await;
    onlooker.check("expect", expect, |it| matches!(it, Expected::Made(_))).await?;
    let attempts = async || writer.set_max_attempts("acct_2", &inbox.id, 3).await;
    onlooker.check("set", attempts, |it| !it).await
}
