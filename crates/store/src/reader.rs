use contract::Email;

use crate::{
    Account, Ancestry, ArrivalFilter, DirectoryEntry, EmailFilter, Emails, Error, Inbox,
    LedgerEntry, Original, Outgoing, Page, SearchQuery, Thread, ThreadDetail, Usage,
};

/// Reads. Emails in lists come without `body`; every email has its `attachments`, `security` and,
/// if it was sent, `recipients`.
#[derive(Clone)]
pub struct Reader {}

impl Reader {
    pub async fn account(&self, _account_id: &str) -> Result<Option<Account>, Error> {
        unimplemented!()
    }

    /// `token_hash` is the SHA-256 of the token, in hexadecimal.
    pub async fn account_by_token(&self, _token_hash: &str) -> Result<Option<Account>, Error> {
        unimplemented!()
    }

    pub async fn usage(&self, _account_id: &str) -> Result<Usage, Error> {
        unimplemented!()
    }

    /// Also a deleted one, within its grace period.
    pub async fn inbox(&self, _account_id: &str, _inbox_id: &str) -> Result<Option<Inbox>, Error> {
        unimplemented!()
    }

    /// The active ones, newest first.
    pub async fn inboxes(&self, _account_id: &str) -> Result<Vec<Inbox>, Error> {
        unimplemented!()
    }

    /// The active inbox with this canonical address, whoever owns it.
    pub async fn inbox_by_address(&self, _canonical: &str) -> Result<Option<Inbox>, Error> {
        unimplemented!()
    }

    pub async fn emails(
        &self,
        _account_id: &str,
        _inbox_id: &str,
        _filter: &EmailFilter,
    ) -> Result<Emails, Error> {
        unimplemented!()
    }

    pub async fn arrivals(
        &self,
        _account_id: &str,
        _inbox_id: &str,
        _filter: &ArrivalFilter,
    ) -> Result<Vec<Email>, Error> {
        unimplemented!()
    }

    /// With `body`.
    pub async fn email(
        &self,
        _account_id: &str,
        _inbox_id: &str,
        _email_id: &str,
    ) -> Result<Option<Email>, Error> {
        unimplemented!()
    }

    pub async fn original(
        &self,
        _account_id: &str,
        _inbox_id: &str,
        _email_id: &str,
    ) -> Result<Option<Original>, Error> {
        unimplemented!()
    }

    /// By last email, newest first.
    pub async fn threads(
        &self,
        _account_id: &str,
        _inbox_id: &str,
        _limit: i64,
        _cursor: Option<&str>,
    ) -> Result<Page<Thread>, Error> {
        unimplemented!()
    }

    /// A thread that was merged into another is found by either id.
    pub async fn thread(
        &self,
        _account_id: &str,
        _inbox_id: &str,
        _thread_id: &str,
    ) -> Result<Option<ThreadDetail>, Error> {
        unimplemented!()
    }

    /// `None` if the inbox has no such thread.
    pub async fn ancestry(
        &self,
        _inbox_id: &str,
        _thread_id: &str,
    ) -> Result<Option<Ancestry>, Error> {
        unimplemented!()
    }

    pub async fn search(&self, _account_id: &str, _query: &SearchQuery) -> Result<Emails, Error> {
        unimplemented!()
    }

    pub async fn ledger_entry(
        &self,
        _inbox_id: &str,
        _idempotency_key: &str,
    ) -> Result<Option<LedgerEntry>, Error> {
        unimplemented!()
    }

    /// `None` if no such mail was ever accepted.
    pub async fn outgoing(&self, _mail_id: &str) -> Result<Option<Outgoing>, Error> {
        unimplemented!()
    }

    /// Every address that takes mail, in pages by canonical address.
    pub async fn directory(
        &self,
        _after: Option<&str>,
        _limit: i64,
    ) -> Result<Vec<DirectoryEntry>, Error> {
        unimplemented!()
    }
}
