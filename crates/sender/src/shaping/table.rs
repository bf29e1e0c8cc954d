//! Which provider a destination is, and what its words mean. Pure.

use std::time::Duration;

use anyhow::Context as _;
use regex::Regex;

use super::{
    file::{Action, Automation, File, Limits, RouteRule, Tls},
    rate::Rate,
};

/// The file, made ready to be asked.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) routes: RouteRule,
    default: Limits,
    providers: Vec<Provider>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Provider {
    name: String,
    mx: Vec<String>,
    domains: Vec<String>,
    limits: Limits,
    rules: Vec<Rule>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    regex: Regex,
    pub(crate) trigger: Rate,
    pub(crate) action: Action,
    pub(crate) duration: Duration,
    pub(crate) max_connections: Option<u32>,
    pub(crate) connection_rate: Option<Rate>,
    pub(crate) message_rate: Option<Rate>,
}

/// What metrics say of a site that is no provider's: their number is not bounded.
pub(crate) const OTHER: &str = "other";

/// So many mails ask about the exchangers of one domain at the same time: if DNS hangs, the others'
/// mail should not hang with it.
const LOOKUPS: Limits = Limits {
    max_connections: 8,
    messages_per_connection: 1,
    connection_rate: UNBOUNDED,
    message_rate: UNBOUNDED,
    tls: Tls::Opportunistic,
    warm_up: None,
};

const UNBOUNDED: Rate = Rate { count: 1_000_000, per: Duration::from_secs(1) };

/// Where limits hold together: everything that goes to one provider from one pool of addresses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SiteName {
    /// "google/default", or "mx:mx.example.org/default" for what is no provider's.
    pub(crate) key: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Provider(usize),
    Other,
    /// Where we ask for the exchangers of a domain.
    Lookups,
}

impl SiteName {
    pub(crate) fn of_lookups(domain: &str) -> SiteName {
        SiteName { key: format!("dns:{domain}"), kind: Kind::Lookups }
    }

    /// Whether its limits are those of all replicas together.
    pub(crate) fn is_shared(&self) -> bool {
        self.kind != Kind::Lookups
    }
}

impl Table {
    pub(crate) fn new(file: File) -> anyhow::Result<Table> {
        let default = file.default;
        let provider = |it: super::file::Provider| {
            let limits = it.limits(&default);
            let rules = Rule::all(&it.automation)?;
            anyhow::Ok(Provider { name: it.name, mx: it.mx, domains: it.domains, limits, rules })
        };
        let providers = file.provider.into_iter().map(provider).collect::<anyhow::Result<_>>()?;
        Ok(Table { routes: file.routes, default, providers, rules: Rule::all(&file.automation)? })
    }

    /// `hosts` are the domain's mail exchangers, never none, in any order.
    pub(crate) fn site(&self, domain: &str, hosts: &[&str], pool: &str) -> SiteName {
        let fits = |it: &Provider| {
            it.domains.iter().any(|it| it == domain)
                || hosts.iter().any(|host| it.mx.iter().any(|suffix| is_below(host, suffix)))
        };
        let provider = self.providers.iter().position(fits);
        let name = match provider {
            Some(provider) => self.providers[provider].name.clone(),
            // The first of the alphabet: which exchanger comes first is drawn by lot.
            None => format!("mx:{}", hosts.iter().min().unwrap_or(&domain).to_ascii_lowercase()),
        };
        let kind = provider.map_or(Kind::Other, Kind::Provider);
        SiteName { key: format!("{name}/{pool}"), kind }
    }

    pub(crate) fn limits(&self, site: &SiteName) -> &Limits {
        match site.kind {
            Kind::Provider(it) => &self.providers[it].limits,
            Kind::Other => &self.default,
            Kind::Lookups => &LOOKUPS,
        }
    }

    /// What metrics call it; `None` for what is no site that takes mail.
    pub(crate) fn label(&self, site: &SiteName) -> Option<&str> {
        let name = self.provider(site).map_or(OTHER, |it| &it.name);
        (site.kind != Kind::Lookups).then_some(name)
    }

