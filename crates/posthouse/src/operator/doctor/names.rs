//! What the DNS says of the service: where mail comes in, and whether others believe what goes out.

use std::{net::IpAddr, time::Duration};

use anyhow::Context as _;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};

use super::{Check, Options, Verdict::*};

/// For a question.
const PATIENCE: Duration = Duration::from_secs(5);

/// RFC 7208 section 4.6.4: what asks for more look-ups than that is an error.
const MOST_LOOKUPS: usize = 10;

struct Names(TokioResolver);

/// A domain's policy for those who send to it (RFC 8461), as far as it matters here.
struct Policy {
    mode: String,
    mx: Vec<String>,
}

pub(super) async fn look(options: &Options) -> anyhow::Result<Vec<Check>> {
    let names = Names::new(options)?;
    let mut checks = Vec::new();
    match &options.hostname {
        Some(hostname) => checks.extend(names.hostname(hostname).await),
        None => {
            let way_out = "give --hostname, as the senders' configuration has it";
            checks.push(Check::bad("ptr", Skipped, "no name to look at", way_out));
        }
    }
    if options.domains.is_empty() {
        let way_out = "give --domain for each domain of the service";
        checks.push(Check::bad("dns", Skipped, "no domain to look at", way_out));
    }
    for domain in &options.domains {
        checks.extend(names.domain(domain, &options.selectors).await);
    }
    Ok(checks)
}

/// The text records of one kind, or what kept us from seeing them.
type Texts = Result<Vec<String>, String>;

