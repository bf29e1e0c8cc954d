use std::collections::BTreeSet;

use store::{Evidence, Scope, Store, Weight};

use crate::fixture::{ACCOUNT, account, inbox, on_both};

const BOB: &str = "bob@example.net";

fn evidence(address: &str, source: &str, weight: Weight) -> Evidence {
    Evidence {
        account_id: ACCOUNT.to_owned(),
        address: address.to_owned(),
        source: source.to_owned(),
        reason: "recipient_unknown".to_owned(),
        evidence: "550 5.1.1 no\0".to_owned(),
        weight,
    }
}

async fn is_suppressed(store: &Store, address: &str) -> anyhow::Result<bool> {
    let found = store.reader.suppressed(ACCOUNT, &[address.to_owned()]).await?;
    Ok(!found.is_empty())
}

#[tokio::test]
async fn a_fact_suppresses_for_one_account_and_is_lifted() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        account(&store, "acct_2").await?;
        let fact = evidence("Bob@Example.net", "eml_1", Weight::Fact);
        store.writer.note_evidence(std::slice::from_ref(&fact)).await?;
        let found = store.reader.suppressed(ACCOUNT, &["BOB@example.net".to_owned()]).await?;
        assert_eq!(found.len(), 1);
        assert_eq!((&*found[0].address, &*found[0].evidence), (BOB, "550 5.1.1 no"));
        assert!(found[0].expires_at > Some(found[0].created_at));
        assert_eq!(store.reader.suppressed("acct_2", &[BOB.to_owned()]).await?, []);
        assert!(!store.writer.lift_suppression("acct_2", BOB).await?);
        assert!(is_suppressed(&store, BOB).await?);

        assert!(store.writer.lift_suppression(ACCOUNT, "bob@EXAMPLE.net").await?);
        assert!(!store.writer.lift_suppression(ACCOUNT, BOB).await?);
        store.writer.note_evidence(&[fact]).await?;
        assert!(!is_suppressed(&store, BOB).await?, "a report that comes again");
        store.writer.note_evidence(&[evidence(BOB, "eml_2", Weight::Fact)]).await?;
        assert!(is_suppressed(&store, BOB).await?, "a new one");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_third_strike_suppresses() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        for source in ["eml_1", "eml_2", "eml_2"] {
            store.writer.note_evidence(&[evidence(BOB, source, Weight::Strike)]).await?;
        }
        assert!(!is_suppressed(&store, BOB).await?);
        assert_eq!(store.reader.suppressions(ACCOUNT, 10, None).await?.items, []);
        store.writer.note_evidence(&[evidence(BOB, "eml_3", Weight::Strike)]).await?;
        assert!(is_suppressed(&store, BOB).await?);
        assert_eq!(store.reader.suppressions(ACCOUNT, 10, None).await?.items.len(), 1);
        assert!(store.writer.lift_suppression(ACCOUNT, BOB).await?);
        assert!(!is_suppressed(&store, BOB).await?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        let many: Vec<Evidence> = (0..70)
            .map(|it| evidence(&format!("a{it:02}@example.net"), "eml_1", Weight::Wish))
            .collect();
        store.writer.note_evidence(&many).await?;
        let addresses: Vec<String> = many.iter().map(|it| it.address.clone()).collect();
        assert_eq!(store.reader.suppressed(ACCOUNT, &addresses).await?.len(), 70);
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = store.reader.suppressions(ACCOUNT, 30, cursor.as_deref()).await?;
            seen.extend(page.items.into_iter().map(|it| it.address));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((count, seen.len()), (70, 70));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_inbox_of_that_address_absolves_it_but_no_wish() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        let known = "known@posthouse.localhost".to_owned();
        let wished = "wished@posthouse.localhost".to_owned();
        let fact = evidence(&known, "eml_1", Weight::Fact);
        let wish = evidence(&wished, "manual", Weight::Wish);
        let annoyed = "annoyed@posthouse.localhost".to_owned();
        let complaint = Evidence {
            reason: "complaint".to_owned(),
            ..evidence(&annoyed, "eml_1/complaint", Weight::Fact)
        };
        store.writer.note_evidence(&[fact, wish, complaint]).await?;
        assert!(is_suppressed(&store, &known).await?);
        inbox(&store, "known").await?;
        inbox(&store, "wished").await?;
        inbox(&store, "annoyed").await?;
        assert!(is_suppressed(&store, &annoyed).await?);
        let record = store.reader.evidence(ACCOUNT, &known).await?;
        assert_eq!(record[0].lifted_by.as_deref(), Some("new inbox"));
        assert!(!is_suppressed(&store, &known).await?);
        assert!(is_suppressed(&store, &wished).await?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn complaints_to_several_accounts_count_for_everybody() {
    on_both(async |store| {
        let address = BTreeSet::from(["Bob@example.net".to_owned()]);
        for n in 1..=3 {
            let id = format!("acct_{n}");
            account(&store, &id).await?;
            let source = format!("eml_{n}/complaint");
            let complaint = Evidence {
                account_id: id,
                reason: "complaint".to_owned(),
                ..evidence(BOB, &source, Weight::Fact)
            };
            let other = Evidence { source: format!("eml_{n}b/complaint"), ..complaint.clone() };
            store.writer.note_evidence(&[complaint, other]).await?;
            let new = store.writer.suppress_globally(&address, 3).await?;
            assert_eq!(new, usize::from(n == 3), "after {n}");
        }
        account(&store, "acct_4").await?;
        let found = store.reader.suppressed("acct_4", &["BOB@example.net".to_owned()]).await?;
        assert_eq!(
            (found.len(), found[0].scope, &*found[0].reason),
            (1, Scope::Global, "complaint")
        );
        assert_eq!(store.reader.suppressions("acct_4", 10, None).await?.items, []);
        let own = store.reader.suppressed(ACCOUNT, &[BOB.to_owned()]).await?;
        assert_eq!((own.len(), own[0].scope), (1, Scope::Account));
        assert_eq!(store.reader.global_suppressions(10).await?.len(), 1);

        assert!(!store.writer.lift_suppression("acct_4", BOB).await?, "only the operator may");
        assert!(store.writer.lift_global_suppression("BOB@example.net").await?);
        assert!(!store.writer.lift_global_suppression(BOB).await?);
        assert_eq!(store.reader.suppressed("acct_4", &[BOB.to_owned()]).await?, []);
        assert_eq!(store.writer.suppress_globally(&address, 3).await?, 0, "those were lifted");
        assert_eq!(store.writer.suppress_globally(&address, 0).await?, 0, "switched off");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_was_lifted_stays_on_record_with_who_did() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        store.writer.note_evidence(&[evidence(BOB, "eml_1", Weight::Fact)]).await?;
        store.writer.lift_suppression(ACCOUNT, BOB).await?;
        store.writer.note_evidence(&[evidence(BOB, "eml_2/complaint", Weight::Strike)]).await?;
        let record = store.reader.evidence(ACCOUNT, "BOB@example.net").await?;
        let rows: Vec<_> =
            record.iter().map(|it| (&*it.source, it.strikes, it.lifted_by.as_deref())).collect();
        assert_eq!(rows, [("eml_2/complaint", 1, None), ("eml_1", 3, Some(ACCOUNT))]);
        assert!(record[1].lifted_at >= Some(record[1].created_at));
        assert_eq!(store::email_of(&record[0].source), Some("eml_2"));
        assert_eq!(store.reader.evidence("acct_2", BOB).await?, []);
        Ok(())
    })
    .await;
}
