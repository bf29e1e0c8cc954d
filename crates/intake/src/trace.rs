//! The trace header that is put on top of a content (RFC 5321 section 4.4), and the count of those it
//! already has.

use contract::{Envelope, Peer};
use memchr::memchr;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// A mail that came through more hops is taken for a loop (RFC 5321 section 6.3).
pub(crate) const MAX_HOPS: usize = 100;

/// How a client spoke, beside what the envelope and the peer tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Protocol {
    /// It said EHLO.
    pub(crate) extended: bool,
    pub(crate) authenticated: bool,
}

/// The Received field. Return-Path is added where the mail is finally delivered.
pub(crate) fn header(
    peer: &Peer,
    spoken: Protocol,
    envelope: &Envelope,
    hostname: &str,
    mail_id: &str,
    now: OffsetDateTime,
) -> String {
    let ip = if peer.ip.contains(':') { format!("IPv6:{}", peer.ip) } else { peer.ip.clone() };
    // With more than one, each would learn of the others (RFC 5321 section 7.6).
    let recipient = match &envelope.forward_paths[..] {
        [only] => format!("\r\n\tfor <{}>", only.address),
        _ => String::new(),
    };
    let date = now.format(&Rfc2822).expect("years of four digits have a date");
    format!(
        "Received: from {} ([{ip}])\r\n\
         \tby {hostname} with {} id {mail_id}{recipient};\r\n\
         \t{date}\r\n",
        harmless(&peer.helo),
        protocol(spoken, envelope.smtputf8, !peer.tls.is_empty()),
    )
}

/// The name of the protocol (RFC 3848, RFC 6531 section 4.3).
fn protocol(spoken: Protocol, smtputf8: bool, tls: bool) -> &'static str {
    match (spoken.extended, smtputf8, tls) {
        // There is no login without TLS.
        _ if spoken.authenticated && smtputf8 => "UTF8SMTPSA",
        _ if spoken.authenticated => "ESMTPSA",
        (false, false, false) => "SMTP",
        (_, false, false) => "ESMTP",
        (_, false, true) => "ESMTPS",
        (_, true, false) => "UTF8SMTP",
        (_, true, true) => "UTF8SMTPS",
    }
}

/// A client may call itself anything; in the field it is an atom or an address literal.
fn harmless(name: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    name.chars().map(|c| if safe(c) { c } else { '?' }).collect()
}

/// How many Received fields the header section of a content has.
pub(crate) fn hops(content: &[u8]) -> usize {
    const NAME: &[u8] = b"received:";
    let mut hops = 0;
    let mut rest = content;
    while !rest.is_empty() && !rest.starts_with(b"\r\n") && !rest.starts_with(b"\n") {
        if rest.get(..NAME.len()).is_some_and(|it| it.eq_ignore_ascii_case(NAME)) {
            hops += 1;
        }
        rest = memchr(b'\n', rest).map_or(&[], |end| &rest[end + 1..]);
    }
    hops
}

#[cfg(test)]
mod tests {
    use contract::ForwardPath;
    use time::macros::datetime;

    use super::*;

    fn peer(ip: &str, helo: &str, tls: &str) -> Peer {
        Peer { ip: ip.to_owned(), helo: helo.to_owned(), tls: tls.to_owned() }
    }

    fn envelope(forward_paths: &[&str], smtputf8: bool) -> Envelope {
        let forward_paths = forward_paths
            .iter()
            .map(|it| ForwardPath { address: (*it).to_owned(), ..ForwardPath::default() })
            .collect();
        Envelope { reverse_path: "a@client.example".to_owned(), forward_paths, smtputf8 }
    }

    fn check(peer: &Peer, envelope: &Envelope, expected: &str) {
        let spoken = Protocol { extended: true, authenticated: false };
        let now = datetime!(2026-11-24 05:06:07 UTC);
        assert_eq!(header(peer, spoken, envelope, "mx.example", "0a", now), expected);
    }

    #[test]
    fn names_the_only_recipient() {
        check(
            &peer("192.0.2.1", "client.example", ""),
            &envelope(&["user@local.example"], false),
            "Received: from client.example ([192.0.2.1])\r\n\
             \tby mx.example with ESMTP id 0a\r\n\
             \tfor <user@local.example>;\r\n\
             \tTue, 24 Nov 2026 05:06:07 +0000\r\n",
        );
    }

    #[test]
    fn names_nobody_when_there_are_two_and_lets_nothing_in() {
        check(
            &peer("2001:db8::1", "x(y)\u{e9};", "TLSv1.3"),
            &envelope(&["a@local.example", "b@local.example"], true),
            "Received: from x?y??? ([IPv6:2001:db8::1])\r\n\
             \tby mx.example with UTF8SMTPS id 0a;\r\n\
             \tTue, 24 Nov 2026 05:06:07 +0000\r\n",
        );
    }

    #[test]
    fn the_protocol_tells_of_tls_and_ehlo() {
        let spoken = |extended, authenticated| Protocol { extended, authenticated };
        assert_eq!(protocol(spoken(false, false), false, false), "SMTP");
        assert_eq!(protocol(spoken(true, false), false, false), "ESMTP");
        assert_eq!(protocol(spoken(true, false), false, true), "ESMTPS");
        assert_eq!(protocol(spoken(true, true), false, true), "ESMTPSA");
        assert_eq!(protocol(spoken(true, true), true, true), "UTF8SMTPSA");
    }

    #[test]
    fn counts_hops_in_the_header_section_only() {
        let content = b"Received: a\r\n\tReceived: folded\r\nX-Received: b\r\nRECEIVED: c\r\n\
                        \r\nReceived: body\r\n";
        assert_eq!(hops(content), 2);
        assert_eq!(hops(b"Received: a\nReceived: b\n\nReceived: body\n"), 2);
        assert_eq!(hops(b""), 0);
        assert_eq!(hops(b"Received: no line end"), 1);
    }
}