impl Names {
    fn new(options: &Options) -> anyhow::Result<Names> {
        let mut builder = match options.dns {
            None => TokioResolver::builder_tokio()
                .context("read the system's name servers (resolv.conf); --dns names one")?,
            Some(server) => {
                let connections =
                    [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut it| {
                        it.port = server.port();
                        it
                    });
                let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = PATIENCE;
        // What others see counts, not what this machine knows.
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        Ok(Names(builder.build().context("set up the resolver")?))
    }

    async fn ask<T>(
        &self,
        name: &Name,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, String> {
        match self.0.lookup(name.clone(), kind).await {
            Ok(found) => Ok(found.answers().iter().filter_map(|it| read(&it.data)).collect()),
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Ok(Vec::new()),
            Err(err) => Err(format!("the DNS does not answer for {name} {kind}: {err}")),
        }
    }

    async fn texts(&self, name: &str, begin: &str) -> Texts {
        let name = absolute(name)?;
        let text = |data: &RData| match data {
            RData::TXT(txt) => {
                let text = String::from_utf8_lossy(&txt.txt_data.concat()).into_owned();
                text.to_lowercase().starts_with(begin).then_some(text)
            }
            _ => None,
        };
        self.ask(&name, RecordType::TXT, text).await
    }

    async fn addresses(&self, name: &Name) -> Result<Vec<IpAddr>, String> {
        let a = |data: &RData| match data {
            RData::A(it) => Some(IpAddr::from(it.0)),
            RData::AAAA(it) => Some(IpAddr::from(it.0)),
            _ => None,
        };
        let (v4, v6) =
            tokio::join!(self.ask(name, RecordType::A, a), self.ask(name, RecordType::AAAA, a));
        Ok([v4?, v6?].concat())
    }

    /// Receivers believe a name whose addresses lead back to it.
    async fn hostname(&self, hostname: &str) -> Vec<Check> {
        let found = async {
            let name = absolute(hostname)?;
            let addresses = self.addresses(&name).await?;
            let mut back = Vec::new();
            for ip in &addresses {
                let pointer = |data: &RData| match data {
                    RData::PTR(ptr) => Some(ptr.0.clone()),
                    _ => None,
                };
                let names = self.ask(&Name::from(*ip), RecordType::PTR, pointer).await?;
                if !names.contains(&name) {
                    let names: Vec<String> = names.iter().map(Name::to_string).collect();
                    back.push(format!(
                        "{ip} is {}",
                        if names.is_empty() { "nobody".into() } else { names.join(" ") }
                    ));
                }
            }
            Ok::<_, String>((addresses, back))
        };
        match found.await {
            Err(why) => vec![Check::bad("ptr", Failed, why, "see the name servers")],
            Ok((addresses, _)) if addresses.is_empty() => {
                let seen = format!("{hostname} has no address");
                vec![Check::bad("ptr", Failed, seen, format!("an A record for {hostname}"))]
            }
            Ok((addresses, back)) if back.is_empty() => {
                let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
                vec![Check::ok("ptr", format!("{hostname} is {} and back", addresses.join(" ")))]
            }
            Ok((_, back)) => {
                let way_out =
                    format!("have whoever owns the addresses set their PTR to {hostname}");
                vec![Check::bad("ptr", Failed, back.join("; "), way_out)]
            }
        }
    }

    async fn domain(&self, domain: &str, selectors: &[String]) -> Vec<Check> {
        let (exchangers, mx) = self.mx(domain).await;
        let mut checks = vec![mx, self.spf(domain).await];
        if selectors.is_empty() {
            let way_out = "give --selector for each DKIM key of the senders";
            checks.push(Check::bad("dkim", Skipped, format!("{domain}: no selector"), way_out));
        }
        for selector in selectors {
            checks.push(self.dkim(domain, selector).await);
        }
        checks.push(self.dmarc(domain).await);
        checks.push(self.mta_sts(domain, &exchangers).await);
        checks
    }

    async fn mx(&self, domain: &str) -> (Vec<String>, Check) {
        let exchanger = |data: &RData| match data {
            RData::MX(mx) => Some(mx.exchange.clone()),
            _ => None,
        };
        let found = async {
            let hosts = self.ask(&absolute(domain)?, RecordType::MX, exchanger).await?;
            let mut lost = Vec::new();
            for host in &hosts {
                if self.addresses(host).await?.is_empty() {
                    lost.push(host.to_string());
                }
            }
            Ok::<_, String>((hosts, lost))
        };
        let (hosts, lost) = match found.await {
            Ok(found) => found,
            Err(why) => return (Vec::new(), Check::bad("mx", Failed, why, "see the name servers")),
        };
        let names: Vec<String> =
            hosts.iter().map(|it| it.to_ascii().trim_end_matches('.').to_lowercase()).collect();
        let check = if names.is_empty() {
            let way_out = format!("an MX record for {domain} that names the intake's host");
            Check::bad("mx", Failed, format!("{domain} has none"), way_out)
        } else if !lost.is_empty() {
            let seen = format!("{domain}: {} has no address", lost.join(" "));
            Check::bad("mx", Failed, seen, "an A record for it")
        } else {
            Check::ok("mx", format!("{domain}: {}", names.join(" ")))
        };
        (names, check)
    }

    async fn spf(&self, domain: &str) -> Check {
        match self.texts(domain, "v=spf1").await {
            Ok(found) => spf(domain, &found),
            Err(why) => Check::bad("spf", Failed, why, "see the name servers"),
        }
    }

    async fn dkim(&self, domain: &str, selector: &str) -> Check {
        let name = format!("{selector}._domainkey.{domain}");
        match self.texts(&name, "").await {
            Ok(found) => dkim(&name, &found),
            Err(why) => Check::bad("dkim", Failed, why, "see the name servers"),
        }
    }

    async fn dmarc(&self, domain: &str) -> Check {
        match self.texts(&format!("_dmarc.{domain}"), "v=dmarc1").await {
            Ok(found) => dmarc(domain, &found),
            Err(why) => Check::bad("dmarc", Failed, why, "see the name servers"),
        }
    }

    async fn mta_sts(&self, domain: &str, exchangers: &[String]) -> Check {
        const NAME: &str = "mta-sts";
        match self.texts(&format!("_mta-sts.{domain}"), "v=stsv1").await {
            Err(why) => Check::bad(NAME, Failed, why, "see the name servers"),
            Ok(found) if found.is_empty() => {
                let way_out = "publish a policy (RFC 8461), or senders may be led to send in clear";
                Check::bad(NAME, Warning, format!("{domain} has none"), way_out)
            }
            Ok(_) => match policy(domain).await {
                Ok(policy) => covers(domain, &policy, exchangers),
                Err(err) => {
                    let way_out = format!("serve https://mta-sts.{domain}/.well-known/mta-sts.txt");
                    Check::bad(NAME, Failed, format!("{domain}: {err:#}"), way_out)
                }
            },
        }
    }
}

/// No search list is tried.
fn absolute(name: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(name).map_err(|err| format!("{name} is no name: {err}"))?;
    name.set_fqdn(true);
    Ok(name)
}

fn spf(domain: &str, found: &[String]) -> Check {
    const NAME: &str = "spf";
    let [record] = found else {
        let way_out = format!("one TXT record for {domain}, such as \"v=spf1 mx -all\" (RFC 7208)");
        return Check::bad(NAME, Failed, format!("{domain} has {} records", found.len()), way_out);
    };
    let words: Vec<String> = record.split_whitespace().map(str::to_lowercase).collect();
    let asks = |word: &&String| {
        let word = word.trim_start_matches(['+', '-', '~', '?']);
        ["include:", "redirect=", "exists:", "a", "mx", "ptr"].iter().any(|it| {
            word.strip_prefix(it).is_some_and(|rest| {
                !it.chars().all(char::is_alphanumeric)
                    || rest.is_empty()
                    || rest.starts_with([':', '/'])
            })
        })
    };
    let lookups = words.iter().filter(asks).count();
    if lookups > MOST_LOOKUPS {
        let seen = format!("{domain}: {lookups} look-ups, receivers make {MOST_LOOKUPS}");
        return Check::bad(NAME, Failed, seen, "name addresses instead of hosts");
    }
    if words.iter().any(|it| it == "+all" || it == "all") {
        let seen = format!("{domain}: anybody may send ({record})");
        return Check::bad(NAME, Failed, seen, "end it with -all or ~all");
    }
    let is_closed =
        words.iter().any(|it| it == "-all" || it == "~all" || it.starts_with("redirect="));
    if !is_closed {
        return Check::bad(
            NAME,
            Warning,
            format!("{domain}: {record}"),
            "end it with -all or ~all",
        );
    }
    Check::ok(NAME, format!("{domain}: {record}"))
}

fn dkim(name: &str, found: &[String]) -> Check {
    let key = found.iter().flat_map(|it| it.split(';')).find_map(|it| it.trim().strip_prefix("p="));
    match key {
        Some("") => {
            let way_out = "the key is revoked: sign with another, or publish it";
            Check::bad("dkim", Failed, format!("{name} has an empty key"), way_out)
        }
        Some(_) => Check::ok("dkim", format!("{name} has a key")),
        None => {
            let way_out = "publish the public half of the sender's key there (docs/domains.md)";
            Check::bad("dkim", Failed, format!("{name} has no key"), way_out)
        }
    }
}

fn dmarc(domain: &str, found: &[String]) -> Check {
    const NAME: &str = "dmarc";
    let [record] = found else {
        let way_out =
            format!("one TXT record for _dmarc.{domain}, such as \"v=DMARC1; p=quarantine\"");
        return Check::bad(NAME, Failed, format!("{domain} has {} records", found.len()), way_out);
    };
    let policy = record.split(';').find_map(|it| it.trim().strip_prefix("p=")).unwrap_or_default();
    if policy.trim().eq_ignore_ascii_case("none") {
        let way_out = "p=quarantine or p=reject, once the reports show that all mail passes";
        return Check::bad(NAME, Warning, format!("{domain}: {record}"), way_out);
    }
    Check::ok(NAME, format!("{domain}: {record}"))
}

async fn policy(domain: &str) -> anyhow::Result<Policy> {
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("set up HTTP")?;
    let url = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
    let answer = client.get(&url).send().await.with_context(|| format!("ask {url}"))?;
    let answer = answer.error_for_status().with_context(|| format!("ask {url}"))?;
    Ok(read_policy(&answer.text().await.with_context(|| format!("read {url}"))?))
}

fn read_policy(text: &str) -> Policy {
    let values = |key: &str| {
        let value = move |line: &str| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim().to_lowercase())
        };
        text.lines().filter_map(value).collect::<Vec<String>>()
    };
    Policy { mode: values("mode").pop().unwrap_or_default(), mx: values("mx") }
}

/// A policy that leaves an exchanger out keeps mail from it.
fn covers(domain: &str, policy: &Policy, exchangers: &[String]) -> Check {
    const NAME: &str = "mta-sts";
    let is_named = |host: &String| {
        policy.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => pattern == host,
        })
    };
    let missing: Vec<&str> =
        exchangers.iter().filter(|it| !is_named(it)).map(String::as_str).collect();
    if !missing.is_empty() {
        let seen = format!("{domain}: the policy does not name {}", missing.join(" "));
        return Check::bad(NAME, Failed, seen, "name every MX host in it");
    }
    if policy.mode != "enforce" {
        let way_out = "mode: enforce, once TLS reports show that all is well";
        return Check::bad(NAME, Warning, format!("{domain}: mode {}", policy.mode), way_out);
    }
    Check::ok(NAME, format!("{domain}: enforced"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(records: &[&str]) -> Vec<String> {
        records.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn spf_has_one_record_that_ends_somewhere() {
        let check = |records: &[&str], expected| {
            assert_eq!(spf("a.test", &texts(records)).verdict, expected, "{records:?}");
        };
        check(&["v=spf1 mx -all"], Good);
        check(&["v=spf1 redirect=_spf.b.test"], Good);
        check(&["v=spf1 mx"], Warning);
        check(&[], Failed);
        check(&["v=spf1 -all", "v=spf1 mx -all"], Failed);
        check(&["v=spf1 +all"], Failed);
        let many = format!("v=spf1 {} -all", "include:b.test ".repeat(11));
        check(&[&many], Failed);
        let addresses = format!("v=spf1 {} -all", "ip4:192.0.2.1 ".repeat(11));
        check(&[&addresses], Good);
    }

    #[test]
    fn a_key_and_a_policy_are_there_or_not() {
        assert_eq!(dkim("k", &texts(&["v=DKIM1; k=rsa; p=MIIB"])).verdict, Good);
        assert_eq!(dkim("k", &texts(&["v=DKIM1; p="])).verdict, Failed);
        assert_eq!(dkim("k", &[]).verdict, Failed);
        assert_eq!(dmarc("a.test", &texts(&["v=DMARC1; p=reject"])).verdict, Good);
        assert_eq!(dmarc("a.test", &texts(&["v=DMARC1; p=none"])).verdict, Warning);
        assert_eq!(dmarc("a.test", &[]).verdict, Failed);
    }

    #[test]
    fn a_policy_names_every_exchanger() {
        let policy =
            "version: STSv1\r\nmode: enforce\r\nmx: mx.a.test\r\nmx: *.b.test\r\nmax_age: 1\r\n";
        let check = |text: &str, hosts: &[&str], expected| {
            let policy = read_policy(text);
            assert_eq!(covers("a.test", &policy, &texts(hosts)).verdict, expected, "{hosts:?}");
        };
        check(policy, &["mx.a.test", "mx1.b.test"], Good);
        check(policy, &["mx2.a.test"], Failed);
        check(policy, &["deep.mx.b.test"], Failed);
        check("mode: testing\nmx: mx.a.test", &["mx.a.test"], Warning);
    }
}
