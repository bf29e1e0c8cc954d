//! A cluster with everybody who uses it: mail comes in, mail is sent over REST and NATS, a webhook and a
//! reader of events hear of it.

use std::{collections::BTreeMap, env, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use e2e::{Agent, Cluster, Inbox, Plan, eventually, skip};
use reqwest::Method;
use serde_json::json;
use test_peer::{Peer, Setup};

use crate::faults::{
    fault::Fault,
    inbound::Inbound,
    observers::{Follower, Receiver, all_events},
    outbound::Outbound,
    poison::Poison,
    table::Table,
    verify,
};

/// A process may have in the end twice of what it had under load before the first fault, and so much more. NATS
/// keeps an index of what is in its streams, and a cache; the others keep nothing.
const SLACK: u64 = 64 << 20;
const SLACK_OF_NATS: u64 = 512 << 20;

pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    /// The same account at each gateway.
    agents: Vec<Agent>,
    /// The last of them keeps everything in quarantine.
    pub(crate) inboxes: Vec<Inbox>,
    sender: Inbox,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    peer: Peer,
    receiver: Receiver,
    follower: Follower,
    /// Octets before the first fault.
    memory: BTreeMap<String, u64>,
}

impl Scene {
    /// Everybody at work; `None` where the backend is not installed.
    pub(crate) async fn begin(mut plan: Plan) -> anyhow::Result<Option<Scene>> {
        let peer = Peer::start(Setup::default()).await;
        plan.sink = Some(peer.address);
        let Some(cluster) = Cluster::plan(plan).await? else { return Ok(None) };
        let agent = cluster.api()?.sign_up().await?;
        let inboxes = vec![agent.inbox().await?, agent.inbox().await?, agent.inbox().await?];
        let sender = agent.inbox().await?;
        let path = format!("/v1/inboxes/{}/policy", inboxes[2].id);
        let policy = json!({ "unauthenticated": "quarantine" });
        let token = Some(agent.token.as_str());
        agent.api.call(Method::PUT, &path, token, &[], Some(&policy)).await?.success()?;
        let receiver = Receiver::start().await?;
        let hook = json!({ "url": format!("http://{}/hook", receiver.address) });
        agent.post("/v1/webhooks", &hook).await?.success()?;

        let gateways = cluster.replicas("gateway");
        let at = |name: &String| Ok(Agent { api: cluster.api_of(name)?, ..agent.clone() });
        let agents = gateways.iter().map(at).collect::<anyhow::Result<Vec<Agent>>>()?;
        let follower = Follower::start(agents.clone());
        let inbound = Inbound::start(&cluster.smtp(), &inboxes, 4, Duration::from_millis(200));
        let pause = Duration::from_millis(300);
        let outbound =
            Outbound::start(agents.clone(), &sender, &cluster.nats_urls(), pause).await?;
        eventually(verify::PATIENCE, "the load to be under way", async || {
            Ok((inbound.accepted() >= 40 && outbound.accepted() >= 8).then_some(()))
        })
        .await?;
        let memory = memory(&cluster);
        Ok(Some(Scene {
            cluster,
            agents,
            inboxes,
            sender,
            inbound,
            outbound,
            peer,
            receiver,
            follower,
            memory,
        }))
    }

    /// Ends the load, waits until all is done, and looks whether everything is there, once. What `table` says
    /// of faults says how much poison there was.
    pub(crate) async fn end(self, table: &mut Table) -> anyhow::Result<()> {
        let sent = self.inbound.finish().await?;
        let accepted = self.outbound.finish().await?;
        let (agent, nats) = (&self.agents[0], self.cluster.nats_urls());
        verify::copies(&nats, 1 + self.cluster.more_nats.len()).await?;
        verify::quiet(&nats).await?;
        let dead = verify::dead(&nats).await?;
        table.places = verify::inbound(agent, &self.inboxes, &sent, &dead).await?;
        table.ends = verify::outbound(agent, &self.sender, &accepted, &self.peer).await?;
        // What the last statuses say has been told of when the stages are done.
        verify::quiet(&nats).await?;
        let seen = self.follower.finish().await?;
        let all = all_events(agent).await?;
        let places = &table.places;
        verify::events(&seen, &all, places.delivered + places.quarantined + places.others)?;
        table.events = all.len();
        table.posted_again = verify::webhooks(|| self.receiver.calls(), &all).await?;
        table.posted = self.receiver.calls().len();
        table.dead = dead.len();
        let given = |poison: Poison| {
            let times = table.faults.get(&Fault::Poison(poison).to_string());
            times.copied().unwrap_or_default()
        };
        let parked: usize = Poison::ALL.map(|it| given(it) * it.parked()).iter().sum();
        ensure!(dead.len() == parked + places.parked, "{parked} poisons, but in DEAD: {dead:?}");
        ensure!(places.others == given(Poison::Document), "{places:?}");
        for name in self.cluster.replicas("storage") {
            table.repeats += repeats(&self.cluster.metrics(&name).await?);
        }
        table.memory = compare(self.memory, &self.cluster)?;
        self.cluster.stop().await
    }
}

/// `mail_storage_repeats_total` over all stages.
pub(crate) fn repeats(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|it| it.starts_with("mail_storage_repeats_total"));
    lines.filter_map(|it| it.split_whitespace().last()?.parse::<u64>().ok()).sum()
}

fn memory(cluster: &Cluster) -> BTreeMap<String, u64> {
    let memory = |name: String| cluster.memory(&name).map(|octets| (name, octets));
    cluster.victims().into_iter().filter_map(memory).collect()
}

fn compare(
    before: BTreeMap<String, u64>,
    cluster: &Cluster,
) -> anyhow::Result<BTreeMap<String, (u64, u64)>> {
    let after = memory(cluster);
    let mut compared = BTreeMap::new();
    for (name, before) in before {
        let after = *after.get(&name).with_context(|| format!("read the memory of {name}"))?;
        let slack = if name.starts_with("nats") { SLACK_OF_NATS } else { SLACK };
        let bound = before * 2 + slack;
        ensure!(after <= bound, "{name} has {after} octets, had {before}: more than {bound}");
        compared.insert(name, (before, after));
    }
    Ok(compared)
}

/// libfaketime, as `tests/run` found it.
pub(crate) fn faketime() -> Option<PathBuf> {
    let library = env::var_os("POSTHOUSE_TEST_FAKETIME").map(PathBuf::from);
    let library = library.filter(|it| it.is_file());
    if library.is_none() {
        skip("clocks that jump: libfaketime is not installed");
    }
    library
}
