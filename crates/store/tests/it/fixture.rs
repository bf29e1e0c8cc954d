//! Databases, inboxes and mail for tests.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use contract::{
    Action, Attachment, Authentication, DeliveryReported, Envelope, ForwardPath, MailScanned,
    Mailbox, Message, Reason, RecipientReport, Rejection, SubmissionAccepted, Verdict,
};
use store::{
    Arrival, Composed, Created, Inbox, Manner, NewInbox, Outcome, Rejected, Scrutiny, Store,
    Stored, Submitted,
};

use crate::postgres;

/// Runs a test on a new database of each kind.
pub(crate) async fn on_both(test: impl AsyncFn(Store) -> anyhow::Result<()>) {
    on_both_urls(async |url: &str| {
        store::migrate(url).await?;
        let store = Store::open(url).await?;
        let outcome = test(store.clone()).await;
        store.close().await;
        outcome
    })
    .await;
}

pub(crate) async fn on_both_urls(test: impl AsyncFn(&str) -> anyhow::Result<()>) {
    let dir = tempfile::tempdir().expect("directory");
    let sqlite = format!("sqlite:{}", dir.path().join("folder/post house.db").display());
    for url in [Some(sqlite), postgres::database().await].into_iter().flatten() {
        if let Err(err) = test(&url).await {
            panic!("on {url}: {err:?}");
        }
    }
}

pub(crate) const ACCOUNT: &str = "acct_1";

pub(crate) async fn account(store: &Store, id: &str) -> anyhow::Result<()> {
    store.writer.create_account(id, 1, &format!("hash of {id}")).await?;
    Ok(())
}

pub(crate) fn new_inbox(account_id: &str, local: &str) -> NewInbox {
    NewInbox {
        id: format!("ibx_{local}"),
        account_id: account_id.to_owned(),
        address: format!("{local}@posthouse.localhost"),
        canonical: format!("{local}@posthouse.localhost"),
        domain: "posthouse.localhost".to_owned(),
        display_name: None,
        expires_at: None,
        max_inboxes: None,
    }
}

/// An inbox of `ACCOUNT`, which is made if need be.
pub(crate) async fn inbox(store: &Store, local: &str) -> anyhow::Result<Inbox> {
    store.writer.ensure_account(ACCOUNT, 1).await?;
    inbox_of(store, ACCOUNT, local).await
}

pub(crate) async fn inbox_of(store: &Store, account: &str, local: &str) -> anyhow::Result<Inbox> {
    match store.writer.create_inbox(&new_inbox(account, local)).await? {
        Created::Inbox(inbox) => Ok(inbox),
        other => anyhow::bail!("no inbox but {other:?}"),
    }
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_micros()).expect("a clock before 292,000")
}

/// Microseconds of what agents see.
pub(crate) fn micros(time: &str) -> i64 {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    let time = OffsetDateTime::parse(time, &Rfc3339).expect("RFC 3339");
    i64::try_from(time.unix_timestamp_nanos() / 1_000).expect("in range")
}

pub(crate) fn mailbox(address: &str) -> Mailbox {
    Mailbox { address: address.to_owned(), ..Mailbox::default() }
}

/// A mail of this number to inboxes, from alice@example.com. Its emails are named after number and
/// inbox.
pub(crate) fn mail(number: u32, inboxes: &[&Inbox]) -> Arrival {
    let mail_id = format!("mail_{number:04}");
    let paths = inboxes.iter().map(|it| ForwardPath {
        address: it.address.clone(),
        account_id: it.account_id.clone(),
        inbox_id: it.id.clone(),
        email_id: format!("eml_{number:04}_{}", it.id),
        ..ForwardPath::default()
    });
    let envelope = Envelope {
        reverse_path: "bounces@example.com".to_owned(),
        forward_paths: paths.collect(),
        smtputf8: false,
    };
    let message = Message {
        message_id: format!("{number}@example.com"),
        subject: format!("Subject {number}"),
        from: vec![mailbox("alice@example.com")],
        to: inboxes.iter().map(|it| mailbox(&it.address)).collect(),
        text: format!("Text {number}"),
        preview: format!("Text {number}"),
        ..Message::default()
    };
    let scanned = MailScanned {
        mail_id,
        envelope: Some(envelope),
        received_at_micros: 1_795_498_872_123_456,
        message: Some(message),
        authentication: Some(Authentication {
            spf: "pass".to_owned(),
            dkim: "fail".to_owned(),
            ..Authentication::default()
        }),
        verdict: Some(verdict()),
        ..MailScanned::default()
    };
    Arrival {
        scanned,
        octets: format!("Octets {number}\0").into_bytes(),
        whole_text: None,
        carried: String::new(),
        no_auto_reply: BTreeMap::new(),
        offer: None,
    }
}

