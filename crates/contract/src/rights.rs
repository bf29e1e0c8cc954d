//! What a token may do: which kinds of things, in which inboxes and threads, until when, and how much
//! it may send.
//!
//! Every door asks here: the gateway, intake, NATS logins, and the ledger.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// So much of its hash names a token.
const ID_DIGITS: usize = 12;

/// The name of the token that has this hash (SHA-256 in hexadecimal): what lists, the audit, decisions and
/// subjects have of it.
pub fn token_id(hash: &str) -> &str {
    hash.get(..ID_DIGITS).unwrap_or(hash)
}

/// One kind of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// See mail and events, mark mail, take it from a queue.
    Read,
    /// Send mail of any kind.
    Send,
    /// Answer mail that the token sees, and write to nobody who is not in its thread. Whoever may send
    /// may do this.
    Reply,
    /// Inboxes, domains, policies, holds, webhooks, tokens.
    Admin,
}

impl Right {
    pub const ALL: [Right; 4] = [Right::Read, Right::Send, Right::Reply, Right::Admin];

    pub fn name(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Send => "send",
            Right::Reply => "reply",
            Right::Admin => "admin",
        }
    }

    pub fn named(name: &str) -> Option<Right> {
        Right::ALL.into_iter().find(|it| it.name() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Several of them. In JSON a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    pub const ALL: Rights = Rights(0b1111);

    /// Whether these are enough for something that needs this right.
    pub fn allow(self, right: Right) -> bool {
        let is_sender = right == Right::Reply && self.has(Right::Send);
        is_sender || self.has(right)
    }

    /// Whether others allow all that these do.
    pub fn are_within(self, others: Rights) -> bool {
        self.iter().all(|it| others.allow(it))
    }

    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |it| self.has(*it))
    }

    fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Rights {
        Rights(rights.into_iter().fold(0, |bits, it| bits | it.bit()))
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Right::name))
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rights, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let right = |it: &String| {
            Right::named(it).ok_or_else(|| D::Error::custom(format!("there is no right {it:?}")))
        };
        names.iter().map(right).collect()
    }
}

/// How much a token may send, and to whom. Nothing in it is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SendLimits {
    /// Mails, within `per_seconds`, or in all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mails: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_seconds: Option<u32>,
    /// Addresses, and domains without their subdomains, in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Vec<String>>,
}

impl SendLimits {
    pub fn is_none(&self) -> bool {
        *self == SendLimits::default()
    }

    /// Mails count that were sent after this moment, in microseconds since 1970.
    pub fn counts_since(&self, now_micros: i64) -> i64 {
        self.per_seconds.map_or(i64::MIN, |it| now_micros - i64::from(it) * 1_000_000)
    }

    /// Whether it is at most as many mails, in at least as long a time.
    fn count_within(&self, other: &SendLimits) -> bool {
        let Some(most) = other.mails else { return true };
        let is_as_long = match (self.per_seconds, other.per_seconds) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(of)) => own >= of,
        };
        is_as_long && self.mails.is_some_and(|it| it <= most)
    }

    /// Whether mail may go to this address.
    pub fn allow(&self, address: &str) -> bool {
        let address = address.to_lowercase();
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let fits = |it: &String| *it == address || *it == domain;
        self.recipients.as_ref().is_none_or(|it| it.iter().any(fits))
    }
}

/// All of it. Kept as JSON, in which what is unknown is an error: a service that is older than a token
/// lets nobody in with it, rather than overlook what narrows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    pub rights: Rights,
    /// Those that it sees; all of the account if there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox_ids: Option<Vec<String>>,
    /// Those that it sees of its inboxes; all of them if there is no list. With one, `inbox_ids` has the
    /// inboxes of these threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ids: Option<Vec<String>>,
    /// From then on it is worth nothing, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "SendLimits::is_none")]
    pub limits: SendLimits,
    /// Hashes of the tokens it comes from whose mails are counted: what it sends counts for these too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted_for: Vec<String>,
}

impl Default for Grant {
    /// Everything that the account may.
    fn default() -> Grant {
        Grant {
            rights: Rights::ALL,
            inbox_ids: None,
            thread_ids: None,
            expires_at: None,
            limits: SendLimits::default(),
            counted_for: Vec::new(),
        }
    }
}

impl Grant {
    pub fn allows(&self, right: Right) -> bool {
        self.rights.allow(right)
    }

    pub fn has_expired(&self, now_micros: i64) -> bool {
        self.expires_at.is_some_and(|it| it <= now_micros)
    }

    /// Whether there is anything in the account that it does not see.
    pub fn is_narrowed(&self) -> bool {
        self.inbox_ids.is_some() || self.thread_ids.is_some()
    }

