//! The file in which an operator says how mail is shaped; `deploy/config/shaping.toml` is the one
//! that is built in.

use std::path::Path;

use anyhow::Context as _;
use regex::Regex;
use serde::Deserialize;

use super::rate::Rate;

const BUILT_IN: &str = include_str!("../../../../deploy/config/shaping.toml");

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) routes: RouteRule,
    /// For a site that is no provider's.
    pub(crate) default: Limits,
    /// The first that fits counts.
    #[serde(default)]
    pub(crate) provider: Vec<Provider>,
    /// Looked at after those of the provider.
    #[serde(default)]
    pub(crate) automation: Vec<Automation>,
}

/// For how long a host is left alone that cannot be reached or does not want to talk.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteRule {
    /// The first time; it doubles with each further one.
    pub(crate) first_pause_seconds: u64,
    pub(crate) longest_pause_seconds: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Open at the same time, idle ones included.
    pub(crate) max_connections: u32,
    /// Then the connection is closed.
    pub(crate) messages_per_connection: u32,
    /// New connections.
    pub(crate) connection_rate: Rate,
    pub(crate) message_rate: Rate,
    pub(crate) tls: Tls,
    #[serde(default)]
    pub(crate) warm_up: Option<WarmUp>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tls {
    /// As the route says.
    Opportunistic,
    /// Never in clear.
    Required,
}

/// The days of a new address: few messages first, and more each day that goes well.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct WarmUp {
    /// Messages on the first day.
    pub(crate) first_day: u32,
    /// Each day has so many times as many as the one before.
    pub(crate) factor: f64,
    /// A day with more deferred than this is repeated.
    pub(crate) max_deferred_percent: f64,
    /// A day that would have so many has no limit any more.
    pub(crate) done_at: u32,
}

/// A receiver with many domains. What it does not say is as in `default`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    pub(crate) name: String,
    /// Ends of its mail exchangers' names: "google.com" is also "aspmx.l.google.com".
    #[serde(default)]
    pub(crate) mx: Vec<String>,
    /// Its domains, for mail that goes there by another route.
    #[serde(default)]
    pub(crate) domains: Vec<String>,
    max_connections: Option<u32>,
    messages_per_connection: Option<u32>,
    connection_rate: Option<Rate>,
    message_rate: Option<Rate>,
    tls: Option<Tls>,
    warm_up: Option<WarmUp>,
    #[serde(default)]
    pub(crate) automation: Vec<Automation>,
}

/// What a receiver's words lead to.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Automation {
    /// Found anywhere in "<code> <text>" of a reply that is not positive.
    pub(crate) regex: String,
    /// So many such replies in so long a time.
    pub(crate) trigger: Rate,
    pub(crate) action: Action,
    pub(crate) duration_minutes: u64,
    /// What holds meanwhile, if slower than otherwise; with action "slow".
    pub(crate) max_connections: Option<u32>,
    pub(crate) connection_rate: Option<Rate>,
    pub(crate) message_rate: Option<Rate>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// Nothing goes there.
    Suspend,
    /// Less goes there.
    Slow,
}

impl File {
    /// The one that is built in if there is no path. An error names the file and the key.
    pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<File> {
        let (text, name) = match path {
            None => (BUILT_IN.to_owned(), "the built-in shaping.toml".to_owned()),
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
                (text, name)
            }
        };
        let file: File = toml::from_str(&text).with_context(|| format!("read {name}"))?;
        file.check().map_err(|why| anyhow::anyhow!("{name}: {why}"))?;
        Ok(file)
    }

    fn check(&self) -> Result<(), String> {
        let RouteRule { first_pause_seconds: first, longest_pause_seconds: longest } = self.routes;
        if first == 0 || longest < first {
            return Err("routes: first_pause_seconds is at least 1, and not above \
                longest_pause_seconds"
                .to_owned());
        }
        self.default.check("default")?;
        for (n, provider) in self.provider.iter().enumerate() {
            let key = format!("provider {:?}", provider.name);
            if self.provider[..n].iter().any(|it| it.name == provider.name) {
                return Err(format!("{key} is there twice"));
            }
            provider.check(&key)?;
            provider.limits(&self.default).check(&key)?;
            check_all(&provider.automation, &key)?;
        }
        check_all(&self.automation, "automation")
    }
}

fn check_all(rules: &[Automation], key: &str) -> Result<(), String> {
    rules.iter().enumerate().try_for_each(|(n, rule)| rule.check(&format!("{key}: rule {}", n + 1)))
}

impl Limits {
    fn check(&self, key: &str) -> Result<(), String> {
        if self.max_connections == 0 || self.messages_per_connection == 0 {
            return Err(format!(
                "{key}: max_connections and messages_per_connection are at least 1"
            ));
        }
        self.warm_up.map_or(Ok(()), |it| it.check(key))
    }
}

impl WarmUp {
    fn check(&self, key: &str) -> Result<(), String> {
        if self.first_day == 0 || !(self.factor > 1.0 && self.factor.is_finite()) {
            return Err(format!(
                "{key}: warm_up needs a first_day of at least 1 and a factor above 1"
            ));
        }
        if !(0.0..=100.0).contains(&self.max_deferred_percent) {
            return Err(format!("{key}: warm_up.max_deferred_percent is 0 to 100"));
        }
        Ok(())
    }
}

impl Provider {
    pub(crate) fn limits(&self, default: &Limits) -> Limits {
        Limits {
            max_connections: self.max_connections.unwrap_or(default.max_connections),
            messages_per_connection: self
                .messages_per_connection
                .unwrap_or(default.messages_per_connection),
            connection_rate: self.connection_rate.unwrap_or(default.connection_rate),
            message_rate: self.message_rate.unwrap_or(default.message_rate),
            tls: self.tls.unwrap_or(default.tls),
            warm_up: self.warm_up.or(default.warm_up),
        }
    }

