//! Addresses (RFC 5321 section 4.1.2), internationalised ones (RFC 6531) included.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A mailbox address, `local@domain` (RFC 5321 section 4.1.2). `Display` gives it as it was
/// written, the domain in lower-case A-labels; a quoted local part is unquoted where it need not be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    local: String,
    domain: String,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{address:?} is not an address: {why}")]
pub struct InvalidAddress {
    pub address: String,
    pub why: &'static str,
}

/// A path has at most 256 octets, angle brackets included (RFC 5321 section 4.5.3.1.3). The limit of
/// 64 for the local part is not held against anybody: return paths of mailing services exceed it.
const MAX_ADDRESS: usize = 254;

/// RFC 1035 section 2.3.4, without the root label.
const MAX_DOMAIN: usize = 253;
const MAX_LABEL: usize = 63;

impl Address {
    /// Quoted if it has to be.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Lower-case A-labels, or an address literal in brackets.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// What decides which inbox an address means: the local part in lower case without dots and
    /// without what follows a "+", at the domain.
    pub fn canonical(&self) -> String {
        let local = self.local.to_lowercase();
        let kept: String =
            local.split('+').next().unwrap_or_default().chars().filter(|it| *it != '.').collect();
        // "+a@x" and "+b@x" would otherwise be one address, without a local part.
        let local = if kept.is_empty() { local } else { kept };
        format!("{local}@{}", self.domain)
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Address, InvalidAddress> {
        parse(text).map_err(|why| InvalidAddress { address: text.to_owned(), why })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

fn parse(text: &str) -> Result<Address, &'static str> {
    if text.len() > MAX_ADDRESS {
        return Err("it is longer than 254 octets");
    }
    // The last "@": a quoted local part may hold others.
    let (local, domain) = text.rsplit_once('@').ok_or("it has no @")?;
    let local = match local.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => check_dot_string(local).map(|()| local.to_owned())?,
    };
    Ok(Address { local, domain: parse_domain(domain)? })
}

fn check_dot_string(local: &str) -> Result<(), &'static str> {
    if local.is_empty() {
        return Err("nothing stands before the @");
    }
    if local.split('.').any(str::is_empty) {
        return Err("a dot begins, ends or doubles in the part before the @");
    }
    if !local.chars().all(|it| it == '.' || is_atext(it)) {
        return Err("the part before the @ has a character that is not allowed there");
    }
    Ok(())
}

/// RFC 5322 section 3.2.3 and RFC 6532 section 3.2.
fn is_atext(it: char) -> bool {
    it.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(it)
        || (!it.is_ascii() && !it.is_control() && !it.is_whitespace())
}

/// The local part that a quoted string stands for, quoted again only if it must be: both forms are
/// the same address (RFC 5321 section 4.1.2). `quoted` begins after the opening quote.
fn unquote(quoted: &str) -> Result<String, &'static str> {
    const UNFINISHED: &str = "the quoted part before the @ does not end";
    let mut content = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().ok_or(UNFINISHED)? {
            '"' => break,
            '\\' => match chars.next().ok_or(UNFINISHED)? {
                it @ ' '..='~' => content.push(it),
                _ => return Err("a backslash stands before a character it cannot quote"),
            },
            it if it.is_control() => return Err("a control character is quoted"),
            it => content.push(it),
        }
    }
    if chars.next().is_some() {
        return Err("something stands between the quoted part and the @");
    }
    if content.is_empty() {
        return Err("nothing stands before the @");
    }
    if check_dot_string(&content).is_ok() {
        return Ok(content);
    }
    let mut local = String::from('"');
    for it in content.chars() {
        if matches!(it, '"' | '\\') {
            local.push('\\');
        }
        local.push(it);
    }
    local.push('"');
    Ok(local)
}

fn parse_domain(domain: &str) -> Result<String, &'static str> {
    if let Some(literal) = domain.strip_prefix('[') {
        return parse_literal(literal).ok_or("the address in brackets is not an IP address");
    }
    if domain.is_empty() {
        return Err("nothing stands after the @");
    }
    let ascii = idna::domain_to_ascii(domain).map_err(|_| "the domain is not valid (IDNA)")?;
    if ascii.len() > MAX_DOMAIN {
        return Err("the domain is longer than 253 octets");
    }
    for label in ascii.split('.') {
        check_label(label)?;
    }
    let last = ascii.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|it| it.is_ascii_digit()) {
        return Err("the domain ends in a number; an IP address stands in brackets");
    }
    Ok(ascii)
}

