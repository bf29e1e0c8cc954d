//! What tokens may do, what they have sent, who made and ended them.

use std::collections::BTreeSet;

use contract::{Grant, SendLimits};
use store::{AuditFilter, EmailFilter, Entered, Error, Inbox, NewToken, Store, Submitted, Token};

use crate::fixture::{ACCOUNT, account, edit, inbox, mail, now, on_both, store_one, submission};

fn new(hash: &str, grant: Grant) -> NewToken {
    NewToken { grant, ..NewToken::whole(hash, ACCOUNT) }
}

fn limited(mails: u32, per_seconds: Option<u32>) -> Grant {
    let limits = SendLimits { mails: Some(mails), per_seconds, recipients: None };
    Grant { limits, ..Grant::default() }
}

async fn token(store: &Store, hash: &str) -> Result<Token, Error> {
    Ok(store.reader.token(ACCOUNT, hash).await?.expect("a token"))
}

fn counted(key: &str, inbox: &Inbox, counted_for: &[String]) -> Submitted {
    let counted_for = counted_for.to_vec();
    Submitted { counted_for, ..submission(key, inbox, &["bob@example.net"]) }
}

fn refusal(entered: &Entered) -> Option<&str> {
    entered.entry.rejection.as_ref().map(|it| it.code.as_str())
}

