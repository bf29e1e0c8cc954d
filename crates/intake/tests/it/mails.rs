//! What comes of an accepted mail.

use contract::content::Place;

use crate::{World, client::Client};

/// Every octet, long lines, dots at their beginnings; no bare CR or LF.
fn any_octets(size: usize) -> Vec<u8> {
    let mut content = b"Subject: any\r\n\r\n".to_vec();
    let mut n: u32 = 1;
    while content.len() < size {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match n >> 24 {
            octet @ (10 | 13) => content.extend([b'\r', b'\n', b'.'].repeat(octet as usize % 3)),
            octet => content.push(octet as u8),
        }
    }
    content.extend(b"\r\n");
    content
}

fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len() + 1024);
    let mut at_line_start = true;
    for octet in content {
        if at_line_start && *octet == b'.' {
            stuffed.push(b'.');
        }
        stuffed.push(*octet);
        at_line_start = *octet == b'\n';
    }
    stuffed
}

async fn send(client: &mut Client, content: &[u8]) -> String {
    client.begin("a@client.example").await;
    client.send(stuffed(content)).await;
    client.ask(".\r\n", "250 2.0.0 OK ").await
}

#[tokio::test]
async fn octets_stay_as_they_were_sent() {
    let mut world = World::new().await;
    let content = any_octets(200_000);
    send(&mut world.greeted().await, &content).await;
    let mail = world.next_mail().await;
    assert!(mail.sent() == content, "the octets differ");
    let place = mail.event.content.as_ref().expect("content");
    assert!(matches!(place.place, Some(Place::Inline(_))));
    assert_eq!(place.size_bytes, mail.content.len() as u64);
    assert_eq!(world.intake.metric("mail_intake_bytes_total", ""), mail.content.len() as f64);
}

#[tokio::test]
async fn a_mail_of_25_mb_passes_whole() {
    let mut world = World::new().await;
    let content = any_octets(25 * 1024 * 1024);
    let mut client = world.greeted().await;
    send(&mut client, &content).await;
    let mail = world.next_mail().await;
    assert!(mail.sent() == content, "the octets differ");
    let place = mail.event.content.as_ref().expect("content");
    assert_eq!(place.place, Some(Place::Claim(format!("in/{}", mail.event.mail_id))));
    assert_eq!(place.size_bytes, mail.content.len() as u64);
    // The connection is good for another.
    client.send_mail("b@client.example", "x\r\n").await;
}

#[tokio::test]
async fn the_event_tells_where_a_mail_came_from() {
    let mut world = World::new().await;
    let before = std::time::SystemTime::now();
    let mut client = world.greeted().await;
    let reply = client.send_mail("a@client.example", "Subject: t\r\n\r\nx\r\n").await;
    let mail = world.next_mail().await;
    let peer = mail.event.peer.as_ref().expect("peer");
    assert_eq!((peer.ip.as_str(), peer.helo.as_str()), ("127.0.0.1", "client.example"));
    assert_eq!(peer.tls, "");
    assert!(reply.contains(&mail.event.mail_id), "{reply}");
    let received_at = std::time::UNIX_EPOCH
        + std::time::Duration::from_micros(mail.event.received_at_micros as u64);
    assert!(received_at + std::time::Duration::from_micros(1) > before);
    assert!(received_at < std::time::SystemTime::now());
}

#[tokio::test]
async fn the_trace_header_stands_on_top() {
    let mut world = World::new().await;
    let sent = "Return-Path: <forged@client.example>\r\nSubject: t\r\n\r\nx\r\n";
    world.greeted().await.send_mail("a@client.example", sent).await;
    let mail = world.next_mail().await;
    let (trace, below) = mail.split();
    let mail_id = &mail.event.mail_id;
    let expected = format!(
        "Received: from client.example ([127.0.0.1])\r\n\
         \tby mx.local.example with ESMTP id {mail_id}\r\n\
         \tfor <user@local.example>;\r\n\t"
    );
    assert!(trace.starts_with(&expected), "{trace}");
    assert_eq!(below, sent.as_bytes());
}

