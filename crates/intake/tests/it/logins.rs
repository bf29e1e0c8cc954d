//! AUTH on the submission ports (RFC 4954).

use std::time::{Duration, Instant};

use contract::{Grant, Right, SendLimits};
use data_encoding::BASE64;

use crate::{TOKEN, World, client::Client};

const USER: &str = "user@local.example";

async fn submitting(world: &World) -> Client {
    Client::submitting(world.intake.submission).await
}

fn base64(text: &str) -> String {
    BASE64.encode(text.as_bytes())
}

#[tokio::test]
async fn nothing_secret_is_said_in_the_clear() {
    let world = World::new().await;
    let mut client = Client::connect(world.intake.submission).await;
    client.expect("220").await;
    let offered = client.ask("EHLO client.example\r\n", "250").await;
    assert!(offered.contains("STARTTLS\r\n") && !offered.contains("AUTH"), "{offered}");
    client.log_in(USER, TOKEN, "538 5.7.11").await;
    for command in ["MAIL FROM:<user@local.example>", "RCPT TO:<a@b.example>", "DATA", "VRFY a"] {
        client.ask(&format!("{command}\r\n"), "530 5.7.0 Issue STARTTLS").await;
    }
    for command in ["NOOP", "HELP", "RSET", "HELO client.example"] {
        client.ask(&format!("{command}\r\n"), "2").await;
    }
    client.ask("QUIT\r\n", "221").await;
}

#[tokio::test]
async fn without_a_login_there_is_no_mail() {
    let mut world = World::new().await;
    let mut client = submitting(&world).await;
    let offered = client.ask("EHLO client.example\r\n", "250").await;
    assert!(offered.contains("AUTH PLAIN LOGIN\r\n") && !offered.contains("STARTTLS"), "{offered}");
    for command in ["MAIL FROM:<user@local.example>", "RCPT TO:<user@local.example>", "DATA"] {
        client.ask(&format!("{command}\r\n"), "530 5.7.0 Authentication").await;
    }
    // Its octets are no commands.
    client.send("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n").await;
    client.expect("503 5.5.1").await;
    client.expect("250 2.0.0").await;
    world.no_further_mail().await;
}

#[tokio::test]
async fn both_mechanisms_with_and_without_an_initial_response() {
    let world = World::new().await;
    let plain = base64(&format!("\0{USER}\0{TOKEN}"));
    let (user, token) = (base64(USER), base64(TOKEN));
    let user_prompt = format!("334 {}\r\n", base64("Username:"));
    let token_prompt = format!("334 {}\r\n", base64("Password:"));
    let dialogues: [&[(&str, &str)]; 5] = [
        &[(&format!("AUTH PLAIN {plain}"), "235 2.7.0")],
        &[("auth plain", "334 \r\n"), (&plain, "235 2.7.0")],
        &[(&format!("AUTH LOGIN {user}"), &token_prompt), (&token, "235 2.7.0")],
        &[("AUTH LOGIN", &user_prompt), (&user, &token_prompt), (&token, "235 2.7.0")],
        &[(&format!("AUTH PLAIN {}", base64(&format!("{USER}\0{USER}\0{TOKEN}"))), "235")],
    ];
    for dialogue in dialogues {
        let mut client = submitting(&world).await;
        for (say, reply) in dialogue {
            client.ask(&format!("{say}\r\n"), reply).await;
        }
        client.ask("MAIL FROM:<user@local.example>\r\n", "250 2.1.0").await;
    }
    let mut client = submitting(&world).await;
    client.log_in("U.Ser+tag@LOCAL.example", TOKEN, "235").await;
    assert_eq!(world.intake.metric("mail_intake_logins_total", "\"accepted\""), 6.0);
}

