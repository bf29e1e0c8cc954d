//! `posthouse trace`: one mail's life over all stages, received or sent.
//!
//! The database knows most of it; the stream of events knows what was told, and `DEAD` what was parked. The
//! text of a mail is never shown, nor its subject.

mod steps;

use anyhow::{Context as _, bail};
use bus::{Dead, DeadFilter, Desk};
use clap::Args;
use serde_json::{Value, json};
use store::{AuditFilter, Delivery, Store, TracedCall, TracedMail, rfc3339};

use self::steps::Step;
use super::{
    Database, Nats,
    answer::{Answer, table},
    dead,
};

/// Events of an inbox that are looked through for those of one mail.
const MOST_EVENTS: usize = 20_000;

/// Events in a page.
const PAGE: usize = 1_000;

/// Parked messages that are looked through.
const MOST_DEAD: usize = 2_000;

#[derive(Args)]
pub(crate) struct Options {
    /// The id of an email or mail (eml_…), a Message-ID, the idempotency key of a request, or a recipient.
    sought: String,
    /// With several mails, list so many, the newest.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    limit: i64,
    #[command(flatten)]
    nats: Nats,
    #[command(flatten)]
    database: Database,
}

pub(super) async fn run(options: Options) -> anyhow::Result<Answer> {
    let store = options.database.open().await?;
    let sought = options.sought.trim();
    let sought = sought.strip_prefix('<').and_then(|it| it.strip_suffix('>')).unwrap_or(sought);
    let mut mails = store.reader.trace(sought, options.limit).await.context("look for the mail")?;
    match mails.len() {
        0 => bail!(
            "no mail is known by {sought:?}, as an id, a Message-ID, an idempotency key or a \
             recipient; one that is not stored yet shows in `posthouse status`, one that was parked \
             in `posthouse dead ls`"
        ),
        1 => whole(&store, mails.remove(0), &options.nats).await,
        _ => Ok(list(&mails)),
    }
}

fn list(mails: &[TracedMail]) -> Answer {
    let row = |it: &TracedMail| {
        let key = it.request.as_ref().map(|it| it.idempotency_key.clone()).unwrap_or_default();
        let (from, address) = (it.from.clone(), it.address.clone());
        let (id, status) = (it.email_id.clone(), it.status.clone());
        vec![rfc3339(it.created_at), id, it.direction.clone(), status, address, from, key]
    };
    let rows: Vec<Vec<String>> = mails.iter().map(row).collect();
    let headings = ["at", "id", "direction", "status", "inbox", "from", "key"];
    let text = format!(
        "{}\n\n{} mails: `posthouse trace <id>` shows one",
        table(&headings, &rows, "none"),
        mails.len()
    );
    Answer::new(text, json!({ "mails": mails.iter().map(summary).collect::<Vec<_>>() }))
}

fn summary(mail: &TracedMail) -> Value {
    json!({
        "id": mail.email_id, "mailId": mail.mail_id, "accountId": mail.account_id,
        "inboxId": mail.inbox_id, "inbox": mail.address, "direction": mail.direction,
        "status": mail.status, "from": mail.from, "messageId": mail.message_id,
        "idempotencyKey": mail.request.as_ref().map(|it| &it.idempotency_key),
        "createdAt": rfc3339(mail.created_at),
    })
}

/// What NATS knows of a mail.
#[derive(Default)]
struct Told {
    /// Each with its time, as the event says it.
    events: Vec<Value>,
    parked: Vec<Dead>,
    /// The trace that it is, in hexadecimal, if it is one.
    trace_id: Option<String>,
    /// Not everything was looked at, and why.
    gaps: Vec<String>,
}

async fn whole(store: &Store, mail: TracedMail, nats: &Nats) -> anyhow::Result<Answer> {
    let reader = &store.reader;
    let life = reader.life(mail).await.context("read what became of the mail")?;
    let mail = &life.mail;
    let deliveries: Vec<Delivery> = reader
        .deliveries(&mail.account_id, &mail.inbox_id, &mail.email_id)
        .await
        .context("read the attempts")?;
    let verdicts = reader.verdicts(&mail.account_id, &mail.inbox_id, &mail.email_id).await;
    let verdicts = verdicts.context("read verdicts")?;
    let filter = AuditFilter {
        email_id: Some(mail.email_id.clone()),
        limit: 1_000,
        ..AuditFilter::default()
    };
    let decisions = reader.audit(&mail.account_id, &filter).await.context("read decisions")?;
    let told = told(mail, nats).await;
    let ids = told.events.iter().filter_map(|it| it["eventId"].as_str()).map(str::to_owned);
    let calls: Vec<TracedCall> =
        reader.calls_about(&mail.account_id, &ids.collect::<Vec<_>>()).await?;

    let mut steps = steps::of_life(&life);
    steps.extend(deliveries.iter().map(steps::of_delivery));
    steps.extend(verdicts.iter().filter_map(steps::of_verdict));
    steps.extend(decisions.items.iter().map(steps::of_decision));
    steps.extend(told.events.iter().map(steps::of_event));
    steps.extend(calls.iter().map(steps::of_call));
    steps.extend(told.parked.iter().map(steps::of_parked));
    // What happens at the same moment stays in the order of the stages.
    steps.sort_by_key(|it| it.at);
    Ok(shown(mail, &steps, &steps::recipients(&life), &told))
}

