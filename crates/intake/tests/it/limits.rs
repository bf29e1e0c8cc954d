//! Every limit is reached, and what stands around it goes on.

use std::time::{Duration, Instant};

use crate::World;

#[tokio::test]
async fn size_is_held_at_mail_and_while_reading() {
    let mut world = World::with(|it| it.max_size_bytes = 10_000).await;
    let mut client = world.greeted().await;
    client.ask("MAIL FROM:<a@client.example> SIZE=10001\r\n", "552 5.3.4").await;
    client.ask("MAIL FROM:<a@client.example> SIZE=10000\r\n", "250").await;
    client.ask("RSET\r\n", "250").await;

    let lines = |n| format!("{}\r\n", "a".repeat(98)).repeat(n);
    client.begin("exact@client.example").await;
    client.ask(&format!("{}.\r\n", lines(100)), "250").await;
    assert_eq!(world.next_mail().await.sent().len(), 10_000);

    client.begin("large@client.example").await;
    client.ask(&format!("{}\r\n.\r\n", lines(100)), "552 5.3.4").await;
    client.send_mail("next@client.example", "x\r\n").await;
    assert_eq!(world.next_mail().await.envelope().reverse_path, "next@client.example");

    client.begin("endless@client.example").await;
    client.send(lines(201)).await;
    client.expect("552 5.3.4").await;
    client.expect("closed").await;
}

#[tokio::test]
async fn header_sections_and_lines_have_a_limit() {
    let world = World::with(|it| {
        it.max_header_bytes = 2000;
        it.max_line_bytes = 1000;
    })
    .await;
    let mut client = world.greeted().await;
    client.begin("a@client.example").await;
    client.ask(&format!("{}\r\n.\r\n", "X: y\r\n".repeat(334)), "552 5.3.4").await;
    client.send_mail("a@client.example", &format!("{}\r\n", "X: y\r\n".repeat(333))).await;
    client.begin("a@client.example").await;
    client.ask(&format!("\r\n{}\r\n.\r\n", "a".repeat(1001)), "554 5.6.0").await;
    client.send_mail("a@client.example", &format!("\r\n{}\r\n", "a".repeat(1000))).await;
}

#[tokio::test]
async fn a_command_line_has_a_limit() {
    let world = World::new().await;
    let mut client = world.greeted().await;
    client.ask(&format!("NOOP {}\r\n", "a".repeat(4091)), "250").await;
    client.ask(&format!("NOOP {}\r\n", "a".repeat(4092)), "500 5.5.2").await;
    client.ask("NOOP\r\n", "250").await;
    client.send("a".repeat(100_000)).await;
    client.expect("500 5.5.2").await;
    client.expect("closed").await;
}

#[tokio::test]
async fn errors_and_unknown_recipients_are_counted() {
    let world = World::new().await;
    let mut client = world.greeted().await;
    for _ in 0..10 {
        client.ask("FROB\r\n", "500 5.5.1").await;
    }
    client.ask("FROB\r\n", "421 4.7.0").await;
    client.expect("closed").await;

    let mut client = world.greeted().await;
    client.ask("MAIL FROM:<a@client.example>\r\n", "250").await;
    for _ in 0..20 {
        client.ask("RCPT TO:<nobody@local.example>\r\n", "550 5.1.1").await;
    }
    client.ask("RCPT TO:<nobody@local.example>\r\n", "421 4.7.0").await;
    client.expect("closed").await;
    assert_eq!(world.intake.metric("mail_intake_rejections_total", "\"5.1.1\""), 20.0);
    assert_eq!(world.intake.metric("mail_intake_rejections_total", "\"4.7.0\""), 2.0);
}

#[tokio::test]
async fn mails_on_a_connection_are_counted() {
    let world = World::with(|it| {
        it.exempt_peers.clear();
        it.max_mails_per_connection = 2;
    })
    .await;
    let mut client = world.greeted().await;
    for _ in 0..2 {
        client.send_mail("a@client.example", "x\r\n").await;
    }
    client.ask("MAIL FROM:<a@client.example>\r\n", "421 4.7.0").await;
    client.expect("closed").await;
}

