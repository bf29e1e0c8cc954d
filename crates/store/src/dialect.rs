//! Where SQLite and PostgreSQL differ.

use sqlx::AnyConnection;

use crate::sql;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// An email and its words, separated by spaces.
pub(crate) struct Indexed {
    pub(crate) email_id: String,
    pub(crate) words: String,
}

impl Dialect {
    /// Begins a writing transaction. In SQLite it takes the write lock at once: a transaction that
    /// reads first and asks for the lock later is refused if somebody wrote in between.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        }
    }

    /// Ends a SELECT that locks its rows to the end of the transaction, though not against rows that
    /// refer to them. SQLite has one writer at a time and needs no more.
    pub(crate) fn lock_rows(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR NO KEY UPDATE",
        }
    }

    /// Ends a SELECT that locks its rows and leaves out those that others have locked.
    pub(crate) fn lock_free_rows(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// As `lock_rows`, and leaves out those that others have locked.
    pub(crate) fn lock_free_parents(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR NO KEY UPDATE SKIP LOCKED",
        }
    }

    /// The time by the database's clock, in microseconds since 1970.
    pub(crate) fn clock(self) -> &'static str {
        match self {
            Dialect::Sqlite => "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)",
            Dialect::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        }
    }

    /// The function that says where a text has another, 0 for nowhere.
    pub(crate) fn position(self) -> &'static str {
        match self {
            Dialect::Sqlite => "instr",
            Dialect::Postgres => "strpos",
        }
    }

    /// How many tables of sqlx's migration records there are.
    pub(crate) fn count_migration_tables(self) -> &'static str {
        match self {
            Dialect::Sqlite => "SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'",
            Dialect::Postgres => "SELECT COUNT(to_regclass('_sqlx_migrations'))",
        }
    }

    /// Keeps purges apart, so that of two that share a mail the second sees what the first removed.
    pub(crate) fn lock_purges(self) -> &'static str {
        match self {
            Dialect::Sqlite => "SELECT 1",
            Dialect::Postgres => "SELECT 1 FROM (SELECT pg_advisory_xact_lock(7310001)) AS locked",
        }
    }

    /// A condition on `emails e`: its words match the query in this parameter.
    pub(crate) fn matches(self, parameter: usize) -> String {
        match self {
            Dialect::Sqlite => format!(
                "e.n IN (SELECT rowid FROM email_words WHERE email_words MATCH ${parameter})"
            ),
            Dialect::Postgres => format!(
                "e.id IN (SELECT email_id FROM email_words \
                 WHERE words @@ CAST(${parameter} AS tsquery))"
            ),
        }
    }

    /// A query for emails that have all these words and one that begins with `prefix`. Words are
    /// letters and digits, or a scope; so quoting them takes no escapes.
    pub(crate) fn query(self, words: &[String], prefix: Option<&str>) -> String {
        let (quote, and, begins) = match self {
            Dialect::Sqlite => ('"', " ", "*"),
            Dialect::Postgres => ('\'', " & ", ":*"),
        };
        let words = words.iter().map(|it| format!("{quote}{it}{quote}"));
        let prefix = prefix.map(|it| format!("{quote}{it}{quote}{begins}"));
        words.chain(prefix).collect::<Vec<_>>().join(and)
    }

    pub(crate) async fn index(
        self,
        connection: &mut AnyConnection,
        emails: &[Indexed],
    ) -> sqlx::Result<()> {
        let statement = |tuples| match self {
            Dialect::Sqlite => format!(
                "INSERT INTO email_words (rowid, words) SELECT e.n, v.column2 \
                 FROM (VALUES {tuples}) AS v JOIN emails e ON e.id = v.column1"
            ),
            Dialect::Postgres => format!(
                "INSERT INTO email_words (email_id, words) \
                 SELECT v.column1, array_to_tsvector(string_to_array(v.column2, ' ')) \
                 FROM (VALUES {tuples}) AS v"
            ),
        };
        sql::execute(connection, emails, 2, statement, |query, email| {
            query.bind(email.email_id.clone()).bind(email.words.clone())
        })
        .await
    }

    /// Takes a few emails of an inbox out of the index. In PostgreSQL they go with their email.
    pub(crate) async fn unindex(
        self,
        connection: &mut AnyConnection,
        inbox_id: &str,
        limit: i64,
    ) -> sqlx::Result<()> {
        if self == Dialect::Sqlite {
            let statement = "DELETE FROM email_words WHERE rowid IN (SELECT n FROM emails \
                             WHERE inbox_id = $1 ORDER BY created_at, id LIMIT $2)";
            sqlx::query(statement)
                .bind(inbox_id.to_owned())
                .bind(limit)
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}
