use std::time::SystemTime;

use opentelemetry::trace::SpanContext;

use crate::{Input, Trace, event_subject};

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
    /// Where it stands in a trace; if `None`, where whoever publishes it stands.
    pub trace: Option<SpanContext>,
}

impl Record {
    /// An event on its own subject, to be delivered at once.
    pub fn of<E: Input + prost::Message>(event: &E, identity: String) -> Record {
        Record {
            subject: E::SUBJECT.to_owned(),
            identity,
            payload: event.encode_to_vec(),
            due: None,
            trace: None,
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
    MailRejudged: "rejudged" by mail_id, rejudged_at_micros;
    MailReviewed: "reviewed" by email_id, reviewed_at_micros;
    SubmissionScanned: "submission" by mail_id, requested_at_micros;
    DeliveryReported: "reported" by mail_id, domain, attempt;
    OutcomeResolved: "resolved" by mail_id, resolved_at_micros;
}

impl Emit for crate::SubmissionAccepted {
    fn records(self) -> Vec<Record> {
        let trace = self.trace.as_ref().and_then(Trace::context);
        vec![Record { trace, ..Record::of(&self, format!("accepted/{}", self.mail_id)) }]
    }
}

impl Emit for crate::WebhookDue {
    fn records(self) -> Vec<Record> {
        vec![self.at(None)]
    }
}

impl crate::WebhookDue {
    /// What is next; two with one `request_id` count as one.
    pub fn next(webhook_id: &str, request_id: String) -> crate::WebhookDue {
        crate::WebhookDue { webhook_id: webhook_id.to_owned(), request_id, again: 0, ping: false }
    }

    /// This, at a later time or at once.
    pub fn at(&self, due: Option<SystemTime>) -> Record {
        let identity = format!("webhook/{}/{}", self.webhook_id, self.request_id);
        Record { due, ..Record::of(self, identity) }
    }
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
        subject: event_subject(account_id, inbox_id, name),
        identity: event_id.to_owned(),
        payload,
        due: None,
        trace: None,
    }
}
