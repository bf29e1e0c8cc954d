//! Mail that somebody has to approve: held in the ledger's transaction, decided under the lock that a
//! release takes.

use std::collections::BTreeSet;

use contract::Rejection;
use sqlx::{AnyConnection, Row as _};

use super::{Writer, commit, emails, outbox, unchanged};
use crate::{Decided, Decision, Error, NewHold, email, hold, moment::now, sql};

/// Mails given up in one transaction.
const MOST_AT_ONCE: i64 = 200;

/// A mail that is held, and when it is given up by itself; 0 for never.
pub(super) struct Held<'a> {
    pub(super) email_id: &'a str,
    pub(super) account_id: &'a str,
    pub(super) octets: &'a [u8],
    pub(super) hold: &'a NewHold,
    pub(super) gives_up_at: i64,
}

pub(super) async fn insert(
    connection: &mut AnyConnection,
    held: &[Held<'_>],
    now: i64,
) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO holds (email_id, account_id, state, reasons, sha256, created_at, expires_at, \
             announce) {rows}"
        )
    };
    sql::insert(connection, held, 8, statement, |query, it| {
        let expires_at = now.saturating_add(it.hold.expires_after);
        let gives_up_at = if it.gives_up_at > 0 { it.gives_up_at } else { i64::MAX };
        query
            .bind(it.email_id.to_owned())
            .bind(it.account_id.to_owned())
            .bind("waiting")
            .bind(email::to_json(&it.hold.reasons))
            .bind(hold::sha256(it.octets))
            .bind(now)
            .bind(expires_at.min(gives_up_at))
            // The ledger announces what it enters.
            .bind("")
    })
    .await
    .map_err(Error::query("hold mails for approval"))?;
    let hits: Vec<&String> = held.iter().flat_map(|it| &it.hold.canary_ids).collect();
    let statement = |ids| {
        format!(
            "UPDATE canaries SET hits = hits + 1, last_hit_at = {now} WHERE id IN (VALUES {ids})"
        )
    };
    sql::execute(connection, &hits, 1, statement, |query, id| query.bind((*id).clone()))
        .await
        .map_err(Error::query("note canaries"))
}

/// Those that wait for a decision wait no more, because they leave.
pub(super) async fn close(
    connection: &mut AnyConnection,
    email_ids: &[&String],
    state: &'static str,
) -> Result<(), Error> {
    let statement = |tuples| {
        format!(
            "UPDATE holds SET state = v.column2 FROM (VALUES {tuples}) AS v \
             WHERE holds.email_id = v.column1 AND holds.state = 'waiting'"
        )
    };
    let bind = |query: sql::Bound, id: &&String| query.bind((*id).clone()).bind(state);
    sql::execute(connection, email_ids, 2, statement, bind)
        .await
        .map_err(Error::query("close holds"))
}

/// Decides on a mail whose inbox is locked, unless somebody has.
async fn settle(
    connection: &mut AnyConnection,
    inbox_id: &str,
    email_id: &String,
    decision: &Decision,
    wish: &'static str,
) -> Result<Decided, Error> {
    let now = now();
    let open = open(connection, email_id).await?;
    let Some(state) = open.state else {
        return Ok(Decided::NotHeld { status: open.status });
    };
    if decision.sha256.as_ref().is_some_and(|it| !it.eq_ignore_ascii_case(&open.sha256)) {
        return Ok(Decided::Differs { sha256: open.sha256 });
    }
    if state == wish {
        return Ok(Decided::Done { status: open.status });
    }
    if state != "waiting" {
        return Ok(Decided::TooLate { state, status: open.status });
    }
    note(connection, email_id, decision, wish, now).await?;
    let status = if wish == "approved" {
        outbox::let_in(connection, inbox_id, email_id, now).await?
    } else {
        outbox::turn_away(connection, std::slice::from_ref(email_id), wish).await?;
        wish
    };
    Ok(Decided::Done { status: status.to_owned() })
}

/// A held mail, its inbox locked.
struct Open {
    /// `None` if it was never held.
    state: Option<String>,
    status: String,
    sha256: String,
}

impl Writer {
    /// Lets a held mail go, as it is. It passes the limits of its inbox like any other from now on.
    pub async fn approve(
        &self,
        account_id: &str,
        email_id: &str,
        decision: &Decision,
    ) -> Result<Decided, Error> {
        self.decide(account_id, email_id, decision, "approved").await
    }

    /// Never lets a held mail go.
    pub async fn decline(
        &self,
        account_id: &str,
        email_id: &str,
        decision: &Decision,
    ) -> Result<Decided, Error> {
        self.decide(account_id, email_id, decision, "declined").await
    }

