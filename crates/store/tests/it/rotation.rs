//! Changing a domain's DKIM keys.

use store::{Domain, DomainKeys, PublicKeys, Rotation, Store};

use crate::{
    domains::{added, vault, verify},
    fixture::{ACCOUNT, account, now, on_both},
};

async fn start(store: &Store, account_id: &str, selector: &str) -> anyhow::Result<Rotation> {
    let (keys, vault) = (DomainKeys::generate()?, vault());
    let soon = now() - 1;
    Ok(store.writer.start_rotation(account_id, "dom_1", selector, (&keys, &vault), soon).await?)
}

fn awaited(rotation: Rotation) -> anyhow::Result<(Domain, PublicKeys)> {
    let Rotation::Awaited(domain) = rotation else { anyhow::bail!("{rotation:?}") };
    let Some(next) = domain.next_keys.clone() else { anyhow::bail!("{domain:?}") };
    Ok((*domain, next))
}

#[tokio::test]
async fn old_keys_sign_until_the_new_ones_are_known() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        let domain = added(&store, ACCOUNT, "dom_1").await?;
        verify(&store, "dom_1").await?;
        let sign = async || store.reader.signing_keys(&domain.domain, &vault()).await;
        let old = sign().await?.expect("keys");

        let (rotating, next) = awaited(start(&store, ACCOUNT, "ph2").await?)?;
        assert_eq!((&*rotating.dkim_selector, &*next.selector), ("ph1", "ph2"));
        assert_ne!(next.rsa_public, domain.rsa_public);
        let (_, again) = awaited(start(&store, ACCOUNT, "ph3").await?)?;
        assert_eq!(again, next, "one rotation at a time");
        assert_eq!(sign().await?.expect("keys").rsa_pkcs8, old.rsa_pkcs8);
        let claimed = store.writer.claim_domain(1_000).await?.expect("due at once");
        assert_eq!(claimed.next_keys, Some(next.clone()));

        let finish = async |selector| store.writer.finish_rotation("dom_1", selector).await;
        assert_eq!(finish("ph3").await?, None);
        let finished = finish("ph2").await?;
        assert_eq!(finish("ph2").await?, None, "once");
        let new = sign().await?.expect("keys");
        assert_eq!((&*new.rsa_selector, &*new.ed25519_selector), ("ph2", "ph2-ed25519"));
        assert_ne!(new.rsa_pkcs8, old.rsa_pkcs8);
        let changed = store.reader.domain(ACCOUNT, "dom_1").await?.expect("a domain");
        assert_eq!(finished.as_ref(), Some(&changed));
        assert_eq!((&*changed.dkim_selector, &changed.next_keys), ("ph2", &None));
        assert_eq!(changed.rsa_public, next.rsa_public);
        let [retired] = &changed.retired_keys[..] else { anyhow::bail!("{changed:?}") };
        assert_eq!((&*retired.selector, &retired.rsa_public), ("ph1", &domain.rsa_public));
        assert!(retired.removable_at() > now());
        assert_eq!(store.reader.domains(ACCOUNT).await?, [changed]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_selector_rests_before_it_is_used_again() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        added(&store, ACCOUNT, "dom_1").await?;
        verify(&store, "dom_1").await?;
        awaited(start(&store, ACCOUNT, "ph2").await?)?;
        store.writer.finish_rotation("dom_1", "ph2").await?;
        let Rotation::TooSoon(keys) = start(&store, ACCOUNT, "ph1").await? else {
            anyhow::bail!("too soon")
        };
        assert_eq!(keys.selector, "ph1");
        let (domain, _) = awaited(start(&store, ACCOUNT, "ph3").await?)?;
        assert_eq!(domain.retired_keys.len(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_deleted_domain_has_no_keys_left() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        account(&store, "acct_2").await?;
        added(&store, ACCOUNT, "dom_1").await?;
        verify(&store, "dom_1").await?;
        assert_eq!(start(&store, "acct_2", "ph2").await?, Rotation::Gone);
        awaited(start(&store, ACCOUNT, "ph2").await?)?;
        store.writer.delete_domain(ACCOUNT, "dom_1").await?;
        assert_eq!(start(&store, ACCOUNT, "ph2").await?, Rotation::Gone);
        assert_eq!(store.writer.finish_rotation("dom_1", "ph2").await?, None);
        Ok(())
    })
    .await;
}
