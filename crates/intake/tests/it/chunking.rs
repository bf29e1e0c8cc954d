//! BDAT (RFC 3030).

use intake::BareLineEnds;

use crate::{World, client::Client};

async fn begin(client: &mut Client) {
    client.ask("MAIL FROM:<a@client.example>\r\n", "250").await;
    client.ask("RCPT TO:<user@local.example>\r\n", "250").await;
}

#[tokio::test]
async fn a_content_comes_in_pieces() {
    let mut world = World::new().await;
    let mut client = world.greeted().await;
    begin(&mut client).await;
    client.ask("BDAT 14 LAST\r\nSubject: t\r\n\r\n", "250 2.0.0 OK").await;
    assert_eq!(world.next_mail().await.sent(), b"Subject: t\r\n\r\n");

    begin(&mut client).await;
    // A CRLF may be split, and a dot means nothing.
    client.ask("BDAT 11\r\nSubject: t\r", "250 2.0.0").await;
    client.ask("NOOP\r\n", "250 2.0.0").await;
    client.ask("BDAT 6\r\n\n\r\n.\r\n", "250 2.0.0").await;
    client.ask("BDAT 0 LAST\r\n", "250 2.0.0 OK").await;
    assert_eq!(world.next_mail().await.sent(), b"Subject: t\r\n\r\n.\r\n");
    world.no_further_mail().await;
}

#[tokio::test]
async fn pieces_are_pipelined() {
    let mut world = World::new().await;
    let mut client = world.greeted().await;
    client
        .send(
            "MAIL FROM:<a@client.example>\r\nRCPT TO:<user@local.example>\r\n\
             BDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\nQUIT\r\n",
        )
        .await;
    for begins in ["250 2.1.0", "250 2.1.5", "250 2.0.0 3 octets", "250 2.0.0 OK", "221"] {
        client.expect(begins).await;
    }
    assert_eq!(world.next_mail().await.sent(), b"a\r\nb\r\n");
}

#[tokio::test]
async fn bdat_and_data_are_not_mixed() {
    let mut world = World::new().await;
    let mut client = world.greeted().await;
    begin(&mut client).await;
    client.ask("BDAT 3\r\na\r\n", "250").await;
    for command in [
        "DATA\r\n",
        "MAIL FROM:<b@client.example>\r\n",
        "RCPT TO:<user2@local.example>\r\n",
        "STARTTLS\r\n",
    ] {
        client.ask(command, "503 5.5.1").await;
    }
    client.ask("RSET\r\n", "250 2.0.0").await;
    client.send_mail("b@client.example", "b\r\n").await;
    assert_eq!(world.next_mail().await.sent(), b"b\r\n");

    begin(&mut client).await;
    client.ask("BDAT 3\r\na\r\n", "250").await;
    client.ask("EHLO client.example\r\n", "250").await;
    client.ask("BDAT 3 LAST\r\na\r\n", "503 5.5.1").await;
    world.no_further_mail().await;
}

#[tokio::test]
async fn a_piece_out_of_order_is_read_and_thrown_away() {
    let mut world = World::with(|it| it.max_size_bytes = 1000).await;
    let mut client = world.greeted().await;
    client.ask("BDAT 30 LAST\r\nMAIL FROM:<evil@evil.example>\r", "503 5.5.1").await;
    client.ask("NOOP\r\n", "250").await;
    client.send(format!("BDAT 99999999999999999999\r\n{}", "a".repeat(3000))).await;
    client.expect("552 5.3.4").await;
    client.expect("closed").await;
    world.no_further_mail().await;
}

#[tokio::test]
async fn a_bare_line_end_is_refused_here_too() {
    let mut world = World::with(|it| it.bare_line_ends = BareLineEnds::Refuse).await;
    let mut client = world.greeted().await;
    for content in ["a\n", "a\r", "a\rb"] {
        begin(&mut client).await;
        let chunk = format!("BDAT {} LAST\r\n{content}", content.len());
        client.ask(&chunk, "550 5.6.11").await;
    }
    world.no_further_mail().await;
}
