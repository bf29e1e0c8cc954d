//! The database, NATS, and their clocks.

use std::time::Duration;

use anyhow::Context as _;
use bus::{DeadFilter, Desk};
use serde_json::Value;

use super::{Check, Options, Verdict::*};
use crate::operator::{Database, when};

/// Clocks this far apart are worth a word; limits and schedules are kept by them.
const APART: i64 = 2_000_000;

/// Clocks this far apart give wrong expiries and signatures.
const TOO_FAR: i64 = 30_000_000;

/// The oldest NATS server that freezes a stream whose disk fails.
const OLDEST_NATS: (u32, u32) = (2, 14);

/// Parked messages are counted up to here.
const MOST_DEAD: usize = 1_000;

/// For the monitoring address.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn database(database: &Database) -> Vec<Check> {
    let store = match database.open().await {
        Ok(store) => store,
        Err(err) => {
            let way_out =
                "see that it runs and can be reached; `posthouse migrate` makes its schema current";
            return vec![Check::bad("database", Failed, format!("{err:#}"), way_out)];
        }
    };
    let mut checks = vec![Check::ok("database", "reachable, its schema is current")];
    let before = when::now();
    checks.push(match store.reader.clock().await {
        Ok(theirs) => clock("clock of the database", theirs, before),
        Err(err) => {
            let seen = format!("{:#}", anyhow::Error::new(err));
            Check::bad("clock of the database", Failed, seen, "see the log of the database")
        }
    });
    store.close().await;
    checks
}

/// `before` is our time when the question was asked.
fn clock(name: &'static str, theirs: i64, before: i64) -> Check {
    let after = when::now();
    // It looked somewhere between; only what is outside is a difference.
    let apart = if theirs < before { before - theirs } else { (theirs - after).max(0) };
    let seen = format!("{} ms apart from this machine's", apart / 1_000);
    let way_out = "have all machines keep time by NTP (chrony, systemd-timesyncd)";
    match apart {
        0..APART => Check::ok(name, seen),
        APART..TOO_FAR => Check::bad(name, Warning, seen, way_out),
        _ => Check::bad(name, Failed, seen, way_out),
    }
}

pub(super) async fn nats(options: &Options) -> Vec<Check> {
    let desk = match options.nats.desk().await {
        Ok(desk) => desk,
        Err(err) => {
            let way_out = "see that nats-server runs, and what --nats and the login name";
            return vec![Check::bad("nats", Failed, format!("{err:#}"), way_out)];
        }
    };
    let mut checks = vec![version(&desk.version()), login(&desk)];
    let before = when::now();
    match desk.clock().await {
        Ok(theirs) => checks.push(clock("clock of nats", theirs, before)),
        Err(err) => checks.push(unseen("clock of nats", &err)),
    }
    let declared = streams(options).await;
    let is_declared = declared.verdict == Good;
    checks.push(declared);
    // Of what is not there nothing more can be said.
    if is_declared {
        checks.push(replicas(&desk, options.replicas).await);
        checks.push(stages(&desk).await);
        checks.push(dead(&desk).await);
    }
    checks
}

fn unseen(name: &'static str, err: &anyhow::Error) -> Check {
    Check::bad(name, Failed, format!("{err:#}"), "see the log of nats-server")
}

fn version(version: &str) -> Check {
    let mut numbers = version.split('.').map(|it| it.parse().unwrap_or(0));
    let found: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= OLDEST_NATS {
        return Check::ok("nats", format!("reachable, version {version}"));
    }
    let way_out =
        "upgrade to 2.14 or later: it freezes a stream whose disk fails instead of going on";
    Check::bad("nats", Warning, format!("version {version}"), way_out)
}

fn login(desk: &Desk) -> Check {
    if desk.asks_who() {
        return Check::ok("nats login", "the server asks who somebody is");
    }
    let way_out = "set up logins (docs/nats.md)";
    Check::bad(
        "nats login",
        Warning,
        "whoever reaches NATS can read and send everybody's mail",
        way_out,
    )
}

async fn streams(options: &Options) -> Check {
    let planned = async { bus::apply(options.nats.server()?, options.replicas, true).await };
    match planned.await {
        Ok(changes) if changes.is_empty() => Check::ok("streams", "as declared"),
        Ok(changes) => {
            let seen: Vec<&str> = changes.iter().map(|it| it.what.as_str()).collect();
            Check::bad("streams", Failed, seen.join("; "), "run `posthouse streams apply`")
        }
        Err(err) => {
            Check::bad("streams", Failed, format!("{err:#}"), "drain the stream, then apply")
        }
    }
}

