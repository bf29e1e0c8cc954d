//! A domain's records as a zone file (RFC 1035 section 5).

use std::fmt::Write as _;

use store::Domain;

use crate::dns_records::Wanted;

/// The records, and under them what the operator has to publish
/// where customers' DKIM records are aliases.
pub(crate) fn zone_file(domain: &Domain, wanted: &[Wanted]) -> String {
    let mut zone = format!("; DNS records of {}\n", domain.domain);
    for record in wanted {
        let optional = if record.is_required { "" } else { " ; optional" };
        let data = match (record.kind, record.priority) {
            ("TXT", _) => strings(&record.value),
            (_, Some(priority)) => format!("{priority} {}.", record.value),
            (_, None) => format!("{}.", record.value),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(zone, "{}. 3600 IN {} {data}{optional}", record.host, record.kind);
    }
    let aliases: Vec<_> = wanted.iter().filter_map(|it| Some((it, it.text.as_ref()?))).collect();
    if !aliases.is_empty() {
        zone.push_str("; In the zone of the service itself, by its operator:\n");
    }
    for (record, text) in aliases {
        let _ = writeln!(zone, "; {}. 3600 IN TXT {}", record.value, strings(text));
    }
    zone
}

/// A string of a TXT record has at most 255 octets (RFC 1035 section 3.3).
fn strings(text: &str) -> String {
    let chunks = text.as_bytes().chunks(255);
    let quoted = chunks.map(|it| format!("\"{}\"", String::from_utf8_lossy(it)));
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns_records::{
        tests::{domain, names},
        wanted,
    };

    #[test]
    fn a_zone_file_has_short_strings() {
        let zone = zone_file(&domain(), &wanted(&domain(), &names(None)));
        assert!(zone.contains("customer.example. 3600 IN MX 10 mx.post.example.\n"), "{zone}");
        let line = zone.lines().find(|it| it.starts_with("ph1._domainkey")).expect("DKIM");
        let longest = line.split('"').map(str::len).max();
        assert!(longest == Some(255), "{line}");
    }
}
