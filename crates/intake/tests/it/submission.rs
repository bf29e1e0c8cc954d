//! Mail that is handed in to be sent becomes a request.

use async_nats::jetstream::{self, stream};
use bus::{Bus, Failure, Stage};
use contract::{Grant, SendLimits, SendRequest, Submission, submission_id};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

use crate::{PATIENCE, TOKEN, World, client::Client};

const HEADER: &str = "From: user@local.example\r\nMessage-ID: <1@client.example>\r\n";

/// Takes requests off the stream as the scanner does.
struct Scanner {
    bus: Bus,
    requests: UnboundedSender<Handed>,
}

struct Handed {
    submission: Submission,
    request: SendRequest,
}

impl Stage for Scanner {
    const DURABLE: &'static str = "submission-scanner";
    type In = Submission;
    type Out = ();

    async fn handle(&self, submission: Submission) -> Result<(), Failure> {
        let json = self.bus.claims().get(&submission.request).await?.expect("the claim is there");
        let request = serde_json::from_slice(&json).expect("a SendRequest");
        // Nobody listens any more when a test is over.
        drop(self.requests.send(Handed { submission, request }));
        Ok(())
    }
}

struct Requests {
    requests: UnboundedReceiver<Handed>,
    _scanner: JoinHandle<anyhow::Result<()>>,
}

impl Requests {
    fn of(world: &World) -> Requests {
        let (sender, requests) = unbounded_channel();
        let scanner = Scanner { bus: world.bus.clone(), requests: sender };
        let bus = world.bus.clone();
        Requests { requests, _scanner: tokio::spawn(async move { bus.run(scanner).await }) }
    }

    async fn next(&mut self) -> Handed {
        let next = timeout(PATIENCE, self.requests.recv()).await;
        next.expect("no request came").expect("the scanner stopped")
    }
}

async fn logged_in(world: &World) -> Client {
    let mut client = Client::submitting(world.intake.submission).await;
    client.log_in("user@local.example", TOKEN, "235").await;
    client
}

async fn begin(client: &mut Client, forward_path: &str) {
    client.ask("MAIL FROM:<user@local.example>\r\n", "250 2.1.0").await;
    client.ask(&format!("RCPT TO:<{forward_path}>\r\n"), "250 2.1.5").await;
    client.ask("DATA\r\n", "354").await;
}

async fn hand_in(client: &mut Client, forward_path: &str, content: &str) -> String {
    begin(client, forward_path).await;
    let reply = client.ask(&format!("{content}.\r\n"), "250 2.0.0 OK eml_").await;
    reply.trim_start_matches("250 2.0.0 OK ").trim_end().to_owned()
}

#[tokio::test]
async fn a_mail_becomes_a_request_of_its_inbox() {
    let world = World::new().await;
    let mut requests = Requests::of(&world);
    let mut client = logged_in(&world).await;
    let content = format!("{HEADER}Subject: \u{e9}\r\n\r\n..dot\r\n");
    let id = hand_in(&mut client, "bob@Far.example", &content).await;
    let Handed { submission, request } = requests.next().await;
    assert_eq!((&*submission.account_id, &*submission.inbox_id), ("acct_1", "ibx_user"));
    assert_eq!(submission.mail_id(), id);
    assert_eq!(request.from, "user@local.example");
    assert_eq!(request.to, ["bob@far.example"]);
    let sent = String::from_utf8(request.content).expect("UTF-8");
    let (trace, rest) = sent.split_at(sent.find("From:").expect("From"));
    assert_eq!(rest, content.replace("..dot", ".dot"));
    assert!(trace.starts_with("Received: from client.example ([127.0.0.1])\r\n"), "{trace}");
    assert!(trace.contains("with ESMTPSA id ") && trace.contains("for <bob@far.example>;"));

    // The same by BDAT, from another inbox of the account, in any spelling of its address.
    client.ask("MAIL FROM:<User2+tag@local.example> SIZE=100\r\n", "250").await;
    client.ask("RCPT TO:<bob@far.example>\r\n", "250").await;
    let content = "From: U.ser2@local.example\r\n\r\n";
    client.send(format!("BDAT {} LAST\r\n{content}", content.len())).await;
    client.expect("250 2.0.0 OK eml_").await;
    let Handed { submission, request } = requests.next().await;
    assert_eq!(submission.inbox_id, "ibx_user2");
    assert!(request.content.ends_with(content.as_bytes()));
}