    async fn decide(
        &self,
        account_id: &str,
        email_id: &str,
        decision: &Decision,
        wish: &'static str,
    ) -> Result<Decided, Error> {
        let email_id = sql::text(email_id);
        let mut transaction = self.database.begin().await?;
        let decided = match inbox(&mut transaction, account_id, &email_id).await? {
            Some(inbox_id) => {
                let inbox_ids = BTreeSet::from([inbox_id.clone()]);
                let dialect = self.database.dialect;
                emails::lock_inboxes(&mut transaction, dialect, inbox_ids, now()).await?;
                settle(&mut transaction, &inbox_id, &email_id, decision, wish).await?
            }
            None => Decided::Unknown,
        };
        // Also where nothing was decided: nobody is to pass over what was locked.
        commit(transaction).await?;
        Ok(decided)
    }

    /// Gives up mails on which nobody has decided in time. Returns how many.
    pub async fn expire_holds(&self) -> Result<usize, Error> {
        let failed = Error::query("find holds to give up");
        let now = now();
        let mut transaction = self.database.begin().await?;
        let statement = "SELECT h.email_id, e.inbox_id FROM holds h \
                         JOIN emails e ON e.id = h.email_id WHERE h.state = 'waiting' \
                         AND h.expires_at <= $1 ORDER BY h.expires_at LIMIT $2";
        let rows = sqlx::query(statement)
            .bind(now)
            .bind(MOST_AT_ONCE)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
        let mut email_ids: Vec<String> = Vec::new();
        let mut inbox_ids = BTreeSet::new();
        for row in rows {
            email_ids.push(row.try_get("email_id").map_err(&failed)?);
            inbox_ids.insert(row.try_get("inbox_id").map_err(&failed)?);
        }
        if email_ids.is_empty() {
            return unchanged(transaction, 0).await;
        }
        let dialect = self.database.dialect;
        emails::lock_inboxes(&mut transaction, dialect, inbox_ids, now).await?;
        let expired = outbox::turn_away(&mut transaction, &email_ids, "expired").await?;
        commit(transaction).await?;
        Ok(expired)
    }

    /// Notes that what was decided on these mails is published.
    pub async fn told_holds(&self, email_ids: &[String]) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        let statement =
            |ids| format!("UPDATE holds SET announce = '' WHERE email_id IN (VALUES {ids})");
        let bind = |query: sql::Bound, id: &String| query.bind(id.clone());
        sql::execute(&mut transaction, email_ids, 1, statement, bind)
            .await
            .map_err(Error::query("note which decisions are announced"))?;
        commit(transaction).await
    }
}

async fn inbox(
    connection: &mut AnyConnection,
    account_id: &str,
    email_id: &str,
) -> Result<Option<String>, Error> {
    sqlx::query_scalar(
        "SELECT inbox_id FROM emails WHERE id = $1 AND account_id = $2 AND direction = 'outbound'",
    )
    .bind(email_id.to_owned())
    .bind(sql::text(account_id))
    .fetch_optional(connection)
    .await
    .map_err(Error::query("find a mail to decide on"))
}

async fn open(connection: &mut AnyConnection, email_id: &str) -> Result<Open, Error> {
    let failed = Error::query("read a hold");
    let row = sqlx::query(
        "SELECT e.status, h.state, h.sha256 FROM emails e LEFT JOIN holds h ON h.email_id = e.id \
         WHERE e.id = $1",
    )
    .bind(email_id.to_owned())
    .fetch_one(connection)
    .await
    .map_err(&failed)?;
    Ok(Open {
        state: row.try_get("state").map_err(&failed)?,
        status: row.try_get("status").map_err(&failed)?,
        sha256: row.try_get::<Option<_>, _>("sha256").map_err(&failed)?.unwrap_or_default(),
    })
}

async fn note(
    connection: &mut AnyConnection,
    email_id: &str,
    decision: &Decision,
    state: &'static str,
    now: i64,
) -> Result<(), Error> {
    // That it was declined is said with its leaving the outbox.
    let announce = if state == "approved" { "email.approved" } else { "" };
    sqlx::query(
        "UPDATE holds SET state = $2, decided_at = $3, decided_by = $4, note = $5, announce = $6 \
         WHERE email_id = $1",
    )
    .bind(email_id.to_owned())
    .bind(state)
    .bind(now)
    .bind(sql::text(&decision.by))
    .bind(decision.note.as_deref().map(sql::text))
    .bind(announce)
    .execute(connection)
    .await
    .map_err(Error::query("note a decision"))?;
    Ok(())
}

/// The account has as much as it may.
pub(super) fn too_many(what: &str, most: i64) -> Rejection {
    let message = format!("an account has at most {most} {what}; delete some that are not needed");
    Rejection { code: "limit_reached".to_owned(), message }
}