    fn check(&self, key: &str) -> Result<(), String> {
        let is_name =
            |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "-_".contains(it);
        if self.name.is_empty() || !self.name.chars().all(is_name) {
            return Err(format!("{key}: a name has lower-case letters, digits, - and _"));
        }
        if self.mx.is_empty() && self.domains.is_empty() {
            return Err(format!("{key} has neither mx nor domains: it would never fit"));
        }
        let is_host = |it: char| is_name(it) || it == '.';
        let odd = |it: &&String| it.starts_with('.') || it.is_empty() || !it.chars().all(is_host);
        match self.mx.iter().chain(&self.domains).find(odd) {
            Some(odd) => Err(format!(
                "{key}: {odd:?} never fits: write the domain in lower-case A-labels, \"example.org\""
            )),
            None => Ok(()),
        }
    }
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Action::Suspend => "suspend",
            Action::Slow => "slow",
        }
    }
}

impl Automation {
    fn check(&self, key: &str) -> Result<(), String> {
        // A TOML string may span lines, an error message should not.
        Regex::new(&self.regex)
            .map_err(|err| format!("{key}: regex: {}", err.to_string().replace('\n', " ")))?;
        if self.duration_minutes == 0 {
            return Err(format!("{key}: duration_minutes is at least 1"));
        }
        if self.trigger.count > MAX_TRIGGER {
            return Err(format!("{key}: trigger counts to {MAX_TRIGGER} at most"));
        }
        let slows = self.max_connections.is_some()
            || self.connection_rate.is_some()
            || self.message_rate.is_some();
        match self.action {
            Action::Suspend if slows => {
                Err(format!("{key} suspends: a limit besides says nothing, take it out"))
            }
            Action::Slow if !slows => Err(format!(
                "{key} slows nothing down: give max_connections, connection_rate or message_rate"
            )),
            _ if self.max_connections == Some(0) => {
                Err(format!("{key}: max_connections is at least 1; to stop is to suspend"))
            }
            _ => Ok(()),
        }
    }
}

/// The times of so many replies are kept.
const MAX_TRIGGER: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "[routes]\nfirst_pause_seconds = 30\nlongest_pause_seconds = 60\n";
    const DEFAULT: &str = "[default]\nmax_connections = 10\nmessages_per_connection = 100\n\
        connection_rate = '100/min'\nmessage_rate = '100/s'\ntls = 'opportunistic'\n";

    fn refuse(rest: &str, why: &str) {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, format!("{ROUTES}{DEFAULT}{rest}")).expect("write");
        let err = format!("{:#}", File::load(Some(&path)).expect_err(rest));
        assert!(err.contains(why) && err.contains("mine.toml"), "{err}");
    }

    #[test]
    fn the_built_in_file_is_right() {
        let file = File::load(None).expect("built in");
        let limits = |name: &str| {
            let provider = file.provider.iter().find(|it| it.name == name).expect(name);
            let limits = provider.limits(&file.default);
            (limits.max_connections, limits.messages_per_connection)
        };
        assert_eq!((file.default.max_connections, file.default.messages_per_connection), (10, 100));
        assert_eq!(limits("google"), (5, 50));
        assert_eq!(limits("outlook"), (5, 50));
        assert_eq!(limits("office365"), (5, 50));
        assert_eq!(limits("yahoo"), (10, 20));
        assert_eq!(limits("icloud"), (10, 5));
        assert_eq!(limits("orange"), (2, 100));
        assert_eq!(limits("gmx"), (4, 20));
        assert_eq!(limits("comcast"), (25, 1000));
        assert!(file.default.warm_up.is_none());
    }

    #[test]
    fn a_typo_is_named() {
        refuse("max_conections = 5\n", "max_conections");
        refuse("[[provider]]\nname = 'a'\nmx = ['a.test']\nmax_conections = 5\n", "max_conections");
        refuse("[[automation]]\nregexp = 'x'\n", "regexp");
    }

    #[test]
    fn bad_numbers_are_named() {
        let provider = "[[provider]]\nname = 'a'\nmx = ['a.test']\n";
        refuse(&format!("{provider}max_connections = 0"), "provider \"a\": max_connections");
        refuse(&format!("{provider}message_rate = '5/year'"), "5/year");
        refuse(&format!("{provider}tls = 'sometimes'"), "sometimes");
        refuse(&format!("{provider}{provider}"), "twice");
        refuse("[[provider]]\nname = 'A'\nmx = ['a.test']\n", "lower-case");
        refuse("[[provider]]\nname = 'a'\n", "never fit");
        refuse("[[provider]]\nname = 'a'\nmx = ['.a.test']\n", ".a.test");
        let warm_up = |it: &str| {
            format!("{provider}warm_up = {{ {it}, max_deferred_percent = 5, done_at = 100 }}")
        };
        refuse(&warm_up("first_day = 0, factor = 2"), "first_day");
        refuse(&warm_up("first_day = 5, factor = 1"), "factor");
    }

    #[test]
    fn bad_rules_are_named() {
        let rule =
            |it: &str| format!("[[automation]]\ntrigger = '2/h'\nduration_minutes = 5\n{it}");
        refuse(&rule("regex = '('\naction = 'suspend'"), "automation: rule 1: regex");
        refuse(&rule("regex = 'x'\naction = 'slow'"), "slows nothing");
        refuse(&rule("regex = 'x'\naction = 'suspend'\nmax_connections = 1"), "suspends");
        refuse(&rule("regex = 'x'\naction = 'slow'\nmax_connections = 0"), "at least 1");
        refuse(&rule("regex = 'x'\naction = 'stop'"), "stop");
    }
}
