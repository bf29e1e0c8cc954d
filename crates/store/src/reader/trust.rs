//! Whom an account trusts by name.

use super::Reader;
use crate::{
    Error, SenderList,
    sender_rule::{entries_of, foremost},
    sql,
    writer::screening::{RULE, rule},
};

impl Reader {
    /// Whether the entry that counts for this sender, of the inbox's lists and the account's, is one to
    /// allow. That he is who he says is for the caller to know.
    pub async fn is_allowed(
        &self,
        account_id: &str,
        inbox_id: &str,
        address: &str,
    ) -> Result<bool, Error> {
        let failed = Error::query("look up a sender on the lists");
        let mut connection = self.connection().await?;
        let (account_id, inbox_id) = (sql::text(account_id), sql::text(inbox_id));
        let statement = |tuples| {
            format!(
                "SELECT {RULE} FROM (VALUES {tuples}) AS v JOIN sender_rules r \
                 ON r.account_id = v.column1 AND r.entry = v.column3 \
                 AND (r.inbox_id = '' OR r.inbox_id = v.column2)"
            )
        };
        let bind = |query: sql::Bound, entry: &String| {
            query.bind(account_id.clone()).bind(inbox_id.clone()).bind(entry.clone())
        };
        let entries = entries_of(address);
        let rows = sql::fetch(&mut connection, &entries, 3, statement, bind).await;
        let rows = rows.map_err(&failed)?;
        let rules = rows.iter().map(rule).collect::<sqlx::Result<Vec<_>>>().map_err(&failed)?;
        Ok(foremost(rules.iter()).is_some_and(|it| it.list == SenderList::Allow))
    }
}
