//! What reports say of recipients after the session.

use std::collections::{BTreeSet, HashMap};

use sqlx::{AnyConnection, Row as _};

use super::{Writer, commit, reports};
use crate::{
    Error, Fate, Finding, Found, Policy, Source, Tally,
    delivery::{Recipient, State},
    email,
    outcome::Known,
    sql,
};

/// Mail, recipient, source, action: what is reported of one recipient in one way is recorded once.
type Key = (String, String, &'static str, String);

/// What is recorded of it: by which report, and whether it was news.
#[derive(Clone)]
struct Recorded {
    report_id: String,
    applied: bool,
}

struct Row<'a> {
    finding: &'a Finding,
    applied: bool,
}

impl Writer {
    /// Applies findings, all in one transaction. `None` for a mail that was never entered, or a
    /// recipient that it does not have.
    pub async fn apply(&self, findings: &[Finding]) -> Result<Vec<Option<Found>>, Error> {
        if findings.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.database.begin().await?;
        let mail_ids: BTreeSet<String> = findings.iter().map(|it| it.mail_id.clone()).collect();
        let mail_ids: Vec<String> = mail_ids.into_iter().collect();
        let dialect = self.database.dialect;
        let mut mails = reports::lock(&mut transaction, dialect, &mail_ids).await?;
        let mut recorded = recorded(&mut transaction, &mail_ids).await?;
        let mut rows = Vec::new();
        let mut outcomes = Vec::new();
        for finding in findings {
            let found = mails.get_mut(&finding.mail_id).and_then(|it| {
                Some((it.recipients.get_mut(&finding.forward_path)?, &mut it.tally))
            });
            let Some((recipient, tally)) = found else {
                outcomes.push(None);
                continue;
            };
            if let Some(known) = recorded.get(&key(finding)) {
                let is_same = known.report_id == finding.report_id;
                outcomes.push(Some((known.applied && is_same, true)));
                continue;
            }
            let before = recipient.state;
            let applied = learn(recipient, finding);
            if applied && let Some(policy) = self.policy.as_deref() {
                count(tally, policy, (before, recipient.state), finding);
            }
            let report_id = finding.report_id.clone();
            recorded.insert(key(finding), Recorded { report_id, applied });
            rows.push(Row { finding, applied });
            outcomes.push(Some((applied, false)));
        }
        insert(&mut transaction, &rows).await?;
        for row in rows.iter().filter(|it| it.applied) {
            let mail = &mails[&row.finding.mail_id];
            update(&mut transaction, row.finding, &mail.recipients[&row.finding.forward_path])
                .await?;
            reports::set_status(&mut transaction, &row.finding.mail_id, mail.status()).await?;
        }
        self.settle(&mut transaction, reports::tallies(&mails)).await?;
        let found = email::find(&mut transaction, &mail_ids).await?;
        commit(transaction).await?;
        let of = |(finding, outcome): (&Finding, Option<(bool, bool)>)| {
            let (is_news, repeated) = outcome?;
            let it = found.get(&finding.mail_id)?;
            Some(Found {
                finding: finding.clone(),
                account_id: it.account_id.clone(),
                email: it.email.clone(),
                is_news,
                repeated,
            })
        };
        Ok(findings.iter().zip(outcomes).map(of).collect())
    }
}

fn key(finding: &Finding) -> Key {
    (
        finding.mail_id.clone(),
        finding.forward_path.clone(),
        finding.source.as_str(),
        sql::text(finding.fate.as_str()),
    )
}

/// Whether a finding is news of its recipient, who is changed by it.
fn learn(recipient: &mut Recipient, finding: &Finding) -> bool {
    let has_failed = recipient.state == State::Failed;
    match finding.fate {
        Fate::Failed if has_failed => false,
        Fate::Failed => {
            let is_news = recipient.known.learn(Known::Failed);
            if is_news {
                recipient.state = State::Failed;
            }
            is_news
        }
        // It may overtake the report of our own attempt.
        Fate::Delivered if !has_failed => {
            let is_news = recipient.known.learn(Known::Delivered);
            if is_news {
                recipient.state = State::Delivered;
            }
            is_news
        }
        Fate::Delivered => false,
        // Worth telling, unless it is known how it ended.
        Fate::Delayed => recipient.known == Known::Nothing && !has_failed,
        Fate::Complained => recipient.known.learn(Known::Complained),
        Fate::Read(_) => false,
    }
}

