//! Which address mail leaves from: pools for kinds of mail, so that the reputation of one kind is not
//! the other's. Pure.

use std::net::IpAddr;

use serde::Deserialize;

use crate::shaping::mixed;

/// Addresses for one kind of mail.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub name: String,
    /// Addresses of this machine. A mail keeps to one of them from attempt to attempt.
    pub source_addresses: Vec<IpAddr>,
    /// Mail from these domains: "example.org", or "*.example.org" for what is below it.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Mail that one can unsubscribe from (a List-Unsubscribe field).
    #[serde(default)]
    pub lists: bool,
}

/// For mail that no pool takes: it leaves from wherever the system likes.
const DEFAULT: &str = "default";

/// The pool of a mail. The first that fits counts; one without a rule takes all.
pub(crate) fn choose<'a>(
    pools: &'a [Pool],
    from_domain: impl FnOnce() -> String,
    header_section: &[u8],
) -> Option<&'a Pool> {
    if pools.is_empty() {
        return None;
    }
    let from_domain = from_domain();
    let is_list = || has_field(header_section, b"list-unsubscribe:");
    pools.iter().find(|it| {
        let takes_all = it.domains.is_empty() && !it.lists;
        takes_all
            || it.domains.iter().any(|it| crate::route::fits(it, &from_domain))
            || (it.lists && is_list())
    })
}

pub(crate) fn name(pool: Option<&Pool>) -> &str {
    pool.map_or(DEFAULT, |it| &it.name)
}

/// The address a mail leaves from on its way to `target`: always the same, because a greylisting
/// server wants to see it again (RFC 6647). The error is for a pool without one of the target's kind.
pub(crate) fn address(
    pool: Option<&Pool>,
    mail_id: &str,
    target: IpAddr,
) -> Result<Option<IpAddr>, String> {
    let Some(pool) = pool else { return Ok(None) };
    let fitting = pool.source_addresses.iter().filter(|it| it.is_ipv4() == target.is_ipv4());
    let fitting: Vec<_> = fitting.collect();
    if fitting.is_empty() {
        return Err(format!("the pool {} has no address that reaches {target}", pool.name));
    }
    Ok(Some(*fitting[(mixed(mail_id.as_bytes()) % fitting.len() as u64) as usize]))
}

fn has_field(header_section: &[u8], name: &[u8]) -> bool {
    header_section
        .split(|it| *it == b'\n')
        .any(|line| line.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name)))
}

impl Pool {
    pub(crate) fn check(&self, key: &str) -> Result<(), String> {
        let is_name =
            |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "-_".contains(it);
        if self.name.is_empty() || !self.name.chars().all(is_name) {
            return Err(format!("{key}.name has lower-case letters, digits, - and _"));
        }
        if self.source_addresses.is_empty() {
            return Err(format!("{key}.source_addresses is empty: no mail could leave"));
        }
        crate::config::check_domains(&self.domains, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, domains: &[&str], lists: bool) -> Pool {
        Pool {
            name: name.to_owned(),
            source_addresses: ["127.0.0.2", "127.0.0.3", "::1"]
                .map(|it| it.parse().expect("address"))
                .to_vec(),
            domains: domains.iter().map(|it| (*it).to_owned()).collect(),
            lists,
        }
    }

    #[test]
    fn the_first_pool_that_fits_counts() {
        let pools = [pool("own", &["*.example.org"], false), pool("bulk", &[], true)];
        let check = |domain: &str, header: &str, expected: &str| {
            assert_eq!(name(choose(&pools, || domain.to_owned(), header.as_bytes())), expected);
        };
        check("a.example.org", "List-Unsubscribe: <x>\r\n", "own");
        check("b.test", "Subject: x\r\nlist-unsubscribe: <x>\r\n", "bulk");
        check("b.test", "Subject: List-Unsubscribe: x\r\n", "default");
        let all = [pool("bulk", &[], true), pool("rest", &[], false)];
        assert_eq!(name(choose(&all, || "b.test".to_owned(), b"")), "rest");
    }

    #[test]
    fn a_mail_keeps_to_its_address() {
        let pool = pool("a", &[], false);
        let of = |mail_id: &str, target: &str| {
            address(Some(&pool), mail_id, target.parse().expect("address")).expect("reachable")
        };
        let used: std::collections::BTreeSet<_> =
            (0..100).map(|it| of(&format!("eml_{it}"), "192.0.2.1")).collect();
        assert_eq!(used.len(), 2);
        assert_eq!(of("eml_1", "192.0.2.1"), of("eml_1", "192.0.2.99"));
        assert_eq!(of("eml_1", "2001:db8::1"), Some("::1".parse().expect("address")));
        let v4 = Pool { source_addresses: vec!["127.0.0.2".parse().expect("address")], ..pool };
        address(Some(&v4), "eml_1", "::1".parse().expect("address")).expect_err("no IPv6");
    }
}