#[tokio::test]
async fn the_null_reverse_path_stays_null() {
    let mut world = World::new().await;
    world.greeted().await.send_mail("", "Subject: DSN\r\n\r\n").await;
    let mail = world.next_mail().await;
    assert_eq!(mail.envelope().reverse_path, "");
}

#[tokio::test]
async fn smtputf8_is_said_and_needed() {
    let mut world = World::new().await;
    let mut client = world.greeted().await;
    client.ask("MAIL FROM:<josé@client.example>\r\n", "553 5.6.7").await;
    client.ask("MAIL FROM:<josé@client.example> SMTPUTF8\r\n", "250").await;
    client.ask("RCPT TO:<user@local.example>\r\n", "250").await;
    client.ask("DATA\r\n", "354").await;
    client.ask("Subject: ü\r\n\r\n.\r\n", "250").await;
    let mail = world.next_mail().await;
    assert!(mail.envelope().smtputf8);
    assert_eq!(mail.envelope().reverse_path, "josé@client.example");
    let (trace, _) = mail.split();
    assert!(trace.contains(" with UTF8SMTP id "), "{trace}");
    client.ask("MAIL FROM:<a@client.example>\r\n", "250").await;
    client.ask("RCPT TO:<josé@local.example>\r\n", "553 5.6.7").await;
}

#[tokio::test]
async fn a_loop_is_broken() {
    let mut world = World::new().await;
    let mut client = world.greeted().await;
    let hops = |n| "Received: from a by b; Tue, 24 Nov 2026 05:06:07 +0000\r\n".repeat(n);
    client.begin("a@client.example").await;
    client.ask(&format!("{}\r\n.\r\n", hops(101)), "554 5.4.6").await;
    client.send_mail("b@client.example", &hops(100)).await;
    assert_eq!(world.next_mail().await.envelope().reverse_path, "b@client.example");
}

#[tokio::test]
async fn replies_have_the_forms_that_clients_read() {
    let world = World::new().await;
    let mut client = world.client().await;
    assert_eq!(client.reply().await, "220 mx.local.example ESMTP Posthouse\r\n");
    let helo = client.ask("HELO client.example\r\n", "250").await;
    assert_eq!(helo, "250 mx.local.example\r\n");
    let ehlo = client.ask("EHLO client.example\r\n", "250").await;
    let lines: Vec<&str> = ehlo.lines().map(|it| &it[4..]).collect();
    assert_eq!(
        lines,
        [
            "mx.local.example",
            "PIPELINING",
            "SIZE 36700160",
            "STARTTLS",
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING"
        ]
    );
    client.ask("VRFY user\r\n", "252 2.0.0").await;
    client.ask("EXPN all\r\n", "502 5.5.1").await;
    client.ask("HELP\r\n", "214 2.0.0").await;
    client.ask("NOOP\r\n", "250 2.0.0").await;
    client.ask("RSET\r\n", "250 2.0.0").await;
    client.ask("NOOP\nNOOP\r\n", "500 5.5.2").await;
    client.ask("DATA\r\n", "503 5.5.1").await;
    client.ask("MAIL FROM:<a@client.example> FOO=1\r\n", "555 5.5.4").await;
    client.ask("MAIL FROM:<a@client.example> BODY=FOO\r\n", "501 5.5.4").await;
}

#[tokio::test]
async fn a_pipelined_group_is_answered_in_order() {
    let mut world = World::new().await;
    let mut client = world.greeted().await;
    client
        .send(
            "MAIL FROM:<a@client.example>\r\nRCPT TO:<user@local.example>\r\n\
             RCPT TO:<nobody@local.example>\r\nRCPT TO:<user2@local.example>\r\nDATA\r\n\
             Subject: t\r\n\r\n.\r\nMAIL FROM:<b@client.example>\r\nRSET\r\nQUIT\r\n",
        )
        .await;
    for begins in
        ["250 2.1.0", "250 2.1.5", "550 5.1.1", "250 2.1.5", "354", "250 2.0.0 OK", "250 2.1.0"]
    {
        client.expect(begins).await;
    }
    client.expect("250 2.0.0").await;
    client.expect("221 2.0.0").await;
    let mail = world.next_mail().await;
    assert_eq!(mail.forward_paths(), ["user@local.example", "user2@local.example"]);
}
