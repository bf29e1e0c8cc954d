//! `posthouse status` and `posthouse top`: how much waits where, per stage and per provider.
//!
//! Read from JetStream and the database; what the senders have in hand at each provider they say themselves,
//! at their admin ports.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use anyhow::{Context as _, ensure};
use bus::{DeadFilter, Desk, StageState, StreamState};
use clap::Args;
use serde_json::{Value, json};
use store::{Store, rfc3339};
use tokio::{
    signal,
    time::{MissedTickBehavior, interval},
};

use super::{
    Database, Nats,
    answer::{Answer, table},
    when,
};

/// For the metrics of a sender.
const PATIENCE: Duration = Duration::from_secs(3);

/// Parked messages are counted up to here.
const MOST_DEAD: usize = 10_000;

/// Clears the screen and goes to its corner (ECMA-48).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

#[derive(Args)]
pub(crate) struct Options {
    /// The admin address of a sender, such as 127.0.0.1:9104, for figures per provider; again for more.
    #[arg(long = "sender")]
    senders: Vec<String>,
    #[command(flatten)]
    nats: Nats,
    #[command(flatten)]
    database: Database,
}

#[derive(Args)]
pub(crate) struct Top {
    /// Show it once, measured over `--every`, and end.
    #[arg(long)]
    once: bool,
    /// How often it is refreshed.
    #[arg(long, value_parser = when::duration, default_value = "2s")]
    every: Duration,
    #[command(flatten)]
    options: Options,
}

/// Everything at a moment.
struct Picture {
    at: i64,
    stages: Vec<StageState>,
    streams: Vec<StreamState>,
    parked: usize,
    waiting: i64,
    oldest_due_at: Option<i64>,
    suspended: usize,
    providers: BTreeMap<String, Provider>,
}

/// As the senders count since their start.
#[derive(Clone, Debug, Default, PartialEq)]
struct Provider {
    answers: BTreeMap<String, f64>,
    connections: f64,
}

struct Viewer {
    desk: Desk,
    store: Store,
    senders: Vec<String>,
    http: reqwest::Client,
}

impl Viewer {
    async fn open(options: &Options) -> anyhow::Result<Viewer> {
        Ok(Viewer {
            desk: options.nats.desk().await?,
            store: options.database.open().await?,
            senders: options.senders.clone(),
            http: reqwest::Client::builder().timeout(PATIENCE).build().context("set up HTTP")?,
        })
    }

    async fn look(&self) -> anyhow::Result<Picture> {
        let backlog = self.store.reader.outbox_backlog().await.context("count the outbox")?;
        let suspended = self.store.reader.suspensions().await.context("read suspensions")?;
        Ok(Picture {
            at: when::now(),
            stages: self.desk.stages().await?,
            streams: self.desk.streams().await?,
            parked: self.desk.dead(&DeadFilter::default(), MOST_DEAD).await?.len(),
            waiting: backlog.waiting,
            oldest_due_at: backlog.oldest_due_at,
            suspended: suspended.len(),
            providers: self.providers().await?,
        })
    }

    async fn providers(&self) -> anyhow::Result<BTreeMap<String, Provider>> {
        let mut providers = BTreeMap::new();
        for sender in &self.senders {
            let url = format!("http://{sender}/metrics");
            let answer = self.http.get(&url).send().await;
            let answer = answer.and_then(reqwest::Response::error_for_status);
            let answer = answer.with_context(|| format!("ask the sender at {url} (--sender)"))?;
            count(&answer.text().await.with_context(|| format!("read {url}"))?, &mut providers);
        }
        Ok(providers)
    }
}

/// Adds what a sender's metrics say of providers.
fn count(metrics: &str, providers: &mut BTreeMap<String, Provider>) {
    for line in metrics.lines().filter(|it| !it.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Some((name, labels)) = series.split_once('{') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        let label = |key: &str| {
            let (_, rest) = labels.split_once(&format!("{key}=\""))?;
            rest.split_once('"').map(|(it, _)| it.to_owned())
        };
        let Some(provider) = label("provider") else { continue };
        let entry = providers.entry(provider).or_default();
        match (name, label("class")) {
            (ANSWERS, Some(class)) => *entry.answers.entry(class).or_default() += value,
            (CONNECTIONS, _) => entry.connections += value,
            _ => (),
        }
    }
}

const ANSWERS: &str = "mail_out_deliveries_total";
const CONNECTIONS: &str = "mail_out_connections";

pub(super) async fn status(options: Options) -> anyhow::Result<Answer> {
    let picture = Viewer::open(&options).await?.look().await?;
    Ok(shown(&picture, None))
}

pub(super) async fn top(top: Top) -> anyhow::Result<Answer> {
    ensure!(top.every >= Duration::from_secs(1), "--every is at least 1s");
    let viewer = Viewer::open(&top.options).await?;
    let mut ticks = interval(top.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut before = viewer.look().await?;
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            _ = signal::ctrl_c() => return Ok(shown(&before, None)),
        }
        let now = viewer.look().await?;
        let answer = shown(&now, Some(&before));
        if top.once {
            return Ok(answer);
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{CLEAR}{answer}").and_then(|()| out.flush()).context("write the screen")?;
        drop(out);
        before = now;
    }
}

