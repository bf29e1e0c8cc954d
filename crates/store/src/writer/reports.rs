//! What delivery attempts came to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contract::{DeliveryReported, RecipientReport};
use sqlx::{AnyConnection, Row as _};

use super::{Writer, commit, outbox};
use crate::{
    Error, GIVEN_UP, Policy, Reported, Tally,
    delivery::{Recipient, State, status},
    dialect::Dialect,
    email,
    outcome::{Known, refined},
    sql,
};

/// Mail, domain and number of an attempt.
type Attempt = (String, String, i64);

impl Writer {
    /// Records delivery attempts, all in one transaction. `None` for a mail that was never entered.
    pub async fn report(
        &self,
        reports: &[DeliveryReported],
    ) -> Result<Vec<Option<Reported>>, Error> {
        let mut transaction = self.database.begin().await?;
        let mail_ids: BTreeSet<String> = reports.iter().map(|it| it.mail_id.clone()).collect();
        let mail_ids: Vec<String> = mail_ids.into_iter().collect();
        let mut mails = lock(&mut transaction, self.database.dialect, &mail_ids).await?;
        let mut recorded = recorded(&mut transaction, reports).await?;
        let mut rows = Vec::new();
        let mut outcomes = Vec::new();
        for report in reports {
            let Some(mail) = mails.get_mut(&report.mail_id) else {
                outcomes.push(None);
                continue;
            };
            let repeated = recorded.contains_key(&attempt(report));
            if !repeated {
                let policy = self.policy.as_deref();
                recorded.insert(attempt(report), mail.apply(report, policy, &mut rows));
            }
            outcomes.push(Some(repeated));
        }
        write(&mut transaction, &rows, &mails).await?;
        outbox::attempted(&mut transaction, self.database.dialect, &mail_ids).await?;
        self.settle(&mut transaction, tallies(&mails)).await?;
        let found = email::find(&mut transaction, &mail_ids).await?;
        commit(transaction).await?;
        let reported = |(report, repeated): (&DeliveryReported, Option<bool>)| {
            let applied = recorded.get(&attempt(report))?;
            let it = found.get(&report.mail_id)?;
            let mut report = report.clone();
            report.recipients.retain(|it| applied.contains(&it.forward_path));
            Some(Reported {
                report,
                account_id: it.account_id.clone(),
                idempotency_key: it.email.idempotency_key.clone().unwrap_or_default(),
                email: it.email.clone(),
                repeated: repeated?,
            })
        };
        Ok(reports.iter().zip(outcomes).map(reported).collect())
    }
}

fn attempt(report: &DeliveryReported) -> Attempt {
    (report.mail_id.clone(), report.domain.clone(), i64::from(report.attempt))
}

/// A mail that reports are about, locked.
#[derive(Default)]
pub(super) struct Mail {
    inbox_id: String,
    pub(super) tally: Tally,
    pub(super) recipients: BTreeMap<String, Recipient>,
    changed: BTreeMap<String, RecipientReport>,
}

/// A row of `attempts`.
struct Row<'a> {
    report: &'a DeliveryReported,
    recipient: &'a RecipientReport,
    applied: bool,
}

impl Mail {
    /// Takes in a report; returns the recipients it changed.
    fn apply<'a>(
        &mut self,
        report: &'a DeliveryReported,
        policy: Option<&Policy>,
        rows: &mut Vec<Row<'a>>,
    ) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for it in report.recipients.iter().filter(|it| seen.insert(&it.forward_path)) {
            let Some(recipient) = self.recipients.get_mut(&it.forward_path) else { continue };
            let before = recipient.state;
            let applied = recipient.apply(State::from(it.action()), i64::from(report.attempt));
            if applied {
                if it.suppressed {
                    recipient.known.learn(Known::Suppressed);
                }
                recipient.is_expired = it.status == GIVEN_UP;
                changed.insert(it.forward_path.clone());
                self.changed.insert(it.forward_path.clone(), it.clone());
                if let Some(policy) = policy {
                    self.tally.count(before, recipient.state, policy.failing(it));
                }
            }
            rows.push(Row { report, recipient: it, applied });
        }
        changed
    }

    pub(super) fn status(&self) -> &'static str {
        let recipients = self.recipients.values();
        let states: Vec<_> = recipients.clone().map(|it| it.state).collect();
        let known: Vec<_> = recipients.clone().map(|it| (it.state, it.known)).collect();
        match refined(status(&states), &known) {
            "bounced" if recipients.clone().all(|it| it.is_expired) => "expired",
            status => status,
        }
    }
}

/// What became of the recipients of each inbox.
pub(super) fn tallies(mails: &HashMap<String, Mail>) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for mail in mails.values() {
        *tallies.entry(mail.inbox_id.clone()).or_default() += mail.tally;
    }
    tallies
}

