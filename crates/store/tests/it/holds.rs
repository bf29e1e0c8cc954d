//! Mail that somebody has to approve.

use contract::HoldReason;
use store::{
    Cancelled, Decided, Decision, HoldFilter, Inbox, LimitPolicy, Limits, NewHold, Outcome, Store,
    Submitted,
};

use crate::fixture::{ACCOUNT, account, inbox, now, on_both, submission};

const SECOND: i64 = 1_000_000;

pub(crate) fn held(key: &str, inbox: &Inbox) -> Submitted {
    let mut submitted = submission(key, inbox, &["bob@example.net"]);
    let reason = HoldReason {
        kind: "secret".to_owned(),
        detail: "github_token".to_owned(),
        excerpt: "ghp_…9x (40 characters)".to_owned(),
        ..HoldReason::default()
    };
    submitted.scrutiny.hold =
        Some(NewHold { reasons: vec![reason], expires_after: 60 * SECOND, canary_ids: Vec::new() });
    submitted
}

fn octets(submitted: &Submitted) -> Vec<u8> {
    match &submitted.outcome {
        Outcome::Composed(composed) => composed.octets.clone(),
        Outcome::Rejected(_) => Vec::new(),
    }
}

async fn released(store: &Store) -> anyhow::Result<Vec<String>> {
    let released = store.writer.release(&[], 100).await?;
    Ok(released.mails.into_iter().map(|it| it.mail_id).collect())
}

async fn events(store: &Store) -> anyhow::Result<Vec<String>> {
    let of_holds = store.reader.hold_news().await?;
    let of_outbox = store.reader.news().await?;
    let ids = |news: &[store::News]| news.iter().map(|it| it.email.id.clone()).collect::<Vec<_>>();
    store.writer.told_holds(&ids(&of_holds)).await?;
    store.writer.told_news(&ids(&of_outbox)).await?;
    Ok(of_holds.into_iter().chain(of_outbox).map(|it| it.event).collect())
}

async fn status(store: &Store, email_id: &str) -> anyhow::Result<(String, String)> {
    let found = store.reader.email(ACCOUNT, "ibx_ada", email_id).await?.expect("an email");
    let hold = found.hold.expect("a hold");
    Ok((found.status.unwrap_or_default(), hold.state))
}

fn by(token: &str) -> Decision {
    Decision { by: token.to_owned(), ..Decision::default() }
}

fn all(limit: i64) -> HoldFilter<'static> {
    HoldFilter { limit, ..HoldFilter::default() }
}

fn done(status: &str) -> Decided {
    Decided::Done { status: status.to_owned() }
}

