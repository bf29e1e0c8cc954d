use sqlx::{Error as Sqlx, error::DatabaseError, migrate::MigrateError};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("database URL {0:?} is neither sqlite:FILE nor postgres://…")]
    Url(String),
    #[error("connect to the database {url}")]
    Connect {
        url: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("create {path} for the database")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the database schema is not current: posthouse-storage or `posthouse migrate` brings it up to date"
    )]
    SchemaNotCurrent,
    #[error("migrate the database")]
    Migrate(#[source] MigrateError),
    #[error("{action}")]
    Query {
        action: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("{what} in the database cannot be read")]
    Corrupt { what: &'static str },
    #[error("make a pair of DKIM keys")]
    Keys,
    #[error("the key that DKIM keys are sealed with is not 64 hexadecimal digits")]
    VaultKey,
    #[error("a DKIM key in the database is sealed with another key than the one configured")]
    Sealed,
    #[error("the inbox does not exist")]
    NoInbox,
    #[error("the system gave no random octets")]
    Random,
    #[error("the cursor {0:?} is not one that this service gave out")]
    Cursor(String),
}

impl Error {
    pub(crate) fn query(action: &'static str) -> impl Fn(sqlx::Error) -> Error {
        move |source| Error::Query { action, source }
    }

    /// Trying again later may work: the database is away, busy, full, or a race was lost. What is
    /// not known to be hopeless counts as transient.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Connect { source, .. } | Error::Query { source, .. } => !is_hopeless(source),
            // What a migration itself says is wrong with it, no retry puts right.
            Error::Migrate(MigrateError::Execute(source)) => !is_hopeless(source),
            Error::SchemaNotCurrent | Error::File { .. } | Error::Random => true,
            Error::Url(_)
            | Error::NoInbox
            | Error::Migrate(_)
            | Error::Keys
            | Error::VaultKey
            | Error::Sealed
            | Error::Corrupt { .. }
            | Error::Cursor(_) => false,
        }
    }
}

fn is_hopeless(error: &Sqlx) -> bool {
    match error {
        Sqlx::Database(error) => is_refused(error.as_ref()),
        Sqlx::Configuration(_)
        | Sqlx::Encode(_)
        | Sqlx::Decode(_)
        | Sqlx::ColumnDecode { .. }
        | Sqlx::ColumnNotFound(_)
        | Sqlx::ColumnIndexOutOfBounds { .. }
        | Sqlx::TypeNotFound { .. } => true,
        _ => false,
    }
}

/// The values themselves are refused. A duplicate key and a missing parent row are not that: they
/// come from races, and the next try sees how they ended.
fn is_refused(error: &dyn DatabaseError) -> bool {
    if error.is_unique_violation() || error.is_foreign_key_violation() {
        return false;
    }
    let Some(code) = error.code() else { return false };
    match code.parse::<u32>() {
        // SQLite's primary codes SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH; SQLSTATEs have
        // five characters.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 18..=20),
        // SQLSTATE classes: data exception, constraint violation, program limit exceeded.
        _ => ["22", "23", "54"].iter().any(|class| code.starts_with(class)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_timeout_is_transient() {
        let error = Error::query("list emails")(Sqlx::PoolTimedOut);
        assert!(error.is_transient());
    }

    #[test]
    fn a_column_of_the_wrong_type_is_not() {
        let source = Sqlx::Decode("not a number".into());
        assert!(!Error::query("list emails")(source).is_transient());
        assert!(!Error::Cursor("x".to_owned()).is_transient());
    }
}
