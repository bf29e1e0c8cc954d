//! Links that lead elsewhere than they say. What is found here is no order to an agent and does not
//! touch the injection score.

use std::{collections::HashSet, ops::Range};

use unicode_security::MixedScript;

use crate::{Flag, Kind, Reason, Sample, assess::excerpt};

const VERSION: &str = "1";
/// More links in one mail are not looked at.
const MAX_LINKS: usize = 500;

pub(crate) fn phishing(sample: &Sample) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for (part, it) in sample.parts.iter().enumerate() {
        let mut found = |(span, weight, explanation)| {
            reasons.push(Reason {
                detector: "phishing",
                version: VERSION,
                flag: Flag::PhishingUrl,
                part,
                kind: it.kind,
                excerpt: excerpt(&it.text, &span),
                span,
                explanation,
                weight,
            });
        };
        match it.kind {
            Kind::Link => strange_links(&it.text).into_iter().for_each(&mut found),
            Kind::Html => {
                let targets = sample.parts.get(part + 1..).unwrap_or_default();
                let links = targets.iter().find(|it| it.kind == Kind::Link);
                let hosts = links.map(|it| hosts(&it.text)).unwrap_or_default();
                elsewhere(&it.text, &hosts).into_iter().for_each(&mut found);
            }
            _ => (),
        }
    }
    reasons.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    reasons.truncate(3);
    reasons
}

type Found = (Range<usize>, f64, &'static str);

/// Targets that no honest sender needs to write so.
fn strange_links(links: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    for link in links.split('\n').take(MAX_LINKS) {
        let span = at..at + link.len();
        at = span.end + 1;
        let lower = link.trim_start().to_ascii_lowercase();
        if lower.starts_with("javascript:") || lower.starts_with("data:text/html") {
            found.push((span.clone(), 0.7, "A link runs a program instead of opening a page."));
        }
        let Some(authority) = authority(&lower) else { continue };
        if authority.split_once('@').is_some_and(|it| it.0.contains('.')) {
            found.push((
                span.clone(),
                0.7,
                "A link begins with a name that is not where it leads.",
            ));
        }
        if is_imitation(host(authority)) {
            found.push((
                span,
                0.6,
                "A domain mixes letters of several scripts, so that it looks like another.",
            ));
        }
    }
    found
}

/// Addresses in the text a person reads, of domains that none of the links leads to.
fn elsewhere(text: &str, hosts: &HashSet<String>) -> Vec<Found> {
    if hosts.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://").take(MAX_LINKS) {
        let start = text[..at].trim_end_matches(|it: char| it.is_ascii_alphabetic()).len();
        let rest = &text[start..];
        let belongs = |it: char| it.is_alphanumeric() || "-._~:/?#@!$&+,;=%".contains(it);
        let end = rest.find(|it: char| !belongs(it)).unwrap_or(rest.len());
        let Some(authority) = authority(&rest[..end]) else { continue };
        let said = registrable(host(authority));
        if said.is_some_and(|it| !hosts.contains(&it)) {
            let why = "The text shows an address of a domain that none of the links leads to.";
            found.push((start..start + end, 0.45, why));
        }
    }
    found
}

fn hosts(links: &str) -> HashSet<String> {
    let links = links.split('\n').take(MAX_LINKS);
    links.filter_map(|it| registrable(host(authority(it.trim_start())?))).collect()
}

/// What stands between the scheme and the path (RFC 3986 section 3.2).
fn authority(link: &str) -> Option<&str> {
    let (scheme, rest) = link.split_once("://")?;
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|it| web && !it.is_empty())
}

fn host(authority: &str) -> &str {
    let host = authority.rsplit_once('@').map_or(authority, |it| it.1);
    host.split_once(':').map_or(host, |it| it.0).trim_end_matches('.')
}

fn registrable(host: &str) -> Option<String> {
    let host = host.to_lowercase();
    psl::domain_str(&host).map(str::to_owned)
}

/// A name whose labels, as they are shown, mix scripts as no language does (UTS #39 section 5.1).
fn is_imitation(host: &str) -> bool {
    let (shown, _) = idna::domain_to_unicode(host);
    !shown.is_ascii() && shown.split('.').any(|it| !it.is_ascii() && !it.is_single_script())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;

    fn weight(parts: &[(Kind, &str)]) -> f64 {
        let parts = parts.iter().map(|(kind, text)| Part { kind: *kind, text: (*text).to_owned() });
        let reasons = phishing(&Sample { parts: parts.collect() });
        reasons.first().map_or(0.0, |it| it.weight)
    }

    #[test]
    fn finds_links_that_pretend() {
        for link in [
            "https://paypal.com@evil.test/login",
            "javascript:alert(1)",
            "https://xn--pple-43d.com/",
            "https://\u{440}aypal.com/login",
        ] {
            assert!(weight(&[(Kind::Link, link)]) >= 0.5, "{link}");
        }
        let text = "Sign in at https://www.mybank.co.uk/login today";
        let links = "https://evil.example/a";
        assert!(weight(&[(Kind::Html, text), (Kind::Link, links)]) >= 0.4);
    }

    #[test]
    fn passes_honest_links() {
        for link in [
            "https://www.x.test/a?b=c@d.e",
            "mailto:a@x.test",
            "https://user@x.test/",
            "https://xn--mnchen-3ya.de/",
            "https://日本語.jp/",
            "data:image/png;base64,AAAA",
        ] {
            assert!(weight(&[(Kind::Link, link)]) < 0.3, "{link}");
        }
        let text = "º«https://x.test»º://º";
        assert!(weight(&[(Kind::Html, text), (Kind::Link, "https://x.test/")]) < 0.3);
        let text = "See https://shop.mybank.co.uk/login";
        let links = "https://click.mybank.co.uk/1\nhttps://cdn.example/";
        assert!(weight(&[(Kind::Html, text), (Kind::Link, links)]) < 0.3);
    }
}
