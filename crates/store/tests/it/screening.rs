use contract::{
    Authentication, Email, MailReviewed, Mailbox, Message, Peer, Review, SecurityReason, Verdict,
};
use store::{
    Actor, Arrival, ArrivalFilter, AuditFilter, EmailFilter, Inbox, QuarantineFilter,
    ScreeningAction, ScreeningSettings, SearchQuery, SenderList, SenderRule, Store, Threshold,
};

use crate::fixture::{ACCOUNT, edit, inbox, mail, on_both, store_one};

fn scored(arrival: Arrival, score: f64, flags: &[&str]) -> Arrival {
    let flags = flags.iter().map(|it| (*it).to_owned()).collect();
    let mut arrival = arrival;
    arrival.scanned.verdict = Some(Verdict { score, flags, ..Verdict::default() });
    arrival
}

fn from(arrival: Arrival, name: &str, address: &str) -> Arrival {
    let mailbox = Mailbox { name: name.to_owned(), address: address.to_owned() };
    edit(arrival, |it| it.from = vec![mailbox])
}

/// Its From is proven to be the one it says.
fn proven(mut arrival: Arrival) -> Arrival {
    let author = arrival.scanned.message.iter().flat_map(|it| &it.from).next();
    let author = author.map(|it| it.address.clone()).unwrap_or_default();
    arrival.scanned.authentication = Some(Authentication {
        dkim: "pass".to_owned(),
        dmarc: "pass".to_owned(),
        author,
        ..Authentication::default()
    });
    arrival
}

fn clean(number: u32, inbox: &Inbox) -> Arrival {
    scored(mail(number, &[inbox]), 0.0, &[])
}

async fn quarantine_from(store: &Store, scope: Option<&str>, score: f64) -> anyhow::Result<()> {
    let settings = ScreeningSettings {
        quarantine_at: Some(Threshold::At(score)),
        ..ScreeningSettings::default()
    };
    store.writer.set_screening(ACCOUNT, scope, &settings, &Actor::default()).await?;
    Ok(())
}

fn action(email: &Email) -> &str {
    email.security.as_ref().and_then(|it| it.action.as_deref()).unwrap_or_default()
}

fn reasons(email: &Email) -> &[SecurityReason] {
    email.security.as_ref().map(|it| it.reasons.as_slice()).unwrap_or_default()
}

fn rules(email: &Email) -> &[String] {
    email.security.as_ref().map(|it| it.rules.as_slice()).unwrap_or_default()
}

fn decision(email: &Email, review: Review) -> MailReviewed {
    MailReviewed {
        email_id: email.id.clone(),
        account_id: ACCOUNT.to_owned(),
        review: review.into(),
        reason: "looked at it".to_owned(),
        decided_by: "tok_1".to_owned(),
        reviewed_at_micros: 1_795_498_872_123_456,
        ..MailReviewed::default()
    }
}

/// How often the inbox shows anything of its mail, wherever one could look.
async fn seen(store: &Store, inbox: &Inbox) -> anyhow::Result<[usize; 5]> {
    let filter = EmailFilter { limit: 50, ..EmailFilter::default() };
    let search = SearchQuery { words: "subject".to_owned(), limit: 50, ..SearchQuery::default() };
    let counted = store.reader.inbox(ACCOUNT, &inbox.id).await?.expect("an inbox").email_count;
    Ok([
        store.reader.emails(ACCOUNT, &inbox.id, &filter).await?.items.len(),
        store.reader.arrivals(ACCOUNT, &inbox.id, &ArrivalFilter::default()).await?.len(),
        store.reader.search(ACCOUNT, &search).await?.items.len(),
        store.reader.threads(ACCOUNT, &inbox.id, 50, None).await?.items.len(),
        usize::try_from(counted)?,
    ])
}

