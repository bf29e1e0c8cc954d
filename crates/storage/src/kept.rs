//! Events of mail that is kept from agents, and of what is decided on it.

use contract::{Email, Event};
use store::{Reviewed, Stored, rfc3339};

use crate::events::{event, received};

/// A mail came. What a policy has put into quarantine is announced as that, also when it is announced once
/// more after somebody has decided on it.
pub(crate) fn arrived(stored: Stored) -> Event {
    let action = stored.email.security.as_ref().and_then(|it| it.action.as_deref());
    if action != Some("quarantined") {
        return received(stored);
    }
    let (id, timestamp) = (stored.email.id.clone(), stored.email.created_at.clone());
    let parts = [&*id, "email.quarantined"];
    let email = without_words(stored.email);
    event(&parts, "email.quarantined", timestamp, &stored.account_id, email)
}

/// A mail is in its inbox after all: so it is told to those who wait for decisions, and to those who wait
/// for mail.
pub(crate) fn released(reviewed: &Reviewed) -> Vec<Event> {
    let Reviewed { account_id, email } = reviewed;
    let parts = [&*email.id, "email.released"];
    let timestamp = email.created_at.clone();
    let told = event(&parts, "email.released", timestamp, account_id, email.clone());
    let (account_id, email) = (account_id.clone(), email.clone());
    vec![told, received(Stored { account_id, email, repeated: false })]
}

/// A mail stays out for good.
pub(crate) fn refused(reviewed: &Reviewed, at: i64) -> Event {
    let Reviewed { account_id, email } = reviewed;
    let parts = [&*email.id, "email.refused"];
    event(&parts, "email.refused", rfc3339(at), account_id, without_words(email.clone()))
}

/// Without anything that its sender could have written for a machine to read, but for his address.
fn without_words(email: Email) -> Email {
    let mut security = email.security.unwrap_or_default();
    for reason in &mut security.reasons {
        reason.excerpt.clear();
    }
    Email {
        to: Vec::new(),
        cc: Vec::new(),
        subject: String::new(),
        preview: None,
        body: None,
        attachments: Vec::new(),
        message_id: None,
        security: Some(security),
        ..email
    }
}

#[cfg(test)]
mod tests {
    use contract::{EmailAttachment, EmailSecurity, SecurityReason};

    use super::*;

    fn stored(action: &str) -> Stored {
        let words = || "IGNORE ALL".to_owned();
        let reason = SecurityReason {
            excerpt: words(),
            explanation: "An order.".to_owned(),
            ..SecurityReason::default()
        };
        let security = EmailSecurity {
            action: Some(action.to_owned()),
            reasons: vec![reason],
            ..EmailSecurity::default()
        };
        let email = Email {
            id: "eml_1".to_owned(),
            from: "m@example.com".to_owned(),
            to: vec![words()],
            cc: vec![words()],
            subject: words(),
            preview: Some(words()),
            body: Some(words()),
            message_id: Some(words()),
            attachments: vec![EmailAttachment { filename: words(), ..EmailAttachment::default() }],
            security: Some(security),
            ..Email::default()
        };
        Stored { account_id: "acct_1".to_owned(), email, repeated: false }
    }

    #[test]
    fn what_is_kept_back_is_told_without_its_words() {
        let event = arrived(stored("quarantined"));
        let told = serde_json::to_string(&event).expect("JSON");
        assert_eq!(event.event, "email.quarantined");
        assert!(!told.contains("IGNORE"), "{told}");
        assert!(told.contains("m@example.com") && told.contains("An order."), "{told}");
        let Stored { account_id, email, .. } = stored("quarantined");
        let reviewed = Reviewed { account_id, email };
        let told = serde_json::to_string(&refused(&reviewed, 0)).expect("JSON");
        assert!(told.contains("email.refused") && !told.contains("IGNORE"), "{told}");
    }

    #[test]
    fn a_release_is_told_twice_and_an_ordinary_mail_once() {
        let Stored { account_id, email, .. } = stored("quarantined");
        let events = released(&Reviewed { account_id, email });
        let names: Vec<&str> = events.iter().map(|it| it.event.as_str()).collect();
        assert_eq!(names, ["email.released", "email.received"]);
        assert_ne!(events[0].event_id, events[1].event_id);
        let ordinary = arrived(stored("warned"));
        assert_eq!(ordinary.event_id, events[1].event_id, "a mail is received once");
        assert_eq!(ordinary.data.map(|it| it.subject).as_deref(), Some("IGNORE ALL"));
    }
}
