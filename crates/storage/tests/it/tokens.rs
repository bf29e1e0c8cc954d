use store::NewToken;

use crate::{ACCOUNT, Bench, eventually};

#[tokio::test]
async fn the_directory_follows_what_becomes_of_tokens() {
    let bench = Bench::new().await;
    let (writer, directory) = (&bench.store.writer, bench.bus.directory());
    let owner = async |hash: &str| directory.account_of_token(hash).await.expect("look up");
    writer.add_token(&NewToken::whole("before", ACCOUNT)).await.expect("add");
    writer.add_token(&NewToken::whole("revoked", ACCOUNT)).await.expect("add");
    assert!(writer.revoke_token(ACCOUNT, "revoked").await.expect("revoke"));
    directory.add_token("revoked", ACCOUNT).await.expect("a gateway entered it meanwhile");

    let running = bench.start().await;
    eventually(async || owner("before").await.as_deref() == Some(ACCOUNT)).await;
    eventually(async || owner("revoked").await.is_none()).await;

    writer.add_token(&NewToken::whole("meanwhile", ACCOUNT)).await.expect("add");
    eventually(async || owner("meanwhile").await.as_deref() == Some(ACCOUNT)).await;
    assert!(writer.revoke_token(ACCOUNT, "meanwhile").await.expect("revoke"));
    eventually(async || owner("meanwhile").await.is_none()).await;
    assert_eq!(owner("before").await.as_deref(), Some(ACCOUNT));
    running.stop().await;
}
