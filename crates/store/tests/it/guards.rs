//! Policies, allowances, canaries, and what mail named.

use ::mail::{Mention, MentionKind};
use store::{Allowance, Canary, Measure, Mentions, OutboundRules, RulesOf};

use crate::{
    fixture::{ACCOUNT, account, inbox, mail, now, on_both, submission},
    holds::held,
};

#[tokio::test]
async fn rules_are_kept_for_an_account_and_for_an_inbox() {
    on_both(async |store| {
        account(&store, "acct_1").await?;
        let of_account = RulesOf { account_id: ACCOUNT, inbox_id: None };
        let of_inbox = RulesOf { account_id: ACCOUNT, inbox_id: Some("ibx_ada") };
        assert_eq!(store.reader.outbound_rules(of_account).await?, None);
        let rules = OutboundRules {
            secrets: Some(Measure::Off),
            injection_threshold: Some(0.5),
            ..OutboundRules::default()
        };
        store.writer.set_outbound_rules(of_account, Some(&rules)).await?;
        let other = OutboundRules { approval: Some(true), ..OutboundRules::default() };
        store.writer.set_outbound_rules(of_inbox, Some(&rules)).await?;
        store.writer.set_outbound_rules(of_inbox, Some(&other)).await?;
        assert_eq!(store.reader.outbound_rules(of_account).await?, Some(rules));
        assert_eq!(store.reader.outbound_rules(of_inbox).await?, Some(other));
        store.writer.set_outbound_rules(of_inbox, None).await?;
        assert_eq!(store.reader.outbound_rules(of_inbox).await?, None);
        Ok(())
    })
    .await;
}

fn allowance(id: &str, inbox_id: Option<&str>) -> Allowance {
    Allowance {
        id: id.to_owned(),
        inbox_id: inbox_id.map(str::to_owned),
        recipient: "x.test".to_owned(),
        kind: Some("secret".to_owned()),
        note: "They need it.".to_owned(),
        created_at: 1,
        created_by: "token".to_owned(),
    }
}

