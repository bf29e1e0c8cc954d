//! New DKIM keys for a domain: the old ones sign until the records of the new ones are there.

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{Writer, commit, unchanged};
use crate::{
    Domain, DomainKeys, Error, Rotation, Vault,
    domain::SealedKeys,
    moment::{DAY, now},
    reader::domains::{DOMAIN, domain, load_keys},
    sql,
};

/// How long keys are remembered that sign no more.
const REMEMBERED_FOR: i64 = 30 * DAY;

impl Writer {
    /// Lays new keys beside those that sign. Where others wait for their records already, nothing
    /// changes. The domain is looked at again at `next_check_at`.
    pub async fn start_rotation(
        &self,
        account_id: &str,
        domain_id: &str,
        selector: &str,
        (keys, vault): (&DomainKeys, &Vault),
        next_check_at: i64,
    ) -> Result<Rotation, Error> {
        let keys = keys.sealed(vault, domain_id)?;
        let mut transaction = self.database.begin().await?;
        // Takes the row: two requests at once come one after the other.
        let statement = format!(
            "UPDATE domains SET next_check_at = $3 WHERE id = $1 AND account_id = $2 \
             AND deleted_at IS NULL RETURNING {DOMAIN}"
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(domain_id))
            .bind(sql::text(account_id))
            .bind(next_check_at)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(Error::query("rotate DKIM keys"))?;
        let Some(row) = row else { return unchanged(transaction, Rotation::Gone).await };
        let mut domains = [domain(&row)?];
        load_keys(&mut transaction, &mut domains).await?;
        let [found] = &domains;
        if found.next_keys.is_none() {
            let before = found.retired_keys.iter().find(|it| it.selector == selector);
            if let Some(keys) = before.filter(|it| it.removable_at() > now()) {
                return unchanged(transaction, Rotation::TooSoon(keys.clone())).await;
            }
            forget(&mut transaction, domain_id, selector).await?;
            insert(&mut transaction, domain_id, selector, keys).await?;
            let [found] = &mut domains;
            (found.next_keys, found.retired_keys) = (None, Vec::new());
            load_keys(&mut transaction, &mut domains).await?;
        }
        commit(transaction).await?;
        let [found] = domains;
        Ok(Rotation::Awaited(Box::new(found)))
    }

    /// From now on a domain's next keys sign, if they are still those with this selector. The private
    /// ones of the last are gone with that; their records are remembered. `None` if nothing changed.
    pub async fn finish_rotation(
        &self,
        domain_id: &str,
        selector: &str,
    ) -> Result<Option<Domain>, Error> {
        let failed = Error::query("change DKIM keys");
        let mut transaction = self.database.begin().await?;
        let statement = "DELETE FROM dkim_keys WHERE domain_id = $1 AND selector = $2 \
                         AND state = 'next' \
                         RETURNING rsa_key, rsa_public, ed25519_key, ed25519_public";
        let next = sqlx::query(statement)
            .bind(sql::text(domain_id))
            .bind(sql::text(selector))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        let Some(next) = next else { return unchanged(transaction, None).await };
        let retire = "INSERT INTO dkim_keys (domain_id, selector, state, since, rsa_key, \
                      ed25519_key, rsa_public, ed25519_public) \
                      SELECT id, dkim_selector, 'retired', $2, $3, $3, rsa_public, ed25519_public \
                      FROM domains WHERE id = $1";
        sqlx::query(retire)
            .bind(sql::text(domain_id))
            .bind(now())
            .bind(Vec::<u8>::new())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        let octets = |column: &str| next.try_get::<Vec<u8>, _>(column).map_err(&failed);
        let sign = format!(
            "UPDATE domains SET dkim_selector = $2, rsa_key = $3, rsa_public = $4, \
             ed25519_key = $5, ed25519_public = $6 WHERE id = $1 AND deleted_at IS NULL \
             RETURNING {DOMAIN}"
        );
        let row = sqlx::query(AssertSqlSafe(sign))
            .bind(sql::text(domain_id))
            .bind(sql::text(selector))
            .bind(octets("rsa_key")?)
            .bind(octets("rsa_public")?)
            .bind(octets("ed25519_key")?)
            .bind(octets("ed25519_public")?)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return unchanged(transaction, None).await };
        let mut changed = [domain(&row)?];
        load_keys(&mut transaction, &mut changed).await?;
        commit(transaction).await?;
        let [changed] = changed;
        Ok(Some(changed))
    }
}

/// Retired keys that nobody asks for any more, and those whose selector is used again.
async fn forget(
    connection: &mut AnyConnection,
    domain_id: &str,
    selector: &str,
) -> Result<(), Error> {
    let statement = "DELETE FROM dkim_keys WHERE domain_id = $1 AND state = 'retired' \
                     AND (selector = $2 OR since < $3)";
    sqlx::query(statement)
        .bind(sql::text(domain_id))
        .bind(sql::text(selector))
        .bind(now() - REMEMBERED_FOR)
        .execute(connection)
        .await
        .map_err(Error::query("forget old DKIM keys"))?;
    Ok(())
}

async fn insert(
    connection: &mut AnyConnection,
    domain_id: &str,
    selector: &str,
    keys: SealedKeys,
) -> Result<(), Error> {
    let statement = "INSERT INTO dkim_keys (domain_id, selector, state, since, rsa_key, \
                     ed25519_key, rsa_public, ed25519_public) \
                     VALUES ($1, $2, 'next', $3, $4, $5, $6, $7)";
    sqlx::query(statement)
        .bind(sql::text(domain_id))
        .bind(sql::text(selector))
        .bind(now())
        .bind(keys.rsa)
        .bind(keys.ed25519)
        .bind(keys.rsa_public)
        .bind(keys.ed25519_public)
        .execute(connection)
        .await
        .map_err(Error::query("keep new DKIM keys"))?;
    Ok(())
}
