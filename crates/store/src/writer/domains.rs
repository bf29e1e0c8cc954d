use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Writer, commit, unchanged};
use crate::{
    Added, Announcement, Checked, Domain, DomainKeys, DomainStatus, Error, NewDomain, Recorded,
    Vault,
    dialect::Dialect,
    domain::SealedKeys,
    moment::now,
    reader::domains::{DOMAIN, domain, load_keys},
    sql,
};

impl Writer {
    pub async fn add_domain(
        &self,
        wanted: &NewDomain,
        keys: &DomainKeys,
        vault: &Vault,
    ) -> Result<Added, Error> {
        let keys = keys.sealed(vault, &wanted.id)?;
        let mut transaction = self.database.begin().await?;
        // The lock makes two requests that want the last place count one after the other.
        let lock =
            format!("SELECT id FROM accounts WHERE id = $1{}", self.database.dialect.lock_rows());
        sqlx::query(AssertSqlSafe(lock))
            .bind(wanted.account_id.clone())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(Error::query("add a domain"))?;
        let own = "account_id = $1 AND domain = $2 AND deleted_at IS NULL";
        let (account_id, name) = (&wanted.account_id, &wanted.domain);
        if let Some(known) = find(&mut transaction, own, account_id, name).await? {
            return unchanged(transaction, Added::Known(known)).await;
        }
        let others = "account_id <> $1 AND domain = $2 AND deleted_at IS NULL \
                      AND status = 'verified'";
        if find(&mut transaction, others, account_id, name).await?.is_some() {
            return unchanged(transaction, Added::Taken).await;
        }
        if is_full(&mut transaction, wanted).await? {
            return unchanged(transaction, Added::LimitReached).await;
        }
        insert(&mut transaction, wanted, keys).await?;
        let added = find(&mut transaction, own, account_id, name).await?;
        commit(transaction).await?;
        added.map(Added::Domain).ok_or(Error::Corrupt { what: "a new domain" })
    }

    /// Its private keys are gone at once. `None` if the account has no such domain.
    pub async fn delete_domain(
        &self,
        account_id: &str,
        domain_id: &str,
    ) -> Result<Option<Domain>, Error> {
        let failed = Error::query("delete a domain");
        let mut transaction = self.database.begin().await?;
        let statement = format!(
            "UPDATE domains SET deleted_at = $3, next_check_at = NULL, rsa_key = $4, \
             ed25519_key = $4 WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL \
             RETURNING {DOMAIN}"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(domain_id))
            .bind(sql::text(account_id))
            .bind(now())
            .bind(Vec::<u8>::new())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        let deleted = row.as_ref().map(domain).transpose()?;
        if let Some(domain) = &deleted {
            sqlx::query("DELETE FROM dkim_keys WHERE domain_id = $1")
                .bind(domain.id.clone())
                .execute(&mut *transaction)
                .await
                .map_err(&failed)?;
        }
        commit(transaction).await?;
        Ok(deleted)
    }

