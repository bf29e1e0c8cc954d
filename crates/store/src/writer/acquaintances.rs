//! Whom inboxes know: who wrote to them, and whom they wrote to.

use std::collections::{BTreeMap, HashMap};

use mail::{Acquaintances, Person};
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use crate::{Error, sql, suppression::key};

/// So many of each kind are compared with, the latest ones: who writes mail knows more people than a
/// transaction has time for.
const MOST_COMPARED: i64 = 500;

/// An inbox, and an address in lower case.
pub(super) type Pair = (String, String);

/// What an inbox knows of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Familiar {
    pub(super) authenticated: i64,
}

/// Mail that an inbox got from somebody.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) name: String,
    pub(super) at: i64,
    pub(super) received: i64,
    pub(super) authenticated: i64,
}

/// Those of the pairs of which the inbox has heard from the address or has written to it.
pub(super) async fn familiar(
    connection: &mut AnyConnection,
    pairs: &[Pair],
) -> Result<HashMap<Pair, Familiar>, Error> {
    let failed = Error::query("look up senders");
    let bind = |query: sql::Bound, (inbox_id, address): &Pair| {
        query.bind(inbox_id.clone()).bind(address.clone())
    };
    let written = |tuples| {
        format!(
            "SELECT c.inbox_id, c.address FROM (VALUES {tuples}) AS v JOIN correspondents c \
             ON c.inbox_id = v.column1 AND c.address = v.column2"
        )
    };
    let heard = |tuples| {
        format!(
            "SELECT s.inbox_id, s.address, s.authenticated FROM (VALUES {tuples}) AS v \
             JOIN senders s ON s.inbox_id = v.column1 AND s.address = v.column2"
        )
    };
    let pair = |row: &AnyRow| Ok((row.try_get("inbox_id")?, row.try_get("address")?));
    let mut known = HashMap::new();
    let rows = sql::fetch(connection, pairs, 2, written, bind).await.map_err(&failed)?;
    for row in &rows {
        known.insert(pair(row).map_err(&failed)?, Familiar::default());
    }
    let rows = sql::fetch(connection, pairs, 2, heard, bind).await.map_err(&failed)?;
    for row in &rows {
        let authenticated = row.try_get("authenticated").map_err(&failed)?;
        known.insert(pair(row).map_err(&failed)?, Familiar { authenticated });
    }
    Ok(known)
}

/// Whom an inbox knows, and the inboxes of its account.
pub(super) async fn of_inbox(
    connection: &mut AnyConnection,
    inbox_id: &str,
    account_id: &str,
) -> Result<Acquaintances, Error> {
    let failed = Error::query("read whom an inbox knows");
    let heard = "SELECT name, address FROM senders WHERE inbox_id = $1 \
                 ORDER BY last_at DESC LIMIT $2";
    let written = "SELECT '' AS name, address FROM correspondents WHERE inbox_id = $1 \
                   ORDER BY first_at DESC LIMIT $2";
    let own = "SELECT COALESCE(display_name, '') AS name, address FROM inboxes \
               WHERE account_id = $1 AND deleted_at IS NULL ORDER BY created_at DESC LIMIT $2";
    let mut people = Vec::new();
    for (statement, id) in [(heard, inbox_id), (written, inbox_id), (own, account_id)] {
        let rows = sqlx::query(statement)
            .bind(id.to_owned())
            .bind(MOST_COMPARED)
            .fetch_all(&mut *connection)
            .await
            .map_err(&failed)?;
        let person = |row: &AnyRow| {
            Ok(Person { name: row.try_get("name")?, address: row.try_get("address")? })
        };
        let read: Vec<Person> =
            rows.iter().map(person).collect::<sqlx::Result<_>>().map_err(&failed)?;
        people.push(read);
    }
    let own = people.pop().unwrap_or_default();
    Ok(Acquaintances::new(&people.concat(), &own))
}

/// Remembers whom inboxes heard from.
pub(super) async fn remember(
    connection: &mut AnyConnection,
    heard: &BTreeMap<Pair, Heard>,
) -> Result<(), Error> {
    let heard: Vec<_> = heard.iter().collect();
    let statement = |rows| {
        format!(
            "INSERT INTO senders (inbox_id, address, name, first_at, last_at, received, \
             authenticated) {rows} ON CONFLICT (inbox_id, address) DO UPDATE SET \
             name = excluded.name, last_at = excluded.last_at, \
             received = senders.received + excluded.received, \
             authenticated = senders.authenticated + excluded.authenticated"
        )
    };
    sql::insert(connection, &heard, 7, statement, |query, ((inbox_id, address), heard)| {
        query
            .bind(inbox_id.clone())
            .bind(address.clone())
            .bind(sql::text(&heard.name))
            .bind(heard.at)
            .bind(heard.at)
            .bind(heard.received)
            .bind(heard.authenticated)
    })
    .await
    .map_err(Error::query("remember senders"))
}

/// How an address is known by.
pub(super) fn pair(inbox_id: &str, address: &str) -> Pair {
    (inbox_id.to_owned(), key(address))
}
