//! What holds for a site for a while, because of what it said to us. Pure.

use serde::{Deserialize, Serialize};

use super::{
    file::{Action, Limits},
    rate::Rate,
    table::Rule,
};

/// Shared about one site. Times are microseconds since 1970.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Measure {
    pub(crate) suspended_until: i64,
    pub(crate) slow_until: i64,
    max_connections: Option<u32>,
    connection_rate: Option<Rate>,
    message_rate: Option<Rate>,
}

/// When a site said the words of one rule, as far as that still counts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Hits(Vec<i64>);

impl Hits {
    /// One more. True if that is enough, and the counting begins anew.
    pub(crate) fn add(&mut self, trigger: &Rate, now_micros: i64) -> bool {
        let per = i64::try_from(trigger.per.as_micros()).unwrap_or(i64::MAX);
        self.0.retain(|it| now_micros.saturating_sub(*it) < per);
        self.0.push(now_micros);
        let is_enough = self.0.len() >= trigger.count as usize;
        if is_enough {
            self.0.clear();
        }
        is_enough
    }
}

impl Measure {
    /// Whether this is done already.
    pub(crate) fn does(&self, action: Action, now_micros: i64) -> bool {
        match action {
            Action::Suspend => self.suspended_until > now_micros,
            Action::Slow => self.slow_until > now_micros,
        }
    }

    pub(crate) fn is_over(&self, now_micros: i64) -> bool {
        self.suspended_until.max(self.slow_until) <= now_micros
    }

    pub(crate) fn take(&mut self, rule: &Rule, now_micros: i64) {
        let duration = i64::try_from(rule.duration.as_micros()).unwrap_or(i64::MAX);
        let until = now_micros.saturating_add(duration);
        match rule.action {
            Action::Suspend => self.suspended_until = self.suspended_until.max(until),
            Action::Slow => {
                self.slow_until = until;
                self.max_connections = rule.max_connections;
                self.connection_rate = rule.connection_rate;
                self.message_rate = rule.message_rate;
            }
        }
    }

    /// The limits as they are now.
    pub(crate) fn slow(&self, limits: &Limits, now_micros: i64) -> Limits {
        if self.slow_until <= now_micros {
            return *limits;
        }
        Limits {
            max_connections: limits
                .max_connections
                .min(self.max_connections.unwrap_or(limits.max_connections)),
            connection_rate: limits.connection_rate.slower(self.connection_rate),
            message_rate: limits.message_rate.slower(self.message_rate),
            ..*limits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shaping::{file::File, table::Table};

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn hits_count_as_long_as_the_trigger_says() {
        let trigger = "2/h".to_owned().try_into().expect("rate");
        let mut hits = Hits::default();
        assert!(!hits.add(&trigger, 0));
        assert!(!hits.add(&trigger, 60 * MINUTE), "the first is an hour ago");
        assert!(hits.add(&trigger, 90 * MINUTE));
        assert!(!hits.add(&trigger, 91 * MINUTE), "counted anew");
    }

    #[test]
    fn a_measure_holds_for_its_time() {
        let table = Table::new(File::load(None).expect("built in")).expect("table");
        let mut measure = Measure::default();
        let take = |measure: &mut Measure, host: &str, reply: &str| {
            let site = table.site("example.org", &[host], "default");
            measure.take(table.met(&site, reply).next().expect("a rule").1, 0);
            *table.limits(&site)
        };
        let limits = take(&mut measure, "gmail-smtp-in.l.google.com", "421 4.7.28 slow down");
        let now = measure.slow(&limits, 29 * MINUTE);
        assert_eq!(now.message_rate.to_string(), "10/min");
        assert_eq!(now.max_connections, limits.max_connections);
        assert_eq!(measure.slow(&limits, 30 * MINUTE), limits);
        assert!(measure.is_over(30 * MINUTE) && !measure.does(Action::Suspend, 0));

        take(&mut measure, "mta5.am0.yahoodns.net", "421 4.7.0 [TSS04] deferred");
        assert!(measure.does(Action::Suspend, 119 * MINUTE) && measure.is_over(120 * MINUTE));
    }
}
