//! A bucket that many write at the same time.

use bus::Posted;
use contract::topology::SHAPING;
use tokio::task::JoinSet;

use crate::Bench;

fn number(found: Option<&[u8]>) -> u32 {
    found.map_or(0, |it| std::str::from_utf8(it).expect("digits").parse().expect("a number"))
}

#[tokio::test]
async fn no_change_is_lost() {
    let bench = Bench::new().await;
    let board = bench.bus.board(SHAPING);
    let mut tasks = JoinSet::new();
    for _ in 0..5 {
        let board = board.clone();
        tasks.spawn(async move {
            board.amend("count", |it| Some((number(it) + 1).to_string().into_bytes())).await
        });
    }
    while let Some(changed) = tasks.join_next().await {
        changed.expect("no panic").expect("amend");
    }
    let kept = board.amend("count", |_| None).await.expect("amend");
    assert_eq!(number(kept.as_deref()), 5);

    // What is removed can be written again.
    board.remove("count").await.expect("remove");
    let anew = board.amend("count", |it| it.is_none().then(|| b"1".to_vec())).await;
    assert_eq!(number(anew.expect("amend").as_deref()), 1);
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there() {
    let bench = Bench::new().await;
    let board = bench.bus.board(SHAPING);
    for key in ["a", "b"] {
        board.put(key, key.as_bytes().to_vec()).await.expect("put");
    }
    let mut watch = board.watch().await.expect("watch");
    for expected in ["a", "b"] {
        assert_eq!(watch.next().await.expect("open").expect("an entry").key, expected);
    }
    board.remove("a").await.expect("remove");
    let Posted { key, value, posted_at_micros } =
        watch.next().await.expect("open").expect("an entry");
    assert_eq!((key.as_str(), value), ("a", None));
    assert!(posted_at_micros > 0);
}
