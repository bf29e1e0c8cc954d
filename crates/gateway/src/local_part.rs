//! The part of an address before the "@": what may be asked for, and what is given at random.

use aws_lc_rs::rand;
use data_encoding::{Encoding, Specification};

use crate::problem::Problem;

const SHORTEST: usize = 3;
/// RFC 5321 section 4.5.3.1.1.
const LONGEST: usize = 64;

/// Kept for the service and its operator: RFC 2142's roles, and what people take for official. The
/// contract's list.
const RESERVED: &[&str] = &[
    "admin",
    "postmaster",
    "hostmaster",
    "webmaster",
    "abuse",
    "complaints",
    "fbl",
    "noreply",
    "no-reply",
    "mailer-daemon",
    "support",
    "help",
    "info",
    "contact",
    "security",
    "root",
    "www",
    "mail",
    "email",
    "lobster",
    "lobstermail",
    "billing",
    "sales",
    "api",
    "dev",
    "test",
    "null",
    "undefined",
];

/// The local part as it is kept, in lower case; or why it cannot be had.
pub(crate) fn check(text: &str) -> Result<String, Problem> {
    let local = text.to_ascii_lowercase();
    let invalid = |why: &str| {
        let message = format!(
            "localPart {text:?} {why}; {SHORTEST} to {LONGEST} of a-z, 0-9, \".\", \"_\" and \"-\" \
             are taken, with a letter or digit at both ends"
        );
        Err(Problem::unprocessable("invalid_local_part", message))
    };
    if !(SHORTEST..=LONGEST).contains(&local.len()) {
        return invalid(&format!("has {} octets", local.len()));
    }
    let is_alphanumeric = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    if let Some(wrong) =
        local.chars().find(|&it| !(it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-')))
    {
        return invalid(&format!("contains {wrong:?}"));
    }
    let octets = local.as_bytes();
    if !is_alphanumeric(octets[0]) || !is_alphanumeric(octets[octets.len() - 1]) {
        return invalid("begins or ends with a mark");
    }
    // RFC 5321's Dot-string has no empty atoms: such an address would need quotes everywhere.
    if local.contains("..") {
        return invalid("has two dots in a row");
    }
    // Dots are cosmetic, so ad.min would be admin.
    if RESERVED.contains(&&*local.replace('.', "")) {
        let message = format!("localPart {text:?} is reserved");
        return Err(Problem::unprocessable("reserved_local_part", message));
    }
    Ok(local)
}

/// Such as "agent-k3x9q2mf": 40 random bits.
pub(crate) fn random() -> anyhow::Result<String> {
    let mut octets = [0; 5];
    rand::fill(&mut octets)?;
    Ok(format!("agent-{}", lower_base32()?.encode(&octets)))
}

/// Without the letters that are mistaken for one another when read aloud or copied.
fn lower_base32() -> Result<Encoding, data_encoding::SpecificationError> {
    let mut specification = Specification::new();
    specification.symbols.push_str("abcdefghijkmnpqrstuvwxyz23456789");
    specification.encoding()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        check(text).expect_err(text).code.into_owned()
    }

    #[test]
    fn takes_what_the_contract_allows() {
        for text in ["abc", "sarah-shield", "s.shield", "a_1", "0x0", &"x".repeat(64)] {
            assert_eq!(check(text).expect(text), text);
        }
        assert_eq!(check("Sarah.Shield").expect("take"), "sarah.shield");
    }

    #[test]
    fn refuses_the_rest() {
        let long = "x".repeat(65);
        for text in ["", "ab", &long, "-abc", "abc.", ".abc", "a b", "a@b", "a+b", "ünter", "a..b"]
        {
            assert_eq!(refused(text), "invalid_local_part", "{text}");
        }
        let message = check("a@bc").expect_err("refuse").message;
        assert!(message.contains("'@'") && message.contains("a-z"), "{message}");
    }

    #[test]
    fn keeps_the_official_names() {
        for text in ["postmaster", "Billing", "ad.min", "no-reply", "null", "f.b.l"] {
            assert_eq!(refused(text), "reserved_local_part", "{text}");
        }
        check("billing-bot").expect("take");
    }

    #[test]
    fn random_ones_are_valid_and_different() {
        let (one, other) = (random().expect("random"), random().expect("random"));
        assert_ne!(one, other);
        assert_eq!(one.len(), "agent-".len() + 8);
        check(&one).expect("take");
    }
}
