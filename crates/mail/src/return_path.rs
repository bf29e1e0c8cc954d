//! Return paths that name the mail they go out with (VERP), and prove that we made them.
//!
//! `b+<tag>@<domain>`: the tag is, in base32, the mail's identifier, the day it was made, the position
//! of the recipient, and a MAC over these (HMAC-SHA256, its first 16 octets; RFC 2104 section 5). Some
//! systems fold case or report in capitals, so case makes no difference. Who has a tag has seen the
//! return path of that mail: what he reports is about it, and what comes without is backscatter.

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use data_encoding::{BASE32_NOPAD, HEXLOWER};

use crate::{Address, report::fields::addresses};

const PREFIX: &str = "b+";
const MAIL_ID_PREFIX: &str = "eml_";

const ID: usize = 16;
/// Identifier, day, position.
const SIGNED: usize = ID + 2 + 1;
const MAC: usize = 16;
/// 35 octets are 56 characters without a bit to spare, so that no two texts mean one tag.
const TAG: usize = (SIGNED + MAC) / 5 * 8;

/// The position that names nobody.
const NOBODY: u8 = u8::MAX;

/// Keeps these MACs apart from whatever else a key may sign.
const PURPOSE: &[u8] = b"return path 1";

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// How long after it was made a return path is taken at its word: as long as we retry, as others do
/// after us (RFC 5321 section 4.5.4.1), and some days for the report.
const VALID_FOR: i64 = 14;

/// Places in which a report is searched for return paths.
const MAX_SEARCHED: usize = 512 * 1024;
const MAX_FOUND: usize = 16;

/// What a return path names.
#[derive(Clone, Debug, PartialEq)]
pub struct ReturnPath {
    pub mail_id: String,
    /// Of the recipient, among all of the mail, from 0. `None` where several were in one transaction.
    pub position: Option<usize>,
}

/// Why a return path is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnPathError {
    /// It has not the form of one.
    Malformed,
    /// It was made too long ago, or not yet.
    Expired,
    /// None of our keys made it.
    Forged,
}

/// The key that return paths are made with, and the one before it, which is still believed.
pub struct ReturnPathKeys {
    current: hmac::Key,
    previous: Option<hmac::Key>,
}

impl ReturnPathKeys {
    pub fn new(current: &[u8], previous: Option<&[u8]>) -> ReturnPathKeys {
        let key = |octets| hmac::Key::new(hmac::HMAC_SHA256, octets);
        ReturnPathKeys { current: key(current), previous: previous.map(key) }
    }

    /// The return path of a mail that goes out at `at`, in microseconds since 1970. `None` if the
    /// mail's identifier is not one that the ledger gives, or there is no domain.
    pub fn make(
        &self,
        mail_id: &str,
        position: Option<usize>,
        domain: &str,
        at: i64,
    ) -> Option<String> {
        let id = HEXLOWER.decode(mail_id.strip_prefix(MAIL_ID_PREFIX)?.as_bytes()).ok()?;
        let day = u16::try_from(at.div_euclid(DAY)).ok()?;
        let position = position.map_or(Some(NOBODY), |it| u8::try_from(it).ok());
        let mut octets = id;
        octets.extend(day.to_be_bytes());
        octets.push(position?);
        if octets.len() != SIGNED || domain.is_empty() {
            return None;
        }
        octets.extend(mac(&self.current, &octets));
        let tag = BASE32_NOPAD.encode(&octets).to_ascii_lowercase();
        Some(format!("{PREFIX}{tag}@{domain}"))
    }