#[tokio::test]
async fn a_large_mail_goes_by_claim() {
    let world = World::new().await;
    let mut requests = Requests::of(&world);
    let mut client = logged_in(&world).await;
    let content = format!("{HEADER}\r\n{}", "0123456789\r\n".repeat(100_000));
    hand_in(&mut client, "bob@far.example", &content).await;
    let Handed { request, .. } = requests.next().await;
    assert!(request.content.ends_with(content.as_bytes()));
}

#[tokio::test]
async fn what_is_handed_in_again_is_the_same_mail() {
    let world = World::new().await;
    let mut requests = Requests::of(&world);
    let content = format!("{HEADER}\r\nHi\r\n");
    let first = hand_in(&mut logged_in(&world).await, "bob@far.example", &content).await;
    let mut client = logged_in(&world).await;
    assert_eq!(hand_in(&mut client, "bob@far.example", &content).await, first);
    let other = hand_in(&mut client, "carol@far.example", &content).await;
    assert_ne!(other, first, "the rest of a long list");
    let mut seen = Vec::new();
    for _ in 0..3 {
        let Handed { submission, request } = requests.next().await;
        let again = submission_id("ibx_user", &submission.idempotency_key);
        seen.push((again, request.canonical()));
    }
    assert_eq!(seen[0], seen[1], "the trace makes no difference");
    assert_eq!(seen[2].0, other);

    let unnamed = "From: user@local.example\r\n\r\nHi\r\n";
    let one = hand_in(&mut client, "bob@far.example", unnamed).await;
    assert_ne!(hand_in(&mut client, "bob@far.example", unnamed).await, one);
}

#[tokio::test]
async fn only_inboxes_of_the_account_send() {
    let world = World::new().await;
    let directory = world.bus.directory();
    let added = directory.add_inbox("other@local.example", "acct_2", "ibx_other").await;
    added.expect("add inbox");
    let mut client = logged_in(&world).await;
    for foreign in ["other@local.example", "nobody@local.example", "user@far.example", ""] {
        client.ask(&format!("MAIL FROM:<{foreign}>\r\n"), "550 5.7.1").await;
    }
    client.ask("RCPT TO:<bob@far.example>\r\n", "503").await;
}

#[tokio::test]
async fn a_token_that_is_taken_back_ends_it() {
    let world = World::new().await;
    let mut client = logged_in(&world).await;
    client.ask("MAIL FROM:<user@local.example>\r\n", "250").await;
    client.ask("RSET\r\n", "250").await;
    let removed = world.bus.directory().remove_token(&bus::token_hash(TOKEN)).await;
    removed.expect("remove token");
    client.ask("MAIL FROM:<user@local.example>\r\n", "530 5.7.0").await;
    client.log_in("user@local.example", TOKEN, "535 5.7.8").await;
}

#[tokio::test]
async fn fifty_recipients_anywhere_but_nobody_who_is_not_here() {
    let world = World::new().await;
    let mut requests = Requests::of(&world);
    let mut client = logged_in(&world).await;
    client.ask("MAIL FROM:<user@local.example>\r\n", "250").await;
    client.ask("RCPT TO:<nobody@local.example>\r\n", "550 5.1.1").await;
    client.ask("RCPT TO:<no address@far.example>\r\n", "501").await;
    client.ask("RCPT TO:<\u{e9}@far.example>\r\n", "553 5.6.7").await;
    client.ask("RCPT TO:<user2@local.example>\r\n", "250").await;
    for n in 1..50 {
        client.ask(&format!("RCPT TO:<bob{n}@far.example>\r\n"), "250").await;
    }
    client.ask("RCPT TO:<bob50@far.example>\r\n", "452 4.5.3").await;
    client.ask("DATA\r\n", "354").await;
    client.ask(&format!("{HEADER}\r\n.\r\n"), "250").await;
    assert_eq!(requests.next().await.request.to.len(), 50);
}