/// RFC 5321 section 4.1.3. `literal` begins after the opening bracket.
fn parse_literal(literal: &str) -> Option<String> {
    let literal = literal.strip_suffix(']')?;
    const TAG: &str = "IPv6:";
    match literal.get(..TAG.len()) {
        Some(tag) if tag.eq_ignore_ascii_case(TAG) => {
            let address: Ipv6Addr = literal[TAG.len()..].parse().ok()?;
            Some(format!("[IPv6:{address}]"))
        }
        _ => literal.parse::<Ipv4Addr>().ok().map(|it| format!("[{it}]")),
    }
}

fn check_label(label: &str) -> Result<(), &'static str> {
    if label.is_empty() {
        return Err("a dot begins, ends or doubles in the domain");
    }
    if label.len() > MAX_LABEL {
        return Err("a label of the domain is longer than 63 octets");
    }
    if !label.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-') {
        return Err("the domain has a character that is not allowed there");
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("a label of the domain begins or ends with a hyphen");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, displayed: &str, canonical: &str) {
        let address: Address = text.parse().expect("parse");
        assert_eq!(address.to_string(), displayed);
        assert_eq!(address.canonical(), canonical);
    }

    #[track_caller]
    fn refused(text: &str) {
        text.parse::<Address>().expect_err(text);
    }

    #[test]
    fn dots_case_and_tags_are_cosmetic() {
        check(
            "Sarah.Shield+x@Example.COM",
            "Sarah.Shield+x@example.com",
            "sarahshield@example.com",
        );
    }

    #[test]
    fn a_tag_alone_is_not_an_empty_inbox() {
        check("+a@x.test", "+a@x.test", "+a@x.test");
    }

    #[test]
    fn the_quoted_form_equals_the_unquoted() {
        check(r#""sarah.shield"@x.test"#, "sarah.shield@x.test", "sarahshield@x.test");
        check(r#""s\arah"@x.test"#, "sarah@x.test", "sarah@x.test");
        check(r#""a b"@x.test"#, r#""a b"@x.test"#, r#""a b"@x.test"#);
        check(r#""a@b"@x.test"#, r#""a@b"@x.test"#, r#""a@b"@x.test"#);
    }

    #[test]
    fn domains_become_a_labels() {
        check("info@Bücher.Example", "info@xn--bcher-kva.example", "info@xn--bcher-kva.example");
        check("почта@пример.рф", "почта@xn--e1afmkfd.xn--p1ai", "почта@xn--e1afmkfd.xn--p1ai");
    }

    #[test]
    fn address_literals() {
        check("a@[192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.1]");
        check("a@[ipv6:2001:DB8::1]", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]");
        for text in ["a@[192.0.2]", "a@[192.0.2.1", "a@192.0.2.1", "a@[]", "a@[é]"] {
            refused(text);
        }
    }

    #[test]
    fn refuses_what_could_reach_somebody_else() {
        for text in [
            "",
            "a",
            "@x.test",
            "a@",
            "a@b@x.test",
            "a b@x.test",
            "<a@x.test>",
            "a@x.test,b@x.test",
            "a@x..test",
            "a@-x.test",
            "a@x_y.test",
            "a@x.test.",
            ".a@x.test",
            "a..b@x.test",
            "a.@x.test",
            "a\r\n@x.test",
            "a\0@x.test",
            "a@x\n.test",
            "\"a\nb\"@x.test",
            "\"a@x.test",
            "\"a\"b@x.test",
            "\"\"@x.test",
            "a@xn--a.test",
        ] {
            refused(text);
        }
    }

    #[test]
    fn lengths() {
        let label = "x".repeat(63);
        check(
            &format!("{}@{label}.test", "a".repeat(80)),
            &format!("{}@{label}.test", "a".repeat(80)),
            &format!("{}@{label}.test", "a".repeat(80)),
        );
        refused(&format!("a@{label}x.test"));
        refused(&format!("{}@x.test", "a".repeat(255)));
    }
}
