use store::{Evidence, Store, Weight};

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
        store.writer.note_evidence(&[fact, wish]).await?;
        assert!(is_suppressed(&store, &known).await?);
        inbox(&store, "known").await?;
        inbox(&store, "wished").await?;
        assert!(!is_suppressed(&store, &known).await?);
        assert!(is_suppressed(&store, &wished).await?);
        Ok(())
    })
    .await;
}
