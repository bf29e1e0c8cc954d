//! Webhooks: who may see them, who works on them, and what is remembered.

use contract::EventSubject;
use store::{
    ATTEMPTS_KEPT, Lane, Leased, MOST_WEBHOOKS, NewWebhook, Round, Store, Switch, Webhook,
    WebhookAttempt, WebhookChange,
};

use crate::fixture::{ACCOUNT, account, now, on_both};

const LEASE: i64 = 60_000_000;

async fn made(store: &Store, id: &str) -> anyhow::Result<Webhook> {
    store.writer.ensure_account(ACCOUNT, 1).await?;
    let wanted = NewWebhook {
        id: id.to_owned(),
        account_id: ACCOUNT.to_owned(),
        inbox_id: None,
        url: "https://hook.example/".to_owned(),
        events: vec!["email.received".to_owned()],
        stream: 7,
        position: 10,
    };
    store.writer.create_webhook(&wanted).await?.ok_or_else(|| anyhow::anyhow!("too many"))
}

async fn leased(store: &Store, id: &str, owner: &str) -> anyhow::Result<Webhook> {
    match store.writer.lease_webhook(id, owner, LEASE).await? {
        Leased::Webhook(webhook) => Ok(*webhook),
        other => anyhow::bail!("{other:?}"),
    }
}

fn attempt(n: usize) -> WebhookAttempt {
    WebhookAttempt {
        id: format!("wha_{n:08}"),
        event_id: format!("evt_{}", n % 2),
        event: "email.received".to_owned(),
        inbox_id: "ibx_1".to_owned(),
        sequence: 11,
        attempt: 1,
        outcome: "failed".to_owned(),
        status: 0,
        error: "no answer\0".to_owned(),
        duration_ms: 5,
        attempted_at: now(),
        next_attempt_at: None,
    }
}

fn lane(inbox_id: &str, due_at: i64) -> Lane {
    Lane { inbox_id: inbox_id.to_owned(), sequence: 11, attempts: 1, due_at }
}