    /// Whether it sees the inbox, or something in it.
    pub fn sees_inbox(&self, inbox_id: &str) -> bool {
        self.inbox_ids.as_ref().is_none_or(|it| it.iter().any(|id| id == inbox_id))
    }

    /// Whether it sees everything in the inbox.
    pub fn sees_all_of(&self, inbox_id: &str) -> bool {
        self.thread_ids.is_none() && self.sees_inbox(inbox_id)
    }

    /// Whether it sees what is in this inbox and this thread. An email may be in none.
    pub fn sees(&self, inbox_id: &str, thread_id: Option<&str>) -> bool {
        let is_in = |threads: &Vec<String>| threads.iter().any(|it| Some(it.as_str()) == thread_id);
        self.sees_inbox(inbox_id) && self.thread_ids.as_ref().is_none_or(is_in)
    }

    /// Whether the ledger has nothing to ask of what it sends from an inbox that it sees.
    pub fn sends_freely(&self) -> bool {
        self.allows(Right::Send)
            && self.thread_ids.is_none()
            && self.limits.is_none()
            && self.counted_for.is_empty()
    }

    /// What another grant has to have for this one to be within it; `None` if it is.
    pub fn exceeds(&self, other: &Grant) -> Option<&'static str> {
        let is_part = |own: &Option<Vec<String>>, of: &Option<Vec<String>>| match (own, of) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(of)) => own.iter().all(|it| of.contains(it)),
        };
        let ends_before = |end: i64| self.expires_at.is_some_and(|it| it <= end);
        let allows = |it: &String| other.limits.allow(it);
        let recipients = || self.limits.recipients.as_ref().is_some_and(|it| it.iter().all(allows));
        if !self.rights.are_within(other.rights) {
            Some("rights")
        } else if !is_part(&self.inbox_ids, &other.inbox_ids) {
            Some("inboxIds")
        } else if !is_part(&self.thread_ids, &other.thread_ids) {
            Some("threadIds")
        } else if other.expires_at.is_some_and(|end| !ends_before(end)) {
            Some("expiresAt")
        } else if other.limits.recipients.is_some() && !recipients() {
            Some("limits.recipients")
        } else if !self.limits.count_within(&other.limits) {
            Some("limits.mails")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(names: &str) -> Rights {
        names.split_whitespace().map(|it| Right::named(it).expect("a right")).collect()
    }

    fn ids(ids: &[&str]) -> Option<Vec<String>> {
        Some(ids.iter().map(|it| (*it).to_owned()).collect())
    }

    #[test]
    fn who_sends_may_answer_and_nothing_else_follows() {
        for right in Right::ALL {
            assert!(Rights::ALL.allow(right));
            assert!(!Rights::default().allow(right));
        }
        assert!(rights("send").allow(Right::Reply));
        assert!(!rights("reply").allow(Right::Send));
        assert!(!rights("read send reply").allow(Right::Admin));
        assert!(!rights("admin").allow(Right::Read));
        assert!(rights("reply read").are_within(rights("read send")));
        assert!(!rights("send").are_within(rights("reply")));
    }

    #[test]
    fn json_comes_back_and_nothing_unknown_is_overlooked() {
        let whole = Grant::default();
        let json = serde_json::to_string(&whole).expect("JSON");
        assert_eq!(json, r#"{"rights":["read","send","reply","admin"]}"#);
        assert_eq!(serde_json::from_str::<Grant>(&json).expect("a grant"), whole);
        let narrow = Grant {
            rights: rights("reply"),
            inbox_ids: ids(&["ibx_1"]),
            thread_ids: ids(&["thd_1"]),
            expires_at: Some(7),
            limits: SendLimits {
                mails: Some(2),
                per_seconds: Some(3600),
                recipients: ids(&["b.test"]),
            },
            counted_for: vec!["ab".to_owned()],
        };
        let json = serde_json::to_string(&narrow).expect("JSON");
        assert_eq!(serde_json::from_str::<Grant>(&json).expect("a grant"), narrow);
        for unknown in [
            r#"{"rights":["read"],"onlyOnMondays":true}"#,
            r#"{"rights":["read","shout"]}"#,
            r#"{"rights":["read"],"limits":{"octets":1}}"#,
            r#"{}"#,
            "",
        ] {
            serde_json::from_str::<Grant>(unknown).expect_err(unknown);
        }
    }

    #[test]
    fn sees_what_it_is_narrowed_to() {
        let whole = Grant::default();
        assert!(whole.sees("ibx_1", None) && whole.sees_all_of("ibx_1") && !whole.is_narrowed());
        let inbox = Grant { inbox_ids: ids(&["ibx_1"]), ..Grant::default() };
        assert!(inbox.sees("ibx_1", None) && inbox.sees("ibx_1", Some("thd_1")));
        assert!(!inbox.sees("ibx_2", Some("thd_1")) && !inbox.sees_inbox(""));
        let thread = Grant { thread_ids: ids(&["thd_1"]), ..inbox };
        assert!(thread.sees("ibx_1", Some("thd_1")) && thread.sees_inbox("ibx_1"));
        assert!(!thread.sees("ibx_1", Some("thd_2")) && !thread.sees("ibx_1", None));
        assert!(!thread.sees_all_of("ibx_1"));
        let nothing = Grant { inbox_ids: ids(&[]), ..Grant::default() };
        assert!(!nothing.sees("ibx_1", None) && nothing.is_narrowed());
    }

    #[test]
    fn only_what_needs_no_look_sends_freely() {
        assert!(Grant::default().sends_freely());
        assert!(Grant { inbox_ids: ids(&["ibx_1"]), ..Grant::default() }.sends_freely());
        let bound = [
            Grant { rights: rights("read reply"), ..Grant::default() },
            Grant { thread_ids: ids(&["thd_1"]), ..Grant::default() },
            Grant {
                limits: SendLimits { mails: Some(1), ..SendLimits::default() },
                ..Grant::default()
            },
            Grant { counted_for: vec!["ab".to_owned()], ..Grant::default() },
        ];
        assert!(bound.iter().all(|it| !it.sends_freely()));
    }

    #[test]
    fn recipients_are_addresses_and_domains() {
        let limits =
            SendLimits { recipients: ids(&["ada@a.test", "b.test"]), ..SendLimits::default() };
        for allowed in ["ada@a.test", "ADA@a.test", "anybody@B.test"] {
            assert!(limits.allow(allowed), "{allowed}");
        }
        for refused in ["bob@a.test", "x@sub.b.test", "x@b.test.evil.test", "b.test@x.test", ""] {
            assert!(!limits.allow(refused), "{refused}");
        }
        assert!(SendLimits::default().allow("x@y.test"));
        assert!(!SendLimits { recipients: ids(&[]), ..SendLimits::default() }.allow("x@y.test"));
    }

    #[test]
    fn nothing_grows_on_the_way_down() {
        let of = |recipients: &[&str]| SendLimits {
            recipients: ids(recipients),
            ..SendLimits::default()
        };
        let parent = Grant {
            rights: rights("read send admin"),
            inbox_ids: ids(&["ibx_1", "ibx_2"]),
            expires_at: Some(100),
            limits: of(&["b.test"]),
            ..Grant::default()
        };
        let child = Grant {
            rights: rights("read reply"),
            inbox_ids: ids(&["ibx_2"]),
            thread_ids: ids(&["thd_1"]),
            expires_at: Some(99),
            limits: of(&["x@b.test"]),
            ..Grant::default()
        };
        assert_eq!(child.exceeds(&parent), None);
        assert_eq!(child.exceeds(&Grant::default()), None);
        assert_eq!(parent.exceeds(&parent), None);
        let check = |wider: Grant, what| assert_eq!(wider.exceeds(&parent), Some(what));
        check(Grant { rights: Rights::ALL, inbox_ids: None, ..child.clone() }, "inboxIds");
        check(Grant { inbox_ids: ids(&["ibx_3"]), ..child.clone() }, "inboxIds");
        check(Grant { expires_at: Some(101), ..child.clone() }, "expiresAt");
        check(Grant { expires_at: None, ..child.clone() }, "expiresAt");
        check(Grant { limits: of(&["c.test"]), ..child.clone() }, "limits.recipients");
        check(Grant { limits: SendLimits::default(), ..child.clone() }, "limits.recipients");
        let of = |mails, per_seconds| Grant {
            limits: SendLimits { mails, per_seconds, ..SendLimits::default() },
            ..Grant::default()
        };
        for (own, hour) in [
            (of(Some(2), None), None),
            (of(Some(2), Some(3600)), None),
            (of(Some(1), Some(7200)), None),
            (of(Some(3), Some(7200)), Some("limits.mails")),
            (of(Some(2), Some(60)), Some("limits.mails")),
            (of(None, None), Some("limits.mails")),
        ] {
            assert_eq!(own.exceeds(&of(Some(2), Some(3600))), hour, "{own:?}");
        }
        assert_eq!(of(Some(2), Some(3600)).exceeds(&of(Some(2), None)), Some("limits.mails"));
        let of_thread = Grant { thread_ids: ids(&["thd_1"]), ..parent.clone() };
        assert_eq!(parent.exceeds(&of_thread), Some("threadIds"));
        let reader = Grant { rights: rights("read"), ..parent.clone() };
        assert_eq!(child.exceeds(&reader), Some("rights"));
    }
}