    /// What a return path names, if we made it and not too long before `now`.
    pub fn check(&self, address: &Address, now: i64) -> Result<ReturnPath, ReturnPathError> {
        let octets = decode(address.local()).ok_or(ReturnPathError::Malformed)?;
        let (signed, given) = octets.split_at(SIGNED);
        let keys = [Some(&self.current), self.previous.as_ref()];
        let is_ours =
            |key| constant_time::verify_slices_are_equal(&mac(key, signed), given).is_ok();
        if !keys.into_iter().flatten().any(is_ours) {
            return Err(ReturnPathError::Forged);
        }
        if !is_current(&octets, now) {
            return Err(ReturnPathError::Expired);
        }
        let position = octets[SIGNED - 1];
        Ok(ReturnPath {
            mail_id: format!("{MAIL_ID_PREFIX}{}", HEXLOWER.encode(&octets[..ID])),
            position: (position != NOBODY).then_some(position.into()),
        })
    }
}

/// Whether an address may be a return path of ours that is still taken at its word, as far as can be
/// told without the key. `now` is in microseconds since 1970.
pub fn is_return_path(address: &Address, now: i64) -> bool {
    decode(address.local()).is_some_and(|it| is_current(&it, now))
}

/// The addresses in a content that have the form of a return path of ours.
pub fn return_paths(content: &[u8]) -> Vec<Address> {
    let text = String::from_utf8_lossy(&content[..content.len().min(MAX_SEARCHED)]);
    let has_form = |it: &Address| decode(it.local()).is_some();
    let mut found: Vec<Address> = Vec::new();
    for (_, address) in addresses(&text) {
        // Trace fields have it as a comment, others behind a label: `(envelope-from <b+…>)`.
        let local = address.rfind(PREFIX).or_else(|| address.rfind("B+")).unwrap_or_default();
        let address = address[local..].parse().ok().filter(has_form);
        if let Some(address) = address
            && !found.contains(&address)
        {
            found.push(address);
        }
        if found.len() == MAX_FOUND {
            break;
        }
    }
    found
}

/// The mail that a Message-ID of ours names, which anybody knows who has seen it or an answer to it.
pub fn mail_of_message_id(message_id: &str) -> Option<String> {
    let (id, _) = message_id.trim_matches(['<', '>', ' ']).rsplit_once('@')?;
    let id = id.to_ascii_lowercase();
    let is_ours = HEXLOWER.decode(id.as_bytes()).is_ok_and(|it| it.len() == ID);
    is_ours.then(|| format!("{MAIL_ID_PREFIX}{id}"))
}

fn decode(local: &str) -> Option<Vec<u8>> {
    let tag = local.strip_prefix(PREFIX).or_else(|| local.strip_prefix("B+"))?;
    if tag.len() != TAG {
        return None;
    }
    BASE32_NOPAD.decode(tag.to_ascii_uppercase().as_bytes()).ok()
}

/// Clocks differ: a day ahead is none.
fn is_current(octets: &[u8], now: i64) -> bool {
    let made = i64::from(u16::from_be_bytes([octets[ID], octets[ID + 1]]));
    let today = now.div_euclid(DAY);
    (made..=made + VALID_FOR).contains(&today) || made == today + 1
}

fn mac(key: &hmac::Key, signed: &[u8]) -> [u8; MAC] {
    let mut context = hmac::Context::with_key(key);
    context.update(PURPOSE);
    context.update(signed);
    let mut mac = [0; MAC];
    mac.copy_from_slice(&context.sign().as_ref()[..MAC]);
    mac
}