pub(crate) fn edit(mut arrival: Arrival, edit: impl FnOnce(&mut Message)) -> Arrival {
    edit(arrival.scanned.message.as_mut().expect("a message"));
    arrival
}

/// A mail with its own subject that answers another.
pub(crate) fn answer(number: u32, to: u32, inbox: &Inbox) -> Arrival {
    edit(mail(number, &[inbox]), |it| it.in_reply_to = vec![format!("{to}@example.com")])
}

pub(crate) fn verdict() -> Verdict {
    Verdict {
        score: 0.7,
        flags: vec!["prompt_injection".to_owned()],
        reasons: vec![Reason { detector: "rules".to_owned(), end: 4, ..Reason::default() }],
        version: "1".to_owned(),
        ..Verdict::default()
    }
}

pub(crate) fn attachment(filename: &str) -> Attachment {
    Attachment {
        filename: filename.to_owned(),
        content_type: "text/plain".to_owned(),
        size_bytes: 3,
        ..Attachment::default()
    }
}

/// Stores one mail for one inbox.
pub(crate) async fn store_one(store: &Store, arrival: Arrival) -> anyhow::Result<Stored> {
    let stored = store.writer.store(&[arrival]).await?;
    anyhow::ensure!(stored.len() == 1 && stored[0].len() == 1, "{stored:?}");
    Ok(stored[0][0].clone())
}

/// A request to send to these addresses.
pub(crate) fn submission(key: &str, inbox: &Inbox, to: &[&str]) -> Submitted {
    let mail_id = format!("eml_{}_{key}", inbox.id);
    let message = Message {
        message_id: format!("{key}@posthouse.localhost"),
        subject: format!("Subject {key}"),
        from: vec![mailbox(&inbox.address)],
        to: to.iter().map(|it| mailbox(it)).collect(),
        text: format!("Text {key}"),
        ..Message::default()
    };
    let composed = Composed {
        octets: format!("Octets {key}").into_bytes(),
        message,
        verdict: Verdict::default(),
        reverse_path: inbox.address.clone(),
        forward_paths: to.iter().map(|it| (*it).to_owned()).collect(),
        thread_id: None,
        notify: Vec::new(),
        list_id: None,
        send_at: 0,
        handover: SubmissionAccepted {
            mail_id: mail_id.clone(),
            inbox_id: inbox.id.clone(),
            account_id: inbox.account_id.clone(),
            reverse_path: inbox.address.clone(),
            forward_paths: to.iter().map(|it| (*it).to_owned()).collect(),
            ..SubmissionAccepted::default()
        },
    };
    Submitted {
        mail_id,
        account_id: inbox.account_id.clone(),
        inbox_id: inbox.id.clone(),
        idempotency_key: key.to_owned(),
        request_digest: format!("digest {key}"),
        requested_at: 1_000_000,
        manner: Manner { content_digest: key.to_owned(), is_automatic: false },
        outcome: Outcome::Composed(Box::new(composed)),
        scrutiny: Scrutiny::default(),
        counted_for: Vec::new(),
        lease_id: None,
    }
}

pub(crate) fn rejection(key: &str, inbox: &Inbox) -> Submitted {
    let rejected = Rejected {
        rejection: Rejection { code: "invalid_request".to_owned(), message: "Why".to_owned() },
        subject: "Refused".to_owned(),
        to: vec!["bob@example.net".to_owned()],
        cc: Vec::new(),
    };
    Submitted { outcome: Outcome::Rejected(Box::new(rejected)), ..submission(key, inbox, &[]) }
}

/// What became of recipients at an attempt on their domain.
pub(crate) fn report(
    mail_id: &str,
    attempt: u32,
    recipients: &[(&str, Action)],
) -> DeliveryReported {
    let recipients = recipients.iter().map(|(path, action)| RecipientReport {
        forward_path: (*path).to_owned(),
        action: (*action).into(),
        status: "2.0.0".to_owned(),
        diagnostic: format!("reply {attempt}"),
        remote_host: "mx.example.net".to_owned(),
        tls: "TLSv1.3".to_owned(),
        ..RecipientReport::default()
    });
    DeliveryReported {
        mail_id: mail_id.to_owned(),
        domain: "example.net".to_owned(),
        attempt,
        attempted_at_micros: 5,
        recipients: recipients.collect(),
        ..DeliveryReported::default()
    }
}
