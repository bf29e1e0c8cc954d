use std::time::{Duration, SystemTime};

use store::{
    Added, Checked, Domain, DomainKeys, DomainStatus, Error, NewDomain, RecordCheck, Recorded,
    Store, Vault,
};

use crate::fixture::{ACCOUNT, account, inbox_of, new_inbox, now, on_both};

const NAME: &str = "customer.example";

pub(crate) fn vault() -> Vault {
    Vault::new(&[1; 32]).expect("vault")
}

fn wanted(account_id: &str, id: &str) -> NewDomain {
    NewDomain {
        id: id.to_owned(),
        account_id: account_id.to_owned(),
        domain: NAME.to_owned(),
        dkim_selector: "ph1".to_owned(),
        next_check_at: 0,
        max_domains: Some(2),
    }
}

async fn add(store: &Store, wanted: &NewDomain) -> anyhow::Result<Added> {
    Ok(store.writer.add_domain(wanted, &DomainKeys::generate()?, &vault()).await?)
}

pub(crate) async fn added(store: &Store, account_id: &str, id: &str) -> anyhow::Result<Domain> {
    match add(store, &wanted(account_id, id)).await? {
        Added::Domain(domain) => Ok(domain),
        other => anyhow::bail!("{other:?}"),
    }
}

fn checked(status: DomainStatus) -> Checked {
    let check = RecordCheck {
        name: "mx".to_owned(),
        status: "verified".to_owned(),
        reason: "as it should be".to_owned(),
    };
    Checked { status, checks: vec![check], misses: 0, next_check_at: Some(now() + 60_000_000) }
}

pub(crate) async fn verify(store: &Store, id: &str) -> anyhow::Result<Domain> {
    match store.writer.record_check(id, &checked(DomainStatus::Verified)).await? {
        Recorded::Domain(domain) => Ok(*domain),
        other => anyhow::bail!("{other:?}"),
    }
}

