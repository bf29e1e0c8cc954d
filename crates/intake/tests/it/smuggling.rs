//! The end-of-data look-alikes of the corpus `smtp-smuggling`.

use intake::BareLineEnds;
use serde_json::Value;

use crate::{World, corpus};

const MAIL: &str = "MAIL FROM:<good@client.example>\r\n";
const RCPT: &str = "RCPT TO:<user@local.example>\r\n";
const SMUGGLED: &str = "MAIL FROM:<evil@client.example>\r\nRCPT TO:<user@local.example>\r\nDATA\r\n\
                        Subject: smuggled\r\n\r\nsmuggled\r\n.\r\n";

#[tokio::test]
async fn no_look_alike_ends_data() {
    let Some(cases) = corpus("smtp-smuggling") else { return };
    for bare_line_ends in [BareLineEnds::Keep, BareLineEnds::Refuse] {
        let mut world = World::with(|it| it.bare_line_ends = bare_line_ends).await;
        check_all(&mut world, &cases).await;
    }
}

async fn check_all(world: &mut World, cases: &[Value]) {
    for case in cases {
        let look_alike = unhex(case["bytes_hex"].as_str().expect("bytes_hex"));
        let content =
            [b"Subject: good\r\n\r\ngood".as_slice(), &look_alike, SMUGGLED.as_bytes()].concat();
        for pipelined in [false, true] {
            let case = format!("{} pipelined: {pipelined}", case["id"]);
            check(world, &content, pipelined, &case).await;
        }
    }
}

/// One reply, and at most one mail, whose envelope is the honest one.
async fn check(world: &mut World, content: &[u8], pipelined: bool, case: &str) {
    let mut client = world.greeted().await;
    if pipelined {
        client.send([MAIL, RCPT, "DATA\r\n"].concat().into_bytes().as_slice()).await;
        client.send([content, b"NOOP\r\n"].concat()).await;
        for code in ["250", "250", "354"] {
            client.expect(code).await;
        }
    } else {
        client.ask(MAIL, "250").await;
        client.ask(RCPT, "250").await;
        client.ask("DATA\r\n", "354").await;
        client.send(content).await;
    }
    let reply = client.reply().await;
    if pipelined {
        client.expect("250 2.0.0 OK").await;
    }
    if reply.starts_with("250 2.0.0 OK") {
        let mail = world.next_mail().await;
        assert_eq!(mail.envelope().reverse_path, "good@client.example", "{case}");
        assert!(mail.sent().ends_with(b"smuggled\r\n"), "{case}");
    } else {
        assert!(reply.starts_with("550 5.6.11"), "{case}: {reply}");
    }
    // The session is in sync: the next transaction is what the client says it is.
    client.send_mail("next@client.example", "next\r\n").await;
    let mail = world.next_mail().await;
    assert_eq!(mail.envelope().reverse_path, "next@client.example", "{case}");
    assert_eq!(mail.sent(), b"next\r\n", "{case}");
    world.no_further_mail().await;
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|it| std::str::from_utf8(it).expect("ASCII"))
        .map(|it| u8::from_str_radix(it, 16).expect("hexadecimal"))
        .collect()
}
