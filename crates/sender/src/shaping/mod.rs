//! How much mail goes where: limits per provider that hold for all replicas together, what a
//! receiver's words change about them, and hosts that are left alone for a while.
//!
//! It decides whether a mail may be tried now; it does not know what a mail is.

mod backlog;
mod file;
mod hands;
mod learning;
mod measures;
mod members;
mod rate;
mod routes;
mod shared;
mod site;
mod table;
mod upkeep;
mod warm;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bus::Board;
use tokio::time::{Instant, timeout};

pub(crate) use self::{
    file::File,
    hands::HANDS,
    members::mixed,
    site::{Site, Slot},
    table::OTHER,
};
use self::{
    file::{Limits, Tls},
    hands::Hands,
    measures::Measure,
    members::{Members, Place},
    rate::Rate,
    routes::{Pass, Routes},
    shared::Shared,
    site::{Bounds, Hold},
    table::{SiteName, Table},
};
use crate::{metrics::Metrics, reply::Outcome, smtp::Target};

pub(crate) struct Shaping {
    table: Table,
    shared: Shared,
    members: Mutex<Members>,
    sites: Mutex<HashMap<String, Arc<Site>>>,
    measures: Mutex<HashMap<String, Measure>>,
    routes: Routes,
    hands: Hands,
    metrics: Metrics,
    /// This replica has its part of every limit.
    joined: tokio::sync::watch::Sender<bool>,
}

/// A mail that is not tried now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Postponed {
    pub(crate) reason: &'static str,
    /// This has to pass in any case.
    pub(crate) least: Duration,
    /// So long it may be after that until there is room.
    pub(crate) turn: Duration,
}

impl Postponed {
    /// For a mail that cannot wait any longer.
    pub(crate) fn outcome(&self) -> Outcome {
        // Mail system congestion, as near as the registry comes to it (RFC 3463 section 3.5).
        Outcome::delayed("4.4.5", format!("there was no room for it ({})", self.reason))
    }
}

/// A mail whose turn comes within this waits for it; one that waits longer than this does not.
const PATIENCE: Duration = Duration::from_secs(2);

/// One that waits looks around at least this often.
const LOOK: Duration = Duration::from_millis(250);

impl Shaping {
    /// Knows of no other replica. An error names what is wrong in the file.
    pub(crate) fn new(file: Option<&Path>, metrics: Metrics) -> anyhow::Result<Shaping> {
        let me = format!("{:016x}", fastrand::u64(..));
        Ok(Shaping {
            table: Table::new(File::load(file)?)?,
            shared: Shared::default(),
            members: Mutex::new(Members::alone(me)),
            sites: Mutex::default(),
            measures: Mutex::default(),
            routes: Routes::default(),
            hands: Hands::default(),
            metrics,
            joined: tokio::sync::watch::Sender::new(false),
        })
    }

    /// From here on what is learned is learned by all replicas; `upkeep` has to run.
    pub(crate) fn share_over(&self, board: Board) {
        self.shared.over(board);
    }

    /// The site that these targets of a domain are, never none.
    pub(crate) fn site(&self, domain: &str, targets: &[Target], pool: &str) -> Arc<Site> {
        let hosts: Vec<_> = targets.iter().map(|it| it.host.as_str()).collect();
        self.known(self.table.site(domain, &hosts, pool))
    }

    fn known(&self, name: SiteName) -> Arc<Site> {
        let mut sites = lock(&self.sites);
        if let Some(site) = sites.get(&name.key) {
            return Arc::clone(site);
        }
        let connections = self.table.label(&name).map(|it| self.metrics.connections(it));
        let site = Arc::new(Site::new(name.clone(), connections));
        sites.insert(name.key, Arc::clone(&site));
        site
    }

    pub(crate) fn label(&self, site: &Site) -> &str {
        self.table.label(&site.name).unwrap_or_default()
    }

    /// Whether nothing may go there in clear.
    pub(crate) fn requires_tls(&self, site: &Site) -> bool {
        self.table.limits(&site.name).tls == Tls::Required
    }

