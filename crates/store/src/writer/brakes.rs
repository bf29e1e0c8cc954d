//! The brakes, with the database: what inboxes have sent lately, and that they send more.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use contract::Rejection;
use sqlx::{AnyConnection, Row as _};

use super::Writer;
use crate::{
    Brakes, Composed, Error, Outcome, Policy, Rejected, Scrutiny, Submitted,
    brakes::{HOUR, Sending, Sent, THREAD_WINDOW, Thread},
    moment::now,
    reader::standings,
    sql,
    threading::Keys,
};

impl Writer {
    /// What `enter` would refuse a new request for now.
    pub async fn objection(&self, submitted: &Submitted) -> Result<Option<Rejection>, Error> {
        let connected = self.database.read.acquire().await;
        let mut connection = connected.map_err(Error::query("connect to read"))?;
        let policy = self.policy.as_deref();
        let judged = judge(&mut connection, policy, &[submitted], now()).await?;
        let judged = judged.into_iter().next();
        Ok(judged.and_then(|it| match it.submitted.into_owned().outcome {
            Outcome::Rejected(rejected) => Some(rejected.rejection),
            Outcome::Composed(_) => None,
        }))
    }
}

/// A request that stopped inboxes and brakes were asked about.
pub(super) struct Judged<'a> {
    /// Rejected now, if one of them says no.
    pub(super) submitted: Cow<'a, Submitted>,
    is_automatic: bool,
}

/// Turns down what comes from stopped inboxes or is too much of the same. The inboxes are locked, so
/// that what is counted here holds until it is written; without a policy everything passes.
pub(super) async fn judge<'a>(
    connection: &mut AnyConnection,
    policy: Option<&Policy>,
    new: &[&'a Submitted],
    now: i64,
) -> Result<Vec<Judged<'a>>, Error> {
    let pass = |it: &&'a Submitted| Judged { submitted: Cow::Borrowed(*it), is_automatic: false };
    let Some(policy) = policy else { return Ok(new.iter().map(pass).collect()) };
    let inbox_ids: BTreeSet<&str> = new.iter().map(|it| it.inbox_id.as_str()).collect();
    let inbox_ids: Vec<&str> = inbox_ids.into_iter().collect();
    let standings = standings::find(connection, &inbox_ids, "").await?;
    let threads = threads(connection, new).await?;
    let sendings: Vec<Option<Sending<'_>>> =
        new.iter().zip(threads).map(|(it, thread_id)| sending(it, thread_id)).collect();
    let brakes = &policy.brakes;
    let mut sent = sent(connection, brakes, sendings.iter().flatten(), now).await?;
    let mut judge = |(it, sending): (&&'a Submitted, Option<Sending<'_>>)| {
        let Some(sending) = sending else { return pass(it) };
        let stop = standings.get(&it.inbox_id).and_then(|of| of.standing.refusal(&it.inbox_id));
        match stop.map_or_else(|| sent.admit(brakes, &sending), Err) {
            Ok(()) => Judged { is_automatic: sent.is_automatic(&sending), ..pass(it) },
            Err(rejection) => {
                Judged { submitted: Cow::Owned(turned_down(it, rejection)), ..pass(it) }
            }
        }
    };
    Ok(new.iter().zip(sendings).map(&mut judge).collect())
}

fn composed(submitted: &Submitted) -> Option<&Composed> {
    match &submitted.outcome {
        Outcome::Composed(composed) => Some(composed),
        Outcome::Rejected(_) => None,
    }
}

fn sending(submitted: &Submitted, thread_id: Option<String>) -> Option<Sending<'_>> {
    let composed = composed(submitted)?;
    Some(Sending {
        inbox_id: &submitted.inbox_id,
        recipients: composed.forward_paths.iter().map(|it| it.to_lowercase()).collect(),
        content_digest: &submitted.manner.content_digest,
        is_automatic: submitted.manner.is_automatic,
        thread_id,
    })
}