#[tokio::test]
async fn a_webhook_is_its_accounts_alone() {
    on_both(async |store| {
        account(&store, "acct_2").await?;
        let webhook = made(&store, "whk_1").await?;
        assert_eq!(store.reader.webhook(ACCOUNT, "whk_1").await?, Some(webhook.clone()));
        assert_eq!(store.reader.webhooks(ACCOUNT).await?, [webhook]);
        assert_eq!(store.reader.webhook("acct_2", "whk_1").await?, None);
        assert_eq!(store.reader.webhooks("acct_2").await?, []);
        let change = WebhookChange { switch: Some(Switch::Off), ..WebhookChange::default() };
        assert_eq!(store.writer.change_webhook("acct_2", "whk_1", &change).await?, None);
        assert_eq!(store.writer.rotate_webhook_secret("acct_2", "whk_1", 1).await?, None);
        assert!(!store.writer.delete_webhook("acct_2", "whk_1").await?);
        assert!(store.reader.webhook(ACCOUNT, "whk_1").await?.is_some_and(|it| it.enabled));
        assert!(store.writer.delete_webhook(ACCOUNT, "whk_1").await?);
        assert_eq!(store.reader.webhooks(ACCOUNT).await?, []);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_account_has_so_many() {
    on_both(async |store| {
        for n in 0..MOST_WEBHOOKS {
            made(&store, &format!("whk_{n}")).await?;
        }
        made(&store, "whk_more").await.expect_err("too many");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn it_changes_and_rotates() {
    on_both(async |store| {
        made(&store, "whk_1").await?;
        let change = WebhookChange {
            url: Some("https://other.example/".to_owned()),
            events: Some(Vec::new()),
            switch: None,
        };
        let changed = store.writer.change_webhook(ACCOUNT, "whk_1", &change).await?;
        let changed = changed.expect("its own");
        assert_eq!((&*changed.url, changed.events.len()), ("https://other.example/", 0));
        let nothing = WebhookChange::default();
        let unchanged = store.writer.change_webhook(ACCOUNT, "whk_1", &nothing).await?;
        assert_eq!(unchanged, Some(changed));
        let rotated = store.writer.rotate_webhook_secret(ACCOUNT, "whk_1", 99).await?;
        let rotated = rotated.expect("its own");
        assert_eq!((rotated.secret_number, rotated.previous_until), (2, 99));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn one_at_a_time_works_on_it_and_misses_nothing() {
    on_both(async |store| {
        made(&store, "whk_1").await?;
        let event = EventSubject::parse("mail.v1.event.acct_1.ibx_1.email.received");
        let wanted = store.reader.wanted_by_webhooks(&[ACCOUNT, "acct_2"]).await?;
        assert!(wanted.len() == 1 && wanted[0].wants(&event.expect("a subject")));
        let want =
            async |sequence| store.writer.want_webhooks(7, &[("whk_1".to_owned(), sequence)]).await;
        assert_eq!(want(12).await?, ["whk_1"], "nobody is at work on it");
        let webhook = leased(&store, "whk_1", "a").await?;
        assert_eq!((webhook.progress.stream, webhook.progress.position), (7, 10));
        let second = store.writer.lease_webhook("whk_1", "b", LEASE).await?;
        assert!(matches!(second, Leased::Busy { until } if until > now()));
        assert_eq!(want(14).await?, [""; 0]);
        assert_eq!(want(13).await?, [""; 0], "older ones change nothing");
        assert!(!store.writer.release_webhook("whk_1", "a", 13).await?, "there is more");
        assert!(store.writer.release_webhook("whk_1", "a", 14).await?);
        leased(&store, "whk_1", "b").await?;
        store.writer.drop_webhook("whk_1", "a").await?;
        let busy = store.writer.lease_webhook("whk_1", "c", LEASE).await?;
        assert!(matches!(busy, Leased::Busy { .. }), "it was not a's any more");
        store.writer.drop_webhook("whk_1", "b").await?;
        leased(&store, "whk_1", "c").await?;
        assert_eq!(store.writer.lease_webhook("whk_2", "c", LEASE).await?, Leased::Idle);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_round_is_written_whole_by_whoever_has_the_lease() {
    on_both(async |store| {
        made(&store, "whk_1").await?;
        let webhook = leased(&store, "whk_1", "a").await?;
        let mut round = Round {
            progress: webhook.progress.clone(),
            lanes: vec![lane("ibx_1", 50), lane("ibx_2", 40)],
            attempts: vec![attempt(1), attempt(2)],
            leased_until: now() + LEASE,
            ..Round::default()
        };
        round.progress.position = 20;
        round.progress.failing_since = Some(5);
        assert!(!store.writer.settle_webhook("whk_1", "b", &round).await?);
        assert_eq!(store.reader.lanes("whk_1", 10).await?, []);
        assert!(store.writer.settle_webhook("whk_1", "a", &round).await?);
        assert_eq!(store.reader.lanes("whk_1", 10).await?, [lane("ibx_2", 40), lane("ibx_1", 50)]);
        let asked = ["ibx_1", "ibx_3"].map(str::to_owned);
        assert_eq!(store.reader.waiting_lanes("whk_1", &asked).await?, ["ibx_1"]);

        let next = Round {
            progress: store.reader.webhook_by_id("whk_1").await?.expect("it is there").progress,
            lanes: vec![lane("ibx_1", 60)],
            done: vec!["ibx_2".to_owned()],
            disabled: Some("gone"),
            ..Round::default()
        };
        assert_eq!((next.progress.position, next.progress.failing_since), (20, Some(5)));
        assert!(store.writer.settle_webhook("whk_1", "a", &next).await?);
        assert_eq!(store.reader.lanes("whk_1", 10).await?, [lane("ibx_1", 60)]);
        let disabled = store.reader.webhook(ACCOUNT, "whk_1").await?.expect("it is there");
        assert_eq!((disabled.enabled, &*disabled.disabled_reason), (false, "gone"));
        let told = store.reader.announcements(10).await?;
        assert_eq!(told.iter().map(|it| &*it.event).collect::<Vec<_>>(), ["webhook.disabled"]);
        assert_eq!(store.writer.lease_webhook("whk_1", "c", LEASE).await?, Leased::Idle);
        assert!(!store.writer.settle_webhook("whk_1", "a", &next).await?, "it is disabled");

        let switch = async |switch| {
            let change = WebhookChange { switch: Some(switch), ..WebhookChange::default() };
            store.writer.change_webhook(ACCOUNT, "whk_1", &change).await
        };
        let off = switch(Switch::Off).await?.expect("its own");
        assert_eq!(off.disabled_reason, "gone", "it was off already");
        let on = switch(Switch::Resume).await?.expect("its own");
        assert_eq!((on.enabled, on.progress.position, on.progress.failing_since), (true, 20, None));
        assert_eq!(store.reader.lanes("whk_1", 10).await?[0].attempts, 0);
        let skipped = switch(Switch::Skip { stream: 8, position: 30 }).await?.expect("its own");
        assert_eq!((skipped.progress.stream, skipped.progress.position), (8, 30));
        assert_eq!(store.reader.count_lanes("whk_1").await?, 0);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn attempts_are_paged_found_by_event_and_bounded() {
    on_both(async |store| {
        made(&store, "whk_1").await?;
        let kept = usize::try_from(ATTEMPTS_KEPT)?;
        let webhook = leased(&store, "whk_1", "a").await?;
        let attempts = (0..kept + 10).map(attempt).collect();
        let round = Round { progress: webhook.progress, attempts, ..Round::default() };
        assert!(store.writer.settle_webhook("whk_1", "a", &round).await?);
        let page = async |event_id, limit, cursor: Option<&str>| {
            store.reader.webhook_attempts(ACCOUNT, "whk_1", event_id, limit, cursor).await
        };
        let all = page(None, 10_000, None).await?;
        assert_eq!(all.items.len(), kept);
        assert_eq!(all.items[0].error, "no answer", "PostgreSQL has no NUL");
        assert_eq!(all.cursor, None);
        let first = page(None, 2, None).await?;
        assert_eq!(first.items, all.items[..2]);
        let second = page(None, 2, first.cursor.as_deref()).await?;
        assert_eq!(second.items, all.items[2..4]);
        let of_one = page(Some("evt_1"), 3, None).await?.items;
        assert!(of_one.len() == 3 && of_one.iter().all(|it| it.event_id == "evt_1"));
        store.writer.note_webhook_attempt("whk_1", &attempt(99_999_999)).await?;
        assert_eq!(page(None, 1, None).await?.items[0].id, "wha_99999999");
        let foreign = store.reader.webhook_attempts("acct_2", "whk_1", None, 10, None).await?;
        assert_eq!(foreign.items, []);
        assert!(store.writer.delete_webhook(ACCOUNT, "whk_1").await?);
        store.writer.note_webhook_attempt("whk_1", &attempt(1)).await?;
        Ok(())
    })
    .await;
}