async fn told(mail: &TracedMail, nats: &Nats) -> Told {
    let mut told = Told::default();
    let desk = match nats.desk().await {
        Ok(desk) => desk,
        Err(err) => {
            told.gaps
                .push(format!("events, webhooks and parked messages were not looked at: {err:#}"));
            return told;
        }
    };
    if let Err(err) = events(&desk, mail, &mut told).await {
        told.gaps.push(format!("events and webhooks were not all looked at: {err:#}"));
    }
    match desk.dead(&DeadFilter::default(), MOST_DEAD).await {
        Ok(parked) => {
            if parked.len() == MOST_DEAD {
                told.gaps.push(format!("only {MOST_DEAD} parked messages were looked at"));
            }
            told.parked = parked.into_iter().filter(|it| is_of(mail, it)).collect();
            let trace = told.parked.iter().find_map(|it| it.trace.as_ref());
            told.trace_id =
                told.trace_id.take().or_else(|| trace.map(|it| it.trace_id().to_string()));
        }
        Err(err) => told.gaps.push(format!("parked messages were not looked at: {err:#}")),
    }
    told
}

fn is_of(mail: &TracedMail, parked: &Dead) -> bool {
    let ids = dead::ids(&parked.payload);
    let names = |id: &String| ids.iter().any(|it| it.starts_with(id.as_str()));
    names(&mail.mail_id) || names(&mail.email_id)
}

/// The events of its inbox since it came that are about it.
async fn events(desk: &Desk, mail: &TracedMail, told: &mut Told) -> anyhow::Result<()> {
    let since = mail.received_at.unwrap_or(mail.created_at).min(mail.created_at);
    let filters = || vec![format!("mail.v1.event.{}.{}.>", mail.account_id, mail.inbox_id)];
    let log = desk.event_log();
    let mut page = log.read_since(filters(), since, PAGE).await?;
    let mut seen = 0;
    loop {
        seen += page.events.len();
        for logged in &page.events {
            let event: Value = serde_json::from_slice(&logged.payload).context("read an event")?;
            if event["data"]["id"] == mail.email_id.as_str() {
                let trace = logged.trace.as_ref().map(|it| it.trace_id().to_string());
                told.trace_id = told.trace_id.take().or(trace);
                told.events.push(event);
            }
        }
        let Some(last) = page.events.last().filter(|_| page.has_more) else { return Ok(()) };
        if seen >= MOST_EVENTS {
            told.gaps.push(format!("only the first {seen} events of the inbox were looked at"));
            return Ok(());
        }
        page = log.read(filters(), last.sequence, PAGE).await?;
    }
}

fn shown(mail: &TracedMail, steps: &[Step], recipients: &[Value], told: &Told) -> Answer {
    let mut text = format!(
        "{} {} of inbox {} ({}), account {}\nstatus {}\nMessage-ID {}\ntrace {}\n\n",
        mail.direction,
        mail.email_id,
        mail.inbox_id,
        mail.address,
        mail.account_id,
        mail.status,
        mail.message_id.as_deref().unwrap_or("none"),
        told.trace_id.as_deref().unwrap_or("none"),
    );
    let row =
        |it: &Step| vec![rfc3339(it.at), it.stage.to_owned(), it.what.clone(), it.text.clone()];
    let rows: Vec<Vec<String>> = steps.iter().map(row).collect();
    text += &table(&["at", "stage", "what", ""], &rows, "nothing is known of it");
    for gap in &told.gaps {
        text += &format!("\n{gap}");
    }
    let mut json = summary(mail);
    json["steps"] = steps.iter().map(Step::json).collect();
    json["recipients"] = json!(recipients);
    json["traceId"] = json!(told.trace_id);
    json["gaps"] = json!(told.gaps);
    Answer::new(text, json!({ "mail": json }))
}