/// The request without its mail.
fn turned_down(submitted: &Submitted, rejection: Rejection) -> Submitted {
    let message = composed(submitted).map(|it| &it.message);
    let addresses = |list: &[contract::Mailbox]| list.iter().map(|it| it.address.clone()).collect();
    let rejected = Rejected {
        rejection,
        subject: message.map(|it| it.subject.clone()).unwrap_or_default(),
        to: message.map(|it| addresses(&it.to)).unwrap_or_default(),
        cc: message.map(|it| addresses(&it.cc)).unwrap_or_default(),
    };
    Submitted {
        mail_id: submitted.mail_id.clone(),
        account_id: submitted.account_id.clone(),
        inbox_id: submitted.inbox_id.clone(),
        idempotency_key: submitted.idempotency_key.clone(),
        request_digest: submitted.request_digest.clone(),
        requested_at: submitted.requested_at,
        manner: submitted.manner.clone(),
        outcome: Outcome::Rejected(Box::new(rejected)),
        scrutiny: Scrutiny::default(),
        counted_for: Vec::new(),
        lease_id: submitted.lease_id.clone(),
    }
}

/// The thread that each request continues: where its references lead, or the one it names.
async fn threads(
    connection: &mut AnyConnection,
    new: &[&Submitted],
) -> Result<Vec<Option<String>>, Error> {
    let keys_of = |it: &Submitted| match composed(it).map(|it| Keys::of(&it.message)) {
        Some(keys) if keys.refers => keys.ids,
        _ => Vec::new(),
    };
    let wanted: BTreeSet<(&str, String)> = new
        .iter()
        .flat_map(|it| keys_of(it).into_iter().map(|key| (it.inbox_id.as_str(), key)))
        .collect();
    let wanted: Vec<_> = wanted.into_iter().collect();
    let statement = |tuples| {
        format!(
            "SELECT k.inbox_id, k.key, k.thread_id FROM (VALUES {tuples}) AS v \
             JOIN thread_keys k ON k.inbox_id = v.column1 AND k.key = v.column2"
        )
    };
    let failed = Error::query("find the threads of requests");
    let rows = sql::fetch(connection, &wanted, 2, statement, |query, (inbox_id, key)| {
        query.bind(sql::text(inbox_id)).bind(key.clone())
    })
    .await
    .map_err(&failed)?;
    let mut known: HashMap<(String, String), String> = HashMap::new();
    for row in &rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        known.insert((text("inbox_id")?, text("key")?), text("thread_id")?);
    }
    let thread_of = |it: &&Submitted| {
        let inbox_id = &it.inbox_id;
        let referred = keys_of(it).into_iter();
        // The newest reference is the last one.
        let led = referred.rev().find_map(|key| known.get(&(inbox_id.clone(), key)).cloned());
        led.or_else(|| composed(it).and_then(|it| it.thread_id.clone()))
    };
    Ok(new.iter().map(thread_of).collect())
}

/// What the inboxes of these mails have sent that is like them.
async fn sent<'a>(
    connection: &mut AnyConnection,
    brakes: &Brakes,
    sendings: impl Iterator<Item = &'a Sending<'a>> + Clone,
    now: i64,
) -> Result<Sent, Error> {
    let mut sent = Sent::default();
    let threads: BTreeSet<&String> =
        sendings.clone().filter_map(|it| it.thread_id.as_ref()).collect();
    read_threads(connection, &threads, brakes, now, &mut sent).await?;
    if brakes.same_content_recipients_per_hour > 0 {
        let contents = sendings.clone().map(|it| (it.inbox_id, it.content_digest)).collect();
        read_fan_out(connection, &contents, now, &mut sent).await?;
    }
    if brakes.same_content_recipients_per_hour > 0 || brakes.same_content_per_hour > 0 {
        let repeats = sendings.clone().flat_map(|it| {
            it.recipients.iter().map(|recipient| (it.inbox_id, it.content_digest, &**recipient))
        });
        read_repeats(connection, &repeats.collect(), now, &mut sent).await?;
    }
    if brakes.automatic_per_hour > 0 {
        let automatic: Vec<_> = sendings.filter(|it| sent.is_automatic(it)).collect();
        let correspondents = automatic
            .iter()
            .flat_map(|it| it.recipients.iter().map(|recipient| (it.inbox_id, &**recipient)));
        read_automatic(connection, &correspondents.collect(), now, &mut sent).await?;
    }
    Ok(sent)
}