#[tokio::test]
async fn allowances_are_for_one_inbox_or_for_all() {
    on_both(async |store| {
        account(&store, ACCOUNT).await?;
        account(&store, "acct_2").await?;
        let (all, one) = (allowance("alw_1", None), allowance("alw_2", Some("ibx_ada")));
        let both = [all.clone(), one.clone(), allowance("alw_3", None)];
        store.writer.allow(ACCOUNT, &both).await?.expect("allow");
        let of = async |inbox_id| store.reader.allowances(ACCOUNT, inbox_id).await;
        assert_eq!(
            of(Some("ibx_ada")).await?,
            [one.clone(), all.clone()],
            "the third is the first"
        );
        assert_eq!(of(Some("ibx_bob")).await?, std::slice::from_ref(&all));
        assert_eq!(of(None).await?, [one, all]);
        assert_eq!(store.reader.allowances("acct_2", None).await?, []);
        assert!(!store.writer.disallow("acct_2", "alw_1").await?);
        assert!(store.writer.disallow(ACCOUNT, "alw_1").await?);
        assert!(!store.writer.disallow(ACCOUNT, "alw_1").await?);
        let many: Vec<Allowance> = (0..1_001).map(|n| allowance(&n.to_string(), None)).collect();
        let refused = store.writer.allow(ACCOUNT, &many).await?.expect_err("refuse");
        assert_eq!(refused.code, "limit_reached");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn canaries_count_the_mails_they_hold() {
    on_both(async |store| {
        let inbox = inbox(&store, "ada").await?;
        account(&store, "acct_2").await?;
        let canary = Canary {
            id: "cny_1".to_owned(),
            kind: "api_key".to_owned(),
            label: "in the wiki".to_owned(),
            token: "sk-1".to_owned(),
            created_at: 1,
            hits: 0,
            last_hit_at: None,
        };
        store.writer.add_canary(ACCOUNT, &canary).await?.expect("add");
        assert_eq!(store.reader.canaries(ACCOUNT).await?, std::slice::from_ref(&canary));
        assert_eq!(store.reader.canaries("acct_2").await?, []);
        let mut submitted = held("held", &inbox);
        let hold = submitted.scrutiny.hold.as_mut().expect("a hold");
        hold.canary_ids = vec!["cny_1".to_owned()];
        store.writer.enter(std::slice::from_ref(&submitted)).await?;
        store.writer.enter(&[submitted]).await?;
        let hit = store.reader.canaries(ACCOUNT).await?.remove(0);
        assert_eq!(hit.hits, 1, "a repeat is no other mail");
        assert!(hit.last_hit_at.is_some_and(|it| it <= now()));
        for n in 2..=100 {
            let canary = Canary { id: format!("cny_{n}"), ..canary.clone() };
            store.writer.add_canary(ACCOUNT, &canary).await?.expect("add");
        }
        let refused = store.writer.add_canary(ACCOUNT, &canary).await?.expect_err("refuse");
        assert_eq!(refused.code, "limit_reached");
        assert!(!store.writer.remove_canary("acct_2", "cny_1").await?);
        assert!(store.writer.remove_canary(ACCOUNT, "cny_1").await?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_mail_named_is_known_with_its_thread() {
    on_both(async |store| {
        let ada = inbox(&store, "ada").await?;
        let bob = inbox(&store, "bob").await?;
        let arrival = mail(1, &[&ada]);
        let stored = store.writer.store(&[arrival]).await?;
        let email = &stored[0][0].email;
        let domain = Mention::new(MentionKind::Domain, "evil.test").item();
        let mentions = Mentions {
            inbox_id: ada.id.clone(),
            email_id: email.id.clone(),
            trusted: false,
            suspicious: true,
            items: vec![domain, Mention::new(MentionKind::Token, "482913").item()],
        };
        store.writer.note_mentions(std::slice::from_ref(&mentions)).await?;
        store.writer.note_mentions(&[mentions]).await?;
        let mut written = submission("own", &ada, &["carol@example.net"]);
        written.scrutiny.items = vec![domain];
        store.writer.enter(&[written]).await?;

        let found = store
            .reader
            .mentioned(&ada.id, &[domain, Mention::new(MentionKind::Domain, "x.test").item()])
            .await?;
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].suspicious && !found[0].trusted && found[1].trusted);
        assert_eq!(Some(&found[0].thread_id), email.thread_id.as_ref());
        assert_eq!(found[0].from, "alice@example.com");
        assert_eq!(store.reader.mentioned(&bob.id, &[domain]).await?, []);

        let thread = email.thread_id.clone().expect("a thread");
        let of = ["1@example.com".to_owned(), "unknown@x".to_owned()];
        assert_eq!(
            store.reader.threads_of_messages(&ada.id, &of).await?,
            std::slice::from_ref(&thread)
        );
        assert_eq!(store.reader.threads_of_messages(&bob.id, &of).await?, [""; 0]);
        let people = store.reader.people_of_threads(std::slice::from_ref(&thread)).await?;
        assert_eq!(people, ["alice@example.com", "ada@posthouse.localhost"]);
        let of_email = store.reader.thread_of_email(&ada.id, &email.id).await?;
        assert_eq!(of_email, Some(thread));
        assert_eq!(store.reader.thread_of_email(&bob.id, &email.id).await?, None);

        let known = ["Carol@example.net".to_owned(), "dave@example.net".to_owned()];
        let known = store.reader.correspondents(&ada.id, &known).await?;
        assert_eq!(known.iter().map(|it| &*it.0).collect::<Vec<_>>(), ["carol@example.net"]);
        let own = [ada.address.clone(), "carol@example.net".to_owned()];
        assert_eq!(store.reader.own_addresses(ACCOUNT, &own).await?, [ada.address]);
        assert_eq!(store.reader.own_addresses("acct_2", &own).await?, [""; 0]);
        assert_eq!(store.writer.purge_mentions().await?, 0);
        Ok(())
    })
    .await;
}