/// Messages a second between two looks.
fn rate(now: u64, before: u64, elapsed: i64) -> f64 {
    now.saturating_sub(before) as f64 / (elapsed.max(1) as f64 / 1_000_000.0)
}

fn shown(picture: &Picture, before: Option<&Picture>) -> Answer {
    let rate_of = |stage: &StageState| {
        let earlier = before?.stages.iter().find(|it| it.durable == stage.durable)?;
        let elapsed = picture.at - before?.at;
        Some(rate(stage.acknowledged, earlier.acknowledged, elapsed))
    };
    let stages: Vec<(&StageState, Option<f64>)> =
        picture.stages.iter().map(|it| (it, rate_of(it))).collect();
    let mut text = format!("{}\n\n", rfc3339(picture.at));
    let rows: Vec<Vec<String>> =
        stages.iter().map(|(it, rate)| row(picture.at, it, *rate)).collect();
    let headings = ["stage", "waiting", "in hand", "again", "oldest", "per second", "state"];
    text += &table(&headings, &rows, "no stage");
    let oldest = picture.oldest_due_at.map(|it| when::span(picture.at - it));
    let due = oldest.as_ref().map_or_else(String::new, |it| format!(", the oldest due for {it}"));
    text += &format!(
        "\n\noutbox: {} waiting{due}\ndead letters: {}\nsuspended: {}",
        picture.waiting, picture.parked, picture.suspended
    );
    if !picture.providers.is_empty() {
        text += &format!("\n\n{}", providers(picture));
    }
    Answer::new(text, json(picture, &stages))
}

fn row(at: i64, stage: &StageState, rate: Option<f64>) -> Vec<String> {
    let state = match (stage.paused_for, stage.pulls + stage.in_hand) {
        (Some(left), _) => format!("suspended for {}", when::span(when::micros(left))),
        (None, 0) => "nobody at work".to_owned(),
        _ => "at work".to_owned(),
    };
    vec![
        stage.durable.to_owned(),
        stage.pending.to_string(),
        stage.in_hand.to_string(),
        stage.redelivered.to_string(),
        stage.oldest_at.map_or_else(|| "-".to_owned(), |it| when::span(at - it)),
        rate.map_or_else(|| "-".to_owned(), |it| format!("{it:.1}")),
        state,
    ]
}

fn providers(picture: &Picture) -> String {
    let row = |(name, it): (&String, &Provider)| {
        let answers = |class: &str| it.answers.get(class).copied().unwrap_or_default().to_string();
        vec![
            name.clone(),
            it.connections.to_string(),
            answers("2xx"),
            answers("4xx"),
            answers("5xx"),
            answers("none"),
        ]
    };
    let rows: Vec<Vec<String>> = picture.providers.iter().map(row).collect();
    table(&["provider", "connections", "2xx", "4xx", "5xx", "none"], &rows, "no provider")
}

fn json(picture: &Picture, stages: &[(&StageState, Option<f64>)]) -> Value {
    let stages: Vec<Value> = stages
        .iter()
        .map(|(it, rate)| {
            json!({
                "stage": it.durable, "stream": it.stream, "waiting": it.pending,
                "inHand": it.in_hand, "redelivered": it.redelivered, "pulls": it.pulls,
                "oldestSeconds": it.oldest_at.map(|oldest| (picture.at - oldest).max(0) / 1_000_000),
                "perSecond": rate, "suspendedSeconds": it.paused_for.map(|it| it.as_secs()),
            })
        })
        .collect();
    let streams: Vec<Value> = picture
        .streams
        .iter()
        .map(|it| {
            json!({
                "stream": it.name, "messages": it.messages, "bytes": it.bytes,
                "replicas": it.replicas, "leader": it.leader, "lagging": it.lagging,
            })
        })
        .collect();
    let providers: BTreeMap<&String, Value> = picture
        .providers
        .iter()
        .map(|(name, it)| (name, json!({ "connections": it.connections, "answers": it.answers })))
        .collect();
    json!({
        "at": rfc3339(picture.at), "stages": stages, "streams": streams,
        "outbox": { "waiting": picture.waiting, "oldestDueAt": picture.oldest_due_at.map(rfc3339) },
        "deadLetters": picture.parked, "suspensions": picture.suspended, "providers": providers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_added_up() {
        let metrics = format!(
            "# HELP x\n{ANSWERS}{{class=\"2xx\",provider=\"gmail\"}} 3\n\
             {ANSWERS}{{class=\"4xx\",provider=\"gmail\"}} 1\n{CONNECTIONS}{{provider=\"gmail\"}} 2\n\
             other 7\n"
        );
        let mut providers = BTreeMap::new();
        count(&metrics, &mut providers);
        count(&metrics, &mut providers);
        let gmail = &providers["gmail"];
        assert_eq!((gmail.answers["2xx"], gmail.answers["4xx"]), (6.0, 2.0));
        assert_eq!(gmail.connections, 4.0);
        assert_eq!(providers.len(), 1);
    }

    #[test]
    fn a_rate_is_per_second() {
        assert_eq!(rate(30, 10, 2_000_000), 10.0);
        assert_eq!(rate(5, 10, 2_000_000), 0.0, "the consumer was made anew");
    }
}
