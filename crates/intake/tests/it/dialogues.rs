//! The dialogues of the corpus `smtp-dialogues`.

use serde_json::Value;

use crate::{
    World,
    client::{CLOSED, Client},
    corpus,
};

/// Those that say nothing about this server, and why.
const NOT_OURS: &[(&str, &str)] = &[
    ("smtp-bdat-zero-last", "sends one octet more than it announces; see chunking.rs"),
    ("smtp-chunking", "sends one octet more than it announces; see chunking.rs"),
    ("smtp-too-many-errors", "closes earlier, after 10 errors; see limits.rs"),
];

#[tokio::test]
async fn every_dialogue_goes_as_expected() {
    let Some(cases) = corpus("smtp-dialogues") else { return };
    let mut world = World::new().await;
    let mut failures = Vec::new();
    for case in &cases {
        let id = case["id"].as_str().expect("id");
        if let Some((_, why)) = NOT_OURS.iter().find(|(it, _)| *it == id) {
            eprintln!("SKIPPED: {id}: {why}");
            continue;
        }
        let mut replies = Vec::new();
        match play(&world, case, &mut replies).await {
            Ok(()) => check_afterwards(&mut world, case, &replies).await,
            Err(why) => failures.push(format!("{id}: {why}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

async fn play(world: &World, case: &Value, replies: &mut Vec<String>) -> Result<(), String> {
    let mut client = world.client().await;
    let mut greeted = false;
    for step in case["steps"].as_array().expect("steps") {
        let (send, expect) =
            (step["send"].as_str().expect("send"), step["expect"].as_str().expect("expect"));
        if !greeted && !send.is_empty() {
            check(&mut client, "220", replies).await?;
        }
        greeted = true;
        match send {
            "@SUBMISSION" => {
                client = Client::connect(world.intake.submission).await;
                check(&mut client, "220", replies).await?;
            }
            "@TLS" => {
                client.ask("EHLO client.example\r\n", "250").await;
                client.ask("STARTTLS\r\n", "220").await;
                client = client.start_tls(rustls::ALL_VERSIONS).await;
            }
            "@TLS_HANDSHAKE" => client = client.start_tls(rustls::ALL_VERSIONS).await,
            "@100_RCPT" | "@1100_RCPT" => {
                let count: usize = send[1..].trim_end_matches("_RCPT").parse().expect("count");
                for n in 0..count {
                    client.send(format!("RCPT TO:<user+{n}@local.example>\r\n")).await;
                    check(&mut client, expect, replies).await?;
                }
            }
            _ => {
                client.send(expand(send)).await;
                if expect == "@CLOSE" {
                    return Ok(());
                }
                check(&mut client, expect, replies).await?;
            }
        }
    }
    Ok(())
}

/// `expect`: alternatives between `|`, replies to a pipelined group between `,`.
async fn check(client: &mut Client, expect: &str, replies: &mut Vec<String>) -> Result<(), String> {
    for alternatives in expect.split(',') {
        let reply = client.reply().await;
        if !alternatives.split('|').any(|it| reply.starts_with(it)) {
            return Err(format!("{reply:?} instead of {alternatives}"));
        }
        replies.push(reply);
    }
    Ok(())
}

/// `@A*64` stands for 64 times that letter.
fn expand(send: &str) -> String {
    let Some((before, rest)) = send.split_once('@').filter(|(_, it)| it.get(1..2) == Some("*"))
    else {
        assert!(!send.starts_with('@'), "placeholder {send} is not known");
        return send.to_owned();
    };
    let end = rest[2..].find(|it: char| !it.is_ascii_digit()).map_or(rest.len(), |it| it + 2);
    let count = rest[2..end].parse().expect("count");
    format!("{before}{}{}", rest[..1].repeat(count), &rest[end..])
}

async fn check_afterwards(world: &mut World, case: &Value, replies: &[String]) {
    for _ in replies.iter().filter(|it| it.starts_with("250 2.0.0 OK ")) {
        let mail = world.next_mail().await;
        let (trace, sent) = mail.split();
        match case["after"].as_str() {
            Some(r#"stored body lines: "." and "..x""#) => {
                assert_eq!(sent, b"Subject: t\r\n\r\n.\r\n..x\r\n");
            }
            Some("one new Received on top") => {
                assert!(trace.starts_with("Received: from client.example ("), "{trace}");
                assert_eq!(trace.matches("Received:").count(), 1);
                assert_eq!(sent, b"Subject: t\r\n\r\nx\r\n");
            }
            Some(after) => panic!("{after:?} is not known"),
            None => (),
        }
    }
    // No message but those; nothing else is asked of one that was not finished.
    world.no_further_mail().await;
}

#[tokio::test]
async fn a_closed_connection_is_told_from_a_reply() {
    let world = World::new().await;
    let mut client = world.greeted().await;
    client.ask("QUIT\r\n", "221 2.0.0").await;
    assert_eq!(client.reply().await, CLOSED);
}