    /// A domain whose records are due to be looked at, which is the caller's alone for `lease`
    /// microseconds.
    pub async fn claim_domain(&self, lease: i64) -> Result<Option<Domain>, Error> {
        let failed = Error::query("claim a domain");
        let due = "deleted_at IS NULL AND next_check_at <= $1";
        let now = now();
        // Asked of a reader first: even an UPDATE without effect takes SQLite's write lock.
        let count = format!("SELECT COUNT(*) FROM domains WHERE {due}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .bind(now)
            .fetch_one(&self.database.read)
            .await
            .map_err(&failed)?;
        if count == 0 {
            return Ok(None);
        }
        let statement = format!(
            "UPDATE domains SET next_check_at = $2 WHERE {due} AND id = (SELECT id FROM domains \
             WHERE {due} ORDER BY next_check_at LIMIT 1{}) RETURNING {DOMAIN}",
            self.database.dialect.lock_free_rows()
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(now)
            .bind(now + lease)
            .fetch_optional(&self.database.write)
            .await
            .map_err(&failed)?;
        match row.as_ref().map(domain).transpose()? {
            Some(domain) => self.with_keys(domain).await.map(Some),
            None => Ok(None),
        }
    }

    async fn with_keys(&self, domain: Domain) -> Result<Domain, Error> {
        let failed = Error::query("connect to read");
        let mut connection = self.database.read.acquire().await.map_err(failed)?;
        let mut domains = [domain];
        load_keys(&mut connection, &mut domains).await?;
        let [domain] = domains;
        Ok(domain)
    }

    /// Of two accounts that prove a domain at once, the first gets it.
    pub async fn record_check(&self, id: &str, checked: &Checked) -> Result<Recorded, Error> {
        let failed = Error::query("record a look at a domain");
        let checks = serde_json::to_string(&checked.checks)
            .map_err(|_| Error::Corrupt { what: "what was found of a domain" })?;
        let verified_at = if checked.status == DomainStatus::Verified {
            "COALESCE(verified_at, $5)"
        } else {
            "NULL"
        };
        let statement = format!(
            "UPDATE domains SET status = $2, checks = $3, misses = $4, checked_at = $5, \
             next_check_at = $6, verified_at = {verified_at} \
             WHERE id = $1 AND deleted_at IS NULL RETURNING {DOMAIN}"
        );
        let mut transaction = self.database.begin().await?;
        let before = status(&mut transaction, self.database.dialect, id).await?;
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(id.to_owned())
            .bind(checked.status.as_str())
            .bind(sql::text(&checks))
            .bind(checked.misses)
            .bind(now())
            .bind(checked.next_check_at)
            .fetch_optional(&mut *transaction)
            .await;
        let recorded = match row {
            Ok(Some(row)) => domain(&row)?,
            Ok(None) => return unchanged(transaction, Recorded::Gone).await,
            Err(sqlx::Error::Database(err)) if err.is_unique_violation() => {
                return unchanged(transaction, Recorded::Taken).await;
            }
            Err(err) => return Err(failed(err)),
        };
        let event = match recorded.status {
            DomainStatus::Verified => Some("domain.verified"),
            DomainStatus::Failed => Some("domain.failed"),
            DomainStatus::PendingVerification => None,
        };
        if let Some(event) = event.filter(|_| before.as_deref() != Some(recorded.status.as_str())) {
            Announcement::of_domain(event, &recorded).write(&mut transaction).await?;
        }
        commit(transaction).await?;
        self.with_keys(recorded).await.map(|it| Recorded::Domain(Box::new(it)))
    }
}

/// Of a domain that is about to change.
async fn status(
    connection: &mut AnyConnection,
    dialect: Dialect,
    id: &str,
) -> Result<Option<String>, Error> {
    let statement = format!("SELECT status FROM domains WHERE id = $1{}", dialect.lock_rows());
    sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(id.to_owned())
        .fetch_optional(connection)
        .await
        .map_err(Error::query("read a domain"))
}

async fn is_full(connection: &mut AnyConnection, wanted: &NewDomain) -> Result<bool, Error> {
    let Some(most) = wanted.max_domains else { return Ok(false) };
    let statement = "SELECT COUNT(*) FROM domains WHERE account_id = $1 AND deleted_at IS NULL";
    let count: i64 = sqlx::query_scalar(statement)
        .bind(wanted.account_id.clone())
        .fetch_one(connection)
        .await
        .map_err(Error::query("count domains"))?;
    Ok(count >= most)
}

async fn insert(
    connection: &mut AnyConnection,
    wanted: &NewDomain,
    keys: SealedKeys,
) -> Result<(), Error> {
    let statement = "INSERT INTO domains (id, account_id, domain, status, checks, dkim_selector, \
         rsa_key, rsa_public, ed25519_key, ed25519_public, created_at, next_check_at) \
         VALUES ($1, $2, $3, $4, '[]', $5, $6, $7, $8, $9, $10, $11)";
    sqlx::query(statement)
        .bind(wanted.id.clone())
        .bind(wanted.account_id.clone())
        .bind(wanted.domain.clone())
        .bind(DomainStatus::PendingVerification.as_str())
        .bind(wanted.dkim_selector.clone())
        .bind(keys.rsa)
        .bind(keys.rsa_public)
        .bind(keys.ed25519)
        .bind(keys.ed25519_public)
        .bind(now())
        .bind(wanted.next_check_at)
        .execute(connection)
        .await
        .map_err(Error::query("add a domain"))?;
    Ok(())
}

async fn find(
    connection: &mut AnyConnection,
    condition: &str,
    account_id: &str,
    name: &str,
) -> Result<Option<Domain>, Error> {
    let statement = format!("SELECT {DOMAIN} FROM domains WHERE {condition}");
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(account_id.to_owned())
        .bind(name.to_owned())
        .fetch_optional(connection)
        .await
        .map_err(Error::query("read a domain"))?;
    row.as_ref().map(domain).transpose()
}
