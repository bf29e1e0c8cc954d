//! The DNS records that make a domain an account's own, and what is wrong with those that are there.
//! Pure: `resolver` asks, this judges.

use store::{Domain, RecordCheck};

use crate::Config;

/// The hosts of this service that customers' records lead to.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    mx_host: String,
    spf_host: String,
    dkim_cname_host: Option<String>,
}

impl Names {
    pub(crate) fn new(config: &Config) -> Names {
        let own = config.domains.first().cloned().unwrap_or_default();
        Names {
            mx_host: config.mx_host.clone().unwrap_or_else(|| own.clone()),
            spf_host: config.spf_host.clone().unwrap_or(own),
            dkim_cname_host: config.dkim_cname_host.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Purpose {
    Ownership,
    Mx,
    Spf,
    Dkim,
    DkimEd25519,
    Dmarc,
    /// Of the keys that sign once these are there.
    DkimNext,
    DkimNextEd25519,
    /// Of keys that signed before.
    DkimRetired,
    DkimRetiredEd25519,
    /// Aliases for the keys after these.
    DkimSpare,
    DkimSpareEd25519,
}

impl Purpose {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Purpose::Ownership => "ownership",
            Purpose::Mx => "mx",
            Purpose::Spf => "spf",
            Purpose::Dkim => "dkim",
            Purpose::DkimEd25519 => "dkim_ed25519",
            Purpose::Dmarc => "dmarc",
            Purpose::DkimNext => "dkim_next",
            Purpose::DkimNextEd25519 => "dkim_next_ed25519",
            Purpose::DkimRetired => "dkim_retired",
            Purpose::DkimRetiredEd25519 => "dkim_retired_ed25519",
            Purpose::DkimSpare => "dkim_spare",
            Purpose::DkimSpareEd25519 => "dkim_spare_ed25519",
        }
    }
}

/// A record that a domain is to have.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) purpose: Purpose,
    pub(crate) kind: &'static str,
    pub(crate) host: String,
    pub(crate) value: String,
    pub(crate) priority: Option<u16>,
    /// The domain is not verified without.
    pub(crate) is_required: bool,
    /// What a question for the host's texts is to be answered with, where that is not `value`.
    pub(crate) text: Option<String>,
    /// What is said of it without looking: its status, and why.
    pub(crate) said: Option<(&'static str, String)>,
}

/// The records of a domain, in the order people enter them in.
pub(crate) fn wanted(domain: &Domain, names: &Names) -> Vec<Wanted> {
    let name = &domain.domain;
    let record = |purpose, host, value| Wanted {
        purpose,
        kind: "TXT",
        host,
        value,
        priority: None,
        is_required: true,
        text: None,
        said: None,
    };
    let dkim = |purpose, record| dkim(domain, names, purpose, record);
    let [rsa, ed25519] = domain.dkim_records();
    let mx = record(Purpose::Mx, name.clone(), names.mx_host.clone());
    let mut wanted = vec![
        record(
            Purpose::Ownership,
            format!("_posthouse.{name}"),
            format!("posthouse-verify={}", domain.id),
        ),
        Wanted { kind: "MX", priority: Some(10), ..mx },
        record(Purpose::Spf, name.clone(), format!("v=spf1 include:{} ~all", names.spf_host)),
        dkim(Purpose::Dkim, &rsa),
        record(Purpose::Dmarc, format!("_dmarc.{name}"), "v=DMARC1; p=none".to_owned()),
        // Receivers that know RFC 8463 only; the others verify the RSA signature.
        Wanted { is_required: false, ..dkim(Purpose::DkimEd25519, &ed25519) },
    ];
    wanted.extend(other_keys(domain, names));
    wanted
}

/// The record of a key, or an alias of where it is.
fn dkim(
    domain: &Domain,
    names: &Names,
    purpose: Purpose,
    (selector, text): &(String, String),
) -> Wanted {
    let host = format!("{selector}._domainkey.{}", domain.domain);
    let (kind, value, text) = match &names.dkim_cname_host {
        None => ("TXT", text.clone(), None),
        Some(host) => {
            let target = format!("{selector}.{}.{host}", label(&domain.id));
            ("CNAME", target, Some(text.clone()))
        }
    };
    Wanted { purpose, kind, host, value, priority: None, is_required: true, text, said: None }
}

/// The records of keys that do not sign: not yet, no more, or perhaps some day.
fn other_keys(domain: &Domain, names: &Names) -> Vec<Wanted> {
    let optional = |purpose, record: &(String, String)| Wanted {
        is_required: false,
        ..dkim(domain, names, purpose, record)
    };
    let mut wanted = Vec::new();
    if let Some(next) = &domain.next_keys {
        let [rsa, ed25519] = next.dkim_records();
        wanted.push(optional(Purpose::DkimNext, &rsa));
        wanted.push(optional(Purpose::DkimNextEd25519, &ed25519));
    }
    for keys in &domain.retired_keys {
        let [rsa, ed25519] = keys.dkim_records();
        let until = store::rfc3339(keys.removable_at());
        let why = format!(
            "It signs no more and may be removed after {until}: until then mail that it has signed may \
             be under way."
        );
        for (purpose, record) in
            [(Purpose::DkimRetired, rsa), (Purpose::DkimRetiredEd25519, ed25519)]
        {
            let said = Some(("retired", why.clone()));
            wanted.push(Wanted { said, ..optional(purpose, &record) });
        }
    }
    let spare = next_selector(domain, names);
    let is_known = |selector: &str| {
        let others = domain.next_keys.iter().chain(&domain.retired_keys);
        others.map(|it| it.selector.as_str()).any(|it| it == selector)
    };
    if names.dkim_cname_host.is_some() && !is_known(&spare) {
        let why = "With it, the keys can be changed without you. It is looked for then.";
        let records = store::dkim_selectors(&spare).map(|it| (it, String::new()));
        for (purpose, record) in
            [Purpose::DkimSpare, Purpose::DkimSpareEd25519].into_iter().zip(&records)
        {
            let said = Some(("spare", why.to_owned()));
            // Nobody has to publish anything there yet.
            wanted.push(Wanted { said, text: None, ..optional(purpose, record) });
        }
    }
    wanted
}

/// The name of a domain's next keys. Aliases take turns, so that both can be there from the start and
/// the customer has nothing to do when keys change.
pub(crate) fn next_selector(domain: &Domain, names: &Names) -> String {
    let generation = domain.dkim_selector.trim_start_matches("ph").parse::<u64>().unwrap_or(1);
    let next = match names.dkim_cname_host {
        Some(_) => generation % 2 + 1,
        None => generation.saturating_add(1),
    };
    format!("ph{next}")
}

/// Not every DNS provider takes an underscore in the target of an alias.
fn label(domain_id: &str) -> String {
    domain_id.replace('_', "-")
}

/// What the DNS says.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Texts(Vec<String>),
    /// Preference and host, without the dot at its end.
    Exchanges(Vec<(u16, String)>),
    Nothing,
    /// It says nothing now; why.
    Unreachable(String),
}