#[tokio::test]
async fn connections_are_counted_for_each_peer() {
    let world = World::with(|it| {
        it.exempt_peers.clear();
        it.max_connections_per_peer = 2;
        it.max_connections_per_peer_per_second = 1000;
    })
    .await;
    let first = world.greeted().await;
    let _second = world.greeted().await;
    world.client().await.expect("421 4.7.0").await;
    drop(first);
    let again = async || world.client().await.reply().await.starts_with("220");
    crate::eventually(again).await;
}

#[tokio::test]
async fn connections_are_counted_by_the_second() {
    let world = World::with(|it| {
        it.exempt_peers.clear();
        it.max_connections_per_peer_per_second = 2;
    })
    .await;
    let started_at = Instant::now();
    for _ in 0..2 {
        world.client().await.expect("220").await;
    }
    let reply = world.client().await.reply().await;
    assert!(reply.starts_with("421 4.7.0") || started_at.elapsed() >= Duration::from_secs(1));
    let again = async || world.client().await.reply().await.starts_with("220");
    crate::eventually(again).await;
}

#[tokio::test]
async fn connections_are_counted_altogether() {
    let world = World::with(|it| it.max_connections = 2).await;
    let _first = world.greeted().await;
    let _second = world.greeted().await;
    world.client().await.expect("421 4.3.2").await;
    assert_eq!(world.intake.metric("mail_intake_connections", ""), 2.0);
    assert_eq!(world.intake.metric("mail_intake_sessions_total", ""), 2.0);
}

#[tokio::test]
async fn a_slow_content_is_cut_off() {
    let mut world = World::with(|it| it.data_window_secs = 1).await;
    let mut client = world.greeted().await;
    client.begin("slow@client.example").await;
    let started_at = Instant::now();
    client.send("Subject: t\r\n").await;
    client.expect("421 4.4.2").await;
    client.expect("closed").await;
    assert!(started_at.elapsed() >= Duration::from_secs(1));
    world.no_further_mail().await;
}

#[tokio::test]
async fn a_content_that_drips_is_cut_off() {
    let mut world = World::with(|it| it.data_timeout_secs = 1).await;
    let mut client = world.greeted().await;
    client.begin("drip@client.example").await;
    for _ in 0..30 {
        client.send("a\r\n").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.expect("421 4.4.2").await;
    world.no_further_mail().await;
}

#[tokio::test]
async fn an_idle_client_is_told_and_left() {
    let world = World::with(|it| it.idle_timeout_secs = 1).await;
    let mut client = world.greeted().await;
    client.expect("421 4.4.2").await;
    client.expect("closed").await;
}

#[tokio::test]
async fn a_session_ends_however_busy_it_is() {
    let world = World::with(|it| it.session_timeout_secs = 1).await;
    let mut client = world.greeted().await;
    let started_at = Instant::now();
    loop {
        client.send("NOOP\r\n").await;
        let reply = client.reply().await;
        if reply.starts_with("421 4.4.2") {
            break;
        }
        assert!(reply.starts_with("250"), "{reply}");
        assert!(started_at.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.expect("closed").await;
}

#[tokio::test]
async fn memory_is_shared_and_its_lack_is_temporary() {
    let mut world = World::with(|it| {
        it.max_memory_bytes = 192 * 1024;
        it.memory_timeout_secs = 1;
    })
    .await;
    let content = "0123456789012345678901234567890123456789012345678901234567890\r\n".repeat(2000);
    let mut first = world.greeted().await;
    first.begin("first@client.example").await;
    first.send(&content).await;
    // It has the memory once it was read.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut second = world.greeted().await;
    second.begin("second@client.example").await;
    second.ask(&format!("{content}.\r\n"), "452 4.3.1").await;
    first.ask(".\r\n", "250").await;
    second.send_mail("third@client.example", &content).await;
    assert_eq!(world.next_mail().await.envelope().reverse_path, "first@client.example");
    assert_eq!(world.next_mail().await.envelope().reverse_path, "third@client.example");
}
