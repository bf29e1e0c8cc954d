use store::{Error, Store};

use crate::fixture::on_both_urls;

#[tokio::test]
async fn migrates_from_several_processes_at_once() {
    on_both_urls(async |url| {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let url = url.to_owned();
                tokio::spawn(async move { store::migrate(&url).await })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Store::open(url).await?.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn refuses_an_old_schema() {
    on_both_urls(async |url| {
        let refused = Store::open(url).await.err();
        anyhow::ensure!(matches!(refused, Some(Error::SchemaNotCurrent)), "{refused:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn data_survives_migrating_again() {
    on_both_urls(async |url| {
        store::migrate(url).await?;
        let store = Store::open(url).await?;
        crate::fixture::account(&store, "acct_1").await?;
        store.close().await;
        store::migrate(url).await?;
        let store = Store::open(url).await?;
        anyhow::ensure!(store.reader.account("acct_1").await?.is_some());
        store.close().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_unreachable_server_is_transient_and_its_password_stays_secret() {
    let url = "postgres://user:hunter2@127.0.0.1:1/posthouse?password=hunter3";
    let err = Store::open(url).await.err().expect("no server");
    assert!(err.is_transient());
    let text = format!("{:#}", anyhow::Error::new(err));
    assert!(text.contains("127.0.0.1:1/posthouse"), "{text}");
    assert!(!text.contains("hunter"), "{text}");
}
