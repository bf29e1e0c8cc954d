use bus::{INLINE_LIMIT, Resolution, UPLOAD_LIMIT, Upload};
use contract::{Grant, SendAttachment, SendRequest, content::Place, topology::POLICIES};

use crate::Bench;

#[tokio::test]
async fn small_content_travels_in_the_event_and_large_by_claim() {
    let bench = Bench::new().await;
    let claims = bench.bus.claims();
    let small = claims.put("in/small", vec![b'x'; INLINE_LIMIT].into()).await.expect("put");
    assert!(matches!(small.place, Some(Place::Inline(_))));

    let octets: Vec<u8> = (0..25 * 1024 * 1024_u32).map(|it| (it % 251) as u8).collect();
    let large = claims.put("in/large", octets.clone().into()).await.expect("put");
    assert!(matches!(large.place, Some(Place::Claim(_))));
    assert_eq!(large.size_bytes, octets.len() as u64);
    assert_eq!(claims.get(&large).await.expect("get").expect("claim"), octets);

    claims.remove(&large).await.expect("remove");
    claims.remove(&large).await.expect("remove again");
    assert_eq!(claims.get(&large).await.expect("get"), None);
}

#[tokio::test]
async fn the_directory_knows_who_takes_mail() {
    let bench = Bench::new().await;
    let directory = bench.bus.directory();
    let resolve = async |address: &str, domain: &str| {
        directory.resolve(address, domain).await.expect("resolve")
    };
    assert_eq!(resolve("a@b.example", "b.example").await, Resolution::UnknownDomain);

    directory.add_domain("b.example").await.expect("add domain");
    assert_eq!(resolve("a@b.example", "b.example").await, Resolution::UnknownRecipient);

    directory.add_inbox("a@b.example", "acct_1", "ibx_1").await.expect("add inbox");
    let inbox = Resolution::Inbox { account_id: "acct_1".into(), inbox_id: "ibx_1".into() };
    assert_eq!(resolve("a@b.example", "b.example").await, inbox);

    directory.remove_inbox("a@b.example").await.expect("remove inbox");
    assert_eq!(resolve("a@b.example", "b.example").await, Resolution::UnknownRecipient);
    directory.remove_inbox("never@b.example").await.expect("remove what is not there");
}

#[tokio::test]
async fn what_is_put_into_a_bucket_is_there_for_everybody() {
    let bench = Bench::new().await;
    let (one, other) = (bench.bus.bucket(POLICIES), bench.bus.bucket(POLICIES));
    let get = async |bucket: &bus::Bucket| bucket.get("a.b-c_1").await.expect("get");
    assert_eq!(get(&one).await, None);
    one.put("a.b-c_1", "first".into()).await.expect("put");
    other.put("a.b-c_1", "second".into()).await.expect("put again");
    assert_eq!(get(&one).await.as_deref(), Some(&b"second"[..]));
    one.put("a.b-c_1", "".into()).await.expect("put nothing");
    assert_eq!(get(&other).await.as_deref(), Some(&b""[..]), "which is something");
    other.remove("a.b-c_1").await.expect("remove");
    other.remove("a.b-c_1").await.expect("remove again");
    assert_eq!(get(&one).await, None);
    one.put("a b", "".into()).await.expect_err("no such keys");
}

#[tokio::test]
async fn the_directory_knows_whose_tokens_are_good() {
    let bench = Bench::new().await;
    let directory = bench.bus.directory();
    let known =
        async |token: &str| directory.token(&bus::token_hash(token)).await.expect("look up");
    let account = async |token: &str| known(token).await.map(|it| it.account_id);
    assert_eq!(account("secret").await, None);
    let (hash, whole) = (bus::token_hash("secret"), Grant::default());
    let narrow = Grant { inbox_ids: Some(vec!["ibx_1".to_owned()]), ..Grant::default() };
    directory.add_token(&hash, "acct_1", &narrow).await.expect("add");
    assert_eq!(known("secret").await.expect("there").grant, narrow);
    directory.add_token(&hash, "acct_1", &whole).await.expect("change");
    assert_eq!(known("secret").await.expect("there").grant, whole);
    assert_eq!(account("secret").await.as_deref(), Some("acct_1"));
    assert_eq!(account("secreT").await, None);
    directory.remove_token(&bus::token_hash("secret")).await.expect("remove");
    assert_eq!(account("secret").await, None);
    directory.remove_token(&bus::token_hash("never")).await.expect("remove what is not there");
}

fn upload(size_bytes: usize) -> Upload {
    Upload {
        filename: "report.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        size_bytes: size_bytes as u64,
        expires_at: 1_000,
    }
}

fn naming(uploads: &[&str]) -> SendRequest {
    let attachments = uploads
        .iter()
        .map(|it| SendAttachment { upload_id: (*it).to_owned(), ..SendAttachment::default() });
    SendRequest { attachments: attachments.collect(), ..SendRequest::default() }
}

#[tokio::test]
async fn an_upload_is_its_accounts_until_it_expires() {
    let bench = Bench::new().await;
    let uploads = bench.bus.uploads();
    let octets: Vec<u8> = (0..3 * 1024 * 1024_u32).map(|it| (it % 251) as u8).collect();
    let wanted = upload(octets.len());
    uploads.put("acct_1", "upl_1", &wanted, octets.clone().into()).await.expect("put");
    assert_eq!(uploads.find("acct_1", "upl_1", 999).await.expect("find"), Some(wanted));
    assert_eq!(uploads.find("acct_1", "upl_1", 1_000).await.expect("find"), None, "expired");
    assert_eq!(uploads.find("acct_2", "upl_1", 0).await.expect("find"), None, "foreign");
    assert_eq!(uploads.find("acct_1", "upl_2", 0).await.expect("find"), None);

    let resolve = async |account: &str, mut request: SendRequest| {
        uploads.resolve(account, &mut request, 999).await.expect("resolve").map(|()| request)
    };
    let mut named = naming(&["upl_1", "upl_1"]);
    named.attachments[1].filename = "other.pdf".to_owned();
    let found = resolve("acct_1", named).await.expect("found").attachments;
    assert!(found.iter().all(|it| it.content == octets && it.upload_id.is_empty()));
    let names = found.iter().map(|it| (&*it.filename, &*it.content_type));
    let names: Vec<_> = names.collect();
    assert_eq!(names, [("report.pdf", "application/pdf"), ("other.pdf", "application/pdf")]);
    for (account, id) in [("acct_2", "upl_1"), ("acct_1", "upl_2")] {
        let rejection = resolve(account, naming(&[id])).await.expect_err("refuse");
        assert_eq!(rejection.code, "upload_not_found");
    }
    let rejection = resolve("acct_1", naming(&["upl_1"; 10])).await.expect_err("refuse");
    assert_eq!(rejection.code, "too_large");
    assert!(10 * octets.len() > UPLOAD_LIMIT);
}