async fn read_threads(
    connection: &mut AnyConnection,
    threads: &BTreeSet<&String>,
    brakes: &Brakes,
    now: i64,
    sent: &mut Sent,
) -> Result<(), Error> {
    let failed = Error::query("count the mails of threads");
    let threads: Vec<&String> = threads.iter().copied().collect();
    let statement = |tuples| {
        format!(
            "SELECT v.column1 AS thread_id, \
             CAST(SUM(CASE WHEN e.direction = 'outbound' THEN 1 ELSE 0 END) AS BIGINT) AS sent, \
             MAX(CASE WHEN e.direction = 'inbound' THEN e.created_at ELSE 0 END) AS heard_at \
             FROM (VALUES {tuples}) AS v \
             JOIN emails e ON e.thread_id = v.column1 AND e.created_at > v.column2 \
             GROUP BY v.column1"
        )
    };
    let rows = sql::fetch(connection, &threads, 2, statement, |query, id| {
        query.bind(sql::text(id)).bind(now - THREAD_WINDOW)
    })
    .await
    .map_err(&failed)?;
    for row in &rows {
        let heard_at: i64 = row.try_get("heard_at").map_err(&failed)?;
        let is_fresh = heard_at > now - brakes.answer_window();
        let thread = Thread { sent: row.try_get("sent").map_err(&failed)?, is_fresh };
        sent.threads.insert(row.try_get("thread_id").map_err(&failed)?, thread);
    }
    Ok(())
}

/// How many recipients each content had.
async fn read_fan_out(
    connection: &mut AnyConnection,
    contents: &BTreeSet<(&str, &str)>,
    now: i64,
    sent: &mut Sent,
) -> Result<(), Error> {
    let failed = Error::query("count the recipients of a content");
    let contents: Vec<(&str, &str)> = contents.iter().copied().collect();
    let statement = |tuples| {
        format!(
            "SELECT v.column1 AS inbox_id, v.column2 AS digest, COUNT(DISTINCT s.recipient) AS n \
             FROM (VALUES {tuples}) AS v JOIN sendings s ON s.inbox_id = v.column1 \
             AND s.content_digest = v.column2 AND s.sent_at > v.column3 \
             GROUP BY v.column1, v.column2"
        )
    };
    let rows = sql::fetch(connection, &contents, 3, statement, |query, (inbox_id, digest)| {
        query.bind(sql::text(inbox_id)).bind((*digest).to_owned()).bind(now - HOUR)
    })
    .await
    .map_err(&failed)?;
    for row in &rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let count = row.try_get("n").map_err(&failed)?;
        sent.recipients.insert((text("inbox_id")?, text("digest")?), count);
    }
    Ok(())
}

