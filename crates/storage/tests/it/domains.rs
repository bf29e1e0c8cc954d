//! Customers' domains: who gets their mail, and whether it may be sent.

use bus::{Directory, Resolution};
use store::{
    Checked, Created, DomainKeys, DomainStatus, Inbox, NewDomain, NewInbox, Recorded, Store, Vault,
};

use crate::{ACCOUNT, Bench, eventually, submission};

const NAME: &str = "customer.example";

async fn verified(store: &Store) {
    let wanted = NewDomain {
        id: "dom_1".to_owned(),
        account_id: ACCOUNT.to_owned(),
        domain: NAME.to_owned(),
        dkim_selector: "ph1".to_owned(),
        next_check_at: i64::MAX,
        max_domains: None,
    };
    let keys = DomainKeys::generate().expect("keys");
    let vault = Vault::new(&[1; 32]).expect("vault");
    store.writer.add_domain(&wanted, &keys, &vault).await.expect("add");
    let status = DomainStatus::Verified;
    let checked = Checked { status, checks: Vec::new(), misses: 0, next_check_at: None };
    let recorded = store.writer.record_check("dom_1", &checked).await.expect("record");
    assert!(matches!(recorded, Recorded::Domain(_)));
}

async fn inbox(store: &Store) -> Inbox {
    let address = format!("agent@{NAME}");
    let inbox = NewInbox {
        id: "ibx_agent".to_owned(),
        account_id: ACCOUNT.to_owned(),
        canonical: address.clone(),
        address,
        domain: NAME.to_owned(),
        display_name: None,
        expires_at: None,
        max_inboxes: None,
    };
    match store.writer.create_inbox(&inbox).await.expect("create") {
        Created::Inbox(inbox) => inbox,
        other => panic!("{other:?}"),
    }
}

/// Whose inbox takes mail for an address of the domain.
async fn owner(directory: &Directory, local: &str) -> Option<String> {
    let resolved = directory.resolve(&format!("{local}@{NAME}"), NAME).await.expect("resolve");
    match resolved {
        Resolution::Inbox { account_id, .. } => Some(account_id),
        Resolution::UnknownRecipient => Some("unknown recipient".to_owned()),
        Resolution::UnknownDomain => None,
    }
}

/// Storage puts the directory right when it starts.
async fn round(bench: &Bench, expected: &[(&str, Option<&str>)]) {
    let running = bench.start().await;
    let directory = bench.bus.directory();
    for (local, owner_id) in expected {
        eventually(async || owner(&directory, local).await.as_deref() == *owner_id).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_verified_domain_has_its_official_addresses_until_it_is_gone() {
    let bench = Bench::new().await;
    verified(&bench.store).await;
    let operator = Some("acct_postmaster");
    let nobody = Some("unknown recipient");
    round(&bench, &[("postmaster", operator), ("abuse", operator), ("agent", nobody)]).await;
    inbox(&bench.store).await;
    let owner = Some(ACCOUNT);
    round(&bench, &[("postmaster", owner), ("abuse", owner), ("agent", owner)]).await;
    bench.store.writer.delete_domain(ACCOUNT, "dom_1").await.expect("delete");
    round(&bench, &[("postmaster", None), ("abuse", None), ("agent", None)]).await;
}

#[tokio::test]
async fn only_a_verified_domain_sends() {
    let bench = Bench::new().await;
    verified(&bench.store).await;
    let inbox = inbox(&bench.store).await;
    let running = bench.start().await;
    bench.deliver(&submission(&inbox, "k1", 1_000_000), "first").await;
    assert_eq!(bench.wait_for_events(1).await[0].event, "email.queued");
    bench.store.writer.delete_domain(ACCOUNT, "dom_1").await.expect("delete");
    bench.deliver(&submission(&inbox, "k2", 2_000_000), "second").await;
    let events = bench.wait_for_events(2).await;
    assert_eq!(events[1].event, "email.rejected");
    let entry = bench.store.reader.ledger_entry(&inbox.id, "k2").await.expect("read");
    let rejection = entry.and_then(|it| it.rejection).expect("a rejection");
    assert_eq!(rejection.code, "domain_not_verified");
    assert!(rejection.message.contains(NAME), "{}", rejection.message);
    running.stop().await;
}