/// Counts a finding that is news. A claim that proves nothing counts for nobody: else anybody could have
/// anybody stopped.
fn count(tally: &mut Tally, policy: &Policy, (before, after): (State, State), finding: &Finding) {
    match (&finding.fate, finding.source) {
        (_, Source::Claim) => (),
        (Fate::Complained, _) => tally.complained += 1,
        (Fate::Failed | Fate::Delivered, _) if before != after => {
            let failing = policy.failing_later(&finding.status, &finding.diagnostic);
            tally.count(before, after, failing);
        }
        _ => (),
    }
}

async fn recorded(
    connection: &mut AnyConnection,
    mail_ids: &[String],
) -> Result<HashMap<Key, Recorded>, Error> {
    let failed = Error::query("find recorded reports");
    let statement = |ids| {
        format!(
            "SELECT mail_id, forward_path, source, action, report_id, applied FROM reports \
             WHERE mail_id IN (VALUES {ids})"
        )
    };
    let rows =
        sql::fetch(connection, mail_ids, 1, statement, |query, id| query.bind(sql::text(id)))
            .await
            .map_err(&failed)?;
    let mut recorded = HashMap::new();
    for row in rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let source = text("source")?;
        let source = Source::ALL.into_iter().find(|it| it.as_str() == source);
        let source = source.ok_or(Error::Corrupt { what: "the source of a report" })?;
        let key = (text("mail_id")?, text("forward_path")?, source.as_str(), text("action")?);
        let applied = row.try_get::<i64, _>("applied").map_err(&failed)? != 0;
        recorded.insert(key, Recorded { report_id: text("report_id")?, applied });
    }
    Ok(recorded)
}

async fn insert(connection: &mut AnyConnection, rows: &[Row<'_>]) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO reports (mail_id, forward_path, source, action, status, diagnostic, \
             remote_host, report_id, reported_at, applied) {rows}"
        )
    };
    sql::insert(connection, rows, 10, statement, |query, Row { finding, applied }| {
        query
            .bind(finding.mail_id.clone())
            .bind(finding.forward_path.clone())
            .bind(finding.source.as_str())
            .bind(sql::text(finding.fate.as_str()))
            .bind(sql::text(&finding.status))
            .bind(sql::text(&finding.diagnostic))
            .bind(sql::text(&finding.remote_host))
            .bind(sql::text(&finding.report_id))
            .bind(finding.reported_at)
            .bind(i64::from(*applied))
    })
    .await
    .map_err(Error::query("record reports"))
}

/// What is shown of a recipient is the last that is known of delivery: a complaint or a delay does not
/// replace what its host said.
async fn update(
    connection: &mut AnyConnection,
    finding: &Finding,
    recipient: &Recipient,
) -> Result<(), Error> {
    let failed = Error::query("update a recipient");
    let statement = "UPDATE recipients SET action = $3, reported = $4 \
                     WHERE mail_id = $1 AND forward_path = $2";
    sqlx::query(statement)
        .bind(finding.mail_id.clone())
        .bind(finding.forward_path.clone())
        .bind(recipient.state.as_str())
        .bind(recipient.known.as_str())
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
    if !matches!(finding.fate, Fate::Failed | Fate::Delivered) {
        return Ok(());
    }
    let statement = "UPDATE recipients SET status = $3, diagnostic = $4, remote_host = $5 \
                     WHERE mail_id = $1 AND forward_path = $2";
    sqlx::query(statement)
        .bind(finding.mail_id.clone())
        .bind(finding.forward_path.clone())
        .bind(sql::text(&finding.status))
        .bind(sql::text(&finding.diagnostic))
        .bind(sql::text(&finding.remote_host))
        .execute(connection)
        .await
        .map_err(&failed)?;
    Ok(())
}