#[tokio::test]
async fn one_login_lasts_for_the_connection() {
    let world = World::new().await;
    let mut client = submitting(&world).await;
    client.log_in(USER, TOKEN, "235").await;
    client.log_in(USER, TOKEN, "503").await;
    let offered = client.ask("EHLO client.example\r\n", "250").await;
    assert!(!offered.contains("AUTH"), "{offered}");
    client.ask("RSET\r\n", "250").await;
    client.ask("MAIL FROM:<user@local.example> AUTH=<>\r\n", "250").await;
    client.log_in(USER, TOKEN, "503").await;
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_is_the_same() {
    let world = World::with(|it| {
        it.max_auth_failures = 100;
        it.max_errors = 100;
    })
    .await;
    let directory = world.bus.directory();
    let other = "lm_sk_live_other";
    directory
        .add_token(&bus::token_hash(other), "acct_2", &Grant::default())
        .await
        .expect("add token");
    let mut client = submitting(&world).await;
    let denied = client.log_in(USER, "lm_sk_live_wrong", "535 5.7.8").await;
    for (username, password) in [
        (USER, ""),
        (USER, other),
        (USER, &"x".repeat(200)),
        ("nobody@local.example", TOKEN),
        ("user@other.example", TOKEN),
        ("user", TOKEN),
        ("", TOKEN),
    ] {
        assert_eq!(client.log_in(username, password, "535").await, denied, "{username}");
    }
    let acting_for_another = base64(&format!("boss@local.example\0{USER}\0{TOKEN}"));
    assert_eq!(client.ask(&format!("AUTH PLAIN {acting_for_another}\r\n"), "535").await, denied);
    assert_eq!(client.ask("AUTH PLAIN =\r\n", "535").await, denied);
    client.ask("MAIL FROM:<user@local.example>\r\n", "530").await;
}

#[tokio::test]
async fn what_is_no_login_is_told_so() {
    let world = World::new().await;
    let mut client = submitting(&world).await;
    client.ask("AUTH\r\n", "501 5.5.4").await;
    client.ask("AUTH CRAM-MD5\r\n", "504 5.5.4").await;
    client.ask("AUTH PLAIN %%\r\n", "501 5.5.2").await;
    client.ask("AUTH PLAIN\r\n", "334").await;
    client.ask("*\r\n", "501 5.7.0").await;
    client.ask("AUTH LOGIN\r\n", "334").await;
    client.ask(&format!("{}\r\n", "A".repeat(12_289)), "500 5.5.6").await;
    client.log_in(USER, TOKEN, "235").await;
}

#[tokio::test]
async fn failures_are_counted_on_a_connection() {
    let world = World::new().await;
    let mut client = submitting(&world).await;
    client.log_in(USER, "wrong", "535").await;
    client.log_in(USER, "wrong", "535").await;
    client.log_in(USER, "wrong", "421 4.7.0").await;
    client.expect("closed").await;
    assert_eq!(world.intake.metric("mail_intake_logins_total", "\"rejected\""), 3.0);
}

#[tokio::test]
async fn failures_are_counted_for_each_peer_and_slow_it_down() {
    let world = World::with(|it| {
        it.exempt_peers.clear();
        it.max_auth_failures_per_peer = 2;
        it.auth_failure_delay_millis = 50;
    })
    .await;
    let started_at = Instant::now();
    for _ in 0..2 {
        submitting(&world).await.log_in(USER, "wrong", "535").await;
    }
    assert!(started_at.elapsed() >= Duration::from_millis(150), "{:?}", started_at.elapsed());
    let mut client = submitting(&world).await;
    client.log_in(USER, TOKEN, "421 4.7.0").await;
    client.expect("closed").await;
}

#[tokio::test]
async fn a_login_that_cannot_be_checked_is_to_come_again() {
    let mut world = World::new().await;
    let mut client = submitting(&world).await;
    world.nats.kill().await.expect("kill");
    client.log_in(USER, TOKEN, "454 4.7.0").await;
    world.nats.restart().await.expect("restart");
    crate::eventually(async || {
        client.send(format!("AUTH PLAIN {}\r\n", base64(&format!("\0{USER}\0{TOKEN}")))).await;
        client.reply().await.starts_with("235")
    })
    .await;
}

#[tokio::test]
async fn tls_from_the_first_octet() {
    let world = World::new().await;
    let client = Client::connect(world.intake.submissions).await;
    let mut client = client.start_tls(rustls::ALL_VERSIONS).await;
    client.expect("220 mx.local.example").await;
    client.ask("MAIL FROM:<user@local.example>\r\n", "530 5.7.0").await;
    let offered = client.ask("EHLO client.example\r\n", "250").await;
    assert!(offered.contains("AUTH PLAIN LOGIN\r\n") && !offered.contains("STARTTLS"), "{offered}");
    client.ask("STARTTLS\r\n", "503").await;
    client.log_in(USER, TOKEN, "235").await;
    client.ask("MAIL FROM:<user@local.example>\r\n", "250").await;
}

#[tokio::test]
async fn nobody_logs_in_where_mail_comes_from_the_world() {
    let world = World::new().await;
    let mut client = Client::submitting(world.intake.address).await;
    let offered = client.ask("EHLO client.example\r\n", "250").await;
    assert!(!offered.contains("AUTH"), "{offered}");
    client.log_in(USER, TOKEN, "502 5.5.1").await;
    client.ask("MAIL FROM:<a@client.example> AUTH=<>\r\n", "555 5.5.4").await;
}

#[tokio::test]
async fn a_narrowed_token_submits_what_it_may() {
    let world = World::new().await;
    let directory = world.bus.directory();
    let add = async |token: &str, grant: Grant| {
        let hash = bus::token_hash(token);
        directory.add_token(&hash, "acct_1", &grant).await.expect("add token");
    };
    let ids = |ids: &[&str]| Some(ids.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    let rights =
        |rights: &[Right]| Grant { rights: rights.iter().copied().collect(), ..Grant::default() };
    add("reader", rights(&[Right::Read, Right::Reply, Right::Admin])).await;
    add("of a thread", Grant { thread_ids: ids(&["thd_1"]), ..Grant::default() }).await;
    add("expired", Grant { expires_at: Some(1), ..Grant::default() }).await;
    add("elsewhere", Grant { inbox_ids: ids(&["ibx_user2"]), ..Grant::default() }).await;
    let limits =
        SendLimits { mails: Some(1), recipients: ids(&["far.example"]), ..SendLimits::default() };
    let narrow = Grant { inbox_ids: ids(&["ibx_user"]), limits, ..rights(&[Right::Send]) };
    add("narrow", narrow).await;

    let mut client = submitting(&world).await;
    let told = client.log_in(USER, "reader", "535 5.7.8").await;
    assert!(told.contains("right to send"), "{told}");
    client.log_in(USER, "of a thread", "535 5.7.8").await;
    let mut client = submitting(&world).await;
    let denied = client.log_in(USER, "elsewhere", "535 5.7.8").await;
    assert_eq!(client.log_in(USER, "expired", "535 5.7.8").await, denied);

    let mut client = submitting(&world).await;
    client.log_in(USER, "narrow", "235").await;
    client.ask("MAIL FROM:<user2@local.example>\r\n", "550 5.7.1").await;
    client.ask("MAIL FROM:<user@local.example>\r\n", "250").await;
    client.ask("RCPT TO:<bob@elsewhere.example>\r\n", "550 5.7.1").await;
    client.ask("RCPT TO:<bob@far.example>\r\n", "250").await;
}
