//! What an account proves itself with, as the database knows it.

use contract::{Grant, Rejection, SendLimits, token_id};

use crate::{
    Account,
    moment::{SECOND, rfc3339},
};

/// What is said of a request that was made with a token that was worth nothing by then.
pub const TOKEN_REVOKED: &str = "token_revoked";

/// … that its token has not the right to make, or for what it does not see.
pub const INSUFFICIENT_SCOPE: &str = "insufficient_scope";

/// … of whose token has sent all that it may for now, or for ever.
pub const TOKEN_LIMIT: &str = "token_limit";

/// … to somebody whom its token may not write to.
pub const TOKEN_RECIPIENT: &str = "token_recipient";

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

    /// The tokens whose limits count what it sends.
    pub fn counted_for(&self) -> Vec<String> {
        let own = self.grant.limits.mails.map(|_| self.hash.clone());
        own.into_iter().chain(self.grant.counted_for.iter().cloned()).collect()
    }

    /// Whether it was worth something at that time.
    pub fn is_good_at(&self, micros: i64) -> bool {
        self.revoked_at.is_none_or(|it| it > micros) && !self.grant.has_expired(micros)
    }
}

/// What a token has sent of what counts for its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count {
    pub(crate) mails: i64,
    pub(crate) oldest_at: Option<i64>,
}

/// Why a token may not send another mail, and from when it may, if it ever does.
pub(crate) fn over_limit(limits: &SendLimits, count: Count) -> Option<(Rejection, Option<i64>)> {
    let most = limits.mails.filter(|it| count.mails >= i64::from(*it))?;
    let (message, free_at) = match limits.per_seconds {
        Some(seconds) => {
            let free_at = count.oldest_at.map(|it| it + i64::from(seconds) * SECOND);
            let when =
                free_at.map_or_else(String::new, |it| format!("; again from {}", rfc3339(it)));
            (
                format!("your token may send {most} mails in {seconds} seconds, and has{when}"),
                free_at,
            )
        }
        None => (format!("your token may send {most} mails in all, and has"), None),
    };
    Some((Rejection { code: TOKEN_LIMIT.to_owned(), message }, free_at))
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

    #[test]
    fn a_limit_says_when_there_is_room_again() {
        let limits =
            |mails, per_seconds| SendLimits { mails, per_seconds, ..SendLimits::default() };
        let count = |mails| Count { mails, oldest_at: Some(5 * SECOND) };
        let two = limits(Some(2), Some(60));
        assert_eq!(over_limit(&two, count(1)), None);
        let (rejection, free_at) = over_limit(&two, count(2)).expect("over");
        assert_eq!((&*rejection.code, free_at), (TOKEN_LIMIT, Some(65 * SECOND)));
        assert!(rejection.message.ends_with("from 1970-01-01T00:01:05.000Z"), "{rejection:?}");
        assert_eq!(over_limit(&limits(Some(2), None), count(2)).expect("over").1, None);
        assert!(over_limit(&limits(Some(0), None), Count::default()).is_some());
        assert_eq!(over_limit(&limits(None, None), count(i64::MAX)), None);
    }
}
