use contract::DeliveryReported;

use crate::{
    Account, Arrival, Created, Entered, Error, Inbox, NewInbox, Reported, Stored, Submitted,
};

/// Writes. Each call is one transaction.
#[derive(Clone)]
pub struct Writer {}

impl Writer {
    /// `token_hash` is the SHA-256 of the account's first token, in hexadecimal.
    pub async fn create_account(
        &self,
        _account_id: &str,
        _tier: i64,
        _token_hash: &str,
    ) -> Result<Account, Error> {
        unimplemented!()
    }

    pub async fn add_token(&self, _account_id: &str, _token_hash: &str) -> Result<(), Error> {
        unimplemented!()
    }

    pub async fn set_tier(&self, _account_id: &str, _tier: i64) -> Result<(), Error> {
        unimplemented!()
    }

    /// Notes that the account did something now. Writes at most once a minute per account.
    pub async fn touch_account(&self, _account_id: &str) -> Result<(), Error> {
        unimplemented!()
    }

    pub async fn create_inbox(&self, _inbox: &NewInbox) -> Result<Created, Error> {
        unimplemented!()
    }

    /// Soft: `None` if the account has no such inbox. Deleting again changes nothing.
    pub async fn delete_inbox(
        &self,
        _account_id: &str,
        _inbox_id: &str,
    ) -> Result<Option<Inbox>, Error> {
        unimplemented!()
    }

    /// Removes inboxes deleted before this moment, with their mail. Returns how many.
    pub async fn purge_inboxes(&self, _deleted_before: i64) -> Result<u64, Error> {
        unimplemented!()
    }

    /// Stores mails, threads them and indexes them, all in one transaction. The result has the
    /// copies of each mail, in the order given. A mail that is stored already is left as it is and
    /// comes back marked.
    pub async fn store(&self, _arrivals: &[Arrival]) -> Result<Vec<Vec<Stored>>, Error> {
        unimplemented!()
    }

    /// Enters requests into the ledger, all in one transaction. (inbox, key) is unique: a repeated
    /// one leaves everything as it is and gets the first one's entry.
    pub async fn enter(&self, _submissions: &[Submitted]) -> Result<Vec<Entered>, Error> {
        unimplemented!()
    }

    /// Records delivery attempts, all in one transaction. `None` for a mail that was never entered.
    pub async fn report(
        &self,
        _reports: &[DeliveryReported],
    ) -> Result<Vec<Option<Reported>>, Error> {
        unimplemented!()
    }

    /// The secret of this name, made at random the first time: 32 octets.
    pub async fn secret(&self, _name: &str) -> Result<Vec<u8>, Error> {
        unimplemented!()
    }
}
