use super::Reader;
use crate::{Error, sql};

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
}
