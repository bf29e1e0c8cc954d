//! What is learned from how attempts go, and how all replicas come to know it.

use std::{collections::BTreeMap, time::Duration};

use contract::Action as Outcome;

use super::{
    Shaping,
    file::WarmUp,
    lock, lookup_of,
    measures::{Hits, Measure},
    now_micros, route_to,
    routes::Deferral,
    shared::{decoded, encoded},
    site::{Hold, Site},
    table::Rule,
    warm::{Counts, Course, Portion},
};
use crate::{reply, smtp::Target};

const ROUTE: &str = "route.";
const MEASURE: &str = "measure.";
const HITS: &str = "hits.";
const WARM: &str = "warm.";

impl Shaping {
    /// A host cannot be reached, or does not want to talk: it is left alone for a while.
    pub(crate) async fn route_failed(&self, target: &Target, outcome: &reply::Outcome) {
        self.defer(&route_to(target), outcome).await;
    }

    pub(crate) async fn lookup_failed(&self, domain: &str, outcome: &reply::Outcome) {
        self.defer(&lookup_of(domain), outcome).await;
    }

    pub(crate) async fn route_works(&self, target: &Target) {
        self.clear(&route_to(target)).await;
    }

    pub(crate) async fn lookup_works(&self, domain: &str) {
        self.clear(&lookup_of(domain)).await;
    }

    async fn defer(&self, route: &str, outcome: &reply::Outcome) {
        let why = (outcome.status.as_str(), outcome.diagnostic.as_str());
        let (now, chance) = (now_micros(), fastrand::f64());
        let mut current = None;
        let amended = self
            .shared
            .amend(&format!("{ROUTE}{}", encoded(route)), |found: Option<Deferral>| {
                let next = Deferral::after(found.as_ref(), &self.table.routes, why, now, chance);
                current = next.clone().or(found);
                next
            })
            .await;
        if let Err(err) = amended {
            tracing::warn!("tell the other senders of a host that is left alone: {err:#}");
            current = Deferral::after(None, &self.table.routes, why, now, chance);
        }
        self.routes.learn(route, current);
    }

    async fn clear(&self, route: &str) {
        if !self.routes.is_known(route) {
            return;
        }
        self.routes.learn(route, None);
        if let Err(err) = self.shared.remove(&format!("{ROUTE}{}", encoded(route))).await {
            tracing::warn!("tell the other senders of a host that is there again: {err:#}");
        }
    }

    /// Reads what a receiver said about the recipients of one mail: rules may suspend or slow its
    /// site. However many recipients it said the same of, it said it once.
    pub(crate) async fn judge(&self, site: &Site, outcomes: &[reply::Outcome]) {
        let mut met = BTreeMap::new();
        for outcome in outcomes {
            self.count(site, outcome);
            if outcome.action != Outcome::Delivered {
                met.extend(self.table.met(&site.name, &outcome.diagnostic));
            }
        }
        for (name, rule) in met {
            let is_done = lock(&self.measures)
                .get(&site.name.key)
                .is_some_and(|it| it.does(rule.action, now_micros()));
            if !is_done && let Err(err) = self.hit(site, &name, rule).await {
                tracing::warn!("note the words of a receiver: {err:#}");
            }
        }
    }

    async fn hit(&self, site: &Site, name: &str, rule: &Rule) -> anyhow::Result<()> {
        let (now, key) = (now_micros(), encoded(&site.name.key));
        let mut is_enough = false;
        let hits = format!("{HITS}{key}.{name}");
        self.shared
            .amend(&hits, |found: Option<Hits>| {
                let mut hits = found.unwrap_or_default();
                is_enough = hits.add(&rule.trigger, now);
                Some(hits)
            })
            .await?;
        if !is_enough {
            return Ok(());
        }
        let mut taken = Measure::default();
        self.shared
            .amend(&format!("{MEASURE}{key}"), |found: Option<Measure>| {
                taken = found.unwrap_or_default();
                taken.take(rule, now);
                Some(taken.clone())
            })
            .await?;
        lock(&self.measures).insert(site.name.key.clone(), taken);
        self.metrics.measure(self.label(site), rule.action.name());
        let minutes = rule.duration.as_secs() / 60;
        tracing::warn!(site = self.label(site), action = rule.action.name(), minutes, "is shaped");
        Ok(())
    }

    fn count(&self, site: &Site, outcome: &reply::Outcome) {
        if self.table.limits(&site.name).warm_up.is_some() {
            let is_deferred = outcome.action == Outcome::Delayed;
            site.portion(|it| {
                it.counts.attempted += 1;
                it.counts.deferred += u32::from(is_deferred);
            });
        }
    }

    /// Whether a site that gets to know us takes one more message on this day.
    pub(crate) async fn warm(&self, site: &Site, rule: &WarmUp) -> Result<(), Hold> {
        let now = now_micros();
        let hold = |micros: i64| {
            let least = Duration::from_micros(micros.unsigned_abs());
            let per_second = f64::from(rule.first_day);
            Hold { reason: "warm-up", least, turn: None, per_second }
        };
        if site.portion(|it| it.is_open(now)) {
            return Ok(());
        }
        if !site.portion(|it| it.is_spent(now)) {
            let told = self.tell_course(site, Some(rule)).await;
            if let Err(err) = told {
                tracing::warn!("ask what the day still has for a site: {err:#}");
                return Err(hold(30_000_000));
            }
        }
        match site.portion(|it| it.is_open(now)) {
            true => Ok(()),
            false => Err(hold(Portion::until_tomorrow(now))),
        }
    }

    /// Tells what was counted at a site, and by `rule` takes a portion of what the day still has.
    pub(crate) async fn tell_course(
        &self,
        site: &Site,
        rule: Option<&WarmUp>,
    ) -> anyhow::Result<()> {
        let now = now_micros();
        let counts = site.portion(|it| std::mem::take(&mut it.counts));
        let mut portion = None;
        let key = format!("{WARM}{}", encoded(&site.name.key));
        let told = self
            .shared
            .amend(&key, |course: Option<Course>| {
                let mut course = course.unwrap_or_default();
                course.count(counts);
                if let Some(rule) = rule {
                    let (next, more) = course.hand_out(rule, now);
                    (course, portion) = (next, Some(more));
                }
                Some(course)
            })
            .await;
        site.portion(|it| match (&told, portion) {
            (Ok(()), Some(more)) => it.add(more),
            (Ok(()), None) => (),
            (Err(_), _) => it.counts.add(counts),
        });
        told
    }

    /// An entry that this or another replica has changed.
    pub(crate) fn learn(&self, key: &str, value: Option<&[u8]>) {
        if let Some(route) = key.strip_prefix(ROUTE).and_then(decoded) {
            self.routes.learn(&route, value.and_then(|it| serde_json::from_slice(it).ok()));
        } else if let Some(site) = key.strip_prefix(MEASURE).and_then(decoded) {
            match value.and_then(|it| serde_json::from_slice::<Measure>(it).ok()) {
                Some(measure) => lock(&self.measures).insert(site, measure),
                None => lock(&self.measures).remove(&site),
            };
        }
    }
}

impl Counts {
    fn add(&mut self, more: Counts) {
        self.attempted = self.attempted.saturating_add(more.attempted);
        self.deferred = self.deferred.saturating_add(more.deferred);
    }
}