/// How often each recipient had each content.
async fn read_repeats(
    connection: &mut AnyConnection,
    repeats: &BTreeSet<(&str, &str, &str)>,
    now: i64,
    sent: &mut Sent,
) -> Result<(), Error> {
    let failed = Error::query("count mails of the same content");
    let repeats: Vec<(&str, &str, &str)> = repeats.iter().copied().collect();
    let statement = |tuples| {
        format!(
            "SELECT s.inbox_id, s.content_digest, s.recipient, COUNT(*) AS n \
             FROM (VALUES {tuples}) AS v JOIN sendings s ON s.inbox_id = v.column1 \
             AND s.content_digest = v.column2 AND s.recipient = v.column3 \
             AND s.sent_at > v.column4 GROUP BY s.inbox_id, s.content_digest, s.recipient"
        )
    };
    let bind = |query: sql::Bound, (inbox_id, digest, recipient): &(&str, &str, &str)| {
        let query = query.bind(sql::text(inbox_id)).bind((*digest).to_owned());
        query.bind(sql::text(recipient)).bind(now - HOUR)
    };
    let rows = sql::fetch(connection, &repeats, 4, statement, bind).await.map_err(&failed)?;
    for row in &rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let key = (text("inbox_id")?, text("content_digest")?, text("recipient")?);
        sent.same.insert(key, row.try_get("n").map_err(&failed)?);
    }
    Ok(())
}

/// How many automatic mails each correspondent had.
async fn read_automatic(
    connection: &mut AnyConnection,
    correspondents: &BTreeSet<(&str, &str)>,
    now: i64,
    sent: &mut Sent,
) -> Result<(), Error> {
    let failed = Error::query("count automatic mails");
    let correspondents: Vec<(&str, &str)> = correspondents.iter().copied().collect();
    let statement = |tuples| {
        format!(
            "SELECT s.inbox_id, s.recipient, COUNT(*) AS n FROM (VALUES {tuples}) AS v \
             JOIN sendings s ON s.inbox_id = v.column1 AND s.recipient = v.column2 \
             AND s.sent_at > v.column3 AND s.is_automatic = 1 GROUP BY s.inbox_id, s.recipient"
        )
    };
    let bind = |query: sql::Bound, (inbox_id, recipient): &(&str, &str)| {
        query.bind(sql::text(inbox_id)).bind(sql::text(recipient)).bind(now - HOUR)
    };
    let rows =
        sql::fetch(connection, &correspondents, 3, statement, bind).await.map_err(&failed)?;
    for row in &rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let count = row.try_get("n").map_err(&failed)?;
        sent.automatic.insert((text("inbox_id")?, text("recipient")?), count);
    }
    Ok(())
}

/// Remembers what is sent now, for as long as the brakes look back.
pub(super) async fn remember(
    connection: &mut AnyConnection,
    policy: Option<&Policy>,
    judged: &[Judged<'_>],
    now: i64,
) -> Result<(), Error> {
    if policy.is_none() {
        return Ok(());
    }
    let mut rows: BTreeMap<(String, String), &Judged<'_>> = BTreeMap::new();
    for it in judged {
        for path in composed(&it.submitted).into_iter().flat_map(|mail| &mail.forward_paths) {
            rows.insert((it.submitted.mail_id.clone(), sql::text(&path.to_lowercase())), it);
        }
    }
    let rows: Vec<_> = rows.into_iter().collect();
    let statement = |rows| {
        format!(
            "INSERT INTO sendings (inbox_id, recipient, sent_at, mail_id, content_digest, \
             is_automatic) {rows}"
        )
    };
    sql::insert(connection, &rows, 6, statement, |query, ((mail_id, recipient), it)| {
        query
            .bind(it.submitted.inbox_id.clone())
            .bind(recipient.clone())
            .bind(now)
            .bind(mail_id.clone())
            .bind(it.submitted.manner.content_digest.clone())
            .bind(i64::from(it.is_automatic))
    })
    .await
    .map_err(Error::query("remember what is sent"))
}

impl Writer {
    /// Forgets what the brakes do not look at any more. Returns how many recipients that were.
    pub async fn forget_sendings(&self) -> Result<u64, Error> {
        let done = sqlx::query("DELETE FROM sendings WHERE sent_at < $1")
            .bind(now() - HOUR)
            .execute(&self.database.write)
            .await
            .map_err(Error::query("forget what was sent"))?;
        Ok(done.rows_affected())
    }
}
