//! Tokens: what a client proves itself with. Only their hashes are kept.

use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;

const PREFIX: &str = "lm_sk_live_";
const OPERATORS_PREFIX: &str = "ph_operator_";

/// No token is longer; whatever is, need not be hashed.
pub(crate) const MAX_LENGTH: usize = 128;

/// A new token: 256 random bits, in 43 characters.
pub fn generate() -> Result<String, aws_lc_rs::error::Unspecified> {
    Ok(format!("{PREFIX}{}", random()?))
}

/// As `generate`, of one that is of no account: its holder runs the service.
pub fn generate_for_operator() -> Result<String, aws_lc_rs::error::Unspecified> {
    Ok(format!("{OPERATORS_PREFIX}{}", random()?))
}

/// 256 random bits, in 43 characters.
pub fn random() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut secret = [0; 32];
    rand::fill(&mut secret)?;
    Ok(BASE64URL_NOPAD.encode(&secret))
}

/// What the database and the directory know of a token.
pub fn hash(token: &str) -> String {
    bus::token_hash(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_all_different() {
        let (one, other) = (generate().expect("random"), generate().expect("random"));
        assert_ne!(one, other);
        assert_eq!(one.len(), PREFIX.len() + 43);
        assert!(one.len() < MAX_LENGTH);
        let operators = generate_for_operator().expect("random");
        assert!(operators.len() < MAX_LENGTH && operators.starts_with(OPERATORS_PREFIX));
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
