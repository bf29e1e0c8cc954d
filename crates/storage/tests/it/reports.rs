//! Reports that come as mail: applied where they prove what they are about, dropped where not.

use contract::{
    Action, Authentication, DeliveryReported, Envelope, Event, ForwardPath, MailReceived,
    MailScanned, Purpose, RecipientReport, SubmissionAccepted, SubmissionScanned,
};
use prost::Message as _;
use store::{Inbox, Scope};

use crate::{ACCOUNT, Bench, DOMAIN, Running, eventually, inline, submission};

const BOB: &str = "bob@example.net";

/// A mail that was handed over for Bob, and where its reports go.
struct Sent {
    bench: Bench,
    inbox: Inbox,
    accepted: SubmissionAccepted,
    running: Running,
}

impl Sent {
    async fn new(more: &str) -> Sent {
        let bench = Bench::new().await;
        let inbox = bench.inbox("agent").await;
        let running = bench.start().await;
        let accepted = send(&bench, &inbox, "k", &format!(r#""to":["{BOB}"]{more}"#)).await;
        let sent = Sent { bench, inbox, accepted, running };
        sent.attempt(Action::Delivered, "250 2.0.0 ok").await;
        sent
    }

    async fn attempt(&self, action: Action, diagnostic: &str) {
        let recipient = RecipientReport {
            forward_path: BOB.to_owned(),
            action: action.into(),
            diagnostic: diagnostic.to_owned(),
            ..RecipientReport::default()
        };
        let report = DeliveryReported {
            mail_id: self.accepted.mail_id.clone(),
            domain: "example.net".to_owned(),
            attempt: 1,
            attempted_at_micros: 2_000_000,
            recipients: vec![recipient],
            ..DeliveryReported::default()
        };
        let events = self.bench.count_events().await;
        self.bench.deliver(&report, "attempt").await;
        eventually(async || self.bench.count_events().await > events).await;
    }

    /// Delivers a report and waits until it is dealt with; gives the names of the events it led to.
    async fn report(&self, mail: MailScanned) -> Vec<String> {
        let before = self.bench.events().await.len();
        let identity = format!("{} {before}", mail.mail_id);
        let seen = self.scanned().await;
        self.bench.deliver(&mail, &identity).await;
        eventually(async || self.scanned().await > seen && self.bench.all_stored().await).await;
        let events: Vec<Event> = self.bench.events().await.split_off(before);
        events.into_iter().map(|it| it.event).collect()
    }

    /// How many mails ever were scanned.
    async fn scanned(&self) -> u64 {
        let jetstream = self.bench.jetstream().await;
        let mut stream = jetstream.get_stream("SCANNED").await.expect("stream");
        stream.info().await.expect("info").state.last_sequence
    }

    async fn status(&self) -> String {
        let reader = &self.bench.store.reader;
        let email = reader.email(ACCOUNT, &self.inbox.id, &self.accepted.mail_id).await;
        email.expect("read").expect("an email").status.unwrap_or_default()
    }

    async fn suppressed(&self) -> Option<(String, Scope)> {
        let found = self.bench.store.reader.suppressed(ACCOUNT, &[BOB.to_owned()]).await;
        found.expect("read").into_iter().next().map(|it| (it.reason, it.scope))
    }

    fn message_id(&self) -> String {
        format!("{}@{DOMAIN}", self.accepted.mail_id.trim_start_matches("eml_"))
    }
}

async fn send(bench: &Bench, inbox: &Inbox, key: &str, fields: &str) -> SubmissionAccepted {
    let request = format!(r#"{{{fields},"subject":"Hello","body":{{"text":"Hi"}}}}"#);
    let before = bench.count_events().await;
    let submission = SubmissionScanned {
        request: Some(inline(request.as_bytes())),
        ..submission(inbox, key, 1_000_000)
    };
    bench.deliver(&submission, key).await;
    eventually(async || bench.count_events().await > before).await;
    let accepted = bench.last_outbound("outbound.accepted").await;
    SubmissionAccepted::decode(accepted).expect("decode")
}

fn mail(id: &str, path: ForwardPath, content: &str) -> MailScanned {
    let content = content.replace('\n', "\r\n");
    MailScanned {
        mail_id: id.to_owned(),
        envelope: Some(Envelope { forward_paths: vec![path], ..Envelope::default() }),
        content: Some(inline(content.as_bytes())),
        message: Some(mail::parse(content.as_bytes(), 1_000)),
        received_at_micros: 3_000_000,
        ..MailScanned::default()
    }
}

fn to(address: &str, purpose: Purpose) -> ForwardPath {
    let purpose = purpose.into();
    ForwardPath { address: address.to_owned(), purpose, ..ForwardPath::default() }
}

fn to_inbox(inbox: &Inbox, id: &str) -> ForwardPath {
    ForwardPath {
        address: inbox.address.clone(),
        account_id: inbox.account_id.clone(),
        inbox_id: inbox.id.clone(),
        email_id: format!("eml_{id}"),
        ..ForwardPath::default()
    }
}

fn dsn(action: &str, recipient: &str, returned: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\nSubject: Delivery report\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\n\nSorry.\n--b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; {recipient}\n\
         Action: {action}\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 user unknown\n\n--b\n\
         Content-Type: text/rfc822-headers\n\n{returned}\n--b--\n"
    )
}

fn complaint(fields: &str, returned: &str) -> String {
    format!(
        "From: fbl@example.net\nSubject: Abuse\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nSpam.\n\
         --b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x/1\n\
         {fields}\n\n--b\nContent-Type: text/rfc822-headers\n\n{returned}\n--b--\n"
    )
}

#[tokio::test]
async fn a_late_bounce_is_applied_once_and_suppresses() {
    let sent = Sent::new("").await;
    let path = || to(&sent.accepted.reverse_path, Purpose::ReturnPath);
    // After forwarding: the return path says whom it is about.
    let report = mail("report_1", path(), &dsn("failed", "robert@elsewhere.test", ""));
    assert_eq!(sent.report(report.clone()).await, ["email.bounced"]);
    assert_eq!(sent.status().await, "bounced");
    assert_eq!(sent.suppressed().await, Some(("recipient_unknown".to_owned(), Scope::Account)));
    let event = sent.bench.events().await.pop().expect("an event").data.expect("an email");
    assert_eq!(event.recipients[0].diagnostic, "550 5.1.1 user unknown");
    assert_eq!(event.recipients[0].address, BOB);

    assert_eq!(sent.report(report).await, [""; 0], "the event has its identity");
    let again = mail("report_2", path(), &dsn("failed", BOB, ""));
    assert_eq!(sent.report(again).await, [""; 0], "the same by another mail");
    let stored = sent.bench.store.reader.copies("report_1").await.expect("read");
    assert!(stored.is_empty(), "nobody sees it");
    assert_eq!(sent.bench.count("DEAD").await, 0);

    let request = submission(&sent.inbox, "next", 5_000_000);
    sent.bench.deliver(&request, "next").await;
    eventually(async || {
        sent.bench.events().await.last().is_some_and(|it| it.event == "email.rejected")
    })
    .await;
    sent.running.stop().await;
}

#[tokio::test]
async fn the_return_path_names_whom_the_bounce_does_not() {
    let sent = Sent::new("").await;
    let path = to(&sent.accepted.reverse_path, Purpose::ReturnPath);
    let bounce = "From: MAILER-DAEMON@mx.example.net\nSubject: Oznameni\n\n550 5.1.1 Neznamy\n";
    assert_eq!(sent.report(mail("report_1", path, bounce)).await, ["email.bounced"]);
    assert_eq!(sent.suppressed().await, Some(("recipient_unknown".to_owned(), Scope::Account)));
    sent.running.stop().await;
}

#[tokio::test]
async fn delays_and_deliveries_are_told() {
    let sent = Sent::new("").await;
    let path = || to(&sent.accepted.reverse_path.to_uppercase(), Purpose::ReturnPath);
    let delayed = mail("report_1", path(), &dsn("delayed", BOB, ""));
    assert_eq!(sent.report(delayed).await, ["email.deferred"]);
    assert_eq!(sent.status().await, "sent", "no failure");
    let delivered = mail("report_2", path(), &dsn("relayed", BOB, ""));
    assert_eq!(sent.report(delivered).await, ["email.delivered"]);
    assert_eq!(sent.status().await, "delivered");
    assert_eq!(sent.suppressed().await, None);
    let id = &sent.accepted.mail_id;
    let log = sent.bench.store.reader.deliveries(ACCOUNT, &sent.inbox.id, id).await.expect("read");
    let sources: Vec<_> = log.iter().map(|it| (&*it.source, &*it.action)).collect();
    assert_eq!(sources, [("session", "delivered"), ("dsn", "delayed"), ("dsn", "delivered")]);
    sent.running.stop().await;
}

#[tokio::test]
async fn what_proves_nothing_changes_nothing() {
    let sent = Sent::new("").await;
    let ours = &sent.accepted.reverse_path;
    let (first, rest) = ours.split_at(5);
    let forged = format!("{first}{}{}", if &rest[..1] == "a" { "b" } else { "a" }, &rest[1..]);
    let bounce = dsn("failed", BOB, "");
    let return_path = |path: &str| to(path, Purpose::ReturnPath);
    let complaints = || to(&format!("fbl@{DOMAIN}"), Purpose::Complaints);
    let own = format!("Message-ID: <{}>", sent.message_id());
    let vacation = "From: bob@example.net\nSubject: Out of office\n\nBack on Monday.\n";
    for (n, mail_of) in [
        mail("", return_path(&forged), &bounce),
        // The return path that it came to is the one that counts.
        mail("", return_path(&forged), &dsn("failed", BOB, &format!("Return-Path: <{ours}>"))),
        mail("", return_path(ours), vacation),
        mail("", complaints(), &complaint("", &own)),
        mail("", complaints(), &complaint("", "Message-ID: <x@example.net>")),
        mail("", complaints(), &complaint(&format!("Original-Mail-From: <{forged}>"), "")),
        mail("", complaints(), &bounce),
    ]
    .into_iter()
    .enumerate()
    {
        let report = MailScanned { mail_id: format!("report_{n}"), ..mail_of };
        assert_eq!(sent.report(report).await, [""; 0], "{n}");
    }
    assert_eq!((sent.status().await, sent.suppressed().await), ("sent".to_owned(), None));
    assert_eq!(sent.bench.count("DEAD").await, 0);
    let counted = |outcome: &str| {
        let text = sent.running.process.metrics.text().expect("metrics");
        let label = format!("outcome=\"{outcome}\"");
        let mut lines = text.lines().filter(|it| it.starts_with("mail_storage_reports_total{"));
        let line = lines.find(|it| it.contains(&label));
        line.and_then(|it| Some(it.rsplit_once(' ')?.1.to_owned()))
    };
    for (outcome, count) in
        [("forged", "2"), ("no_report", "1"), ("unproven", "1"), ("unknown_mail", "3")]
    {
        assert_eq!(counted(outcome).as_deref(), Some(count), "{outcome}");
    }
    sent.running.stop().await;
}

#[tokio::test]
async fn a_complaint_suppresses_at_once_however_it_names_the_mail() {
    let sent = Sent::new("").await;
    let complaints = || to(&format!("complaints@{DOMAIN}"), Purpose::Complaints);
    let redacted = complaint(&format!("Original-Mail-From: <{}>", sent.accepted.reverse_path), "");
    let report = mail("report_1", complaints(), &redacted);
    assert_eq!(sent.report(report).await, ["email.complained"]);
    assert_eq!(sent.status().await, "complained");
    assert_eq!(sent.suppressed().await, Some(("complaint".to_owned(), Scope::Account)));
    sent.running.stop().await;

    let sent = Sent::new("").await;
    let own = complaint("", &format!("Message-ID: <{}>\nTo: <{BOB}>", sent.message_id()));
    let by = |domain: &str| Authentication {
        dmarc: "pass".to_owned(),
        from_domain: domain.to_owned(),
        ..Authentication::default()
    };
    let report = mail("report_1", complaints(), &own);
    let stranger = MailScanned { authentication: Some(by("example.org")), ..report.clone() };
    assert_eq!(sent.report(stranger).await, [""; 0], "who is that?");
    let provider = MailScanned {
        authentication: Some(by("fbl.example.net")),
        mail_id: "report_2".to_owned(),
        ..report
    };
    assert_eq!(sent.report(provider).await, ["email.complained"]);
    sent.running.stop().await;
}

#[tokio::test]
async fn a_report_at_the_inbox_is_mail_and_a_report() {
    let sent = Sent::new("").await;
    let own = format!("Message-ID: <{}>", sent.message_id());
    // Whoever saw the mail could say so: it is told, and does not suppress.
    let claim = mail("report_1", to_inbox(&sent.inbox, "1"), &dsn("failed", BOB, &own));
    let mut events = sent.report(claim).await;
    events.sort();
    assert_eq!(events, ["email.bounced", "email.received"]);
    assert_eq!((sent.status().await, sent.suppressed().await), ("bounced".to_owned(), None));
    let delivered = mail("report_2", to_inbox(&sent.inbox, "2"), &dsn("delivered", BOB, &own));
    assert_eq!(sent.report(delivered).await, ["email.received"]);
    let returned = format!("Return-Path: <{}>\n{own}", sent.accepted.reverse_path);
    let proven = mail("report_3", to_inbox(&sent.inbox, "3"), &dsn("failed", BOB, &returned));
    assert_eq!(sent.report(proven).await, ["email.received"], "it was told before");
    assert_eq!(sent.suppressed().await, Some(("recipient_unknown".to_owned(), Scope::Account)));
    sent.running.stop().await;
}

#[tokio::test]
async fn of_several_recipients_the_report_says_which() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let fields = r#""to":["bob@example.net","carol@example.net"]"#;
    let accepted = send(&bench, &inbox, "k", fields).await;
    assert_eq!(accepted.reverse_paths.len(), 2);
    let sent = Sent { bench, inbox, accepted, running };
    let path = || to(&sent.accepted.reverse_path, Purpose::ReturnPath);
    let stranger = mail("report_1", path(), &dsn("failed", "mallory@example.net", ""));
    assert_eq!(sent.report(stranger).await, [""; 0]);
    let carol = mail("report_2", path(), &dsn("failed", "Carol@Example.net", ""));
    assert_eq!(sent.report(carol).await, ["email.bounced"]);
    assert_eq!(sent.suppressed().await, None);
    let carol = ["carol@example.net".to_owned()];
    let found = sent.bench.store.reader.suppressed(ACCOUNT, &carol);
    assert_eq!(found.await.expect("read").len(), 1);
    sent.running.stop().await;
}

/// What was published for intake's subject and is not consumed here.
async fn notices(bench: &Bench) -> Vec<MailReceived> {
    let mut stream = bench.jetstream().await.get_stream("INBOUND").await.expect("stream");
    let state = stream.info().await.expect("info").state.clone();
    let mut notices = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("message");
        notices.push(MailReceived::decode(message.payload).expect("decode"));
    }
    notices
}