/// What that means for a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    Good,
    Missing(String),
    Wrong(String),
    Unreachable(String),
}

impl Finding {
    pub(crate) fn is_good(&self) -> bool {
        *self == Finding::Good
    }

    /// It is certain that the record is not there.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Finding::Missing(_) | Finding::Wrong(_))
    }

    pub(crate) fn check(&self, purpose: Purpose) -> RecordCheck {
        let (status, reason) = match self {
            Finding::Good => ("verified", "The record is as it should be."),
            Finding::Missing(why) => ("missing", why.as_str()),
            Finding::Wrong(why) => ("wrong", why.as_str()),
            Finding::Unreachable(why) => ("unreachable", why.as_str()),
        };
        RecordCheck {
            name: purpose.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

pub(crate) fn judge(wanted: &Wanted, answer: &Answer) -> Finding {
    let missing = |kind: &str| {
        Finding::Missing(format!(
            "There is no such {kind} record at {}. A new record can take some minutes, or as long as \
             the old one's TTL, to be seen.",
            wanted.host
        ))
    };
    match answer {
        Answer::Unreachable(why) => Finding::Unreachable(format!(
            "The name servers did not answer for {}: {why}. It will be asked again.",
            wanted.host
        )),
        Answer::Nothing => missing(wanted.kind),
        Answer::Exchanges(exchanges) => judge_exchanges(wanted, exchanges),
        Answer::Texts(texts) => match wanted.purpose {
            Purpose::Ownership if texts.iter().any(|it| it.trim() == wanted.value) => Finding::Good,
            Purpose::Spf => judge_spf(wanted, texts).unwrap_or_else(|| missing("SPF")),
            Purpose::Dmarc => judge_dmarc(wanted, texts).unwrap_or_else(|| missing("DMARC")),
            Purpose::Ownership | Purpose::Mx => missing(wanted.kind),
            _ => judge_dkim(wanted, texts).unwrap_or_else(|| missing("DKIM")),
        },
    }
}

/// RFC 5321 section 5.1: the lowest preference gets the mail, the others are for when it is away.
fn judge_exchanges(wanted: &Wanted, exchanges: &[(u16, String)]) -> Finding {
    let is_ours = |host: &str| host.eq_ignore_ascii_case(&wanted.value);
    let Some(ours) = exchanges.iter().filter(|(_, host)| is_ours(host)).map(|it| it.0).min() else {
        let hosts: Vec<_> = exchanges.iter().map(|(_, host)| host.as_str()).collect();
        return Finding::Wrong(format!(
            "Mail for {} goes to {}, not to {}.",
            wanted.host,
            hosts.join(", "),
            wanted.value
        ));
    };
    match exchanges.iter().find(|(preference, host)| *preference <= ours && !is_ours(host)) {
        None => Finding::Good,
        Some((preference, host)) => Finding::Wrong(format!(
            "The MX record {host} has priority {preference} and gets mail that {} should get with \
             its {ours}: remove it, or give it a higher number.",
            wanted.value
        )),
    }
}

/// RFC 7208 section 4.5: more than one record is an error that makes all of them useless.
fn judge_spf(wanted: &Wanted, texts: &[String]) -> Option<Finding> {
    let include = wanted.value.split_whitespace().nth(1).unwrap_or_default();
    let is_spf = |text: &&String| {
        text.split_whitespace().next().is_some_and(|it| it.eq_ignore_ascii_case("v=spf1"))
    };
    let records: Vec<_> = texts.iter().filter(is_spf).collect();
    let has_include = |text: &str| {
        text.split_whitespace().any(|it| it.trim_start_matches('+').eq_ignore_ascii_case(include))
    };
    match records[..] {
        [] => None,
        [record] if has_include(record) => Some(Finding::Good),
        [_] => Some(Finding::Wrong(format!(
            "The SPF record of {} does not have {include}: put it before the \"all\" at its end.",
            wanted.host
        ))),
        [..] => Some(Finding::Wrong(format!(
            "{} has {} SPF records, and receivers then believe none: merge them into one.",
            wanted.host,
            records.len()
        ))),
    }
}

/// RFC 6376 section 3.6.2.2: more than one record at a selector means nothing.
fn judge_dkim(wanted: &Wanted, texts: &[String]) -> Option<Finding> {
    let own = key(wanted.text.as_deref().unwrap_or(&wanted.value));
    let keys: Vec<_> = texts.iter().filter_map(|it| key(it)).collect();
    match &keys[..] {
        [] => None,
        [found] if Some(found) == own.as_ref() => Some(Finding::Good),
        [_] => Some(Finding::Wrong(format!(
            "The DKIM record at {} has another key: it was cut, or is of an earlier time.",
            wanted.host
        ))),
        [..] => Some(Finding::Wrong(format!(
            "There are {} DKIM records at {}: only this one may be there.",
            keys.len(),
            wanted.host
        ))),
    }
}

/// The key type and the key of a DKIM record; white space in the key means nothing (section 3.6.1).
fn key(text: &str) -> Option<(String, String)> {
    let tag = |name: &str| {
        let mut tags = text.split(';').filter_map(|it| it.split_once('='));
        let (_, value) = tags.find(|(it, _)| it.trim() == name)?;
        Some(value.split_whitespace().collect::<String>())
    };
    Some((tag("k").unwrap_or_else(|| "rsa".to_owned()), tag("p")?))
}

/// RFC 7489 section 6.6.3. Which policy it is, is the owner's business.
fn judge_dmarc(wanted: &Wanted, texts: &[String]) -> Option<Finding> {
    let is_dmarc =
        |text: &&String| text.split(';').next().is_some_and(|it| it.replace(' ', "") == "v=DMARC1");
    match texts.iter().filter(is_dmarc).count() {
        0 => None,
        1 => Some(Finding::Good),
        count => Some(Finding::Wrong(format!(
            "There are {count} DMARC records at {}, and receivers then believe none: keep one.",
            wanted.host
        ))),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use store::DomainStatus;

    use super::*;
    use crate::zone_file::zone_file;

    pub(crate) fn domain() -> Domain {
        Domain {
            id: "dom_1".to_owned(),
            account_id: "acct_1".to_owned(),
            domain: "customer.example".to_owned(),
            status: DomainStatus::PendingVerification,
            checks: Vec::new(),
            dkim_selector: "ph1".to_owned(),
            rsa_public: vec![1; 294],
            ed25519_public: vec![2; 32],
            created_at: 0,
            verified_at: None,
            checked_at: None,
            misses: 0,
            next_keys: None,
            retired_keys: Vec::new(),
        }
    }

    pub(crate) fn names(dkim_cname_host: Option<&str>) -> Names {
        Names {
            mx_host: "mx.post.example".to_owned(),
            spf_host: "spf.post.example".to_owned(),
            dkim_cname_host: dkim_cname_host.map(str::to_owned),
        }
    }

    fn of(purpose: Purpose) -> Wanted {
        let wanted = wanted(&domain(), &names(None));
        wanted.into_iter().find(|it| it.purpose == purpose).expect("a record")
    }

    #[track_caller]
    fn check(purpose: Purpose, texts: &[&str], status: &str) {
        let texts = texts.iter().map(|it| (*it).to_owned()).collect();
        let found = judge(&of(purpose), &Answer::Texts(texts)).check(purpose);
        assert_eq!(found.status, status, "{}", found.reason);
    }

    #[test]
    fn tells_the_records_of_the_contract() {
        let shown: Vec<_> = wanted(&domain(), &names(None))
            .into_iter()
            .map(|it| format!("{} {} {}", it.kind, it.host, &it.value[..it.value.len().min(35)]))
            .collect();
        assert_eq!(
            shown,
            [
                "TXT _posthouse.customer.example posthouse-verify=dom_1",
                "MX customer.example mx.post.example",
                "TXT customer.example v=spf1 include:spf.post.example ~al",
                "TXT ph1._domainkey.customer.example v=DKIM1; k=rsa; p=AQEBAQEBAQEBAQEBA",
                "TXT _dmarc.customer.example v=DMARC1; p=none",
                "TXT ph1-ed25519._domainkey.customer.example v=DKIM1; k=ed25519; p=AgICAgICAgICA",
            ]
        );
    }

    #[test]
    fn dkim_can_be_an_alias() {
        let wanted = wanted(&domain(), &names(Some("dkim.post.example")));
        let dkim = wanted.iter().find(|it| it.purpose == Purpose::Dkim).expect("DKIM");
        assert_eq!((dkim.kind, &*dkim.value), ("CNAME", "ph1.dom-1.dkim.post.example"));
        let [(_, text), _] = domain().dkim_records();
        assert!(judge(dkim, &Answer::Texts(vec![text])).is_good());
        let zone = zone_file(&domain(), &wanted);
        assert!(zone.contains("IN CNAME ph1.dom-1.dkim.post.example.\n"), "{zone}");
        assert!(zone.contains("; ph1.dom-1.dkim.post.example. 3600 IN TXT \"v=DKIM1"), "{zone}");
    }

    #[test]
    fn judges_texts() {
        use Purpose::{Dkim, Dmarc, Ownership, Spf};
        check(Ownership, &["x", "posthouse-verify=dom_1 "], "verified");
        check(Ownership, &["posthouse-verify=dom_2"], "missing");
        check(Spf, &["other", "V=spf1 a +include:SPF.post.example -all"], "verified");
        check(Spf, &["v=spf1 include:other.example ~all"], "wrong");
        check(Spf, &["v=spf10 include:spf.post.example"], "missing");
        let ours = "v=spf1 include:spf.post.example ~all";
        check(Spf, &[ours, "v=spf1 mx -all"], "wrong");
        let [(_, rsa), (_, ed25519)] = domain().dkim_records();
        let spaced = rsa.replace("AQEB", "AQ EB").replace("; ", " ;");
        check(Dkim, &[&spaced], "verified");
        check(Dkim, &[&rsa[..100]], "wrong");
        check(Dkim, &[&ed25519], "wrong");
        check(Dkim, &[&rsa, &ed25519], "wrong");
        check(Dkim, &["hello"], "missing");
        check(Dmarc, &["v=DMARC1; p=reject"], "verified");
        check(Dmarc, &["v=DMARC1;p=none", "v=DMARC1;p=reject"], "wrong");
        check(Dmarc, &["v=DMARC12"], "missing");
    }

    #[test]
    fn judges_exchanges() {
        let check = |exchanges: &[(u16, &str)], status: &str| {
            let exchanges = exchanges.iter().map(|(it, host)| (*it, (*host).to_owned())).collect();
            let found = judge(&of(Purpose::Mx), &Answer::Exchanges(exchanges));
            assert_eq!(found.check(Purpose::Mx).status, status, "{found:?}");
        };
        check(&[(10, "MX.post.example")], "verified");
        check(&[(5, "mx.post.example"), (10, "backup.example")], "verified");
        check(&[(10, "mx.post.example"), (10, "other.example")], "wrong");
        check(&[(10, "mx.post.example"), (5, "other.example")], "wrong");
        check(&[(10, "other.example")], "wrong");
        check(&[(0, "")], "wrong");
    }

    #[test]
    fn silence_is_no_verdict() {
        let found = judge(&of(Purpose::Mx), &Answer::Unreachable("timeout".to_owned()));
        assert!(!found.is_gone() && !found.is_good());
        assert!(judge(&of(Purpose::Mx), &Answer::Nothing).is_gone());
    }
}
