//! Whom mail is taken for.

use std::time::{SystemTime, UNIX_EPOCH};

use contract::Purpose;

use crate::{Intake, World};

/// A return path made so many days ago, by a key that intake does not have.
fn return_path(days: i64) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let now = i64::try_from(since.as_micros()).expect("in range");
    let made_at = now - days * 24 * 60 * 60 * 1_000_000;
    let mail_id = format!("eml_{}", "0a".repeat(16));
    mail::ReturnPathKeys::new(&[1; 32], None)
        .make(&mail_id, Some(0), "local.example", made_at)
        .expect("a return path")
}

#[tokio::test]
async fn return_paths_and_complaints_are_taken_for_no_inbox() {
    let mut world = World::new().await;
    let mut client = world.greeted().await;
    client.ask("MAIL FROM:<>\r\n", "250").await;
    let paths = [return_path(0), return_path(0).to_uppercase(), return_path(14)];
    for path in &paths {
        client.ask(&format!("RCPT TO:<{path}>\r\n"), "250 2.1.5").await;
        client.ask(&format!("RCPT TO:<{path}>\r\n"), "250 2.1.5").await;
    }
    let foreign = return_path(0).replace("local.example", "elsewhere.example");
    let changed = return_path(0).replacen("b+", "b+1", 1);
    for (path, reply) in [
        (&*return_path(16), "550 5.1.1"),
        (&*return_path(-3), "550 5.1.1"),
        (&*changed, "550 5.1.1"),
        ("b+tag@local.example", "550 5.1.1"),
        ("b@local.example", "550 5.1.1"),
        (&*foreign, "550 5.7.1"),
        ("complaints@local.example", "250 2.1.5"),
        ("FBL@local.example", "250 2.1.5"),
        ("fbl@elsewhere.example", "550 5.7.1"),
        ("complaint@local.example", "550 5.1.1"),
        ("user@local.example", "250 2.1.5"),
    ] {
        client.ask(&format!("RCPT TO:<{path}>\r\n"), reply).await;
    }
    client.ask("DATA\r\n", "354").await;
    client.ask("x\r\n.\r\n", "250").await;
    let mail = world.next_mail().await;
    let purposes: Vec<_> = mail.envelope().forward_paths.iter().map(|it| it.purpose()).collect();
    let (report, complaint) = (Purpose::ReturnPath, Purpose::Complaints);
    assert_eq!(purposes, [report, report, report, complaint, complaint, Purpose::Unspecified]);
    let (reports, inbox) = mail.envelope().forward_paths.split_at(5);
    assert!(reports.iter().all(|it| it.inbox_id.is_empty() && it.email_id.is_empty()));
    assert_eq!(inbox[0].inbox_id, "ibx_user");
}

#[tokio::test]
async fn an_inbox_comes_before_an_address_for_complaints() {
    let mut world = World::new().await;
    world.bus.directory().add_inbox("fbl@local.example", "acct_1", "ibx_fbl").await.expect("add");
    let mut client = world.greeted().await;
    client.ask("MAIL FROM:<a@client.example>\r\n", "250").await;
    client.ask("RCPT TO:<fbl@local.example>\r\n", "250").await;
    client.ask("DATA\r\n", "354").await;
    client.ask("x\r\n.\r\n", "250").await;
    assert_eq!(world.next_mail().await.envelope().forward_paths[0].inbox_id, "ibx_fbl");
}

#[tokio::test]
async fn only_known_recipients_of_served_domains_are_taken() {
    let world = World::new().await;
    let mut client = world.greeted().await;
    client.ask("MAIL FROM:<a@client.example>\r\n", "250").await;
    for (path, reply) in [
        ("user@local.example", "250 2.1.5"),
        ("USER+tag@LOCAL.example", "250 2.1.5"),
        ("\"user\"@local.example", "250 2.1.5"),
        ("@relay.example:user@local.example", "250 2.1.5"),
        ("postmaster", "250 2.1.5"),
        ("PostMaster", "250 2.1.5"),
        ("nobody@local.example", "550 5.1.1"),
        ("user%elsewhere.example@local.example", "550 5.1.1"),
        ("elsewhere.example!user@local.example", "550 5.1.1"),
        ("\"user@elsewhere.example\"@local.example", "550 5.1.1"),
        ("user@elsewhere.example", "550 5.7.1"),
        ("postmaster@elsewhere.example", "550 5.7.1"),
        ("@local.example:user@elsewhere.example", "550 5.7.1"),
        ("user", "501 5.1.3"),
        ("", "501 5.1.3"),
    ] {
        client.ask(&format!("RCPT TO:<{path}>\r\n"), reply).await;
    }
    client.ask("RCPT TO:user@local.example\r\n", "501 5.5.4").await;
    client.ask("RCPT TO:<user@local.example> NOTIFY=NEVER\r\n", "555 5.5.4").await;
}

#[tokio::test]
async fn addresses_of_one_inbox_are_one_copy() {
    let mut world = World::new().await;
    let mut client = world.greeted().await;
    client.ask("MAIL FROM:<a@client.example>\r\n", "250").await;
    client.ask("RCPT TO:<user+one@local.example>\r\n", "250").await;
    client.ask("RCPT TO:<u.s.e.r@local.example>\r\n", "250").await;
    client.ask("RCPT TO:<user2@local.example>\r\n", "250").await;
    client.ask("DATA\r\n", "354").await;
    client.ask("x\r\n.\r\n", "250").await;
    let mail = world.next_mail().await;
    assert_eq!(mail.forward_paths(), ["user+one@local.example", "user2@local.example"]);
    let [first, second] = &mail.envelope().forward_paths[..] else { panic!("two paths") };
    assert_eq!((first.account_id.as_str(), first.inbox_id.as_str()), ("acct_1", "ibx_user"));
    assert!(first.email_id.starts_with("eml_") && first.email_id != second.email_id);
    assert!(!mail.split().0.contains("\tfor "), "each would learn of the other");
}

#[tokio::test]
async fn a_new_inbox_takes_mail_at_once_on_every_intake() {
    let world = World::new().await;
    let other = Intake::start(&world.nats, |_| ()).await;
    for n in 0..5 {
        let name = format!("new{n}@local.example");
        world.bus.directory().add_inbox(&name, "acct_1", "ibx_new").await.expect("add inbox");
        for address in [world.intake.address, other.address] {
            let mut client = crate::Client::connect(address).await;
            client.expect("220").await;
            client.ask("HELO client.example\r\n", "250").await;
            client.ask("MAIL FROM:<a@client.example>\r\n", "250").await;
            client.ask(&format!("RCPT TO:<{name}>\r\n"), "250 2.1.5").await;
        }
    }
}

#[tokio::test]
async fn the_surplus_of_recipients_is_to_come_again() {
    let mut world = World::with(|it| it.max_recipients = 100).await;
    let mut client = world.greeted().await;
    client.ask("MAIL FROM:<a@client.example>\r\n", "250").await;
    for n in 0..100 {
        client.ask(&format!("RCPT TO:<user+{n}@local.example>\r\n"), "250 2.1.5").await;
    }
    client.ask("RCPT TO:<user2@local.example>\r\n", "452 4.5.3").await;
    client.ask("DATA\r\n", "354").await;
    client.ask("x\r\n.\r\n", "250").await;
    assert_eq!(world.next_mail().await.forward_paths(), ["user+0@local.example"]);
}
