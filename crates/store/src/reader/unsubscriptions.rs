use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{
    ALL_LISTS, Error, Page, Suppression, Unsubscription, cursor::Cursor, sql, suppression::key,
};

impl Reader {
    /// Those of these addresses that have left a list of the account's, or all of them.
    pub async fn unsubscribed(
        &self,
        account_id: &str,
        list_id: &str,
        addresses: &[String],
    ) -> Result<Vec<Suppression>, Error> {
        let failed = Error::query("look for unsubscribed addresses");
        let mut keys: Vec<String> = addresses.iter().map(|it| key(it)).collect();
        keys.sort();
        keys.dedup();
        let mut found: Vec<Suppression> = Vec::new();
        for keys in keys.chunks(64) {
            let places: Vec<String> = (0..keys.len()).map(|it| format!("${}", it + 3)).collect();
            let statement = format!(
                "SELECT address, list_id, at, source FROM unsubscriptions WHERE account_id = $1 \
                 AND list_id IN ($2, '{ALL_LISTS}') AND lifted_at IS NULL AND address IN ({}) \
                 ORDER BY at",
                places.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(statement));
            let query = query.bind(sql::text(account_id)).bind(sql::text(list_id));
            let query = keys.iter().fold(query, |query, it| query.bind(it.clone()));
            let rows = query.fetch_all(&self.database.read).await.map_err(&failed)?;
            for row in &rows {
                let it = unsubscription(row).map_err(&failed)?;
                if !found.iter().any(|known| known.address == it.address) {
                    found.push(it.into());
                }
            }
        }
        Ok(found)
    }

    /// Who has left the account's lists, the newest first. The cursor is the moment of the last one and
    /// what it is.
    pub async fn unsubscriptions(
        &self,
        account_id: &str,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<Unsubscription>, Error> {
        let failed = Error::query("read who has left lists");
        let cursor = Cursor::from_option(cursor)?;
        let rows = sqlx::query(
            "SELECT address, list_id, at, source FROM unsubscriptions \
             WHERE account_id = $1 AND lifted_at IS NULL \
             AND (at < $2 OR at = $2 AND address || ' ' || list_id < $3) \
             ORDER BY at DESC, address || ' ' || list_id DESC LIMIT $4",
        )
        .bind(sql::text(account_id))
        .bind(cursor.at)
        .bind(cursor.id)
        .bind(limit.saturating_add(1))
        .fetch_all(&self.database.read)
        .await
        .map_err(&failed)?;
        let items: sqlx::Result<Vec<_>> = rows.iter().map(unsubscription).collect();
        let mut items = items.map_err(&failed)?;
        let limit = usize::try_from(limit).unwrap_or_default();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| has_more);
        let cursor = last
            .map(|it| Cursor { at: it.at, id: format!("{} {}", it.address, it.list_id) }.encode());
        Ok(Page { items, cursor })
    }
}

fn unsubscription(row: &AnyRow) -> sqlx::Result<Unsubscription> {
    Ok(Unsubscription {
        address: row.try_get("address")?,
        list_id: row.try_get("list_id")?,
        at: row.try_get("at")?,
        source: row.try_get("source")?,
    })
}
