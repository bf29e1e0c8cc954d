//! How many mails tokens have sent, of those that may send so many.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Grant, Rejection, SendLimits};
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use crate::{
    Error,
    dialect::Dialect,
    sql,
    token::{Count, over_limit},
};

/// Locked until the transaction ends, so that what is counted here holds until it is written.
pub(super) struct TokenCounts {
    now: i64,
    tokens: BTreeMap<String, (SendLimits, Count)>,
}

impl TokenCounts {
    pub(super) async fn lock(
        connection: &mut AnyConnection,
        dialect: Dialect,
        hashes: impl Iterator<Item = &String>,
        now: i64,
    ) -> Result<TokenCounts, Error> {
        let failed = Error::query("lock the counts of tokens");
        let mut tokens = BTreeMap::new();
        // In one order, so that no two wait for each other.
        for hash in hashes.collect::<BTreeSet<_>>() {
            let statement =
                format!("SELECT permits FROM tokens WHERE hash = $1{}", dialect.lock_rows());
            let row = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(hash.clone());
            let row = row.fetch_optional(&mut *connection).await.map_err(&failed)?;
            let Some(limits) = row.as_ref().map(limits).transpose()? else { continue };
            let count = count(connection, hash, &limits, now).await?;
            tokens.insert(hash.clone(), (limits, count));
        }
        Ok(TokenCounts { now, tokens })
    }

    /// Counts another mail for all of them, or says why it is too many for one.
    pub(super) fn admit(&mut self, hashes: &[String]) -> Result<(), Rejection> {
        for hash in hashes {
            if let Some((limits, count)) = self.tokens.get(hash)
                && let Some((rejection, _)) = over_limit(limits, *count)
            {
                return Err(rejection);
            }
        }
        for hash in hashes {
            if let Some((_, count)) = self.tokens.get_mut(hash) {
                count.mails += 1;
                count.oldest_at = count.oldest_at.or(Some(self.now));
            }
        }
        Ok(())
    }

    /// One that was counted is not accepted after all.
    pub(super) fn take_back(&mut self, hashes: &[String]) {
        for hash in hashes {
            if let Some((_, count)) = self.tokens.get_mut(hash) {
                count.mails -= 1;
            }
        }
    }

    /// Writes down which mails count for which token, and forgets those that count no more.
    pub(super) async fn save(
        self,
        connection: &mut AnyConnection,
        mails: &[(&str, &str)],
    ) -> Result<(), Error> {
        let failed = Error::query("count the mails of tokens");
        for (hash, (limits, _)) in &self.tokens {
            let statement = "DELETE FROM token_mails WHERE token_hash = $1 AND at <= $2";
            let forget = sqlx::query(statement).bind(hash.clone());
            let forget = forget.bind(limits.counts_since(self.now));
            forget.execute(&mut *connection).await.map_err(&failed)?;
        }
        let mails: Vec<_> =
            mails.iter().filter(|(hash, _)| self.tokens.contains_key(*hash)).collect();
        let statement = |rows| format!("INSERT INTO token_mails (token_hash, email_id, at) {rows}");
        sql::insert(connection, &mails, 3, statement, |query, (hash, email_id)| {
            query.bind((*hash).to_owned()).bind((*email_id).to_owned()).bind(self.now)
        })
        .await
        .map_err(&failed)
    }
}

fn limits(row: &AnyRow) -> Result<SendLimits, Error> {
    let permits: Option<String> =
        row.try_get("permits").map_err(Error::query("read what a token may send"))?;
    let grant = permits.map_or(Ok(Grant::default()), |it| serde_json::from_str(&it));
    grant.map(|it| it.limits).map_err(|_| Error::Corrupt { what: "what a token may do" })
}

/// What a token has sent of what counts now.
pub(crate) async fn count(
    connection: &mut AnyConnection,
    token_hash: &str,
    limits: &SendLimits,
    now: i64,
) -> Result<Count, Error> {
    let failed = Error::query("count the mails of a token");
    let statement = "SELECT COUNT(*) AS mails, MIN(at) AS oldest FROM token_mails \
                     WHERE token_hash = $1 AND at > $2";
    let row = sqlx::query(statement)
        .bind(token_hash.to_owned())
        .bind(limits.counts_since(now))
        .fetch_one(connection)
        .await
        .map_err(&failed)?;
    Ok(Count {
        mails: row.try_get("mails").map_err(&failed)?,
        oldest_at: row.try_get("oldest").map_err(&failed)?,
    })
}
