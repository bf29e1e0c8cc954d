use contract::{MailRejudged, Reason, Verdict};
use store::{ReplayFilter, Store};

use crate::fixture::{ACCOUNT, account, inbox, inbox_of, mail, on_both};

/// The moments of new verdicts; stored mail is older.
const FIRST: i64 = 4_000_000_000_000_000;
const SECOND: i64 = FIRST + 1;

fn judged(mail_id: &str, at: i64, score: f64, version: &str) -> MailRejudged {
    let verdict = Verdict {
        score,
        flags: vec!["prompt_injection".to_owned()],
        reasons: vec![Reason { detector: "override".to_owned(), ..Reason::default() }],
        version: version.to_owned(),
        ..Verdict::default()
    };
    MailRejudged { mail_id: mail_id.to_owned(), verdict: Some(verdict), rejudged_at_micros: at }
}

/// Scores and versions, newest first.
async fn history(store: &Store, inbox_id: &str, email_id: &str) -> anyhow::Result<Vec<String>> {
    let verdicts = store.reader.verdicts(ACCOUNT, inbox_id, email_id).await?;
    let told = verdicts
        .iter()
        .map(|it| format!("{} by {}", it.security.injection_risk_score, it.security.version));
    Ok(told.collect())
}

#[tokio::test]
async fn a_new_verdict_stands_and_the_old_one_is_kept() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let arrival = mail(1, &[&inbox]);
        let before = arrival.scanned.verdict.clone().expect("a verdict");
        let stored = store.writer.store(&[arrival]).await?.remove(0).remove(0);
        let rejudged = store.writer.rejudge(&judged("mail_0001", FIRST, 0.77, "99")).await?;
        assert!(rejudged.is_new);
        let copy = &rejudged.copies[0];
        assert_eq!((&copy.account_id, &copy.email.id), (&stored.account_id, &stored.email.id));
        let security = copy.email.security.clone().expect("security");
        assert_eq!(security.injection_risk_score, 0.77);
        assert_eq!(security.spf.as_deref(), Some("pass"), "what DNS said stays");
        let email = store.reader.email(ACCOUNT, &inbox.id, &stored.email.id).await?;
        assert_eq!(email.and_then(|it| it.security), Some(security));

        store.writer.rejudge(&judged("mail_0001", SECOND, 0.1, "100")).await?;
        let first = format!("{} by {}", before.score, before.version);
        let expected = ["0.1 by 100".to_owned(), "0.77 by 99".to_owned(), first];
        assert_eq!(history(&store, &inbox.id, &stored.email.id).await?, expected);
        let verdicts = store.reader.verdicts(ACCOUNT, &inbox.id, &stored.email.id).await?;
        let times: Vec<_> = verdicts.iter().map(|it| (it.judged_at, it.replaced_at)).collect();
        assert_eq!(times[0], (SECOND, None));
        assert_eq!(times[1], (FIRST, Some(SECOND)));
        assert_eq!(times[2].1, Some(FIRST));
        assert!(store.reader.verdicts("acct_2", &inbox.id, &stored.email.id).await?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_comes_twice_or_late_or_says_the_same_changes_nothing() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let stored = store.writer.store(&[mail(1, &[&inbox])]).await?.remove(0).remove(0);
        let first = judged("mail_0001", SECOND, 0.77, "99");
        let done = store.writer.rejudge(&first).await?;
        // Redelivered: the event is announced again, with the same content.
        let again = store.writer.rejudge(&first).await?;
        assert!(!again.is_new && again.copies[0].repeated);
        assert_eq!(again.copies[0].email, done.copies[0].email);
        // Run again, or run at the same time by somebody else.
        let same = store.writer.rejudge(&judged("mail_0001", SECOND + 9, 0.77, "99")).await?;
        assert!(!same.is_new && same.copies.is_empty());
        let late = store.writer.rejudge(&judged("mail_0001", FIRST, 0.2, "98")).await?;
        assert!(!late.is_new && late.copies.is_empty());
        let gone = store.writer.rejudge(&judged("mail_0009", FIRST, 0.2, "98")).await?;
        assert!(!gone.is_new && gone.copies.is_empty());
        assert_eq!(history(&store, &inbox.id, &stored.email.id).await?.len(), 2);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn another_version_that_says_the_same_is_noted_and_no_news() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let stored = store.writer.store(&[mail(1, &[&inbox])]).await?.remove(0).remove(0);
        store.writer.rejudge(&judged("mail_0001", FIRST, 0.77, "99")).await?;
        let newer = store.writer.rejudge(&judged("mail_0001", SECOND, 0.77, "100")).await?;
        assert!(newer.is_new && newer.copies.is_empty());
        let history = history(&store, &inbox.id, &stored.email.id).await?;
        assert_eq!(&history[..2], ["0.77 by 100", "0.77 by 99"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mail_in_many_inboxes_has_one_verdict() {
    on_both(async |store| {
        let (one, other) = (inbox(&store, "one").await?, inbox(&store, "other").await?);
        store.writer.store(&[mail(1, &[&one, &other])]).await?;
        let rejudged = store.writer.rejudge(&judged("mail_0001", FIRST, 0.77, "99")).await?;
        let ids: Vec<&str> = rejudged.copies.iter().map(|it| it.email.inbox_id.as_str()).collect();
        assert_eq!(ids, [&*one.id, &*other.id]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn received_mail_is_found_in_pages() {
    on_both(async |store| {
        account(&store, "acct_2").await?;
        let inbox = inbox(&store, "agent").await?;
        let foreign = inbox_of(&store, "acct_2", "foreign").await?;
        let mails: Vec<_> = (1..=5).map(|it| mail(it, &[&inbox])).collect();
        store.writer.store(&mails).await?;
        store.writer.store(&[mail(6, &[&foreign])]).await?;
        let mut seen = Vec::new();
        let mut after = String::new();
        let all = ReplayFilter::default();
        loop {
            let page = store.reader.judged_mails(&all, &after, 2).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.mail_id);
            assert!(page.len() <= 2);
            seen.extend(page.into_iter().map(|it| it.mail_id));
        }
        assert_eq!(seen, (1..=6).map(|it| format!("mail_{it:04}")).collect::<Vec<_>>());

        let found = async |filter: &ReplayFilter| {
            let page = store.reader.judged_mails(filter, "", 100).await?;
            anyhow::Ok(page.into_iter().map(|it| it.email_id).collect::<Vec<_>>())
        };
        let of_account = ReplayFilter { account_id: "acct_2".into(), ..all.clone() };
        assert_eq!(found(&of_account).await?, ["eml_0006_ibx_foreign"]);
        let of_inbox = ReplayFilter { inbox_id: inbox.id.clone(), ..all.clone() };
        assert_eq!(found(&of_inbox).await?.len(), 5);
        let third = store.reader.judged_mails(&all, "mail_0002", 1).await?.remove(0);
        let since = ReplayFilter { since: Some(third.stored_at), ..of_inbox.clone() };
        assert_eq!(found(&since).await?.len(), 3);
        let until = ReplayFilter { until: Some(third.stored_at), ..of_inbox };
        assert_eq!(found(&until).await?.len(), 2);
        assert_eq!(store.reader.content("mail_0003").await?, Some(b"Octets 3\0".to_vec()));
        assert_eq!(store.reader.content("mail_0099").await?, None);
        Ok(())
    })
    .await;
}
