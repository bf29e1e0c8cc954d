//! Leaving a list: what the link in a mail carries, and the signature that makes it one of ours.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;

use crate::{Scope, Suppression, rfc3339};

/// Why a suppression is there that comes from such a link.
pub const UNSUBSCRIBED: &str = "unsubscribed";

/// Stands for every list of an account.
pub const ALL_LISTS: &str = "";

/// Who is on which list, and the mail that told him.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    pub account_id: String,
    /// The account's name for the list.
    pub list_id: String,
    pub address: String,
    pub mail_id: String,
}

/// Somebody who has left a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscription {
    /// In lower case.
    pub address: String,
    /// `ALL_LISTS` for all of the account's.
    pub list_id: String,
    pub at: i64,
    /// The mail whose link was followed.
    pub source: String,
}

impl From<Unsubscription> for Suppression {
    fn from(it: Unsubscription) -> Suppression {
        let list = match it.list_id.as_str() {
            ALL_LISTS => "all lists".to_owned(),
            list_id => format!("the list {list_id}"),
        };
        Suppression {
            address: it.address,
            scope: Scope::Account,
            reason: UNSUBSCRIBED.to_owned(),
            evidence: format!("it left {list} at {}", rfc3339(it.at)),
            source: it.source,
            created_at: it.at,
            expires_at: None,
        }
    }
}

/// Makes the tokens of such links, and tells its own from others. One works for ever: people look for
/// it in mail that is years old.
#[derive(Clone)]
pub struct UnsubscribeTokens(hmac::Key);

impl UnsubscribeTokens {
    /// `secret`: such as that of `Writer::secret`.
    pub fn new(secret: &[u8]) -> UnsubscribeTokens {
        UnsubscribeTokens(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Safe in a path; the same for the same subscription.
    pub fn sign(&self, subscription: &Subscription) -> String {
        let Subscription { account_id, list_id, address, mail_id } = subscription;
        // None of the first three can contain a line feed, so no two subscriptions read the same.
        let payload = format!("{account_id}\n{mail_id}\n{list_id}\n{address}");
        let signature = hmac::sign(&self.0, payload.as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        format!("{payload}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// Compares in constant time, and reads nothing that is not signed.
    pub fn read(&self, token: &str) -> Option<Subscription> {
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let (payload, signature) = token.split_once('.')?;
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        hmac::verify(&self.0, &payload, &signature).ok()?;
        let mut parts = std::str::from_utf8(&payload).ok()?.splitn(4, '\n').map(str::to_owned);
        Some(Subscription {
            account_id: parts.next()?,
            mail_id: parts.next()?,
            list_id: parts.next()?,
            address: parts.next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        Subscription {
            account_id: "acct_1".to_owned(),
            list_id: "news".to_owned(),
            address: "bob@example.net".to_owned(),
            mail_id: "eml_1".to_owned(),
        }
    }

    #[test]
    fn comes_back() {
        let tokens = UnsubscribeTokens::new(&[7; 32]);
        let token = tokens.sign(&subscription());
        assert!(token.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it)));
        assert_eq!(tokens.read(&token), Some(subscription()));
        assert_eq!(tokens.sign(&subscription()), token);
    }

    #[test]
    fn nothing_in_it_can_be_changed() {
        let tokens = UnsubscribeTokens::new(&[7; 32]);
        let token = tokens.sign(&subscription());
        let (_, signature) = token.split_once('.').expect("signature");
        let other = Subscription { address: "tom@example.net".to_owned(), ..subscription() };
        let foreign = UnsubscribeTokens::new(&[8; 32]).sign(&other);
        let (payload, _) = foreign.split_once('.').expect("payload");
        for forged in [&foreign, &format!("{payload}.{signature}"), payload, "", ".", "a.b", "é.é"]
        {
            assert_eq!(tokens.read(forged), None, "{forged}");
        }
    }
}