    /// Those of the targets that may be tried now, never none.
    pub(crate) fn passable<'a>(
        &self,
        site: &Site,
        targets: &'a [Target],
    ) -> Result<Vec<&'a Target>, Postponed> {
        let now = now_micros();
        let mut wait = Duration::MAX;
        let mut passes = |target: &&Target| match self.routes.pass(&route_to(target), now) {
            Pass::Go => true,
            Pass::Wait(left, _) => {
                wait = wait.min(left);
                false
            }
        };
        // Only the first is a probe: the others may never come to their turn.
        let first = targets.iter().position(|it| passes(&it));
        let Some(first) = first else {
            let per_second = self.table.limits(&site.name).message_rate.per_second();
            let hold = Hold { reason: "route", least: wait, turn: None, per_second };
            return Err(self.postpone(site, &hold));
        };
        let rest = targets[first + 1..].iter().filter(|it| !self.routes.is_known(&route_to(it)));
        Ok(targets[first..=first].iter().chain(rest).collect())
    }

    /// A place at a site, once there is one; it may take a moment. The targets are `passable`.
    pub(crate) async fn enter(
        &self,
        site: &Arc<Site>,
        targets: &[&Target],
    ) -> Result<Slot, Postponed> {
        let entered = self.room(site, targets).await;
        entered.map_err(|hold| self.untried(site, targets, &hold))
    }

    /// The right to ask for the exchangers of a domain.
    pub(crate) async fn look_up(&self, domain: &str) -> Result<Slot, Postponed> {
        let site = self.known(SiteName::of_lookups(domain));
        let hold = match self.routes.pass(&lookup_of(domain), now_micros()) {
            Pass::Go => None,
            Pass::Wait(least, _) => {
                let per_second = self.limits(&site).message_rate.per_second();
                Some(Hold { reason: "dns", least, turn: None, per_second })
            }
        };
        if let Some(hold) = hold {
            return Err(self.postpone(&site, &hold));
        }
        let entered = self.room(&site, &[]).await;
        entered.map_err(|hold| {
            self.routes.not_probed(&lookup_of(domain));
            self.postpone(&site, &Hold { reason: "dns", ..hold })
        })
    }

    /// Waits for room where that is a matter of a moment.
    async fn room(&self, site: &Arc<Site>, targets: &[&Target]) -> Result<Slot, Hold> {
        let deadline = Instant::now() + PATIENCE;
        let (at_site, turn) = site.in_hand();
        let Some(hand) = self.hands.take(at_site, turn) else {
            let (least, per_second) = (Duration::ZERO, site.pace());
            return Err(Hold { reason: "hands", least, turn: None, per_second });
        };
        let mut waiting = None;
        loop {
            let freed = site.freed.notified();
            let hold = match self.try_enter(site, targets).await {
                Ok(slot) => return Ok(slot.with(hand)),
                Err(hold) => hold,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if hold.turn.is_none_or(|turn| turn > left) {
                return Err(hold);
            }
            waiting.get_or_insert_with(|| site.wait());
            let turn = hold.turn.unwrap_or_default().clamp(Duration::from_millis(1), LOOK);
            // Whoever is not woken looks all the same.
            _ = timeout(turn, freed).await;
        }
    }

    async fn try_enter(&self, site: &Arc<Site>, targets: &[&Target]) -> Result<Slot, Hold> {
        let (now, limits) = (now_micros(), self.limits(site));
        let measure = lock(&self.measures).get(&site.name.key).map(|it| it.suspended_until);
        if let Some(left) = measure.map(|until| until.saturating_sub(now)).filter(|it| *it > 0) {
            let least = Duration::from_micros(left.unsigned_abs());
            let per_second = limits.message_rate.per_second();
            return Err(Hold { reason: "suspended", least, turn: None, per_second });
        }
        if let Some(rule) = &limits.warm_up {
            self.warm(site, rule).await?;
        }
        site.try_enter(&self.bounds(site), targets)
    }

    /// What holds for a site now, for all replicas together.
    fn limits(&self, site: &Site) -> Limits {
        let limits = self.table.limits(&site.name);
        match lock(&self.measures).get(&site.name.key) {
            Some(measure) => measure.slow(limits, now_micros()),
            None => *limits,
        }
    }

    /// This replica's part of that.
    fn bounds(&self, site: &Site) -> Bounds {
        let limits = self.limits(site);
        let place = match site.name.is_shared() {
            true => lock(&self.members).place(&site.name.key),
            false => Place::ALONE,
        };
        let connections = limits.max_connections;
        // Who may have no connection has no use for a part of the rates.
        let part = |rate: &Rate| {
            let burst = rate.burst(place.replicas(connections));
            rate.part(place.share(burst, connections), burst)
        };
        Bounds {
            connections: place.share(connections, connections),
            messages_per_connection: limits.messages_per_connection,
            messages: part(&limits.message_rate),
            dials: part(&limits.connection_rate),
            messages_per_second: limits.message_rate.per_second(),
        }
    }

    /// There is a place, but no connection, and none may be opened now.
    pub(crate) fn no_connection(&self, site: &Site, targets: &[&Target]) -> Postponed {
        let (least, per_second) = (Duration::ZERO, site.pace());
        let hold = Hold { reason: "connection rate", least, turn: None, per_second };
        self.untried(site, targets, &hold)
    }

    fn untried(&self, site: &Site, targets: &[&Target], hold: &Hold) -> Postponed {
        targets.iter().for_each(|it| self.routes.not_probed(&route_to(it)));
        self.postpone(site, hold)
    }

    fn postpone(&self, site: &Site, hold: &Hold) -> Postponed {
        self.metrics.postponed(hold.reason);
        let pause = site.put_off(hold, fastrand::f64());
        let turn = pause.saturating_sub(hold.least);
        Postponed { reason: hold.reason, least: hold.least, turn }
    }
}

/// One address, seen from where we come.
fn route_to(target: &Target) -> String {
    match target.source {
        Some(source) => format!("{} {source}", target.address),
        None => target.address.to_string(),
    }
}

fn lookup_of(domain: &str) -> String {
    format!("dns {domain}")
}

fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}

fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
