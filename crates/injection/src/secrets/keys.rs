//! Private keys, JSON web tokens, and addresses of services with a password in them.

use aho_corasick::AhoCorasick;
use data_encoding::BASE64URL_NOPAD;

use super::{Hit, entropy::is_placeholder};

const BEGIN: usize = 0;
const JWT: usize = 1;

const MARKS: [&str; 3] = ["-----BEGIN ", "eyJ", "://"];

/// The smallest key that anybody uses has more (Ed25519 in PKCS #8: 64).
const MIN_KEY: usize = 48;
/// What may stand between BEGIN and the first line of a key, encapsulated header fields included.
const MAX_LABEL: usize = 64;
/// Longer ones are no keys.
const MAX_KEY: usize = 16 * 1024;
const MAX_TOKEN: usize = 8 * 1024;
const MAX_USERINFO: usize = 256;
const MIN_PASSWORD: usize = 6;

pub(super) struct Keys(AhoCorasick);

impl Keys {
    pub(super) fn new() -> Keys {
        Keys(AhoCorasick::new(MARKS).expect("the marks are few and short"))
    }

    pub(super) fn find(&self, text: &str) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        for found in self.0.find_iter(text) {
            if hits.last().is_some_and(|it| found.start() < it.span.end) {
                continue;
            }
            hits.extend(match found.pattern().as_usize() {
                BEGIN => private_key(text, found.start(), found.end()),
                JWT => web_token(text, found.start()),
                _ => password(text, found.end()),
            });
        }
        hits
    }
}

/// RFC 7468 and what OpenSSH and PGP make of it. The lines may be one, with `\n` written out, as in JSON.
fn private_key(text: &str, start: usize, label: usize) -> Option<Hit> {
    let head = cut(text, label, MAX_LABEL);
    let (name, _) = head.split_once("-----")?;
    if !name.ends_with("PRIVATE KEY") && name != "PGP PRIVATE KEY BLOCK" {
        return None;
    }
    let body = label + name.len() + 5;
    // Up to the next dashes: another BEGIN, or the END.
    let inside = cut(text, body, MAX_KEY);
    let inside = inside.split_once("-----").map_or(inside, |(inside, _)| inside);
    let is_digit = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/' | b'=');
    if inside.bytes().filter(|it| is_digit(*it)).count() < MIN_KEY || is_placeholder(inside) {
        return None;
    }
    Some(Hit {
        kind: "private_key",
        explanation: "This is a private key.",
        span: start..body + inside.len(),
    })
}

/// RFC 7519: header, claims and signature; the first two are JSON.
fn web_token(text: &str, start: usize) -> Option<Hit> {
    let before = start.checked_sub(1).map(|it| text.as_bytes()[it]);
    if before.is_some_and(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.')) {
        return None;
    }
    let is_token = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
    let length = text.as_bytes()[start..].iter().take(MAX_TOKEN).take_while(|it| is_token(**it));
    let token = text[start..start + length.count()].trim_end_matches('.');
    let mut parts = token.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let is_right = parts.next().is_none()
        && object(header)?.contains("\"alg\"")
        && object(claims).is_some()
        && signature.len() >= 20;
    is_right.then(|| Hit {
        kind: "json_web_token",
        explanation: "This is a JSON web token: whoever has it is taken for its owner.",
        span: start..start + token.len(),
    })
}

fn object(part: &str) -> Option<String> {
    let octets = BASE64URL_NOPAD.decode(part.as_bytes()).ok()?;
    let text = String::from_utf8(octets).ok()?;
    (text.starts_with('{') && text.trim_end().ends_with('}')).then_some(text)
}

/// `postgres://user:password@host`.
fn password(text: &str, start: usize) -> Option<Hit> {
    let rest = cut(text, start, MAX_USERINFO);
    let end = rest.find(|it: char| it.is_whitespace() || matches!(it, '/' | '"' | '<' | '>'));
    let authority = &rest[..end.unwrap_or(rest.len())];
    let (userinfo, host) = authority.rsplit_once('@')?;
    let (user, secret) = userinfo.split_once(':')?;
    let is_word = ["password", "passwd", "pass", "secret"].contains(&&*secret.to_lowercase());
    if host.is_empty() || secret.len() < MIN_PASSWORD || is_word || is_placeholder(secret) {
        return None;
    }
    let at = start + user.len() + 1;
    Some(Hit {
        kind: "password",
        explanation: "This is the address of a service with the password to it.",
        span: at..at + secret.len(),
    })
}

/// At most so many octets from there.
fn cut(text: &str, start: usize, most: usize) -> &str {
    &text[start..text.floor_char_boundary(start.saturating_add(most).min(text.len()))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, kinds: &[&str]) {
        let found = Keys::new().find(text);
        assert_eq!(found.iter().map(|it| it.kind).collect::<Vec<_>>(), kinds, "{text}");
    }

    fn pem(label: &str, line_end: &str) -> String {
        let lines = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA"; 3].join(line_end);
        format!("-----BEGIN {label}-----{line_end}{lines}{line_end}-----END {label}-----")
    }

    #[test]
    fn private_keys() {
        for label in
            ["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
        {
            check(&pem(label, "\r\n"), &["private_key"]);
            check(&format!(r#"{{"private_key":"{}"}}"#, pem(label, r"\n")), &["private_key"]);
        }
        check(
            &format!("{} {}", pem("PRIVATE KEY", "\n"), pem("PRIVATE KEY", "\n")),
            &["private_key"; 2],
        );
        for innocent in [
            pem("PUBLIC KEY", "\n"),
            pem("CERTIFICATE", "\n"),
            "A file that begins with -----BEGIN PRIVATE KEY----- is secret.".to_owned(),
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----".to_owned(),
            "-----BEGIN PRIVATE KEY-----\nshort\n-----END PRIVATE KEY-----".to_owned(),
        ] {
            check(&innocent, &[]);
        }
    }

    #[test]
    fn web_tokens() {
        let encode = |it: &str| BASE64URL_NOPAD.encode(it.as_bytes());
        let header = encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = encode(r#"{"sub":"1234567890","name":"Ada"}"#);
        let signature = "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
        check(&format!("Bearer {header}.{claims}.{signature}."), &["json_web_token"]);
        check(&format!("?t={header}.{claims}.{signature}&x"), &["json_web_token"]);
        for innocent in [
            format!("{header}.{claims}"),
            format!("{header}.{}.{signature}", encode("not JSON")),
            format!("{}.{claims}.{signature}", encode(r#"{"no":"algorithm"}"#)),
            "eyJ is how a token begins, as in eyJhbGciOi.JIUzI1.NiJ9".to_owned(),
        ] {
            check(&innocent, &[]);
        }
    }

    #[test]
    fn passwords_in_addresses() {
        check("postgres://app:s3cr3t-Pw@db.x.test:5432/app", &["password"]);
        check("mongodb+srv://root:q2Jx8Zp0@cluster.x.test", &["password"]);
        for innocent in [
            "https://x.test:8080/a@b",
            "postgres://app:password@localhost/app",
            "postgres://user:<password>@host",
            "postgres://app@db.x.test",
            "https://x.test/?q=a:b@c",
        ] {
            check(innocent, &[]);
        }
    }
}