/// The mails that were accepted, with their recipients. Of two reports on one, the second waits.
pub(super) async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    mail_ids: &[String],
) -> Result<HashMap<String, Mail>, Error> {
    let failed = Error::query("lock sent mails");
    let bind = |query: sql::Bound, id: &String| query.bind(sql::text(id));
    let statement = |ids| {
        let lock = dialect.lock_rows();
        format!(
            "SELECT email_id, inbox_id FROM ledger WHERE email_id IN (VALUES {ids}) \
             ORDER BY email_id{lock}"
        )
    };
    let rows = sql::fetch(connection, mail_ids, 1, statement, bind).await.map_err(&failed)?;
    let mut mails = HashMap::new();
    for row in rows {
        let inbox_id = row.try_get("inbox_id").map_err(&failed)?;
        let mail = Mail { inbox_id, ..Mail::default() };
        mails.insert(row.try_get::<String, _>("email_id").map_err(&failed)?, mail);
    }
    let statement = |ids| {
        format!(
            "SELECT mail_id, forward_path, action, status, attempt, reported FROM recipients \
             WHERE mail_id IN (VALUES {ids})"
        )
    };
    let rows = sql::fetch(connection, mail_ids, 1, statement, bind).await.map_err(&failed)?;
    for row in rows {
        let action: String = row.try_get("action").map_err(&failed)?;
        let known: String = row.try_get("reported").map_err(&failed)?;
        let recipient = Recipient {
            forward_path: row.try_get("forward_path").map_err(&failed)?,
            state: State::parse(&action).ok_or(Error::Corrupt { what: "a recipient's state" })?,
            attempt: row.try_get("attempt").map_err(&failed)?,
            known: Known::parse(&known).ok_or(Error::Corrupt { what: "a report" })?,
            is_expired: row.try_get::<String, _>("status").map_err(&failed)? == GIVEN_UP,
        };
        if let Some(mail) = mails.get_mut(&row.try_get::<String, _>("mail_id").map_err(&failed)?) {
            mail.recipients.insert(recipient.forward_path.clone(), recipient);
        }
    }
    Ok(mails)
}

/// The recipients changed by each attempt that is recorded already.
async fn recorded(
    connection: &mut AnyConnection,
    reports: &[DeliveryReported],
) -> Result<HashMap<Attempt, BTreeSet<String>>, Error> {
    let failed = Error::query("find recorded attempts");
    let attempts: BTreeSet<Attempt> = reports.iter().map(attempt).collect();
    let attempts: Vec<Attempt> = attempts.into_iter().collect();
    let statement = |tuples| {
        format!(
            "SELECT a.mail_id, a.domain, a.attempt, a.forward_path, a.applied \
             FROM (VALUES {tuples}) AS v JOIN attempts a ON a.mail_id = v.column1 \
             AND a.domain = v.column2 AND a.attempt = v.column3"
        )
    };
    let rows = sql::fetch(connection, &attempts, 3, statement, |query, (mail_id, domain, n)| {
        query.bind(sql::text(mail_id)).bind(sql::text(domain)).bind(*n)
    })
    .await
    .map_err(&failed)?;
    let mut recorded: HashMap<Attempt, BTreeSet<String>> = HashMap::new();
    for row in rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let number = |column: &str| row.try_get::<i64, _>(column).map_err(&failed);
        let attempt = (text("mail_id")?, text("domain")?, number("attempt")?);
        let changed = recorded.entry(attempt).or_default();
        if number("applied")? != 0 {
            changed.insert(text("forward_path")?);
        }
    }
    Ok(recorded)
}

async fn write(
    connection: &mut AnyConnection,
    rows: &[Row<'_>],
    mails: &HashMap<String, Mail>,
) -> Result<(), Error> {
    insert_attempts(connection, rows).await?;
    let changed: Vec<(&str, &Recipient, &RecipientReport)> = mails
        .iter()
        .flat_map(|(mail_id, mail)| {
            mail.changed
                .iter()
                .map(|(path, report)| (mail_id.as_str(), &mail.recipients[path], report))
        })
        .collect();
    let statement = |tuples| {
        format!(
            "UPDATE recipients SET action = v.column3, attempt = v.column4, status = v.column5, \
             diagnostic = v.column6, remote_host = v.column7, reported = v.column8 \
             FROM (VALUES {tuples}) AS v \
             WHERE recipients.mail_id = v.column1 AND recipients.forward_path = v.column2"
        )
    };
    sql::execute(connection, &changed, 8, statement, |query, (mail_id, recipient, report)| {
        query
            .bind((*mail_id).to_owned())
            .bind(recipient.forward_path.clone())
            .bind(recipient.state.as_str())
            .bind(recipient.attempt)
            .bind(sql::text(&report.status))
            .bind(sql::text(&report.diagnostic))
            .bind(sql::text(&report.remote_host))
            .bind(recipient.known.as_str())
    })
    .await
    .map_err(Error::query("update recipients"))?;
    for (mail_id, mail) in mails.iter().filter(|(_, it)| !it.changed.is_empty()) {
        set_status(connection, mail_id, mail.status()).await?;
    }
    Ok(())
}

pub(super) async fn set_status(
    connection: &mut AnyConnection,
    mail_id: &str,
    status: &'static str,
) -> Result<(), Error> {
    sqlx::query("UPDATE emails SET status = $2 WHERE id = $1")
        .bind(mail_id.to_owned())
        .bind(status)
        .execute(connection)
        .await
        .map_err(Error::query("update the status of a mail"))?;
    Ok(())
}

async fn insert_attempts(connection: &mut AnyConnection, rows: &[Row<'_>]) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO attempts (mail_id, domain, attempt, forward_path, action, status, \
             diagnostic, remote_host, tls, attempted_at, next_attempt_at, applied) {rows}"
        )
    };
    sql::insert(connection, rows, 12, statement, |query, row| {
        query
            .bind(row.report.mail_id.clone())
            .bind(sql::text(&row.report.domain))
            .bind(i64::from(row.report.attempt))
            .bind(row.recipient.forward_path.clone())
            .bind(State::from(row.recipient.action()).as_str())
            .bind(sql::text(&row.recipient.status))
            .bind(sql::text(&row.recipient.diagnostic))
            .bind(sql::text(&row.recipient.remote_host))
            .bind(sql::text(&row.recipient.tls))
            .bind(row.report.attempted_at_micros)
            .bind(if row.recipient.held { 0 } else { row.report.next_attempt_at_micros })
            .bind(i64::from(row.applied))
    })
    .await
    .map_err(Error::query("record attempts"))
}