    fn provider(&self, site: &SiteName) -> Option<&Provider> {
        match site.kind {
            Kind::Provider(it) => Some(&self.providers[it]),
            Kind::Other | Kind::Lookups => None,
        }
    }

    /// The rules that a reply ("421 4.7.28 …") meets, each with what names it among the site's.
    pub(crate) fn met<'a>(
        &'a self,
        site: &SiteName,
        reply: &'a str,
    ) -> impl Iterator<Item = (String, &'a Rule)> {
        let own = self.provider(site).map_or(&[][..], |it| &it.rules);
        let named = |kind: &'static str, rules: &'a [Rule]| {
            rules.iter().enumerate().map(move |(n, rule)| (format!("{kind}{n}"), rule))
        };
        named("own", own).chain(named("all", &self.rules)).filter(|it| it.1.regex.is_match(reply))
    }
}

impl Rule {
    fn all(rules: &[Automation]) -> anyhow::Result<Vec<Rule>> {
        let rule = |it: &Automation| {
            Ok(Rule {
                regex: Regex::new(&it.regex).context("read a regex of the shaping file")?,
                trigger: it.trigger,
                action: it.action,
                duration: Duration::from_secs(it.duration_minutes * 60),
                max_connections: it.max_connections,
                connection_rate: it.connection_rate,
                message_rate: it.message_rate,
            })
        };
        rules.iter().map(rule).collect()
    }
}

/// `host` is `suffix`, or a name below it.
fn is_below(host: &str, suffix: &str) -> bool {
    let Some(at) = host.len().checked_sub(suffix.len()) else { return false };
    host.is_char_boundary(at)
        && host[at..].eq_ignore_ascii_case(suffix)
        && (at == 0 || host[..at].ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new(File::load(None).expect("built in")).expect("table")
    }

    fn check(domain: &str, hosts: &[&str], key: &str, label: &str) {
        let table = table();
        let site = table.site(domain, hosts, "default");
        assert_eq!((site.key.as_str(), table.label(&site)), (key, Some(label)));
    }

    #[test]
    fn domains_at_one_provider_are_one_site() {
        let google = &["alt1.aspmx.l.google.com", "ASPMX.L.GOOGLE.COM"];
        check("example.org", google, "google/default", "google");
        check("gmail.com", &["smarthost.example"], "google/default", "google");
        let office = &["example-org.mail.protection.outlook.com"];
        check("example.org", office, "office365/default", "office365");
        let outlook = &["hotmail-com.olc.protection.outlook.com"];
        check("hotmail.com", outlook, "outlook/default", "outlook");
    }

    #[test]
    fn others_go_by_their_exchanger() {
        check(
            "example.org",
            &["mx2.example.net", "mx1.example.net"],
            "mx:mx1.example.net/default",
            OTHER,
        );
        check(
            "example.org",
            &["mx1.example.net", "mx2.example.net"],
            "mx:mx1.example.net/default",
            OTHER,
        );
        check("example.org", &["notgoogle.com"], "mx:notgoogle.com/default", OTHER);
    }

    fn met(host: &str, reply: &str) -> Vec<String> {
        let table = table();
        let site = table.site("example.org", &[host], "default");
        table.met(&site, reply).map(|it| it.0).collect()
    }

    #[test]
    fn what_providers_say_is_understood() {
        let yahoo = "mta5.am0.yahoodns.net";
        assert_eq!(
            met(yahoo, "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred"),
            ["own0", "all0"]
        );
        assert_eq!(met(yahoo, "451 4.3.2 Internal error"), Vec::<String>::new());
        let google = "gmail-smtp-in.l.google.com";
        let text = "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail";
        assert_eq!(met(google, text), ["own0"]);
        let outlook = "hotmail-com.olc.protection.outlook.com";
        assert_eq!(
            met(
                outlook,
                "451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections"
            ),
            ["own0"]
        );
        assert_eq!(met("mx.example.org", "421 Too many connections"), ["all1"]);
    }
}
