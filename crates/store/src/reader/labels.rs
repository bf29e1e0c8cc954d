use contract::Grant;
use sqlx::AssertSqlSafe;

use super::Reader;
use crate::{Error, sight, sql};

impl Reader {
    /// The labels that are on emails of an account, in alphabetical order.
    pub async fn labels(&self, account_id: &str) -> Result<Vec<String>, Error> {
        let statement = "SELECT l.label FROM labels l WHERE l.account_id = $1 AND EXISTS \
                         (SELECT 1 FROM email_labels t WHERE t.account_id = l.account_id \
                         AND t.label = l.label) ORDER BY l.label";
        sqlx::query_scalar(statement)
            .bind(sql::text(account_id))
            .fetch_all(&self.database.read)
            .await
            .map_err(Error::query("read an account's labels"))
    }

    /// Those on emails that a narrowed token sees.
    pub async fn labels_seen(&self, account_id: &str, grant: &Grant) -> Result<Vec<String>, Error> {
        let dialect = self.database.dialect;
        let statement = format!(
            "SELECT DISTINCT t.label FROM email_labels t JOIN emails e ON e.id = t.email_id \
             JOIN inboxes i ON i.id = e.inbox_id AND i.deleted_at IS NULL \
             WHERE t.account_id = $1 AND e.account_id = $1 AND e.hidden = 0 AND {} AND {} \
             ORDER BY t.label",
            dialect.listed("e.inbox_id", 2),
            dialect.listed("e.thread_id", 3)
        );
        sqlx::query_scalar(AssertSqlSafe(statement))
            .bind(sql::text(account_id))
            .bind(sight::parameter(grant.inbox_ids.as_deref()))
            .bind(sight::parameter(grant.thread_ids.as_deref()))
            .fetch_all(&self.database.read)
            .await
            .map_err(Error::query("read the labels that a token sees"))
    }
}
