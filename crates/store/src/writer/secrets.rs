use std::time::Duration;

use aws_lc_rs::rand;
use sqlx::{AnyConnection, Row as _};

use super::{Writer, commit, unchanged};
use crate::{Error, Secrets, moment::now};

const OCTETS: usize = 32;

impl Writer {
    /// The secret of this name, made at random the first time: 32 octets.
    pub async fn secret(&self, name: &str) -> Result<Vec<u8>, Error> {
        let failed = Error::query("read a secret");
        let find = || {
            sqlx::query_scalar("SELECT octets FROM secrets WHERE name = $1").bind(name.to_owned())
        };
        if let Some(octets) = find().fetch_optional(&self.database.read).await.map_err(&failed)? {
            return Ok(octets);
        }
        let octets = random()?;
        // Whoever comes first decides.
        let statement = "INSERT INTO secrets (name, octets, made_at) VALUES ($1, $2, $3) \
                         ON CONFLICT (name) DO NOTHING";
        sqlx::query(statement)
            .bind(name.to_owned())
            .bind(octets)
            .bind(now())
            .execute(&self.database.write)
            .await
            .map_err(Error::query("make a secret"))?;
        find().fetch_one(&self.database.read).await.map_err(&failed)
    }

    /// The secret of this name and the one it replaced, if that still counts.
    pub async fn secrets(&self, name: &str) -> Result<Secrets, Error> {
        let current = self.secret(name).await?;
        let statement = "SELECT octets FROM secrets WHERE name = $1";
        let previous: Option<Vec<u8>> = sqlx::query_scalar(statement)
            .bind(previous(name))
            .fetch_optional(&self.database.read)
            .await
            .map_err(Error::query("read a secret"))?;
        Ok(Secrets { current, previous })
    }

    /// Replaces a secret, which goes on to count beside the new one. Says no if it is younger than
    /// `age`: what the one before it signed would count no more.
    pub async fn rotate_secret(&self, name: &str, age: Duration) -> Result<bool, Error> {
        self.secret(name).await?;
        let failed = Error::query("replace a secret");
        let mut transaction = self.database.begin().await?;
        let statement = format!(
            "SELECT octets, made_at FROM secrets WHERE name = $1{}",
            self.database.dialect.lock_rows()
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(name.to_owned())
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        let made_at: i64 = row.try_get("made_at").map_err(&failed)?;
        if made_at.saturating_add(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)) > now() {
            return unchanged(transaction, false).await;
        }
        let octets: Vec<u8> = row.try_get("octets").map_err(&failed)?;
        put(&mut transaction, &previous(name), octets, made_at).await?;
        put(&mut transaction, name, random()?, now()).await?;
        commit(transaction).await?;
        Ok(true)
    }

    /// Replaces a secret that others may know. Nothing that it signed counts any more.
    pub async fn revoke_secret(&self, name: &str) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        put(&mut transaction, name, random()?, now()).await?;
        sqlx::query("DELETE FROM secrets WHERE name = $1")
            .bind(previous(name))
            .execute(&mut *transaction)
            .await
            .map_err(Error::query("remove a secret"))?;
        commit(transaction).await
    }
}

fn previous(name: &str) -> String {
    format!("{name}.previous")
}

fn random() -> Result<Vec<u8>, Error> {
    let mut octets = [0; OCTETS];
    rand::fill(&mut octets).map_err(|_| Error::Random)?;
    Ok(octets.to_vec())
}

async fn put(
    connection: &mut AnyConnection,
    name: &str,
    octets: Vec<u8>,
    made_at: i64,
) -> Result<(), Error> {
    let statement = "INSERT INTO secrets (name, octets, made_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (name) DO UPDATE SET octets = excluded.octets, \
                     made_at = excluded.made_at";
    sqlx::query(statement)
        .bind(name.to_owned())
        .bind(octets)
        .bind(made_at)
        .execute(connection)
        .await
        .map_err(Error::query("write a secret"))?;
    Ok(())
}