fn content(notice: &MailReceived) -> String {
    let Some(contract::content::Place::Inline(octets)) =
        notice.content.clone().and_then(|it| it.place)
    else {
        panic!("not inline");
    };
    String::from_utf8(octets.to_vec()).expect("text")
}

#[tokio::test]
async fn who_asks_is_notified_of_how_it_ended() {
    let sent = Sent::new(r#","notify":["success","failure"]"#).await;
    eventually(async || sent.bench.count("INBOUND").await == 1).await;
    let path = to(&sent.accepted.reverse_path, Purpose::ReturnPath);
    sent.report(mail("report_1", path, &dsn("failed", BOB, ""))).await;
    eventually(async || sent.bench.count("INBOUND").await == 2).await;
    let notices = notices(&sent.bench).await;
    for (notice, action) in notices.iter().zip(["Action: relayed", "Action: failed"]) {
        let envelope = notice.envelope.as_ref().expect("an envelope");
        assert_eq!((&*envelope.reverse_path, envelope.forward_paths.len()), ("", 1));
        assert_eq!(envelope.forward_paths[0].inbox_id, sent.inbox.id);
        let content = content(notice);
        assert!(content.contains(action), "{content}");
        assert!(content.contains("Auto-Submitted: auto-replied"), "{content}");
        assert!(content.contains(&sent.message_id()), "{content}");
    }
    // It comes round to the inbox, and reports nothing on itself.
    let round = MailScanned {
        mail_id: notices[1].mail_id.clone(),
        ..mail("", to_inbox(&sent.inbox, "dsn"), &content(&notices[1]).replace("\r\n", "\n"))
    };
    assert_eq!(sent.report(round).await, ["email.received"]);
    let id = &sent.accepted.mail_id;
    let log = sent.bench.store.reader.deliveries(ACCOUNT, &sent.inbox.id, id).await.expect("read");
    assert_eq!(log.iter().filter(|it| it.source == "claim").count(), 0);
    sent.running.stop().await;
}

#[tokio::test]
async fn a_late_mail_is_told_once_to_who_asks() {
    let bench = Bench::new().await;
    let inbox = bench.inbox("agent").await;
    let running = bench.start().await;
    let fields = format!(r#""to":["{BOB}"],"notify":["delay"]"#);
    let accepted = send(&bench, &inbox, "k", &fields).await;
    for (attempt, hours) in [(1_u32, 1_i64), (2, 5), (3, 9)] {
        let recipient = RecipientReport {
            forward_path: BOB.to_owned(),
            action: Action::Delayed.into(),
            ..RecipientReport::default()
        };
        let report = DeliveryReported {
            mail_id: accepted.mail_id.clone(),
            domain: "example.net".to_owned(),
            attempt,
            attempted_at_micros: hours * 3_600_000_000,
            recipients: vec![recipient],
            ..DeliveryReported::default()
        };
        bench.deliver(&report, &attempt.to_string()).await;
        eventually(async || bench.outbound("outbound.reported").await.is_empty()).await;
        let expected = u64::from(hours >= 4);
        assert_eq!(bench.count("INBOUND").await, expected, "after {hours} hours");
    }
    assert!(content(&notices(&bench).await[0]).contains("Action: delayed"));
    running.stop().await;
}