#[tokio::test]
async fn a_held_mail_goes_once_it_is_approved_and_lets_others_pass() {
    on_both(async |store| {
        let inbox = inbox(&store, "ada").await?;
        let submitted = held("held", &inbox);
        let id = submitted.mail_id.clone();
        let entered = store.writer.enter(std::slice::from_ref(&submitted)).await?;
        assert!(!entered[0].to_send && entered[0].held.is_none());
        let email = &entered[0].email;
        assert_eq!(email.status.as_deref(), Some("held"));
        assert_eq!(email.held_reason.as_deref(), Some("approval"));
        let hold = email.hold.clone().expect("a hold");
        assert_eq!((&*hold.state, &*hold.reasons[0].detail), ("waiting", "github_token"));
        assert!(hold.expires_at.is_some() && hold.decided_by.is_none());

        let other = submission("other", &inbox, &["bob@example.net"]);
        assert!(store.writer.enter(&[other]).await?[0].to_send, "it waits behind nobody");
        assert_eq!(released(&store).await?, [""; 0]);
        assert_eq!(store.reader.outbox_agenda().await?.next_release, None);

        // The same request once more.
        let again = Submitted { requested_at: 2_000_000, ..submitted.clone() };
        let again = &store.writer.enter(&[again]).await?[0];
        assert!(again.repeated && !again.to_send && again.email.hold.is_some());

        let seen = Decision {
            sha256: Some(hold.sha256.to_uppercase()),
            note: Some("It is a test key.".to_owned()),
            ..by("token")
        };
        assert_eq!(store.writer.approve(ACCOUNT, &id, &seen).await?, done("queued"));
        assert_eq!(store.writer.approve(ACCOUNT, &id, &seen).await?, done("queued"));
        let late = store.writer.decline(ACCOUNT, &id, &by("token")).await?;
        assert!(matches!(late, Decided::TooLate { state, .. } if state == "approved"));
        assert_eq!(released(&store).await?, [&*id]);
        assert_eq!(released(&store).await?, [""; 0], "once");
        let hold = store
            .reader
            .email(ACCOUNT, "ibx_ada", &id)
            .await?
            .and_then(|it| it.hold)
            .expect("hold");
        assert_eq!((&*hold.state, hold.decided_by.as_deref()), ("approved", Some("token")));
        assert_eq!(hold.note.as_deref(), Some("It is a test key."));
        let outgoing = store.reader.outgoing(&id).await?.expect("a mail to send");
        assert_eq!(outgoing.octets, octets(&submitted));
        assert_eq!(events(&store).await?, ["email.approved"]);
        assert_eq!(events(&store).await?, [""; 0], "said once");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_declined_mail_never_goes() {
    on_both(async |store| {
        let inbox = inbox(&store, "ada").await?;
        let submitted = held("held", &inbox);
        let id = submitted.mail_id.clone();
        store.writer.enter(&[submitted]).await?;
        assert_eq!(store.writer.decline(ACCOUNT, &id, &by("token")).await?, done("declined"));
        assert_eq!(store.writer.decline(ACCOUNT, &id, &by("token")).await?, done("declined"));
        let late = store.writer.approve(ACCOUNT, &id, &by("token")).await?;
        assert!(matches!(late, Decided::TooLate { state, .. } if state == "declined"));
        assert_eq!(status(&store, &id).await?, ("declined".to_owned(), "declined".to_owned()));
        assert_eq!(events(&store).await?, ["email.declined"]);
        assert_eq!(released(&store).await?, [""; 0]);
        let too_late = Cancelled::TooLate("declined".to_owned());
        assert_eq!(store.writer.cancel(ACCOUNT, &id).await?, too_late);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_nobody_decides_on_expires_and_what_is_called_back_is_closed() {
    on_both(async |store| {
        let inbox = inbox(&store, "ada").await?;
        let mut soon = held("soon", &inbox);
        soon.scrutiny.hold.as_mut().expect("a hold").expires_after = 0;
        let mut by_ttl = held("ttl", &inbox);
        if let Outcome::Composed(composed) = &mut by_ttl.outcome {
            composed.handover.expires_at_micros = now();
        }
        let later = held("later", &inbox);
        let ids = [&soon, &by_ttl, &later].map(|it| it.mail_id.clone());
        store.writer.enter(&[soon, by_ttl, later]).await?;
        assert!(store.reader.next_hold_expiry().await?.is_some_and(|it| it <= now()));
        assert_eq!(store.writer.expire_holds().await?, 2);
        assert_eq!(store.writer.expire_holds().await?, 0);
        assert_eq!(events(&store).await?, ["email.expired"; 2]);
        for id in &ids[..2] {
            let expired = "expired".to_owned();
            assert_eq!(status(&store, id).await?, (expired.clone(), expired));
            let late = store.writer.approve(ACCOUNT, id, &by("token")).await?;
            assert!(matches!(late, Decided::TooLate { .. }));
        }
        assert_eq!(store.writer.cancel(ACCOUNT, &ids[2]).await?, Cancelled::Done);
        let cancelled = "cancelled".to_owned();
        assert_eq!(status(&store, &ids[2]).await?, (cancelled.clone(), cancelled));
        assert_eq!(store.reader.next_hold_expiry().await?, None);
        assert_eq!(released(&store).await?, [""; 0]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn only_the_account_decides_and_only_on_what_it_has_seen() {
    on_both(async |store| {
        let inbox = inbox(&store, "ada").await?;
        account(&store, "acct_2").await?;
        let submitted = held("held", &inbox);
        let id = submitted.mail_id.clone();
        let free = submission("free", &inbox, &["bob@example.net"]);
        let free_id = free.mail_id.clone();
        store.writer.enter(&[submitted, free]).await?;
        let foreign = store.writer.approve("acct_2", &id, &by("token")).await?;
        assert_eq!(foreign, Decided::Unknown);
        assert_eq!(store.writer.decline("acct_2", &id, &by("token")).await?, Decided::Unknown);
        let unseen = Decision { sha256: Some("00".repeat(32)), ..by("token") };
        let differs = store.writer.approve(ACCOUNT, &id, &unseen).await?;
        assert!(matches!(differs, Decided::Differs { .. }));
        let never = store.writer.approve(ACCOUNT, &free_id, &by("token")).await?;
        assert!(matches!(never, Decided::NotHeld { .. }));

        assert_eq!(store.reader.holds("acct_2", &all(10), None).await?.items, []);
        let waiting = HoldFilter { state: Some("waiting"), ..all(10) };
        let page = store.reader.holds(ACCOUNT, &waiting, None).await?;
        assert_eq!(page.items.iter().map(|it| &it.id).collect::<Vec<_>>(), [&id]);
        let approved = HoldFilter { state: Some("approved"), ..all(10) };
        assert_eq!(store.reader.holds(ACCOUNT, &approved, None).await?.items, []);
        let of = |ids: &[&str]| ids.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for (seen, expected) in [(of(&["ibx_ada"]), 1), (of(&["ibx_bob"]), 0), (of(&[]), 0)] {
            let narrowed = HoldFilter { inbox_ids: Some(&seen), ..all(10) };
            let page = store.reader.holds(ACCOUNT, &narrowed, None).await?;
            assert_eq!(page.items.len(), expected, "{seen:?}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn holds_come_in_pages() {
    on_both(async |store| {
        let inbox = inbox(&store, "ada").await?;
        for n in 0..5 {
            store.writer.enter(&[held(&format!("held{n}"), &inbox)]).await?;
        }
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = store.reader.holds(ACCOUNT, &all(2), cursor.as_deref()).await?;
            seen.extend(page.items.into_iter().map(|it| it.id));
            let Some(next) = page.cursor else { break };
            cursor = Some(next);
        }
        let expected: Vec<String> = (0..5).rev().map(|n| format!("eml_ibx_ada_held{n}")).collect();
        assert_eq!(seen, expected);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_approved_mail_passes_the_limits_and_waits_for_its_time() {
    on_both(async |store| {
        let limits = Limits { per_minute: 1, ..Limits::default() };
        let policy = LimitPolicy { inbox: [limits; 5], ..LimitPolicy::default() };
        let store = store.under(policy);
        let inbox = inbox(&store, "ada").await?;
        let first = submission("first", &inbox, &["bob@example.net"]);
        let mut later = held("later", &inbox);
        if let Outcome::Composed(composed) = &mut later.outcome {
            composed.send_at = now() + 3_600 * SECOND;
        }
        let now_held = held("now", &inbox);
        let ids = [&now_held, &later].map(|it| it.mail_id.clone());
        store.writer.enter(&[first, now_held, later]).await?;
        assert_eq!(store.writer.approve(ACCOUNT, &ids[1], &by("token")).await?, done("scheduled"));
        assert_eq!(store.writer.approve(ACCOUNT, &ids[0], &by("token")).await?, done("queued"));
        assert_eq!(released(&store).await?, [""; 0], "the minute is used up");
        let email = store.reader.email(ACCOUNT, "ibx_ada", &ids[0]).await?.expect("an email");
        assert_eq!(email.status.as_deref(), Some("held"));
        assert!(email.held_reason.is_some_and(|it| it.contains("minute")));
        assert_eq!(email.hold.map(|it| it.state).as_deref(), Some("approved"));
        Ok(())
    })
    .await;
}