#[tokio::test]
async fn a_domain_is_added_once_and_listed() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        let domain = added(&store, ACCOUNT, "dom_1").await?;
        assert_eq!((domain.status, &*domain.domain), (DomainStatus::PendingVerification, NAME));
        assert_eq!(domain.checks, []);
        let again = add(&store, &wanted(ACCOUNT, "dom_2")).await?;
        assert_eq!(again, Added::Known(domain.clone()));
        assert_eq!(store.reader.domains(ACCOUNT).await?, std::slice::from_ref(&domain));
        assert_eq!(store.reader.domain(ACCOUNT, "dom_1").await?, Some(domain));
        for (id, name) in [("dom_3", "b.example"), ("dom_4", "c.example")] {
            let wanted = NewDomain { domain: name.to_owned(), ..wanted(ACCOUNT, id) };
            let outcome = add(&store, &wanted).await?;
            assert_eq!(outcome == Added::LimitReached, id == "dom_4", "{outcome:?}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_foreign_domain_does_not_exist() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        account(&store, "acct_2").await?;
        added(&store, ACCOUNT, "dom_1").await?;
        verify(&store, "dom_1").await?;
        assert_eq!(store.reader.domain("acct_2", "dom_1").await?, None);
        assert_eq!(store.reader.domains("acct_2").await?, []);
        assert_eq!(store.reader.verified_domain("acct_2", NAME).await?, None);
        assert_eq!(store.writer.delete_domain("acct_2", "dom_1").await?, None);
        anyhow::ensure!(store.reader.verified_domain(ACCOUNT, NAME).await?.is_some());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn whoever_proves_it_first_has_it() {
    on_both(async |store| {
        for id in [ACCOUNT, "acct_2", "acct_3"] {
            account(&store, id).await?;
        }
        added(&store, ACCOUNT, "dom_1").await?;
        // A claim keeps nobody out.
        added(&store, "acct_2", "dom_2").await?;
        let domain = verify(&store, "dom_2").await?;
        anyhow::ensure!(domain.verified_at.is_some() && domain.checked_at.is_some());
        assert_eq!(domain.checks[0].reason, "as it should be");
        let late = store.writer.record_check("dom_1", &checked(DomainStatus::Verified)).await?;
        assert_eq!(late, Recorded::Taken);
        assert_eq!(add(&store, &wanted("acct_3", "dom_3")).await?, Added::Taken);
        // Free again.
        store.writer.delete_domain("acct_2", "dom_2").await?;
        let gone = store.writer.record_check("dom_2", &checked(DomainStatus::Verified)).await?;
        assert_eq!(gone, Recorded::Gone);
        verify(&store, "dom_1").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn keys_are_those_of_the_records_and_sealed() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        let domain = added(&store, ACCOUNT, "dom_1").await?;
        anyhow::ensure!(store.reader.signing_keys(NAME, &vault()).await?.is_none(), "pending");
        verify(&store, "dom_1").await?;
        let keys = store.reader.signing_keys(NAME, &vault()).await?.expect("keys");
        let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(&keys.ed25519_pkcs8)?;
        let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
        assert_eq!(public.as_ref(), domain.ed25519_public);
        let [(rsa, text), (ed25519, _)] = domain.dkim_records();
        assert_eq!((rsa, ed25519), (keys.rsa_selector, keys.ed25519_selector));
        anyhow::ensure!(text.starts_with("v=DKIM1; k=rsa; p=MIIB"), "{text}");
        let other = Vault::new(&[2; 32])?;
        let refused = store.reader.signing_keys(NAME, &other).await.err();
        anyhow::ensure!(matches!(refused, Some(Error::Sealed)), "{refused:?}");
        store.writer.delete_domain(ACCOUNT, "dom_1").await?;
        anyhow::ensure!(store.reader.signing_keys(NAME, &vault()).await?.is_none(), "deleted");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_due_domain_is_claimed_by_one() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        added(&store, ACCOUNT, "dom_1").await?;
        let claims = (0..8).map(|_| {
            let writer = store.writer.clone();
            tokio::spawn(async move { writer.claim_domain(500_000).await })
        });
        let mut claimed = 0;
        for claim in claims.collect::<Vec<_>>() {
            claimed += usize::from(claim.await??.is_some());
        }
        assert_eq!(claimed, 1);
        // Whoever claimed it died.
        let end = SystemTime::now() + Duration::from_secs(10);
        while store.writer.claim_domain(60_000_000).await?.is_none() {
            anyhow::ensure!(SystemTime::now() < end, "never due again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        verify(&store, "dom_1").await?;
        assert_eq!(store.writer.claim_domain(1).await?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_lost_domain_is_known_by_its_inboxes() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        added(&store, ACCOUNT, "dom_1").await?;
        verify(&store, "dom_1").await?;
        inbox_of(&store, ACCOUNT, "elsewhere").await?;
        let mut inbox = new_inbox(ACCOUNT, "agent");
        inbox.domain = NAME.to_owned();
        store.writer.create_inbox(&inbox).await?;
        let oldest = store.reader.oldest_inbox(ACCOUNT, NAME).await?;
        assert_eq!(oldest.map(|it| it.id).as_deref(), Some("ibx_agent"));
        assert_eq!(store.reader.oldest_inbox("acct_2", NAME).await?, None);
        anyhow::ensure!(store.reader.is_verified(NAME).await?);
        assert_eq!(store.reader.lost_domains().await?, []);
        let verified = store.reader.verified_domains(None, 10).await?;
        assert_eq!(verified.iter().map(|it| &*it.id).collect::<Vec<_>>(), ["dom_1"]);
        assert_eq!(store.reader.verified_domains(Some(NAME), 10).await?, []);
        store.writer.delete_domain(ACCOUNT, "dom_1").await?;
        anyhow::ensure!(!store.reader.is_verified(NAME).await?);
        let lost = (ACCOUNT.to_owned(), NAME.to_owned());
        assert_eq!(store.reader.lost_domains().await?, [lost]);
        Ok(())
    })
    .await;
}
