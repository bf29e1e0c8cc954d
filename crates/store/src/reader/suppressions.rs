use sqlx::{AssertSqlSafe, Row as _};

use super::Reader;
use crate::{
    Error, Page, Suppression,
    cursor::Cursor,
    moment::now,
    sql,
    suppression::{MOST_STRIKES, gather, key},
};

/// Of what is in force.
const COLUMNS: &str =
    "s.address, s.reason, s.evidence, s.source, s.strikes, s.created_at, s.expires_at";
const IN_FORCE: &str = "s.lifted_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > $2)";

impl Reader {
    /// Those of these addresses that the account must not send to, in lower case.
    pub async fn suppressed(
        &self,
        account_id: &str,
        addresses: &[String],
    ) -> Result<Vec<Suppression>, Error> {
        let failed = Error::query("look for suppressed addresses");
        let mut suppressed = Vec::new();
        let mut keys: Vec<String> = addresses.iter().map(|it| key(it)).collect();
        keys.sort();
        keys.dedup();
        for keys in keys.chunks(64) {
            let places: Vec<String> = (0..keys.len()).map(|it| format!("${}", it + 3)).collect();
            let statement = format!(
                "SELECT {COLUMNS} FROM suppressions s \
                 WHERE s.account_id = $1 AND {IN_FORCE} AND s.address IN ({})",
                places.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(statement));
            let query = query.bind(sql::text(account_id)).bind(now());
            let query = keys.iter().fold(query, |query, it| query.bind(it.clone()));
            let rows = query.fetch_all(&self.database.read).await.map_err(&failed)?;
            suppressed.extend(gather(&rows).map_err(&failed)?);
        }
        Ok(suppressed)
    }

    /// What the account must not send to, the newest first.
    pub async fn suppressions(
        &self,
        account_id: &str,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<Suppression>, Error> {
        let failed = Error::query("read suppressions");
        let cursor = Cursor::from_option(cursor)?;
        let statement = format!(
            "SELECT s.address, MAX(s.created_at) AS last_at FROM suppressions s \
             WHERE s.account_id = $1 AND {IN_FORCE} GROUP BY s.address \
             HAVING SUM(s.strikes) >= {MOST_STRIKES} AND (MAX(s.created_at) < $3 \
             OR MAX(s.created_at) = $3 AND s.address < $4) \
             ORDER BY last_at DESC, s.address DESC LIMIT $5"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(account_id))
            .bind(now())
            .bind(cursor.at)
            .bind(cursor.id)
            .bind(limit.saturating_add(1))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let mut found: Vec<(String, i64)> = Vec::new();
        for row in &rows {
            let address = row.try_get("address").map_err(&failed)?;
            found.push((address, row.try_get("last_at").map_err(&failed)?));
        }
        let limit = usize::try_from(limit).unwrap_or_default();
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| has_more);
        let cursor = last.map(|(id, at)| Cursor { at: *at, id: id.clone() }.encode());
        let addresses: Vec<String> = found.into_iter().map(|it| it.0).collect();
        let mut items = self.suppressed(account_id, &addresses).await?;
        items.sort_by_key(|it| addresses.iter().position(|address| *address == it.address));
        Ok(Page { items, cursor })
    }
}
