//! STARTTLS (RFC 3207).

use rustls::version::{TLS12, TLS13};

use crate::{World, client::Client};

async fn secured(world: &World, version: &'static rustls::SupportedProtocolVersion) -> Client {
    let mut client = world.greeted().await;
    client.ask("STARTTLS\r\n", "220 2.0.0").await;
    client.start_tls(&[version]).await
}

#[tokio::test]
async fn mail_comes_in_over_tls() {
    let mut world = World::new().await;
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        let mut client = secured(&world, version).await;
        let ehlo = client.ask("EHLO inside.example\r\n", "250").await;
        assert!(!ehlo.contains("STARTTLS"), "{ehlo}");
        client.send_mail("a@client.example", "x\r\n").await;
        client.ask("STARTTLS\r\n", "503 5.5.1").await;
        client.ask("QUIT\r\n", "221").await;
        client.expect("closed").await;
        let mail = world.next_mail().await;
        let peer = mail.event.peer.as_ref().expect("peer");
        assert_eq!((peer.tls.as_str(), peer.helo.as_str()), (name, "inside.example"));
        let (trace, _) = mail.split();
        assert!(trace.contains(" with ESMTPS id "), "{trace}");
    }
}

#[tokio::test]
async fn what_was_said_before_is_forgotten() {
    let world = World::new().await;
    let mut client = secured(&world, &TLS13).await;
    client.ask("MAIL FROM:<a@client.example>\r\n", "503 5.5.1").await;
}

#[tokio::test]
async fn tls_does_not_start_within_a_transaction() {
    let world = World::new().await;
    let mut client = world.greeted().await;
    client.ask("STARTTLS now\r\n", "501 5.5.4").await;
    client.ask("MAIL FROM:<a@client.example>\r\n", "250").await;
    client.ask("STARTTLS\r\n", "503 5.5.1").await;
}

/// CVE-2011-0411: what an attacker puts behind STARTTLS must not be taken for what comes inside.
#[tokio::test]
async fn nothing_is_injected_before_the_handshake() {
    let mut world = World::new().await;
    let mut client = world.greeted().await;
    client
        .send(
            "STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@evil.example>\r\n\
             RCPT TO:<user@local.example>\r\nDATA\r\nevil\r\n.\r\n",
        )
        .await;
    client.expect("220 2.0.0").await;
    let mut client = client.start_tls(&[&TLS13]).await;
    client.ask("NOOP\r\n", "250 2.0.0").await;
    client.ask("RCPT TO:<user@local.example>\r\n", "503 5.5.1").await;
    world.no_further_mail().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_awaited_for_ever() {
    let world = World::with(|it| it.tls_timeout_secs = 1).await;
    let mut client = world.greeted().await;
    client.ask("STARTTLS\r\n", "220").await;
    client.expect("closed").await;
    assert_eq!(world.intake.metric("mail_intake_rejections_total", "\"tls\""), 1.0);
}
