use contract::Grant;
use store::NewToken;

use crate::{ACCOUNT, Bench, eventually};

#[tokio::test]
async fn the_directory_follows_what_becomes_of_tokens() {
    let bench = Bench::new().await;
    let (writer, directory) = (&bench.store.writer, bench.bus.directory());
    let owner =
        async |hash: &str| directory.token(hash).await.expect("look up").map(|it| it.account_id);
    let add = async |hash: &str| {
        let token = NewToken::whole(hash, ACCOUNT);
        writer.add_token(&token).await.expect("add");
    };
    let revoke = async |hash: &str| {
        assert!(writer.revoke_token(ACCOUNT, hash).await.expect("revoke"));
    };
    add("before").await;
    add("revoked").await;
    revoke("revoked").await;
    let whole = Grant::default();
    let entered = directory.add_token("revoked", ACCOUNT, &whole).await;
    entered.expect("a gateway entered it meanwhile");

    let running = bench.start().await;
    eventually(async || owner("before").await.as_deref() == Some(ACCOUNT)).await;
    eventually(async || owner("revoked").await.is_none()).await;

    add("meanwhile").await;
    eventually(async || owner("meanwhile").await.as_deref() == Some(ACCOUNT)).await;
    revoke("meanwhile").await;
    eventually(async || owner("meanwhile").await.is_none()).await;
    assert_eq!(owner("before").await.as_deref(), Some(ACCOUNT));

    let grant = Grant { inbox_ids: Some(vec!["ibx_1".to_owned()]), ..Grant::default() };
    let narrow = NewToken { grant: grant.clone(), ..NewToken::whole("narrow", ACCOUNT) };
    writer.add_token(&narrow).await.expect("add");
    eventually(async || owner("narrow").await.is_some()).await;
    assert_eq!(directory.token("narrow").await.expect("look up").expect("there").grant, grant);
    running.stop().await;
}
