//! Events that are written down with what they announce.

use contract::{NO_INBOX, Record, event_subject};
use serde::Serialize;
use sqlx::AnyConnection;
use uuid::Uuid;

use crate::{
    Domain, Error, Inbox,
    email::to_json,
    moment::{now, rfc3339},
    sql,
};

/// An event that is to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    pub event_id: String,
    pub account_id: String,
    /// Empty if it is about no inbox.
    pub inbox_id: String,
    pub event: String,
    /// JSON.
    pub data: String,
    pub happened_at: i64,
}

/// An event, of the shape that all have.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    event_id: &'a str,
    event: &'a str,
    timestamp: String,
    account_id: &'a str,
    inbox_id: &'a str,
    data: serde_json::Value,
}

impl Announcement {
    /// Of something that happens now.
    pub(crate) fn new(
        account_id: &str,
        inbox_id: &str,
        event: &str,
        data: &impl Serialize,
    ) -> Announcement {
        Announcement {
            event_id: format!("evt_{}", Uuid::now_v7().simple()),
            account_id: account_id.to_owned(),
            inbox_id: inbox_id.to_owned(),
            event: event.to_owned(),
            data: to_json(data),
            happened_at: now(),
        }
    }

    pub(crate) fn of_inbox(event: &str, inbox: &Inbox) -> Announcement {
        let data = contract::InboxSummary {
            id: inbox.id.clone(),
            address: inbox.address.clone(),
            display_name: inbox.display_name.clone(),
            domain: inbox.domain.clone(),
            is_active: inbox.is_active,
            email_count: inbox.email_count,
            expires_at: inbox.expires_at.map(rfc3339),
            created_at: rfc3339(inbox.created_at),
        };
        Announcement::new(&inbox.account_id, &inbox.id, event, &data)
    }

    pub(crate) fn of_domain(event: &str, domain: &Domain) -> Announcement {
        let problems = domain.checks.iter().filter(|it| it.status != "verified");
        let problems = problems.map(|it| contract::DomainProblem {
            record: it.name.clone(),
            status: it.status.clone(),
            reason: it.reason.clone(),
        });
        let data = contract::DomainSummary {
            id: domain.id.clone(),
            domain: domain.domain.clone(),
            status: domain.status.as_str().to_owned(),
            problems: problems.collect(),
            created_at: rfc3339(domain.created_at),
            verified_at: domain.verified_at.map(rfc3339),
        };
        Announcement::new(&domain.account_id, "", event, &data)
    }

    /// Ready to publish. The identity is the event's, whoever publishes it.
    pub fn record(&self) -> Record {
        let shown = Shown {
            event_id: &self.event_id,
            event: &self.event,
            timestamp: rfc3339(self.happened_at),
            account_id: &self.account_id,
            inbox_id: &self.inbox_id,
            data: serde_json::from_str(&self.data).unwrap_or_default(),
        };
        let inbox_id = if self.inbox_id.is_empty() { NO_INBOX } else { &self.inbox_id };
        Record {
            subject: event_subject(&self.account_id, inbox_id, &self.event),
            identity: self.event_id.clone(),
            payload: to_json(&shown).into_bytes(),
            due: None,
            trace: None,
        }
    }

    /// In the transaction of what it announces.
    pub(crate) async fn write(&self, connection: &mut AnyConnection) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO announcements (event_id, account_id, inbox_id, event, data, happened_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.event_id.clone())
        .bind(self.account_id.clone())
        .bind(self.inbox_id.clone())
        .bind(self.event.clone())
        .bind(sql::text(&self.data))
        .bind(self.happened_at)
        .execute(connection)
        .await
        .map_err(Error::query("write an announcement"))?;
        Ok(())
    }
}
