//! Sixteen workers share an inbox and drop dead at random: each mail is answered exactly once, whoever died
//! and whatever was restarted meanwhile.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use e2e::{Agent, Answer, Backend, Cluster, Inbox, Plan, Smtp, eventually};
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

const WORKERS: usize = 16;

/// As short as leases can be: most deaths are noticed within the test.
const LEASE_SECONDS: u32 = 5;

/// Mails of a thread.
const THREAD: usize = 3;

/// Connections that mail comes over.
const CLIENTS: usize = 6;

/// How many mails workers die among.
fn mail_count(default: usize) -> anyhow::Result<usize> {
    match std::env::var("POSTHOUSE_TEST_QUEUE_MAILS") {
        Ok(count) => count.parse().context("read POSTHOUSE_TEST_QUEUE_MAILS"),
        Err(_) => Ok(default),
    }
}

/// What the workers have in common, for the test's sake: they never look at it.
#[derive(Default)]
struct Notes {
    is_over: AtomicBool,
    /// Leases whose claim was answered and read.
    leases: Mutex<Vec<String>>,
    /// Before the answer to a claim, after it, after an answer was sent and before it was known to be.
    deaths: [AtomicUsize; 3],
    lost: AtomicUsize,
    requeued: AtomicUsize,
}

impl Notes {
    fn count(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

struct Worker {
    n: usize,
    lives: usize,
    gateways: Vec<Agent>,
    inbox: Inbox,
    notes: Arc<Notes>,
    random: Rng,
}

impl Worker {
    async fn work(mut self) -> anyhow::Result<()> {
        while !self.notes.is_over.load(Ordering::Relaxed) {
            let Some(leases) = self.claim().await else { continue };
            for lease in leases {
                if !self.handle(&lease).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    fn agent(&mut self) -> Agent {
        let n = self.random.usize(..self.gateways.len());
        self.gateways[n].clone()
    }

    /// One that died forgets everything, and another takes its place.
    fn die(&mut self, how: usize) {
        Notes::count(&self.notes.deaths[how]);
        self.lives += 1;
    }

    async fn claim(&mut self) -> Option<Vec<Value>> {
        let asked = json!({
            "max": self.random.u32(1..=3), "leaseSeconds": LEASE_SECONDS, "timeout": 2,
            "worker": format!("worker {} in its life {}", self.n, self.lives),
        });
        let path = format!("/v1/inboxes/{}/claim", self.inbox.id);
        let agent = self.agent();
        let claiming = agent.post(&path, &asked);
        let answer = if self.random.u8(..100) < 7 {
            let moment = Duration::from_millis(self.random.u64(1..40));
            let Ok(answer) = timeout(moment, claiming).await else {
                self.die(0);
                return None;
            };
            answer
        } else {
            claiming.await
        };
        let answer = served(answer).await?;
        let leases = answer.success().ok()?["data"].as_array()?.clone();
        let ids = leases.iter().filter_map(|it| it["leaseId"].as_str().map(str::to_owned));
        self.notes.leases.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        Some(leases)
    }

    /// False if the worker died.
    async fn handle(&mut self, lease: &Value) -> anyhow::Result<bool> {
        let id = lease["leaseId"].as_str().context("read a lease")?;
        match self.random.u8(..100) {
            0..10 => {
                self.die(1);
                return Ok(false);
            }
            10..14 => {
                let nak = format!("/v1/leases/{id}/nak");
                let delay = json!({ "delaySeconds": self.random.u8(..2), "reason": "not now" });
                served(self.agent().post(&nak, &delay).await).await;
                return Ok(true);
            }
            14..18 => {
                let extend = format!("/v1/leases/{id}/extend");
                let more = json!({ "leaseSeconds": LEASE_SECONDS });
                served(self.agent().post(&extend, &more).await).await;
            }
            _ => (),
        }
        self.answer(lease, id).await
    }

    async fn answer(&mut self, lease: &Value, id: &str) -> anyhow::Result<bool> {
        let email_id = lease["emailId"].as_str().context("read a lease")?;
        let subject = lease["email"]["subject"].as_str().context("read a mail")?;
        let path = format!("/v1/emails/{email_id}/reply");
        let text = format!("The answer to {subject}, by worker {}.", self.n);
        let reply = json!({ "body": { "text": text }, "leaseId": id });
        // As often as it takes to hear of it, within the time of the lease.
        for _ in 0..5 {
            let agent = self.agent();
            let replying = agent.post(&path, &reply);
            let answer = if self.random.u8(..100) < 10 {
                let moment = Duration::from_millis(self.random.u64(1..60));
                let Ok(answer) = timeout(moment, replying).await else {
                    self.die(2);
                    return Ok(false);
                };
                answer
            } else {
                replying.await
            };
            let Some(answer) = served(answer).await else { continue };
            if answer.status == 409 {
                ensure!(answer.json()?["error"] == "lease_lost", "{answer:?}");
                Notes::count(&self.notes.lost);
            } else {
                answer.success()?;
            }
            return Ok(true);
        }
        Ok(true)
    }
}

/// An answer of a gateway that was there, and could answer.
async fn served(answer: anyhow::Result<Answer>) -> Option<Answer> {
    match answer {
        Ok(answer) if answer.status < 500 => Some(answer),
        _ => {
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Mails in threads of three, each from somebody of his own.
fn content(n: usize, to: &str) -> String {
    let (thread, place) = (n / THREAD, n % THREAD);
    let references = match place {
        0 => String::new(),
        _ => format!(
            "In-Reply-To: <{thread}-0@world.test>\r\nReferences: <{thread}-0@world.test>\r\n"
        ),
    };
    format!(
        "From: c{n}@world.test\r\nTo: {to}\r\nSubject: Mail {n}\r\n{references}\
         Message-ID: <{thread}-{place}@world.test>\r\n\r\nQuestion {n}\r\n"
    )
}

async fn deliver(
    cluster: &Cluster,
    to: &str,
    mails: usize,
) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let addresses = cluster.smtp();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let mut smtp = Smtp::connect(addresses[client % addresses.len()]).await?;
        let to = to.to_owned();
        clients.spawn(async move {
            for n in (0..mails).filter(|n| n / THREAD % CLIENTS == client) {
                let content = content(n, &to);
                smtp.send(&format!("c{n}@world.test"), &[&to], content.as_bytes()).await?;
            }
            Ok(())
        });
    }
    Ok(clients)
}

async fn counts(agent: &Agent, inbox: &Inbox) -> anyhow::Result<Value> {
    let queue = agent.get(&format!("/v1/inboxes/{}/queue", inbox.id)).await?.success()?;
    Ok(queue["counts"].clone())
}

/// What was given up is tried again, as an operator would.
async fn requeue(agent: &Agent, inbox: &Inbox, notes: &Notes) -> anyhow::Result<()> {
    let path = format!("/v1/inboxes/{}/set-aside?limit=100", inbox.id);
    let aside = agent.get(&path).await?.success()?;
    for mail in aside["data"].as_array().context("read what was set aside")? {
        let id = mail["id"].as_str().context("read an id")?;
        ensure!(mail["attempts"] == 5, "{mail}");
        agent.post(&format!("/v1/emails/{id}/requeue"), &json!({})).await?.success()?;
        Notes::count(&notes.requeued);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_answer_each_mail_once() -> anyhow::Result<()> {
    run(Backend::Sqlite, mail_count(360)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_answer_each_mail_once_on_postgres() -> anyhow::Result<()> {
    run(Backend::Postgres, mail_count(180)?).await
}

async fn run(backend: Backend, mails: usize) -> anyhow::Result<()> {
    let plan = Plan { backend, replicas: 2, ..Plan::default() };
    let Some(mut cluster) = Cluster::plan(plan).await? else { return Ok(()) };
    let first = cluster.api()?.sign_up().await?;
    let second = Agent { api: cluster.api_of("gateway-2")?, ..first.clone() };
    let inbox = first.inbox().await?;
    let notes = Arc::new(Notes::default());
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let start = Instant::now();
    let mut clients = deliver(&cluster, &inbox.address, mails).await?;
    let mut workers = JoinSet::new();
    for n in 0..WORKERS {
        let worker = Worker {
            n,
            lives: 1,
            gateways: vec![first.clone(), second.clone()],
            inbox: inbox.clone(),
            notes: Arc::clone(&notes),
            random: Rng::with_seed(seed ^ n as u64),
        };
        workers.spawn(worker.work());
    }
    let patience = Duration::from_secs(180) + Duration::from_millis(mails as u64 * 200);
    for (round, victim) in ["gateway-2", "storage-1", "gateway-2"].into_iter().enumerate() {
        let enough = mails * (round + 1) / 4;
        reach(&first, &inbox, &notes, &mut workers, enough as u64, patience).await?;
        cluster.kill(victim).await?;
        cluster.restart(victim).await?;
    }
    while let Some(client) = clients.join_next().await {
        client.context("run client")??;
    }
    reach(&first, &inbox, &notes, &mut workers, mails as u64, patience).await?;
    notes.is_over.store(true, Ordering::Relaxed);
    while let Some(worker) = workers.join_next().await {
        worker.context("run worker")??;
    }
    let took = start.elapsed();
    every_mail_is_answered_once(&cluster, &first, &inbox, mails, patience).await?;
    let leases = no_thread_was_in_two_hands(&first, &notes).await?;
    tell(mails, took, &notes, &leases);
    cluster.stop().await
}

async fn reach(
    agent: &Agent,
    inbox: &Inbox,
    notes: &Notes,
    workers: &mut JoinSet<anyhow::Result<()>>,
    enough: u64,
    patience: Duration,
) -> anyhow::Result<()> {
    eventually(patience, &format!("{enough} mails to be answered"), async || {
        if let Some(ended) = workers.try_join_next() {
            ended.context("run worker")??;
            bail!("a worker ended before its time");
        }
        requeue(agent, inbox, notes).await?;
        sleep(Duration::from_millis(200)).await;
        let acked = counts(agent, inbox).await?["acked"].as_u64().context("read a count")?;
        Ok((acked >= enough).then_some(()))
    })
    .await
}

/// In the inbox, and outside.
async fn every_mail_is_answered_once(
    cluster: &Cluster,
    agent: &Agent,
    inbox: &Inbox,
    mails: usize,
    patience: Duration,
) -> anyhow::Result<()> {
    let expected: BTreeMap<String, usize> =
        (0..mails).map(|n| (format!("Re: Mail {n}"), 1)).collect();
    let emails = eventually(patience, "every answer to be sent", async || {
        let emails = agent.emails(inbox).await?;
        let mut answers = emails.iter().filter(|it| it["direction"] == "outbound");
        Ok(answers.all(|it| it["status"] == "sent").then_some(emails))
    })
    .await?;
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for email in emails.iter().filter(|it| it["direction"] == "outbound") {
        *answers.entry(email["subject"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    ensure!(answers == expected, "answered: {:?}", differing(&answers, &expected));
    let delivered = delivered(&cluster.captured())?;
    ensure!(delivered == expected, "delivered: {:?}", differing(&delivered, &expected));
    Ok(())
}

fn differing<'a>(
    found: &'a BTreeMap<String, usize>,
    expected: &'a BTreeMap<String, usize>,
) -> Vec<(&'a String, usize)> {
    let subjects = found.keys().chain(expected.keys().filter(|it| !found.contains_key(*it)));
    let counts = subjects.map(|it| (it, found.get(it).copied().unwrap_or_default()));
    counts.filter(|(it, count)| expected.get(*it) != Some(count)).collect()
}

/// How often each subject left the house.
fn delivered(folder: &Path) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut subjects: BTreeMap<String, usize> = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let content = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            let subject = content.lines().find_map(|it| it.strip_prefix("Subject: "));
            let subject = subject.context("find a subject")?.to_owned();
            *subjects.entry(subject).or_default() += 1;
        }
    }
    Ok(subjects)
}

/// By what the service itself says of the leases that workers have seen: of one thread, none begins before
/// the one before it has ended. Returns them.
async fn no_thread_was_in_two_hands(agent: &Agent, notes: &Notes) -> anyhow::Result<Vec<Value>> {
    let ids = notes.leases.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut leases = Vec::new();
    for id in ids {
        leases.push(agent.get(&format!("/v1/leases/{id}")).await?.success()?);
    }
    let mut threads: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for lease in &leases {
        threads.entry(text(lease, "threadId")).or_default().push(lease);
    }
    for leases in threads.values_mut() {
        leases.sort_by_key(|it| (text(it, "claimedAt"), text(it, "endedAt")));
        for pair in leases.windows(2) {
            ensure!(text(pair[0], "endedAt") <= text(pair[1], "claimedAt"), "{pair:?}");
            ensure!(!text(pair[0], "endedAt").is_empty(), "{pair:?}");
        }
    }
    Ok(leases)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn tell(mails: usize, took: Duration, notes: &Notes, leases: &[Value]) {
    let of = |state: &str| leases.iter().filter(|it| it["state"] == state).count();
    let count = |it: &AtomicUsize| it.load(Ordering::Relaxed);
    let [early, idle, late] = &notes.deaths;
    eprintln!(
        "{mails} mails answered once in {:.0} s by {WORKERS} workers; died before a claim's answer {}, \
         with mail in hand {}, before a reply's answer {}; leases seen {}: acked {}, expired {}, given back {}; \
         replies under lost leases {}, mails set aside and requeued {}",
        took.as_secs_f64(),
        count(early),
        count(idle),
        count(late),
        leases.len(),
        of("acked"),
        of("expired"),
        of("nacked"),
        count(&notes.lost),
        count(&notes.requeued),
    );
}