async fn replicas(desk: &Desk, wanted: usize) -> Check {
    let streams = match desk.streams().await {
        Ok(streams) => streams,
        Err(err) => return unseen("replicas", &err),
    };
    let lagging: Vec<String> = streams
        .iter()
        .filter(|it| !it.lagging.is_empty())
        .map(|it| format!("{}: {}", it.name, it.lagging.join(" ")))
        .collect();
    if !lagging.is_empty() {
        let seen = format!("behind or away: {}", lagging.join("; "));
        return Check::bad(
            "replicas",
            Failed,
            seen,
            "see those servers; until then one loss less is borne",
        );
    }
    let fewest = streams.iter().map(|it| it.replicas).min().unwrap_or(0);
    if fewest < wanted {
        let seen = format!("a stream has {fewest}, and {wanted} are wanted");
        let way_out =
            format!("`nats stream edit <stream> --replicas {wanted}`: `streams apply` leaves them");
        return Check::bad("replicas", Failed, seen, way_out);
    }
    if fewest < 3 {
        let way_out = "for more than a trial: three servers in three places, `--replicas 3`";
        return Check::bad(
            "replicas",
            Warning,
            "each stream is on one server's disk alone",
            way_out,
        );
    }
    Check::ok("replicas", format!("{fewest} of each stream, all current"))
}

async fn stages(desk: &Desk) -> Check {
    let stages = match desk.stages().await {
        Ok(stages) => stages,
        Err(err) => return unseen("stages", &err),
    };
    let paused: Vec<&str> =
        stages.iter().filter(|it| it.paused_for.is_some()).map(|it| it.durable).collect();
    if !paused.is_empty() {
        let way_out = "`posthouse suspend ls` says until when; `posthouse resume` ends it";
        return Check::bad("stages", Warning, format!("suspended: {}", paused.join(" ")), way_out);
    }
    let alone = |it: &&bus::StageState| it.pulls == 0 && it.in_hand == 0;
    let deserted: Vec<&str> = stages.iter().filter(alone).map(|it| it.durable).collect();
    if !deserted.is_empty() {
        let seen = format!("nobody is at work on: {}", deserted.join(" "));
        return Check::bad("stages", Warning, seen, "start the service of that stage");
    }
    Check::ok("stages", "somebody is at work on each")
}

async fn dead(desk: &Desk) -> Check {
    match desk.dead(&DeadFilter::default(), MOST_DEAD).await {
        Ok(dead) if dead.is_empty() => Check::ok("dead letters", "none"),
        Ok(dead) => {
            let way_out = "`posthouse dead ls`; mend the cause, then `posthouse dead requeue`";
            Check::bad("dead letters", Warning, format!("{} are parked", dead.len()), way_out)
        }
        Err(err) => unseen("dead letters", &err),
    }
}

/// Whether what NATS confirms is on disk. A client cannot see it; the monitoring port shows it.
pub(super) async fn sync_interval(monitor: Option<&str>) -> Check {
    const NAME: &str = "nats sync";
    let Some(monitor) = monitor else {
        let way_out = "give --nats-monitor (http_port of nats-server), or look for `sync_interval: always` \
                       in its configuration";
        return Check::bad(NAME, Skipped, "unknown: a client cannot see it", way_out);
    };
    match varz(monitor).await {
        Ok(varz) => synced(&varz),
        Err(err) => Check::bad(NAME, Skipped, format!("unknown: {err:#}"), "see --nats-monitor"),
    }
}

fn synced(varz: &Value) -> Check {
    const NAME: &str = "nats sync";
    let config = &varz["jetstream"]["config"];
    if config["sync_always"] == true {
        return Check::ok(NAME, "sync_interval: always");
    }
    match config["sync_interval"].as_u64() {
        Some(nanos) => {
            let seconds = Duration::from_nanos(nanos).as_secs();
            let way_out = "set `sync_interval: always` in the jetstream block: after a power failure mail \
                           is missing that was confirmed";
            Check::bad(NAME, Warning, format!("synced every {seconds} s only"), way_out)
        }
        None => {
            let way_out = "look for `sync_interval: always` in the server's configuration";
            Check::bad(NAME, Skipped, "unknown: this server does not say", way_out)
        }
    }
}

async fn varz(monitor: &str) -> anyhow::Result<Value> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build().context("set up HTTP")?;
    let url = format!("{}/varz", monitor.trim_end_matches('/'));
    let answer = client.get(&url).send().await.with_context(|| format!("ask {url}"))?;
    let answer = answer.error_for_status().with_context(|| format!("ask {url}"))?;
    answer.json().await.with_context(|| format!("read {url}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        let check = |apart: i64, expected| {
            let now = when::now();
            assert_eq!(clock("clock", now - apart, now).verdict, expected, "{apart}");
        };
        check(0, Good);
        check(APART, Warning);
        check(TOO_FAR, Failed);
        let ahead = when::now() + 10 * TOO_FAR;
        assert_eq!(clock("clock", ahead, when::now()).verdict, Failed);
    }

    #[test]
    fn a_server_says_how_often_it_syncs() {
        let check = |config: Value, expected| {
            let varz = json!({ "jetstream": { "config": config } });
            assert_eq!(synced(&varz).verdict, expected, "{varz}");
        };
        check(json!({ "sync_always": true }), Good);
        check(json!({ "sync_interval": 120_000_000_000_u64 }), Warning);
        check(json!({}), Skipped);
    }

    #[test]
    fn old_servers_are_told_apart() {
        assert_eq!(version("2.15.1").verdict, Good);
        assert_eq!(version("3.0.0").verdict, Good);
        assert_eq!(version("2.10.29").verdict, Warning);
    }
}