#[tokio::test]
async fn a_quarantined_mail_is_nowhere_to_be_seen_until_it_is_released() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        quarantine_from(&store, None, 0.9).await?;
        let bad =
            store_one(&store, scored(mail(1, &[&inbox]), 0.95, &["prompt_injection"])).await?;
        assert_eq!(action(&bad.email), "quarantined");
        assert_eq!(rules(&bad.email), ["quarantineAt"]);
        assert_eq!(bad.email.status.as_deref(), Some("quarantined"));
        assert_eq!(bad.email.thread_id, None);
        assert_eq!(seen(&store, &inbox).await?, [0; 5]);
        assert_eq!(store.reader.email(ACCOUNT, &inbox.id, &bad.email.id).await?, None);
        assert_eq!(store.reader.original(ACCOUNT, &inbox.id, &bad.email.id).await?, None);
        let kept = store.reader.any_email(ACCOUNT, &inbox.id, &bad.email.id).await?.expect("kept");
        assert_eq!(kept.body.as_deref(), Some("Text 1"));
        assert!(store.reader.any_original(ACCOUNT, &inbox.id, &bad.email.id).await?.is_some());

        // Somebody answered it before it was released: both end in one thread.
        let answer = crate::fixture::answer(2, 1, &inbox);
        let answer = store_one(&store, scored(answer, 0.0, &[])).await?.email;
        let message = Message {
            message_id: "1@example.com".to_owned(),
            subject: "Subject 1".to_owned(),
            from: vec![crate::fixture::mailbox("alice@example.com")],
            text: "Text 1".to_owned(),
            ..Message::default()
        };
        let released = decision(&bad.email, Review::Released);
        let done = store.writer.review(&released, Some(&message), None).await?.expect("released");
        assert_eq!(done.email.status.as_deref(), Some("received"));
        assert_eq!(action(&done.email), "quarantined", "that is what the policy did");
        let decided = done.email.decision.clone().expect("a decision");
        assert_eq!((&*decided.action, &*decided.decided_by), ("released", "tok_1"));
        assert!(done.email.created_at > answer.created_at, "it comes now");
        assert_eq!(done.email.received_at, bad.email.received_at);
        assert_eq!(done.email.thread_id, answer.thread_id);
        assert_eq!(seen(&store, &inbox).await?, [2, 2, 2, 1, 2]);

        let again = store.writer.review(&released, Some(&message), None).await?;
        assert_eq!(again, Some(done), "the same decision once more changes nothing");
        let contrary = decision(&bad.email, Review::Refused);
        assert_eq!(store.writer.review(&contrary, None, None).await?, None);
        assert_eq!(seen(&store, &inbox).await?, [2, 2, 2, 1, 2]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_refused_mail_stays_out() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        quarantine_from(&store, Some(&inbox.id), 0.5).await?;
        let bad = store_one(&store, mail(1, &[&inbox])).await?.email;
        let foreign =
            MailReviewed { account_id: "acct_2".to_owned(), ..decision(&bad, Review::Refused) };
        assert_eq!(store.writer.review(&foreign, None, None).await?, None);
        let refused = store.writer.review(&decision(&bad, Review::Refused), None, None).await?;
        assert_eq!(refused.expect("refused").email.status.as_deref(), Some("refused"));
        let message = Message::default();
        let late = MailReviewed { reviewed_at_micros: 7, ..decision(&bad, Review::Released) };
        assert_eq!(store.writer.review(&late, Some(&message), None).await?, None);
        assert_eq!(seen(&store, &inbox).await?, [0; 5]);

        let list = async |refused| {
            let filter = QuarantineFilter { refused, limit: 9, ..QuarantineFilter::default() };
            store.reader.quarantine(ACCOUNT, &filter).await.map(|it| it.items.len())
        };
        assert_eq!((list(false).await?, list(true).await?), (0, 1));
        let filter = AuditFilter { limit: 9, ..AuditFilter::default() };
        let audit = store.reader.audit(ACCOUNT, &filter).await?.items;
        let actions: Vec<&str> = audit.iter().map(|it| it.action.as_str()).collect();
        assert_eq!(actions, ["email.refused", "policy.changed"]);
        assert_eq!(audit[0].email_id.as_deref(), Some(&*bad.id));
        assert_eq!(audit[0].actor.reason, "looked at it");
        assert!(store.reader.audit("acct_2", &filter).await?.items.is_empty());

        // All of it goes with the inbox, but for the record.
        store.writer.delete_inbox(ACCOUNT, &inbox.id).await?;
        store.writer.purge_inboxes(i64::MAX).await?;
        assert_eq!(store.reader.screening_settings(&inbox.id).await?, None);
        assert_eq!(store.reader.audit(ACCOUNT, &filter).await?.items.len(), 2);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_inbox_overrides_its_account_and_a_copy_is_its_inboxs() {
    on_both(async |store| {
        let (one, other) = (inbox(&store, "one").await?, inbox(&store, "other").await?);
        quarantine_from(&store, None, 0.5).await?;
        let settings = ScreeningSettings {
            quarantine_at: Some(Threshold::Never),
            flags: [("phishing_url".to_owned(), Some(ScreeningAction::Quarantine))].into(),
            ..ScreeningSettings::default()
        };
        store.writer.set_screening(ACCOUNT, Some(&other.id), &settings, &Actor::default()).await?;
        let stored = store.writer.store(&[mail(1, &[&one, &other])]).await?.concat();
        let actions: Vec<&str> = stored.iter().map(|it| action(&it.email)).collect();
        assert_eq!(actions, ["quarantined", "warned"]);
        let flagged = scored(mail(2, &[&one, &other]), 0.0, &["phishing_url"]);
        let stored = store.writer.store(std::slice::from_ref(&flagged)).await?.concat();
        let actions: Vec<&str> = stored.iter().map(|it| action(&it.email)).collect();
        assert_eq!(actions, ["warned", "quarantined"]);

        // A redelivery finds what is there, whatever the policy says now.
        quarantine_from(&store, Some(&other.id), 1.0).await?;
        let again = store.writer.store(&[flagged]).await?.concat();
        assert!(again.iter().all(|it| it.repeated));
        assert_eq!(action(&again[1].email), "quarantined");
        assert_eq!(store.reader.copies("mail_0002").await?.len(), 2);
        Ok(())
    })
    .await;
}

async fn list(store: &Store, list: SenderList, scope: Option<&Inbox>, entry: &str) {
    let rule = SenderRule {
        account_id: ACCOUNT.to_owned(),
        inbox_id: scope.map(|it| it.id.clone()),
        list,
        entry: entry.to_owned(),
        note: String::new(),
        created_at: 1,
    };
    store.writer.list_sender(&rule, &Actor::default()).await.expect("list");
}

#[tokio::test]
async fn an_allow_list_is_for_who_proves_who_he_is() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        quarantine_from(&store, None, 0.5).await?;
        list(&store, SenderList::Allow, None, "example.com").await;
        let signed = store_one(&store, proven(mail(1, &[&inbox]))).await?.email;
        assert_eq!(
            (action(&signed), rules(&signed)),
            ("delivered", &["allow:example.com".to_owned()][..])
        );
        assert_eq!(signed.sender_authenticated, Some(true));
        let security = signed.security.expect("a verdict");
        assert!(security.injection_risk_score >= 0.7 && !security.flags.is_empty(), "still shown");

        let forged = store_one(&store, mail(2, &[&inbox])).await?.email;
        assert_eq!((action(&forged), forged.sender_authenticated), ("quarantined", Some(false)));
        // Proven, but another address than the one the mail shows.
        let mut other = proven(mail(3, &[&inbox]));
        other.scanned.authentication.as_mut().expect("it").author = "x@example.com".to_owned();
        assert_eq!(action(&store_one(&store, other).await?.email), "quarantined");
        let marked = scored(proven(mail(4, &[&inbox])), 1.0, &["unicode_smuggling"]);
        assert_eq!(action(&store_one(&store, marked).await?.email), "quarantined");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_block_list_is_for_who_says_who_he_is() {
    on_both(async |store| {
        let (one, other) = (inbox(&store, "one").await?, inbox(&store, "other").await?);
        list(&store, SenderList::Block, Some(&one), "example.com").await;
        list(&store, SenderList::Block, None, "mallory@elsewhere.example").await;
        let mail = |number| scored(mail(number, &[&one, &other]), 0.0, &[]);
        let actions = async |arrival: Arrival| -> anyhow::Result<Vec<String>> {
            let stored = store.writer.store(&[arrival]).await?.concat();
            Ok(stored.iter().map(|it| action(&it.email).to_owned()).collect())
        };
        assert_eq!(actions(mail(1)).await?, ["quarantined", "delivered"]);
        let below = from(mail(2), "", "a@mail.EXAMPLE.com");
        assert_eq!(actions(below).await?, ["quarantined", "delivered"]);
        let blocked = from(mail(3), "", "Mallory@Elsewhere.example");
        assert_eq!(actions(blocked).await?, ["quarantined", "quarantined"]);
        let neighbour = from(mail(4), "", "eve@elsewhere.example");
        assert_eq!(actions(neighbour).await?, ["delivered", "delivered"]);

        let (entry, actor) = ("example.com", Actor::default());
        let take =
            |scope| store.writer.unlist_sender(ACCOUNT, scope, SenderList::Block, entry, &actor);
        assert!(!take(None).await?, "it is the inbox's");
        assert!(take(Some(&*one.id)).await?);
        assert_eq!(actions(mail(5)).await?, ["delivered", "delivered"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_inbox_comes_to_know_its_senders() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let jane = |number| from(clean(number, &inbox), "Jane Doe", "Jane@northwind.com");
        let stored = store.writer.store(&[jane(1), jane(2)]).await?.concat();
        let first: Vec<_> = stored
            .iter()
            .map(|it| it.email.security.as_ref().and_then(|it| it.first_contact))
            .collect();
        assert_eq!(first, [Some(true), Some(false)]);

        let mut lookalike = from(clean(3, &inbox), "", "jane@n0rthwind.com");
        lookalike.scanned.link_hosts = vec!["www.northwnid.com".to_owned()];
        let email = store_one(&store, lookalike).await?.email;
        assert_eq!(action(&email), "warned");
        assert_eq!(rules(&email), ["flags.phishing_url", "flags.spoofed_sender"]);
        let flags = email.security.as_ref().map(|it| it.flags.clone()).unwrap_or_default();
        assert_eq!(flags, ["spoofed_sender", "phishing_url"]);
        let found = reasons(&email);
        assert_eq!(found[0].excerpt, "n0rthwind.com");
        assert!(found[0].explanation.contains("northwind.com"), "{found:?}");
        assert!(!found[0].version.is_empty() && found[0].detector == "lookalike");
        assert_eq!(found[1].part, "link");

        // Who was found out is not known by it: the true domain is not his lookalike.
        let again = from(clean(4, &inbox), "", "jane@n0rthwind.com");
        let again = store_one(&store, again).await?.email;
        assert_eq!(again.security.and_then(|it| it.first_contact), Some(true));
        assert_eq!(action(&store_one(&store, jane(5)).await?.email), "delivered");

        let named = from(clean(6, &inbox), "Jane Doe", "jane.doe@evil.example");
        let named = store_one(&store, named).await?.email;
        assert_eq!(reasons(&named)[0].detector, "display-name");
        // Innocent: the same organisation, another country, another inbox that knows nobody.
        for (number, address) in [
            (7, "press@mail.northwind.com"),
            (8, "jane@northwind.co.uk"),
            (9, "x@elsewhere.example"),
        ] {
            let email = store_one(&store, from(clean(number, &inbox), "", address)).await?.email;
            assert_eq!(action(&email), "delivered", "{address}: {:?}", reasons(&email));
        }
        let stranger = crate::fixture::inbox(&store, "stranger").await?;
        let email = store_one(&store, from(clean(10, &stranger), "", "j@n0rthwind.com")).await?;
        assert_eq!(action(&email.email), "delivered");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn whom_an_inbox_wrote_to_is_known() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        let request = crate::fixture::submission("hello", &inbox, &["bob@contoso-parts.com"]);
        store.writer.enter(&[request]).await?;
        store.writer.release(&[], 10).await?;
        let email = store_one(&store, from(clean(1, &inbox), "", "Bob@contoso-parts.com")).await?;
        assert_eq!(email.email.security.and_then(|it| it.first_contact), Some(false));
        let email = store_one(&store, from(clean(2, &inbox), "", "b@contoso-part.com")).await?;
        assert_eq!(reasons(&email.email)[0].detector, "lookalike");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_sender_who_stops_proving_himself_is_noticed() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        store_one(&store, proven(clean(1, &inbox))).await?;
        let failing = |number, ip: &str, spf: &str| {
            let mut arrival = clean(number, &inbox);
            arrival.scanned.peer = Some(Peer { ip: ip.to_owned(), ..Peer::default() });
            arrival.scanned.authentication = Some(Authentication {
                spf: spf.to_owned(),
                dkim: "none".to_owned(),
                dmarc: "fail".to_owned(),
                ..Authentication::default()
            });
            arrival
        };
        let forged = store_one(&store, failing(2, "192.0.2.1", "softfail")).await?.email;
        assert_eq!(reasons(&forged)[0].detector, "sender");
        // A mailing list's copy: its own host is authorised for its own reverse-path.
        let list = store_one(&store, failing(3, "192.0.2.1", "pass")).await?.email;
        assert_eq!(reasons(&list), []);
        let local = store_one(&store, failing(4, "127.0.0.1", "none")).await?.email;
        assert_eq!(reasons(&local), []);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn lists_and_the_record_come_in_pages() {
    on_both(async |store| {
        let inbox = inbox(&store, "agent").await?;
        for n in 0..5 {
            list(&store, SenderList::Allow, Some(&inbox), &format!("a{n}.example")).await;
        }
        list(&store, SenderList::Allow, Some(&inbox), "a0.example").await;
        let page = async |cursor: Option<String>| {
            let list = SenderList::Allow;
            store.reader.sender_rules(ACCOUNT, Some(&inbox.id), list, 3, cursor.as_deref()).await
        };
        let first = page(None).await?;
        let second = page(first.cursor.clone()).await?;
        assert_eq!((first.items.len(), second.items.len(), second.cursor), (3, 2, None));
        let of_account =
            store.reader.sender_rules(ACCOUNT, None, SenderList::Allow, 9, None).await?;
        assert!(of_account.items.is_empty());
        let filter = AuditFilter { limit: 4, ..AuditFilter::default() };
        let first = store.reader.audit(ACCOUNT, &filter).await?;
        let filter = AuditFilter { cursor: first.cursor, ..filter };
        let second = store.reader.audit(ACCOUNT, &filter).await?;
        assert_eq!((first.items.len(), second.items.len()), (4, 1), "once for each that is new");
        Ok(())
    })
    .await;
}
