//! Rows of `emails`, and the inboxes they go into.

use std::collections::{BTreeSet, HashMap};

use sqlx::{AnyConnection, Row as _};

use crate::{
    Direction, Error,
    dialect::Dialect,
    moment::{MILLISECOND, next_created_at},
    sql,
};

/// An inbox that is locked for this transaction, so that emails enter it one transaction after the
/// other and none with an earlier `created_at` becomes readable after a later one.
pub(super) struct Locked {
    pub(super) account_id: String,
    pub(super) address: String,
    /// Of the first email this transaction adds.
    pub(super) created_at: i64,
}

/// Locks those of the inboxes that exist, in the order of their identifiers: nobody waits in a circle.
pub(super) async fn lock_inboxes(
    connection: &mut AnyConnection,
    dialect: Dialect,
    inbox_ids: BTreeSet<String>,
    now: i64,
) -> Result<HashMap<String, Locked>, Error> {
    let failed = Error::query("lock inboxes");
    let inbox_ids: Vec<String> = inbox_ids.into_iter().collect();
    let statement = |ids| {
        format!(
            "SELECT id, account_id, address, last_stored_at FROM inboxes WHERE id IN (VALUES {ids}) \
             ORDER BY id{}",
            dialect.lock_rows()
        )
    };
    let bind = |query: sql::Bound, id: &String| query.bind(sql::text(id));
    let rows = sql::fetch(connection, &inbox_ids, 1, statement, bind).await.map_err(&failed)?;
    let mut inboxes = HashMap::new();
    for row in rows {
        let last_stored_at = row.try_get("last_stored_at").map_err(&failed)?;
        let inbox = Locked {
            account_id: row.try_get("account_id").map_err(&failed)?,
            address: row.try_get("address").map_err(&failed)?,
            created_at: next_created_at(now, last_stored_at),
        };
        inboxes.insert(row.try_get("id").map_err(&failed)?, inbox);
    }
    Ok(inboxes)
}

/// A row of `emails`.
#[derive(Clone, Debug)]
pub(super) struct EmailRow {
    pub(super) id: String,
    pub(super) mail_id: String,
    pub(super) inbox_id: String,
    pub(super) account_id: String,
    pub(super) direction: Direction,
    pub(super) status: &'static str,
    pub(super) thread_id: Option<String>,
    pub(super) created_at: i64,
    pub(super) received_at: Option<i64>,
    pub(super) no_auto_reply: Option<String>,
    /// JSON; `None` for mail that is not screened, as what is sent.
    pub(super) screening: Option<String>,
    /// It is in no thread and counts nowhere.
    pub(super) is_hidden: bool,
}

/// Gives every email of an inbox a `created_at` of its own, in their order. An agent that handled one
/// of a batch and asks for what came after it gets the others.
pub(super) fn spread<'a>(emails: impl Iterator<Item = &'a mut EmailRow>) {
    let mut next: HashMap<String, i64> = HashMap::new();
    for email in emails {
        let free = next.entry(email.inbox_id.clone()).or_insert(email.created_at);
        email.created_at = *free;
        *free += MILLISECOND;
    }
}

pub(super) async fn insert(
    connection: &mut AnyConnection,
    emails: &[EmailRow],
) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO emails (id, mail_id, inbox_id, account_id, direction, status, thread_id, \
             created_at, received_at, no_auto_reply, screening, hidden) {rows}"
        )
    };
    sql::insert(connection, emails, 12, statement, |query, email| {
        query
            .bind(email.id.clone())
            .bind(email.mail_id.clone())
            .bind(email.inbox_id.clone())
            .bind(email.account_id.clone())
            .bind(email.direction.as_str())
            .bind(email.status)
            .bind(email.thread_id.clone())
            .bind(email.created_at)
            .bind(email.received_at)
            .bind(email.no_auto_reply.as_deref().map(sql::text))
            .bind(email.screening.clone())
            .bind(i64::from(email.is_hidden))
    })
    .await
    .map_err(Error::query("store emails"))?;
    count(connection, emails).await
}

/// Brings the inboxes' counts and clocks up to date.
pub(super) async fn count(
    connection: &mut AnyConnection,
    emails: &[EmailRow],
) -> Result<(), Error> {
    let mut inboxes: HashMap<&str, (i64, i64)> = HashMap::new();
    for email in emails.iter().filter(|it| !it.is_hidden) {
        let (received, created_at) = inboxes.entry(&email.inbox_id).or_default();
        *received += i64::from(email.direction == Direction::Inbound);
        *created_at = email.created_at.max(*created_at);
    }
    let inboxes: Vec<_> = inboxes.into_iter().collect();
    let statement = |tuples| {
        format!(
            "UPDATE inboxes SET email_count = inboxes.email_count + v.column2, \
             last_stored_at = v.column3 FROM (VALUES {tuples}) AS v WHERE inboxes.id = v.column1"
        )
    };
    sql::execute(connection, &inboxes, 3, statement, |query, (inbox_id, (received, created_at))| {
        query.bind((*inbox_id).to_owned()).bind(*received).bind(*created_at)
    })
    .await
    .map_err(Error::query("count emails"))
}

/// Writes the octets and the text of mails.
pub(super) async fn insert_contents(
    connection: &mut AnyConnection,
    contents: &[(&str, &[u8], &str)],
) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO contents (mail_id, octets, text) {rows} \
             ON CONFLICT (mail_id) DO NOTHING"
        )
    };
    sql::insert(connection, contents, 3, statement, |query, (mail_id, octets, text)| {
        query.bind((*mail_id).to_owned()).bind(octets.to_vec()).bind(sql::text(text))
    })
    .await
    .map_err(Error::query("store contents"))
}
