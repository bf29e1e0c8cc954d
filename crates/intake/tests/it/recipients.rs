//! Whom mail is taken for.

use crate::{Intake, World};

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
