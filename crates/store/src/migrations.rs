//! Bringing the schema up to date. Migrations only add, so that older processes can work on during
//! an upgrade.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::Duration,
};

use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};
use tokio::time::Instant;

use crate::{
    Error,
    database::{self, Database, Target},
    dialect::Dialect,
};

/// How long to wait for another process that migrates.
const PATIENCE: Duration = Duration::from_secs(300);

/// Version, description, and the statements.
type Script = (i64, &'static str, &'static str);

// Not `sqlx::migrate!`: the macro would have SQLite and the PostgreSQL driver compiled a second time,
// for the compiler's own use.
const SQLITE: &[Script] = &[
    (1, "initial", include_str!("../migrations/sqlite/0001_initial.sql")),
    (2, "domains", include_str!("../migrations/sqlite/0002_domains.sql")),
    (3, "suppression", include_str!("../migrations/sqlite/0003_suppression.sql")),
    (4, "outbox", include_str!("../migrations/sqlite/0004_outbox.sql")),
    (5, "standing", include_str!("../migrations/sqlite/0005_standing.sql")),
    (6, "bounces", include_str!("../migrations/sqlite/0006_bounces.sql")),
    (7, "loops", include_str!("../migrations/sqlite/0007_loops.sql")),
    (8, "tokens", include_str!("../migrations/sqlite/0008_tokens.sql")),
    (9, "policy", include_str!("../migrations/sqlite/0009_policy.sql")),
    (10, "holds", include_str!("../migrations/sqlite/0010_holds.sql")),
    (11, "labels", include_str!("../migrations/sqlite/0011_labels.sql")),
    (12, "webhooks", include_str!("../migrations/sqlite/0012_webhooks.sql")),
    (13, "verdicts", include_str!("../migrations/sqlite/0013_verdicts.sql")),
    (14, "attachment_texts", include_str!("../migrations/sqlite/0014_attachment_texts.sql")),
    (15, "work", include_str!("../migrations/sqlite/0015_work.sql")),
    (16, "expectations", include_str!("../migrations/sqlite/0016_expectations.sql")),
    (17, "keys", include_str!("../migrations/sqlite/0017_keys.sql")),
    (18, "carried", include_str!("../migrations/sqlite/0018_carried.sql")),
    (19, "operator", include_str!("../migrations/sqlite/0019_operator.sql")),
    (20, "claims", include_str!("../migrations/sqlite/0020_claims.sql")),
    (21, "console", include_str!("../migrations/sqlite/0021_console.sql")),
];
const POSTGRES: &[Script] = &[
    (1, "initial", include_str!("../migrations/postgres/0001_initial.sql")),
    (2, "domains", include_str!("../migrations/postgres/0002_domains.sql")),
    (3, "suppression", include_str!("../migrations/postgres/0003_suppression.sql")),
    (4, "outbox", include_str!("../migrations/postgres/0004_outbox.sql")),
    (5, "standing", include_str!("../migrations/postgres/0005_standing.sql")),
    (6, "bounces", include_str!("../migrations/postgres/0006_bounces.sql")),
    (7, "loops", include_str!("../migrations/postgres/0007_loops.sql")),
    (8, "tokens", include_str!("../migrations/postgres/0008_tokens.sql")),
    (9, "policy", include_str!("../migrations/postgres/0009_policy.sql")),
    (10, "holds", include_str!("../migrations/postgres/0010_holds.sql")),
    (11, "labels", include_str!("../migrations/postgres/0011_labels.sql")),
    (12, "webhooks", include_str!("../migrations/postgres/0012_webhooks.sql")),
    (13, "verdicts", include_str!("../migrations/postgres/0013_verdicts.sql")),
    (14, "attachment_texts", include_str!("../migrations/postgres/0014_attachment_texts.sql")),
    (15, "work", include_str!("../migrations/postgres/0015_work.sql")),
    (16, "expectations", include_str!("../migrations/postgres/0016_expectations.sql")),
    (17, "keys", include_str!("../migrations/postgres/0017_keys.sql")),
    (18, "carried", include_str!("../migrations/postgres/0018_carried.sql")),
    (19, "operator", include_str!("../migrations/postgres/0019_operator.sql")),
    (20, "claims", include_str!("../migrations/postgres/0020_claims.sql")),
    (21, "console", include_str!("../migrations/postgres/0021_console.sql")),
];

/// Brings the schema up to date. Safe to call from several processes at once.
pub async fn migrate(url: &str) -> Result<(), Error> {
    let target = Target::of(url)?;
    // sqlx takes a lock in PostgreSQL only.
    let (dialect, _lock) = match &target {
        Target::Sqlite(path) => (Dialect::Sqlite, Some(lock(path).await?)),
        Target::Postgres => (Dialect::Postgres, None),
    };
    let mut connection = database::connect_to_migrate(&target, url).await?;
    let outcome = migrator(dialect).run_direct(None, &mut connection, false).await;
    sqlx::Connection::close(connection).await.map_err(Error::query("close the connection"))?;
    outcome.map_err(Error::Migrate)
}

/// That all migrations have been applied; one that is newer than this process is none of its business.
pub(crate) async fn check(database: &Database) -> Result<(), Error> {
    let failed = Error::query("check the schema");
    let tables: i64 = sqlx::query_scalar(database.dialect.count_migration_tables())
        .fetch_one(&database.read)
        .await
        .map_err(&failed)?;
    if tables == 0 {
        return Err(Error::SchemaNotCurrent);
    }
    let applied: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success = TRUE")
            .fetch_all(&database.read)
            .await
            .map_err(&failed)?;
    let is_current =
        scripts(database.dialect).iter().all(|(version, ..)| applied.contains(version));
    if is_current { Ok(()) } else { Err(Error::SchemaNotCurrent) }
}

fn scripts(dialect: Dialect) -> &'static [Script] {
    match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
    }
}

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = scripts(dialect).iter().map(|(version, description, statements)| {
        let up = MigrationType::Simple;
        Migration::new(*version, (*description).into(), up, statements.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.set_ignore_missing(true);
    migrator
}

/// A lock file beside the database, made with its directory. Locked until it is dropped.
async fn lock(path: &Path) -> Result<File, Error> {
    let lock_path = path.with_added_extension("lock");
    let failed = |source| Error::File { path: lock_path.display().to_string(), source };
    if let Some(directory) = path.parent() {
        tokio::fs::create_dir_all(directory).await.map_err(failed)?;
    }
    let file = File::create(&lock_path).map_err(failed)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(err) => return Err(failed(err.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_migration_of_both_databases() {
        for (folder, scripts) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .expect("folder")
                .map(|it| it.expect("file").file_name().to_string_lossy().into_owned())
                .collect();
            files.sort();
            let known = scripts.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql"));
            assert_eq!(files, known.collect::<Vec<_>>());
        }
    }
}
