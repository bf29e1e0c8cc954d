use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use super::Reader;
use crate::{
    Domain, DomainStatus, Error, PublicKeys, SigningKeys, Vault,
    domain::{ed25519_name, ed25519_selector, rsa_name},
    sql,
};

impl Reader {
    pub async fn domain(&self, account_id: &str, domain_id: &str) -> Result<Option<Domain>, Error> {
        let condition = "id = $2 AND account_id = $1 AND deleted_at IS NULL";
        let found = self.find_domains(condition, &[account_id, domain_id]).await?;
        Ok(self.with_keys(found).await?.pop())
    }

    /// Newest first.
    pub async fn domains(&self, account_id: &str) -> Result<Vec<Domain>, Error> {
        let condition = "account_id = $1 AND deleted_at IS NULL ORDER BY created_at DESC, id DESC";
        let found = self.find_domains(condition, &[account_id]).await?;
        self.with_keys(found).await
    }

    /// The domain of this name that the account has proved to be its own.
    pub async fn verified_domain(
        &self,
        account_id: &str,
        domain: &str,
    ) -> Result<Option<Domain>, Error> {
        let condition = "domain = $2 AND account_id = $1 AND deleted_at IS NULL \
                         AND status = 'verified'";
        Ok(self.find_domains(condition, &[account_id, domain]).await?.into_iter().next())
    }

    /// Whether any account has it verified.
    pub async fn is_verified(&self, domain: &str) -> Result<bool, Error> {
        let condition = "domain = $1 AND deleted_at IS NULL AND status = 'verified'";
        Ok(!self.find_domains(condition, &[domain]).await?.is_empty())
    }