/// For how long, at least, what was signed with a key is believed.
pub const RETURN_PATH_VALIDITY: Duration =
    Duration::from_secs(VALID_FOR.unsigned_abs() * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "eml_0123456789abcdef0123456789abcdef";
    const NOW: i64 = 20_000 * DAY + 5;

    fn keys() -> ReturnPathKeys {
        ReturnPathKeys::new(&[1; 32], None)
    }

    fn made(position: Option<usize>) -> Address {
        let path = keys().make(MAIL, position, "x.test", NOW).expect("a return path");
        path.parse().expect("an address")
    }

    #[test]
    fn names_its_mail_and_recipient_in_any_case() {
        for position in [None, Some(0), Some(49)] {
            let path = made(position);
            assert!(path.local().len() <= 64, "RFC 5321 section 4.5.3.1.1: {path}");
            let expected = ReturnPath { mail_id: MAIL.to_owned(), position };
            assert_eq!(keys().check(&path, NOW), Ok(expected.clone()));
            let shouted = path.to_string().to_uppercase().parse().expect("an address");
            assert_eq!(keys().check(&shouted, NOW), Ok(expected));
            assert!(is_return_path(&path, NOW) && is_return_path(&shouted, NOW));
        }
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let path = made(Some(1)).to_string();
        for at in PREFIX.len()..PREFIX.len() + TAG {
            let other = if &path[at..=at] == "a" { "b" } else { "a" };
            let changed = format!("{}{other}{}", &path[..at], &path[at + 1..]);
            let changed = changed.parse().expect("an address");
            assert_eq!(keys().check(&changed, NOW), Err(ReturnPathError::Forged), "{at}");
        }
    }

    #[test]
    fn a_key_is_believed_until_the_one_after_the_next() {
        let path = made(None);
        let next = ReturnPathKeys::new(&[2; 32], Some(&[1; 32]));
        assert!(next.check(&path, NOW).is_ok());
        let after = ReturnPathKeys::new(&[3; 32], Some(&[2; 32]));
        assert_eq!(after.check(&path, NOW), Err(ReturnPathError::Forged));
    }

    #[test]
    fn it_is_believed_for_two_weeks() {
        let path = made(None);
        for (days, expected) in [(-2, false), (-1, true), (0, true), (14, true), (15, false)] {
            let now = NOW + days * DAY;
            assert_eq!(is_return_path(&path, now), expected, "{days}");
            assert_eq!(keys().check(&path, now).is_ok(), expected, "{days}");
        }
        let late = keys().check(&path, NOW + 15 * DAY);
        assert_eq!(late, Err(ReturnPathError::Expired));
    }

    #[test]
    fn other_addresses_are_none() {
        let tag = "a".repeat(TAG);
        for local in ["b", "b+x", "agent+b", &format!("c+{tag}"), &format!("b+{tag}a"), "b+é"] {
            let address: Address = format!("{local}@x.test").parse().expect("an address");
            assert_eq!(keys().check(&address, NOW), Err(ReturnPathError::Malformed), "{local}");
            assert!(!is_return_path(&address, NOW), "{local}");
        }
        let odd = format!("b+{}@x.test", "1".repeat(TAG)).parse().expect("an address");
        assert_eq!(keys().check(&odd, NOW), Err(ReturnPathError::Malformed));
        for id in ["eml_1", "", MAIL.trim_start_matches("eml_"), &MAIL[..34]] {
            assert_eq!(keys().make(id, None, "x.test", NOW), None, "{id}");
        }
        assert_eq!(keys().make(MAIL, None, "", NOW), None);
    }

    #[test]
    fn is_found_wherever_a_report_has_it() {
        let path = made(Some(0));
        for text in [
            format!("Return-Path: <{path}>\n"),
            format!("X-Postfix-Sender: rfc822; {path}\n"),
            format!("Received: from a by b (envelope-from <{path}>) id 1\n"),
            format!("Return-path: {}\n", path.to_string().to_uppercase()),
            format!("MAIL FROM:<{path}> SIZE=1\nreturn-path=<{path}>"),
        ] {
            let found = return_paths(text.as_bytes());
            let mails: Vec<_> = found.iter().map(|it| keys().check(it, NOW)).collect();
            assert!(matches!(&mails[..], [Ok(it)] if it.position == Some(0)), "{text} {found:?}");
        }
        assert_eq!(return_paths(b"To: b+x@x.test, agent@x.test"), []);
    }

    #[test]
    fn our_message_ids_name_their_mail() {
        let id = format!("<{}@x.test>", &MAIL[4..]);
        assert_eq!(mail_of_message_id(&id).as_deref(), Some(MAIL));
        for foreign in ["", "<a@x.test>", "0123@x.test", &MAIL[4..]] {
            assert_eq!(mail_of_message_id(foreign), None, "{foreign}");
        }
    }
}
