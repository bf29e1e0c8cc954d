//! The connections to a database.

use std::{path::PathBuf, str::FromStr as _, time::Duration};

use sqlx::{
    AnyPool, ConnectOptions as _, Executor as _, Transaction,
    any::{Any, AnyConnectOptions, AnyPoolOptions},
};

use crate::{Error, dialect::Dialect};

/// How long a call waits for a connection, and in SQLite for the write lock, which other processes
/// have too.
const PATIENCE: Duration = Duration::from_secs(30);

const SQLITE_READERS: u32 = 8;
const POSTGRES_CONNECTIONS: u32 = 10;

/// The lock wait is below `PATIENCE`. FULL makes a commit durable before anybody hears of it. A page that
/// many transactions change goes into the database once in 16 MiB of log, not once in 4; it is found in
/// 32 MiB of memory, not in 2.
const SQLITE_WRITER: &str = "PRAGMA busy_timeout = 20000; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 4096; PRAGMA cache_size = -32768";
const SQLITE_READER: &str = "PRAGMA busy_timeout = 20000; PRAGMA query_only = ON";

#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) dialect: Dialect,
    pub(crate) read: AnyPool,
    pub(crate) write: AnyPool,
}

/// What a database URL says.
pub(crate) enum Target {
    Sqlite(PathBuf),
    Postgres,
}

impl Target {
    pub(crate) fn of(url: &str) -> Result<Target, Error> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return Ok(Target::Postgres);
        }
        let path = url.strip_prefix("sqlite:").ok_or_else(|| Error::Url(redacted(url)))?;
        let path = path.strip_prefix("//").unwrap_or(path);
        // Readers and the writer are different connections, which have no memory in common.
        if path.is_empty() || path.contains(":memory:") || path.contains('?') {
            return Err(Error::Url(redacted(url)));
        }
        Ok(Target::Sqlite(PathBuf::from(path)))
    }

    fn options(&self, url: &str, create: bool) -> Result<AnyConnectOptions, Error> {
        let url = match self {
            Target::Postgres => url.to_owned(),
            Target::Sqlite(path) => {
                let mode = if create { "rwc" } else { "rw" };
                format!("sqlite:{}?mode={mode}", escaped(&path.to_string_lossy()))
            }
        };
        let options = AnyConnectOptions::from_str(&url)
            .map_err(|source| Error::Connect { url: redacted(&url), source })?;
        Ok(options.disable_statement_logging())
    }
}

impl Database {
    pub(crate) async fn connect(url: &str) -> Result<Database, Error> {
        sqlx::any::install_default_drivers();
        let target = Target::of(url)?;
        let options = target.options(url, false)?;
        let failed = |source| Error::Connect { url: redacted(url), source };
        let open = async |size, setup| {
            pool(size, setup).connect_with(options.clone()).await.map_err(failed)
        };
        match target {
            Target::Sqlite(path) if !path.exists() => Err(Error::SchemaNotCurrent),
            Target::Sqlite(_) => Ok(Database {
                dialect: Dialect::Sqlite,
                read: open(SQLITE_READERS, Some(SQLITE_READER)).await?,
                write: open(1, Some(SQLITE_WRITER)).await?,
            }),
            Target::Postgres => {
                let pool = open(POSTGRES_CONNECTIONS, None).await?;
                Ok(Database { dialect: Dialect::Postgres, read: pool.clone(), write: pool })
            }
        }
    }

    /// Begins a writing transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, Error> {
        self.write
            .begin_with(self.dialect.begin())
            .await
            .map_err(Error::query("begin a transaction"))
    }
}

/// One connection, to migrate with; creates the file of an SQLite database.
pub(crate) async fn connect_to_migrate(
    target: &Target,
    url: &str,
) -> Result<sqlx::AnyConnection, Error> {
    sqlx::any::install_default_drivers();
    let failed = |source| Error::Connect { url: redacted(url), source };
    let mut connection = target.options(url, true)?.connect().await.map_err(failed)?;
    if matches!(target, Target::Sqlite(_)) {
        // The journal mode is a property of the file.
        let setup = "PRAGMA busy_timeout = 20000; PRAGMA journal_mode = WAL";
        connection.execute(setup).await.map_err(failed)?;
    }
    Ok(connection)
}

fn pool(size: u32, setup: Option<&'static str>) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(size).acquire_timeout(PATIENCE).after_connect(
        move |connection, _| {
            Box::pin(async move {
                if let Some(setup) = setup {
                    connection.execute(setup).await?;
                }
                Ok(())
            })
        },
    )
}

/// The path in a URL, which sqlx decodes.
fn escaped(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace(' ', "%20")
}

/// A URL without what may be secret in it: user, password, parameters.
fn redacted(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_secrets() {
        assert_eq!(redacted("postgres://u:p@w@h/d?password=x"), "postgres://…@h/d");
        assert_eq!(redacted("mysql:u:p@h"), "…@h");
        assert_eq!(redacted("postgres:///d?user=u&password=x"), "postgres:///d");
        assert_eq!(redacted("sqlite:.posthouse/posthouse.db"), "sqlite:.posthouse/posthouse.db");
    }

    #[test]
    fn refuses_other_databases() {
        for url in ["mysql://h/d", "", "sqlite:", "sqlite::memory:", "sqlite:a?mode=ro"] {
            assert!(matches!(Target::of(url), Err(Error::Url(_))), "{url}");
        }
    }
}
