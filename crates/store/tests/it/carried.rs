//! What mails say together: who is asked about what, and when it is forgotten.

use std::sync::{Arc, Mutex};

use contract::SecurityReason;
use store::{Arrival, Earlier, Together, Writer};

use crate::fixture::{answer, edit, inbox, mail, mailbox, on_both};

fn carrying(arrival: Arrival, from: &str) -> Arrival {
    let carried = arrival.scanned.mail_id.clone();
    let arrival = edit(arrival, |it| it.from = vec![mailbox(from)]);
    Arrival { carried, ..arrival }
}

/// The texts that were asked about, each with those before it.
type Asked = Arc<Mutex<Vec<(String, Vec<String>)>>>;

fn asking(writer: &Writer) -> (Writer, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let writer = writer.clone().joining(Arc::new(move |earlier: &[Earlier], text: &str, score| {
        let texts = earlier.iter().map(|it| it.text.clone()).collect();
        noted.lock().expect("no panic").push((text.to_owned(), texts));
        let reason = SecurityReason {
            detector: "thread".to_owned(),
            flag: "prompt_injection".to_owned(),
            explanation: earlier[0].email_id.clone(),
            ..SecurityReason::default()
        };
        (earlier.len() > 1).then(|| Together { score: score.max(0.9), reason })
    }));
    (writer, asked)
}

fn asked(asked: &Asked) -> Vec<(String, Vec<String>)> {
    std::mem::take(&mut *asked.lock().expect("no panic"))
}

#[tokio::test]
async fn the_last_mails_of_a_sender_and_of_a_thread_are_looked_at() {
    on_both(async |store| {
        let inboxes = [inbox(&store, "ada").await?, inbox(&store, "bob").await?];
        let (writer, noted) = asking(&store.writer);
        let of = |number, from: &str| carrying(mail(number, &[&inboxes[0]]), from);
        writer.store(&[of(1, "tom@x.test")]).await?;
        assert_eq!(asked(&noted), []);
        // In one batch; another sender, another inbox.
        let elsewhere = carrying(mail(4, &[&inboxes[1]]), "tom@x.test");
        writer.store(&[of(2, "TOM@x.test"), of(3, "ann@x.test"), elsewhere]).await?;
        let texts = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(asked(&noted), [("mail_0002".to_owned(), texts(&["mail_0001"]))]);
        // An answer in the thread of the first one, to which both senders have come.
        let reply = carrying(answer(5, 1, &inboxes[0]), "ann@x.test");
        let stored = writer.store(std::slice::from_ref(&reply)).await?;
        assert_eq!(asked(&noted), [("mail_0005".to_owned(), texts(&["mail_0001", "mail_0003"]))]);
        let security = stored[0][0].email.security.clone().expect("a verdict");
        assert_eq!(security.injection_risk_score, 0.9);
        assert_eq!(security.action.as_deref(), Some("warned"));
        assert!(security.reasons.iter().any(|it| it.explanation == stored_id(1, &inboxes[0].id)));
        // What is stored is not asked about again, and says the same.
        let again = writer.store(&[reply]).await?;
        assert_eq!(asked(&noted), []);
        assert_eq!(again[0][0].email.security.as_ref(), Some(&security));
        for number in 6..12 {
            writer.store(&[of(number, "tom@x.test")]).await?;
        }
        let last = asked(&noted).pop().expect("asked");
        assert_eq!(last.1, texts(&["mail_0007", "mail_0008", "mail_0009", "mail_0010"]));
        Ok(())
    })
    .await;
}

fn stored_id(number: u32, inbox_id: &str) -> String {
    format!("eml_{number:04}_{inbox_id}")
}

#[tokio::test]
async fn without_a_text_nothing_is_asked_and_what_is_new_is_not_forgotten() {
    on_both(async |store| {
        let ada = inbox(&store, "ada").await?;
        let (writer, noted) = asking(&store.writer);
        writer.store(&[carrying(mail(1, &[&ada]), "tom@x.test")]).await?;
        let silent = edit(mail(2, &[&ada]), |it| it.from = vec![mailbox("tom@x.test")]);
        writer.store(&[silent]).await?;
        assert_eq!(asked(&noted), []);
        assert_eq!(writer.purge_carried().await?, 0);
        writer.store(&[carrying(mail(3, &[&ada]), "tom@x.test")]).await?;
        assert_eq!(asked(&noted).len(), 1);
        Ok(())
    })
    .await;
}
