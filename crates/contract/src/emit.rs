use std::time::SystemTime;

use crate::Input;

/// What a stage hands back to be published: nothing, one event, or several.
pub trait Emit: Send {
    fn records(self) -> Vec<Record>;
}

/// An encoded event, ready to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub subject: String,
    /// Names this occurrence; publishing it twice under one identity stores it once.
    pub identity: String,
    pub payload: Vec<u8>,
    /// When to deliver it; at once if `None`.
    pub due: Option<SystemTime>,
}

impl Record {
    /// An event on its own subject, to be delivered at once.
    pub fn of<E: Input + prost::Message>(event: &E, identity: String) -> Record {
        Record {
            subject: E::SUBJECT.to_owned(),
            identity,
            payload: event.encode_to_vec(),
            due: None,
        }
    }
}

impl Emit for Record {
    fn records(self) -> Vec<Record> {
        vec![self]
    }
}

impl Emit for () {
    fn records(self) -> Vec<Record> {
        Vec::new()
    }
}

impl<E: Emit> Emit for Vec<E> {
    fn records(self) -> Vec<Record> {
        self.into_iter().flat_map(Emit::records).collect()
    }
}

impl<E: Emit> Emit for Option<E> {
    fn records(self) -> Vec<Record> {
        self.into_iter().flat_map(Emit::records).collect()
    }
}

macro_rules! emit {
    ($($message:ident: $identity:literal by $($field:ident),+;)+) => {
        $(impl Emit for crate::$message {
            fn records(self) -> Vec<Record> {
                let identity = [$identity.to_owned(), $(self.$field.to_string()),+].join("/");
                vec![Record::of(&self, identity)]
            }
        })+
    };
}

emit! {
    MailReceived: "received" by mail_id;
    MailScanned: "scanned" by mail_id;
    MailReviewed: "reviewed" by email_id, reviewed_at_micros;
    SubmissionScanned: "submission" by mail_id, requested_at_micros;
    SubmissionAccepted: "accepted" by mail_id;
    DeliveryReported: "reported" by mail_id, domain, attempt;
    OutcomeResolved: "resolved" by mail_id, resolved_at_micros;
}

impl Emit for crate::DeliveryDue {
    fn records(self) -> Vec<Record> {
        vec![self.at(None)]
    }
}

impl crate::DeliveryDue {
    /// This delivery, to be attempted at a later time or at once.
    pub fn at(&self, due: Option<SystemTime>) -> Record {
        let mut identity = format!("due/{}/{}/{}", self.mail_id, self.domain, self.attempt);
        if self.deferrals > 0 {
            // Else it would count as a copy of the one that is put off.
            identity += &format!("/{}", self.deferrals);
        }
        Record { due, ..Record::of(self, identity) }
    }
}

impl Emit for crate::Event {
    fn records(self) -> Vec<Record> {
        vec![for_agents(&self, [&self.account_id, &self.inbox_id, &self.event], &self.event_id)]
    }
}

impl Emit for crate::InboxEvent {
    fn records(self) -> Vec<Record> {
        vec![for_agents(&self, [&self.account_id, &self.inbox_id, &self.event], &self.event_id)]
    }
}

/// JSON, because agents read it.
fn for_agents(event: &impl serde::Serialize, place: [&str; 3], event_id: &str) -> Record {
    let [account_id, inbox_id, name] = place;
    let payload = serde_json::to_vec(event).expect("strings and numbers become JSON");
    Record {
        subject: format!("mail.v1.event.{account_id}.{inbox_id}.{name}"),
        identity: event_id.to_owned(),
        payload,
        due: None,
    }
}