#[tokio::test]
async fn what_a_token_may_comes_back_and_ends_at_its_time() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        let grant = Grant {
            inbox_ids: Some(vec!["ibx_1".to_owned()]),
            expires_at: Some(now() + 60_000_000),
            ..limited(2, Some(60))
        };
        let made = NewToken { label: "A job".to_owned(), ..new("hash 1", grant.clone()) };
        store.writer.add_token(&made).await?;
        store
            .writer
            .add_token(&new("hash 2", Grant { expires_at: Some(now() - 1), ..grant.clone() }))
            .await?;
        let bearer = store.reader.bearer("hash 1").await?.expect("a bearer");
        assert_eq!((bearer.token.grant, &*bearer.token.label), (grant, "A job"));
        assert_eq!(store.reader.bearer("hash 2").await?, None, "expired");
        assert!(store.reader.token(ACCOUNT, "hash 2").await?.is_some(), "it has its name still");
        assert_eq!(store.reader.token("acct_2", "hash 1").await?, None, "another's");
        assert_eq!(store.reader.token(ACCOUNT, "hash").await?, None, "the name of several");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn exactly_so_many_mails_are_accepted_and_repeats_are_no_mails() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store.writer.add_token(&new("hash 1", limited(2, None))).await?;
        let of = token(&store, "hash 1").await?.counted_for();
        assert_eq!(of, ["hash 1"]);
        let enter = async |keys: &[&str]| {
            let all: Vec<Submitted> = keys.iter().map(|key| counted(key, &inbox, &of)).collect();
            store.writer.enter(&all).await
        };
        assert_eq!(refusal(&enter(&["k1"]).await?[0]), None);
        let again = enter(&["k1", "k2", "k3"]).await?;
        let refusals: Vec<Option<&str>> = again.iter().map(refusal).collect();
        assert_eq!(
            refusals,
            [None, None, Some("token_limit")],
            "the last one of a batch is too many"
        );
        assert!(again[0].repeated);
        assert_eq!(refusal(&enter(&["k4"]).await?[0]), Some("token_limit"));
        let (over, free_at) =
            store.reader.over_limit(&token(&store, "hash 1").await?).await?.expect("over");
        assert_eq!((&*over.code, free_at), ("token_limit", None));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn tokens_at_once_share_what_is_left() {
    on_both(async |store| {
        let (one, two) = (inbox(&store, "one").await?, inbox(&store, "two").await?);
        store.writer.add_token(&new("hash 1", limited(3, Some(3600)))).await?;
        let of = token(&store, "hash 1").await?.counted_for();
        let attempts = (0..8).map(|n| {
            let inbox = if n % 2 == 0 { &one } else { &two };
            let mail = counted(&format!("k{n}"), inbox, &of);
            let store = store.clone();
            tokio::spawn(async move { store.writer.enter(&[mail]).await })
        });
        let mut accepted = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            let entered = attempt.await.expect("join")?;
            accepted += usize::from(refusal(&entered[0]).is_none());
        }
        assert_eq!(accepted, 3);
        let over = store.reader.over_limit(&token(&store, "hash 1").await?).await?;
        let free_at = over.expect("over").1.expect("a moment");
        assert!((free_at - now() - 3_600_000_000).abs() < 60_000_000, "{free_at}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_before_the_time_does_not_count() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store.writer.add_token(&new("hash 1", limited(1, Some(1)))).await?;
        let of = token(&store, "hash 1").await?.counted_for();
        let enter = async |key: &str| {
            let entered = store.writer.enter(&[counted(key, &inbox, &of)]).await?;
            Ok::<_, Error>(refusal(&entered[0]).map(str::to_owned))
        };
        assert_eq!(enter("k1").await?, None);
        let mut n = 2;
        // A second later at the latest; each key is used once.
        while enter(&format!("k{n}")).await?.is_some() {
            n += 1;
            assert!(n < 2_000, "never");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_child_counts_for_its_parent() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store.writer.add_token(&new("parent", limited(2, None))).await?;
        let parent = token(&store, "parent").await?;
        let grant = Grant { counted_for: parent.counted_for(), ..limited(1, None) };
        for child in ["child 1", "child 2", "child 3"] {
            let made_with = "parent".to_owned();
            store.writer.add_token(&NewToken { made_with, ..new(child, grant.clone()) }).await?;
        }
        let mut refusals = Vec::new();
        for child in ["child 1", "child 1", "child 2", "child 3"] {
            let of = token(&store, child).await?.counted_for();
            assert_eq!(of, [child, "parent"]);
            let key = format!("k{}", refusals.len());
            let entered = store.writer.enter(&[counted(&key, &inbox, &of)]).await?;
            refusals.push(refusal(&entered[0]).map(str::to_owned));
        }
        let full = || Some("token_limit".to_owned());
        assert_eq!(refusals, [None, full(), None, full()]);
        assert!(store.reader.over_limit(&token(&store, "child 3").await?).await?.is_some());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn revoking_may_take_all_that_were_made_with_it_and_is_on_record() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        for (hash, made_with) in [("a", ""), ("b", "a"), ("c", "b"), ("d", "")] {
            let made_with = made_with.to_owned();
            let token = NewToken { made_with, ..new(hash, Grant::default()) };
            assert!(store.writer.make_token(&token, 10, "root").await?);
        }
        let one = store.writer.revoke_tokens(ACCOUNT, "d", false, "root").await?;
        assert_eq!(one, ["d"]);
        assert!(store.writer.revoke_tokens("acct_2", "a", true, "root").await?.is_empty());
        let all = store.writer.revoke_tokens(ACCOUNT, "a", true, "root").await?;
        let all: BTreeSet<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(all, BTreeSet::from(["a", "b", "c"]));
        let filter = AuditFilter { limit: 20, ..AuditFilter::default() };
        let audit = store.reader.audit(ACCOUNT, &filter).await?.items;
        let count = |action: &str| {
            audit.iter().filter(|it| it.action == action && it.actor.id == "root").count()
        };
        assert_eq!((count("token.created"), count("token.revoked")), (4, 4));
        assert_eq!(store.writer.forget_tokens(now() - 60_000_000).await?, 0, "it is not long ago");
        let mut forgotten = Vec::new();
        for _ in 0..4 {
            forgotten.push(store.writer.forget_tokens(now() + 60_000_000).await?);
        }
        assert_eq!(forgotten, [2, 1, 1, 0], "c and d, then b, then a");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_account_has_so_many_tokens() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        let made = async |hash: &str, expires_at: Option<i64>| {
            let grant = Grant { expires_at, ..Grant::default() };
            store.writer.make_token(&new(hash, grant), 3, "root").await
        };
        assert!(made("a", None).await?, "beside the first one");
        assert!(made("b", None).await?);
        assert!(!made("c", None).await?);
        store.writer.revoke_token(ACCOUNT, "a").await?;
        assert!(made("d", Some(now() + 50_000)).await?);
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        assert!(made("e", None).await?, "one that expired does not count");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_thread_is_seen_and_its_people_known() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let first = store_one(&store, mail(1, &[&inbox])).await?.email;
        let apart = edit(mail(2, &[&inbox]), |it| it.subject = "Something else".to_owned());
        let other = store_one(&store, apart).await?.email;
        let thread_id = first.thread_id.clone().expect("a thread");
        let only = Some(vec![thread_id.clone()]);
        let filter = EmailFilter { limit: 9, thread_ids: only.clone(), ..EmailFilter::default() };
        let seen = store.reader.emails(ACCOUNT, &inbox.id, &filter).await?.items;
        assert_eq!(seen.iter().map(|it| &it.id).collect::<Vec<_>>(), [&first.id]);
        let query = store::SearchQuery { limit: 9, thread_ids: only, ..Default::default() };
        assert_eq!(store.reader.search(ACCOUNT, &query).await?.items.len(), 1);
        let elsewhere = Some(vec!["ibx_other".to_owned()]);
        let query = store::SearchQuery { limit: 9, inbox_ids: elsewhere, ..Default::default() };
        assert_eq!(store.reader.search(ACCOUNT, &query).await?.items.len(), 0);
        let none = EmailFilter { limit: 9, thread_ids: Some(vec![]), ..EmailFilter::default() };
        assert!(store.reader.emails(ACCOUNT, &inbox.id, &none).await?.items.is_empty());

        let people = store.reader.participants(&inbox.id, &thread_id).await?;
        assert!(people.contains(&first.from.to_lowercase()), "{people:?}");
        let place = store.reader.place_of_email(ACCOUNT, &other.id).await?;
        assert_eq!(place, Some((inbox.id.clone(), other.thread_id.clone())));
        assert_eq!(store.reader.place_of_email("acct_2", &other.id).await?, None);
        let named = [thread_id.clone(), "thd_nothing".to_owned()];
        let threads = store.reader.threads_named(ACCOUNT, &inbox.id, &named).await?;
        assert_eq!(threads.iter().map(|it| &it.id).collect::<Vec<_>>(), [&thread_id]);
        let places = store.reader.places_of_threads(ACCOUNT, &named).await?;
        assert_eq!(places, [(inbox.id.clone(), thread_id.clone())]);
        assert!(store.reader.places_of_threads("acct_2", &named).await?.is_empty());
        let message_id = first.message_id.clone().unwrap_or_default();
        let answered = store.reader.answered(&inbox.id, mail_id(&message_id)).await?;
        assert_eq!(answered, Some((first.id.clone(), Some(thread_id))));
        Ok(())
    })
    .await;
}

fn mail_id(message_id: &str) -> &str {
    message_id.trim_start_matches('<').trim_end_matches('>')
}