    /// All of every account's, in pages by name.
    pub async fn verified_domains(
        &self,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Domain>, Error> {
        let condition = "deleted_at IS NULL AND status = 'verified' AND domain > $1 \
                         ORDER BY domain LIMIT $2";
        let query = sqlx::query(AssertSqlSafe(select(condition)))
            .bind(sql::text(after.unwrap_or_default()))
            .bind(limit);
        let rows = query.fetch_all(&self.database.read).await;
        let failed = Error::query("read domains");
        rows.map_err(failed)?.iter().map(domain).collect()
    }

    /// The account and the name of each domain that has active inboxes of an account which had it
    /// once and has it verified no more.
    pub async fn lost_domains(&self) -> Result<Vec<(String, String)>, Error> {
        let failed = Error::query("read lost domains");
        let statement = "SELECT DISTINCT d.account_id, d.domain FROM domains d \
             WHERE NOT EXISTS (SELECT 1 FROM domains v WHERE v.domain = d.domain \
             AND v.account_id = d.account_id AND v.deleted_at IS NULL AND v.status = 'verified') \
             AND EXISTS (SELECT 1 FROM inboxes i WHERE i.account_id = d.account_id \
             AND i.domain = d.domain AND i.deleted_at IS NULL)";
        let rows = sqlx::query(statement).fetch_all(&self.database.read).await.map_err(&failed)?;
        let pair = |row: &AnyRow| Ok((row.try_get("account_id")?, row.try_get("domain")?));
        rows.iter().map(pair).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    /// What mail of a domain is signed with, if an account has it verified.
    pub async fn signing_keys(
        &self,
        domain: &str,
        vault: &Vault,
    ) -> Result<Option<SigningKeys>, Error> {
        let failed = Error::query("read DKIM keys");
        let statement = "SELECT id, dkim_selector, rsa_key, ed25519_key FROM domains \
                         WHERE domain = $1 AND deleted_at IS NULL AND status = 'verified'";
        let row = sqlx::query(statement)
            .bind(sql::text(domain))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let id: String = row.try_get("id").map_err(&failed)?;
        let rsa_selector: String = row.try_get("dkim_selector").map_err(&failed)?;
        let rsa: Vec<u8> = row.try_get("rsa_key").map_err(&failed)?;
        let ed25519: Vec<u8> = row.try_get("ed25519_key").map_err(&failed)?;
        Ok(Some(SigningKeys {
            domain: domain.to_owned(),
            ed25519_selector: ed25519_selector(&rsa_selector),
            rsa_selector,
            rsa_pkcs8: vault.open(&rsa_name(&id), &rsa)?,
            ed25519_pkcs8: vault.open(&ed25519_name(&id), &ed25519)?,
        }))
    }

    async fn with_keys(&self, mut domains: Vec<Domain>) -> Result<Vec<Domain>, Error> {
        if !domains.is_empty() {
            load_keys(&mut *self.connection().await?, &mut domains).await?;
        }
        Ok(domains)
    }

    async fn find_domains(&self, condition: &str, values: &[&str]) -> Result<Vec<Domain>, Error> {
        let query = sqlx::query(AssertSqlSafe(select(condition)));
        let rows = values
            .iter()
            .fold(query, |query, value| query.bind(sql::text(value)))
            .fetch_all(&self.database.read)
            .await
            .map_err(Error::query("read domains"))?;
        rows.iter().map(domain).collect()
    }
}

fn select(condition: &str) -> String {
    format!("SELECT {DOMAIN} FROM domains WHERE {condition}")
}

/// Adds the keys that do not sign yet, and those that do no more.
pub(crate) async fn load_keys(
    connection: &mut AnyConnection,
    domains: &mut [Domain],
) -> Result<(), Error> {
    let failed = Error::query("read the DKIM keys of domains");
    let ids: Vec<String> = domains.iter().map(|it| it.id.clone()).collect();
    let statement = |ids| {
        format!(
            "SELECT domain_id, selector, state, since, rsa_public, ed25519_public FROM dkim_keys \
             WHERE domain_id IN (VALUES {ids}) ORDER BY domain_id, since"
        )
    };
    let rows = sql::fetch(connection, &ids, 1, statement, |query, id| query.bind(id.clone()))
        .await
        .map_err(&failed)?;
    for row in &rows {
        let id: String = row.try_get("domain_id").map_err(&failed)?;
        let state: String = row.try_get("state").map_err(&failed)?;
        let keys = PublicKeys {
            selector: row.try_get("selector").map_err(&failed)?,
            rsa_public: row.try_get("rsa_public").map_err(&failed)?,
            ed25519_public: row.try_get("ed25519_public").map_err(&failed)?,
            since: row.try_get("since").map_err(&failed)?,
        };
        let Some(domain) = domains.iter_mut().find(|it| it.id == id) else { continue };
        match state.as_str() {
            "next" => domain.next_keys = Some(keys),
            _ => domain.retired_keys.push(keys),
        }
    }
    Ok(())
}

/// The columns of a domain.
pub(crate) const DOMAIN: &str = "id, account_id, domain, status, checks, dkim_selector, \
     rsa_public, ed25519_public, created_at, verified_at, checked_at, misses";

pub(crate) fn domain(row: &AnyRow) -> Result<Domain, Error> {
    let failed = Error::query("read a domain");
    let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
    let octets = |column: &str| row.try_get::<Vec<u8>, _>(column).map_err(&failed);
    let moment = |column: &str| row.try_get::<Option<i64>, _>(column).map_err(&failed);
    let corrupt = |what| Error::Corrupt { what };
    Ok(Domain {
        id: text("id")?,
        account_id: text("account_id")?,
        domain: text("domain")?,
        status: DomainStatus::of(&text("status")?)
            .ok_or_else(|| corrupt("the status of a domain"))?,
        checks: serde_json::from_str(&text("checks")?)
            .map_err(|_| corrupt("what was found of a domain"))?,
        dkim_selector: text("dkim_selector")?,
        rsa_public: octets("rsa_public")?,
        ed25519_public: octets("ed25519_public")?,
        created_at: row.try_get("created_at").map_err(&failed)?,
        verified_at: moment("verified_at")?,
        checked_at: moment("checked_at")?,
        misses: row.try_get("misses").map_err(&failed)?,
        next_keys: None,
        retired_keys: Vec::new(),
    })
}
