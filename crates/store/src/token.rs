//! What an account proves itself with, as the database knows it.

use contract::Grant;

use crate::Account;

/// So much of its hash names a token.
const ID_DIGITS: usize = 12;

/// What the ledger says of a request that was made with a token that is worth nothing.
pub const TOKEN_REVOKED: &str = "token_revoked";

#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// SHA-256 in hexadecimal.
    pub hash: String,
    pub account_id: String,
    pub label: String,
    pub grant: Grant,
    /// The hash of the token that it was made with; empty for one that an operator or signing up made.
    pub made_with: String,
    pub created_at: i64,
    /// To the minute.
    pub last_used_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

impl Token {
    /// Names it where people see it: in lists, the audit, decisions, subjects.
    pub fn id(&self) -> &str {
        token_id(&self.hash)
    }

    /// Whether it was worth something at that time.
    pub fn is_good_at(&self, micros: i64) -> bool {
        self.revoked_at.is_none_or(|it| it > micros) && !self.grant.has_expired(micros)
    }
}

/// The name of the token that has this hash.
pub fn token_id(hash: &str) -> &str {
    hash.get(..ID_DIGITS).unwrap_or(hash)
}

/// Whoever comes with a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Bearer {
    pub account: Account,
    pub token: Token,
}

#[derive(Clone, Debug)]
pub struct NewToken {
    /// SHA-256 in hexadecimal.
    pub hash: String,
    pub account_id: String,
    pub label: String,
    pub grant: Grant,
    /// The hash of the token that it is made with; empty if an operator makes it.
    pub made_with: String,
}

impl NewToken {
    /// One that may do everything that its account may.
    pub fn whole(hash: &str, account_id: &str) -> NewToken {
        NewToken {
            hash: hash.to_owned(),
            account_id: account_id.to_owned(),
            label: String::new(),
            grant: Grant::default(),
            made_with: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_good_until_it_is_revoked_or_expires() {
        let token = |revoked_at, expires_at| Token {
            hash: "0123456789abcdef".to_owned(),
            account_id: "acct_1".to_owned(),
            label: String::new(),
            grant: Grant { expires_at, ..Grant::default() },
            made_with: String::new(),
            created_at: 0,
            last_used_at: None,
            revoked_at,
        };
        assert!(token(None, None).is_good_at(i64::MAX));
        assert!(token(Some(7), None).is_good_at(6) && !token(Some(7), None).is_good_at(7));
        assert!(token(None, Some(7)).is_good_at(6) && !token(None, Some(7)).is_good_at(7));
        assert_eq!(token(None, None).id(), "0123456789ab");
        assert_eq!(token_id("short"), "short");
    }
}