#[tokio::test]
async fn what_cannot_go_out_is_refused_in_the_session() {
    let world = World::with(|it| it.max_errors = 100).await;
    let mut client = logged_in(&world).await;
    for (content, reply) in [
        ("From: boss@local.example\r\n\r\n", "550 5.7.1"),
        ("From: user2@local.example\r\n\r\n", "550 5.7.1"),
        ("From: user@local.example\r\nSender: boss@local.example\r\n\r\n", "550 5.7.1"),
        ("From: user@local.example, boss@local.example\r\n\r\n", "554 5.6.0"),
        ("From: user@local.example\r\nFrom: user@local.example\r\n\r\n", "554 5.6.0"),
        ("Subject: Hi\r\n\r\n", "554 5.6.0"),
        ("Hi\r\n", "554 5.6.0"),
        ("From: user@local.example\r\n\r\na\nb\r\n", "550 5.6.11"),
        ("From: user@local.example\r\n\r\na\0b\r\n", "554 5.6.0"),
        (&format!("From: user@local.example\r\n\r\n{}\r\n", "a".repeat(999)), "554 5.6.0 line 3"),
        (
            &format!("{}From: user@local.example\r\n\r\n", "Received: x\r\n".repeat(101)),
            "554 5.4.6",
        ),
    ] {
        begin(&mut client, "bob@far.example").await;
        client.ask(&format!("{content}.\r\n"), reply).await;
    }
    let longest = format!("From: user@local.example\r\n\r\n{}\r\n", "a".repeat(998));
    hand_in(&mut client, "bob@far.example", &longest).await;
}

#[tokio::test]
async fn a_mail_that_cannot_be_kept_is_to_come_again() {
    let mut world = World::new().await;
    let jetstream = jetstream::new(async_nats::connect(&world.nats.url).await.expect("connect"));
    let stream = async |name: &str| -> stream::Info {
        jetstream.get_stream(name).await.expect("stream").cached_info().clone()
    };
    let config = stream("SUBMISSIONS").await.config;
    let small = stream::Config { max_bytes: 100, ..config.clone() };
    jetstream.update_stream(small).await.expect("make the stream small");
    let mut client = logged_in(&world).await;
    for body in ["Hi\r\n".to_owned(), "0123456789\r\n".repeat(100_000)] {
        begin(&mut client, "bob@far.example").await;
        client.ask(&format!("{HEADER}\r\n{body}.\r\n"), "452 4.3.1").await;
    }
    // Nothing refers to the claim, so it is gone; what it was called stays known.
    let claims = stream("OBJ_CLAIMS").await;
    assert!(claims.state.bytes < 1000, "{:?}", claims.state);
    jetstream.update_stream(config).await.expect("make the stream large");

    begin(&mut client, "bob@far.example").await;
    world.nats.kill().await.expect("kill");
    client.ask(&format!("{HEADER}\r\n.\r\n"), "451 4.3.0").await;
    client.ask("MAIL FROM:<user@local.example>\r\n", "451 4.").await;
}

#[tokio::test]
async fn a_request_says_by_its_subject_which_token_it_comes_with() {
    let world = World::new().await;
    let mut requests = Requests::of(&world);
    let content = format!("{HEADER}\r\nHi\r\n");
    hand_in(&mut logged_in(&world).await, "bob@far.example", &content).await;
    let whole = requests.next().await.submission.token;
    assert_eq!(whole.as_deref(), Some(contract::token_id(&bus::token_hash(TOKEN))));

    let hash = bus::token_hash("counted");
    let limits = SendLimits { mails: Some(1), ..SendLimits::default() };
    let counted = Grant { limits, ..Grant::default() };
    world.bus.directory().add_token(&hash, "acct_1", &counted).await.expect("add token");
    let mut client = Client::submitting(world.intake.submission).await;
    client.log_in("user@local.example", "counted", "235").await;
    hand_in(&mut client, "carol@far.example", &content).await;
    let named = requests.next().await.submission.token;
    assert_eq!(named.as_deref(), Some(contract::token_id(&hash)));
}
