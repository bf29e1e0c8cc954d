use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{
    Error, Noted, Page, Scope, Suppression,
    cursor::Cursor,
    moment::now,
    sql,
    suppression::{MOST_STRIKES, gather, key},
};

/// Of what is in force.
const COLUMNS: &str =
    "s.address, s.reason, s.evidence, s.source, s.strikes, s.created_at, s.expires_at";
const IN_FORCE: &str = "s.lifted_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > $2)";

/// Addresses in one query.
const MOST_ADDRESSES: usize = 64;

impl Reader {
    /// Those of these addresses that the account must not send to, in lower case, each once: by what
    /// the account itself knows, or because nobody may.
    pub async fn suppressed(
        &self,
        account_id: &str,
        addresses: &[String],
    ) -> Result<Vec<Suppression>, Error> {
        let mut suppressed = self.suppressed_by_account(account_id, addresses).await?;
        for it in self.suppressed_globally(addresses).await? {
            if suppressed.iter().all(|known| known.address != it.address) {
                suppressed.push(it);
            }
        }
        Ok(suppressed)
    }

    async fn suppressed_by_account(
        &self,
        account_id: &str,
        addresses: &[String],
    ) -> Result<Vec<Suppression>, Error> {
        let failed = Error::query("look for suppressed addresses");
        let mut suppressed = Vec::new();
        for keys in keys(addresses).chunks(MOST_ADDRESSES) {
            let statement = format!(
                "SELECT {COLUMNS} FROM suppressions s \
                 WHERE s.account_id = $1 AND {IN_FORCE} AND s.address IN ({})",
                places(keys.len(), 3)
            );
            let query = sqlx::query(AssertSqlSafe(statement));
            let query = query.bind(sql::text(account_id)).bind(now());
            let query = keys.iter().fold(query, |query, it| query.bind(it.clone()));
            let rows = query.fetch_all(&self.database.read).await.map_err(&failed)?;
            suppressed.extend(gather(&rows).map_err(&failed)?);
        }
        Ok(suppressed)
    }

    async fn suppressed_globally(&self, addresses: &[String]) -> Result<Vec<Suppression>, Error> {
        let failed = Error::query("look for globally suppressed addresses");
        let mut suppressed = Vec::new();
        for keys in keys(addresses).chunks(MOST_ADDRESSES) {
            let statement = format!(
                "SELECT address, reason, evidence, created_at, expires_at FROM global_suppressions \
                 WHERE lifted_at IS NULL AND expires_at > $1 AND address IN ({})",
                places(keys.len(), 2)
            );
            let query = sqlx::query(AssertSqlSafe(statement)).bind(now());
            let query = keys.iter().fold(query, |query, it| query.bind(it.clone()));
            let rows = query.fetch_all(&self.database.read).await.map_err(&failed)?;
            let read: sqlx::Result<Vec<_>> = rows.iter().map(global).collect();
            suppressed.extend(read.map_err(&failed)?);
        }
        Ok(suppressed)
    }

    /// What nobody may send to, the newest first.
    pub async fn global_suppressions(&self, limit: i64) -> Result<Vec<Suppression>, Error> {
        let failed = Error::query("read global suppressions");
        let statement = "SELECT address, reason, evidence, created_at, expires_at \
                         FROM global_suppressions WHERE lifted_at IS NULL AND expires_at > $1 \
                         ORDER BY created_at DESC, address LIMIT $2";
        let rows = sqlx::query(statement)
            .bind(now())
            .bind(limit)
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        rows.iter().map(global).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// All that an account ever knew to speak against an address, newest first, whether it counts or
    /// not.
    pub async fn evidence(&self, account_id: &str, address: &str) -> Result<Vec<Noted>, Error> {
        let failed = Error::query("read what speaks against an address");
        let statement = "SELECT reason, evidence, source, strikes, created_at, expires_at, \
                         lifted_at, lifted_by FROM suppressions \
                         WHERE account_id = $1 AND address = $2 \
                         ORDER BY created_at DESC, source LIMIT 100";
        let rows = sqlx::query(statement)
            .bind(sql::text(account_id))
            .bind(key(address))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        rows.iter().map(noted).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// What the account itself knows that it must not send to, the newest first.
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
        let mut items = self.suppressed_by_account(account_id, &addresses).await?;
        items.sort_by_key(|it| addresses.iter().position(|address| *address == it.address));
        Ok(Page { items, cursor })
    }
}

fn keys(addresses: &[String]) -> Vec<String> {
    let mut keys: Vec<String> = addresses.iter().map(|it| key(it)).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// `$3, $4` for two from the third on.
fn places(count: usize, from: usize) -> String {
    (from..from + count).map(|it| format!("${it}")).collect::<Vec<_>>().join(", ")
}

fn global(row: &AnyRow) -> sqlx::Result<Suppression> {
    Ok(Suppression {
        address: row.try_get("address")?,
        scope: Scope::Global,
        reason: row.try_get("reason")?,
        evidence: row.try_get("evidence")?,
        source: String::new(),
        created_at: row.try_get("created_at")?,
        expires_at: Some(row.try_get("expires_at")?),
    })
}

fn noted(row: &AnyRow) -> sqlx::Result<Noted> {
    Ok(Noted {
        reason: row.try_get("reason")?,
        evidence: row.try_get("evidence")?,
        source: row.try_get("source")?,
        strikes: row.try_get("strikes")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        lifted_at: row.try_get("lifted_at")?,
        lifted_by: row.try_get("lifted_by")?,
    })
}
