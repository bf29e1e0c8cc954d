use store::{Direction, SearchQuery, Store};

use crate::fixture::{
    ACCOUNT, account, attachment, edit, inbox, inbox_of, mail, mailbox, on_both, store_one,
    submission,
};

async fn subjects(store: &Store, query: SearchQuery) -> anyhow::Result<Vec<String>> {
    let query = SearchQuery { limit: 20, ..query };
    let found = store.reader.search(ACCOUNT, &query).await?.items;
    Ok(found.into_iter().map(|it| it.subject).collect())
}

async fn words(store: &Store, words: &str) -> anyhow::Result<Vec<String>> {
    subjects(store, SearchQuery { words: words.to_owned(), ..SearchQuery::default() }).await
}

#[tokio::test]
async fn finds_words_of_subject_addresses_and_body() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let arrival = edit(mail(1, &[&inbox]), |it| {
            it.subject = "Invoice".to_owned();
            it.from = vec![mailbox("billing@acme.example")];
            it.cc = vec![mailbox("carol@example.org")];
            it.text = "Le café ouvre à midi. Über 東京都.".to_owned();
            it.attachments = vec![attachment("a.pdf")];
            it.attachments[0].text = "Four chairs".to_owned();
        });
        store_one(&store, arrival).await?;
        store_one(&store, mail(2, &[&inbox])).await?;
        for query in [
            "invoice",
            "INVOICE",
            "billing",
            "billing@acme.example",
            "carol",
            "cafe",
            "CAFÉ midi",
            "uber",
            "東京",
            "京都",
            "inv",
            "invoice mi",
            "\"invoice\"",
            "acme agent",
            "four chairs",
        ] {
            assert_eq!(words(&store, query).await?, ["Invoice"], "{query}");
        }
        for query in ["invoice text", "nvoice", "voi invoice", "都東", "?!", "inv cafe", "mid cafe"]
        {
            assert_eq!(words(&store, query).await?, [""; 0], "{query}");
        }
        assert_eq!(words(&store, " ").await?.len(), 2, "no words match everything");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn any_input_is_a_query() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, mail(1, &[&inbox])).await?;
        for query in [
            "\"",
            "'",
            "'' | !a",
            "a:* & b",
            "(",
            "NEAR(a b)",
            "AND",
            "subject:1",
            "a*",
            "\\",
            "-a",
            "^a",
            "\0",
            "@acct_1",
            "%",
            "a\u{301}",
            "<->",
            "$1",
            "{a b}: c",
            "𝔘",
            &"x ".repeat(5_000),
        ] {
            words(&store, query).await?;
        }
        assert_eq!(words(&store, "subject AND 1").await?, [""; 0], "AND is a word");
        assert_eq!(words(&store, "subject:1").await?, ["Subject 1"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn filters() {
    on_both(async |store| {
        let first = inbox(&store, "first").await?;
        let second = inbox(&store, "second").await?;
        store_one(&store, mail(1, &[&first])).await?;
        let other = edit(mail(2, &[&second]), |it| {
            it.from = vec![mailbox("Bob@Example.net")];
            it.attachments = vec![attachment("a.txt")];
        });
        let other = store_one(&store, other).await?;
        store.writer.enter(&[submission("k", &first, &["bob@example.net"])]).await?;
        let any = SearchQuery::default;
        let found = async |query| subjects(&store, query).await;
        assert_eq!(found(any()).await?, ["Subject k", "Subject 2", "Subject 1"]);
        let inbox_id = Some(second.id.clone());
        assert_eq!(found(SearchQuery { inbox_id, ..any() }).await?, ["Subject 2"]);
        let direction = Some(Direction::Outbound);
        assert_eq!(found(SearchQuery { direction, ..any() }).await?, ["Subject k"]);
        let from = Some("BOB@ex".to_owned());
        assert_eq!(found(SearchQuery { from, ..any() }).await?, ["Subject 2"]);
        let from = Some("b_b".to_owned());
        assert_eq!(found(SearchQuery { from, ..any() }).await?, [""; 0]);
        let has_attachments = Some(true);
        assert_eq!(found(SearchQuery { has_attachments, ..any() }).await?, ["Subject 2"]);
        let has_attachments = Some(false);
        let query = SearchQuery { has_attachments, words: "text".to_owned(), ..any() };
        assert_eq!(found(query).await?, ["Subject k", "Subject 1"]);
        let newest = store.reader.search(ACCOUNT, &SearchQuery { limit: 9, ..any() }).await?;
        assert_eq!(newest.items[1].id, other.email.id);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn since_and_until_bound_the_time() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let before = crate::fixture::now();
        store_one(&store, mail(1, &[&inbox])).await?;
        let query = |since, until| SearchQuery { since, until, ..SearchQuery::default() };
        let hour = 3_600_000_000;
        let (before, after) = (before - hour, before + hour);
        assert_eq!(subjects(&store, query(Some(before), Some(after))).await?, ["Subject 1"]);
        assert_eq!(subjects(&store, query(Some(after), None)).await?, [""; 0]);
        assert_eq!(subjects(&store, query(None, Some(before))).await?, [""; 0]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn pages_through_the_whole_account_only() {
    on_both(async |store| {
        let first = inbox(&store, "first").await?;
        let second = inbox(&store, "second").await?;
        account(&store, "acct_2").await?;
        let foreign = inbox_of(&store, "acct_2", "foreign").await?;
        for number in 1..=4 {
            store.writer.store(&[mail(number, &[&first, &second, &foreign])]).await?;
        }
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let words = "text".to_owned();
            let query = SearchQuery { words, limit: 3, cursor, ..SearchQuery::default() };
            let page = store.reader.search(ACCOUNT, &query).await?;
            seen.extend(page.items.into_iter().map(|it| (it.id, it.inbox_id)));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 8);
        assert!(seen.iter().all(|(_, inbox_id)| *inbox_id != foreign.id));
        seen.dedup();
        assert_eq!(seen.len(), 8, "none twice");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn indexes_texts_of_any_size() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let huge = edit(mail(1, &[&inbox]), |it| {
            it.text = (0..400_000).map(|n| format!("word{n} ")).collect();
        });
        store_one(&store, huge).await?;
        assert_eq!(words(&store, "word17").await?, ["Subject 1"]);
        Ok(())
    })
    .await;
}
