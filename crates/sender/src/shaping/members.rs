//! Which replicas there are, and how much of a limit is this one's. Pure.

use std::{collections::HashMap, time::Duration};

/// Every replica says this often that it is there.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(3);

/// A replica whose last word is so much older than our own is gone, in microseconds of the NATS
/// server's clock. Nothing is concluded from silence alone: when NATS is away nobody is heard, and
/// everything stays as it is.
const GONE: i64 = 12_000_000;

#[derive(Debug)]
pub(crate) struct Members {
    me: String,
    /// When each said its last word.
    heard: HashMap<String, i64>,
}

/// Where this replica stands among all, for one site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    rank: u32,
    count: u32,
}

impl Members {
    /// One replica, which knows of no other.
    pub(crate) fn alone(me: String) -> Members {
        Members { me, heard: HashMap::new() }
    }

    pub(crate) fn me(&self) -> &str {
        &self.me
    }

    pub(crate) fn hear(&mut self, id: &str, at_micros: i64) {
        self.heard.insert(id.to_owned(), at_micros);
    }

    pub(crate) fn leave(&mut self, id: &str) {
        self.heard.remove(id);
    }

    pub(crate) fn are_others(&self) -> bool {
        self.heard.keys().any(|it| *it != self.me)
    }

    /// Whether our own word has come round.
    pub(crate) fn heard_ourselves(&self) -> bool {
        self.heard.contains_key(&self.me)
    }

    /// Takes out who is gone, and names them.
    pub(crate) fn take_gone(&mut self) -> Vec<String> {
        let Some(last) = self.heard.get(&self.me).copied() else { return Vec::new() };
        let is_gone = |heard: i64| last.saturating_sub(heard) > GONE;
        let gone: Vec<_> =
            self.heard.iter().filter(|it| is_gone(*it.1)).map(|it| it.0.clone()).collect();
        self.heard.retain(|_, heard| !is_gone(*heard));
        gone
    }

    /// By rendezvous hashing: over many sites every place is taken as often by everybody, and few
    /// places change when a replica comes or goes.
    pub(crate) fn place(&self, site: &str) -> Place {
        let mine = (weight(site, &self.me), self.me.as_str());
        let mut place = Place::ALONE;
        for other in self.heard.keys().filter(|it| **it != self.me) {
            place.count += 1;
            place.rank += u32::from((weight(site, other), other.as_str()) > mine);
        }
        place
    }
}

impl Place {
    pub(crate) const ALONE: Place = Place { rank: 0, count: 1 };

    /// How many replicas there are, if no more than `among` of them count.
    pub(crate) fn replicas(&self, among: u32) -> u32 {
        self.count.min(among.max(1))
    }

    /// This replica's part of `total`, of which only so many replicas have one: everybody the same,
    /// and the first in rank what is left over.
    pub(crate) fn share(&self, total: u32, among: u32) -> u32 {
        let count = self.replicas(among);
        if self.rank >= count {
            return 0;
        }
        total / count + u32::from(self.rank < total % count)
    }
}

fn weight(key: &str, id: &str) -> u64 {
    mixed(&[key.as_bytes(), b"/", id.as_bytes()].concat())
}

/// FNV-1a with a finish, because replicas of different builds must come to the same.
pub(crate) fn mixed(octets: &[u8]) -> u64 {
    let hash = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    // The finish of MurmurHash3: FNV's high bits hardly depend on the last octets.
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(count: usize) -> Vec<Members> {
        let ids: Vec<_> = (0..count).map(|it| format!("r{it}")).collect();
        let members = |me: &String| {
            let mut members = Members::alone(me.clone());
            ids.iter().for_each(|it| members.hear(it, 0));
            members
        };
        ids.iter().map(members).collect()
    }

    #[test]
    fn the_shares_make_up_the_whole() {
        for count in 1..8 {
            let replicas = replicas(count);
            for (total, among) in [(0, 9), (1, 9), (3, 9), (5, 2), (10, 9), (10, 1), (100, 3)] {
                for site in ["google", "yahoo", "mx:mx.example.org"] {
                    let shares: Vec<_> =
                        replicas.iter().map(|it| it.place(site).share(total, among)).collect();
                    assert_eq!(shares.iter().sum::<u32>(), total, "{count} {site} {shares:?}");
                    let having = shares.iter().filter(|it| **it > 0).count();
                    assert!(having <= among as usize);
                    let (most, least) =
                        (shares.iter().max(), shares.iter().filter(|it| **it > 0).min());
                    assert!(most.zip(least).is_none_or(|(most, least)| most - least <= 1));
                }
            }
        }
    }

    #[test]
    fn what_is_left_over_is_spread() {
        let mut each = [0; 4];
        for (n, replica) in replicas(4).iter().enumerate() {
            each[n] = (0..1_000).map(|it| replica.place(&format!("site {it}")).share(1, 1)).sum();
        }
        assert!(each.iter().all(|it: &u32| (200..300).contains(it)), "{each:?}");
    }

    #[test]
    fn who_is_silent_while_we_are_heard_is_gone() {
        let mut members = Members::alone("a".to_owned());
        members.hear("a", 0);
        members.hear("b", 0);
        assert!(members.place("x").share(10, 10) == 5 && members.are_others());
        members.hear("a", GONE);
        assert_eq!(members.take_gone(), Vec::<String>::new());
        members.hear("a", GONE + 1);
        assert_eq!(members.take_gone(), ["b"]);
        assert_eq!(members.place("x").share(10, 10), 10);
    }

    /// As when NATS is away, however long.
    #[test]
    fn nobody_is_gone_while_we_hear_nothing() {
        let mut members = Members::alone("a".to_owned());
        members.hear("b", 0);
        assert_eq!(members.take_gone(), Vec::<String>::new());
        assert_eq!(members.place("x").share(10, 10), 5);
    }
}
