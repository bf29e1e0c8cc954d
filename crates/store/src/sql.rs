//! Statements over many rows.
//!
//! Rows go in runs of a power of two, so that there are few different statements and all of them stay
//! prepared, and so that no statement has more parameters than the databases take (SQLite: 32,766).

use sqlx::{Any, AnyConnection, AssertSqlSafe, any::AnyArguments, any::AnyRow, query::Query};

/// A query with its arguments bound so far.
pub(crate) type Bound = Query<'static, Any, AnyArguments>;

/// The most rows in a statement.
const MOST_ROWS: usize = 64;

/// `($1, $2), ($3, $4)` for two rows of two columns.
pub(crate) fn tuples(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let numbers = (1..=columns).map(|it| format!("${}", row * columns + it));
        format!("({})", numbers.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Cuts rows into runs of 64, 32, 16, 8, 4, 2 and 1.
fn runs<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = 1 << rows.len().checked_ilog2()?;
        let (run, rest) = rows.split_at(usize::min(size, MOST_ROWS));
        rows = rest;
        Some(run)
    })
}

/// Runs a statement over all rows; `statement` makes its text from the tuples that stand for them.
pub(crate) async fn execute<T>(
    connection: &mut AnyConnection,
    rows: &[T],
    columns: usize,
    statement: impl Fn(String) -> String,
    bind: impl Fn(Bound, &T) -> Bound,
) -> sqlx::Result<()> {
    for run in runs(rows) {
        let text = statement(tuples(run.len(), columns));
        let query = run.iter().fold(sqlx::query(AssertSqlSafe(text)), &bind);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// As `execute`, with what comes back.
pub(crate) async fn fetch<T>(
    connection: &mut AnyConnection,
    rows: &[T],
    columns: usize,
    statement: impl Fn(String) -> String,
    bind: impl Fn(Bound, &T) -> Bound,
) -> sqlx::Result<Vec<AnyRow>> {
    let mut found = Vec::new();
    for run in runs(rows) {
        let text = statement(tuples(run.len(), columns));
        let query = run.iter().fold(sqlx::query(AssertSqlSafe(text)), &bind);
        found.extend(query.fetch_all(&mut *connection).await?);
    }
    Ok(found)
}

/// A text for the database. PostgreSQL has no NUL in texts; mail that has one loses it here, and
/// keeps it in its octets.
pub(crate) fn text(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_placeholders() {
        assert_eq!(tuples(2, 2), "($1, $2), ($3, $4)");
        assert_eq!(tuples(1, 1), "($1)");
    }

    #[test]
    fn cuts_runs_of_powers_of_two() {
        let sizes = |n: usize| runs(&vec![(); n]).map(<[()]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(0), [0; 0]);
        assert_eq!(sizes(7), [4, 2, 1]);
        assert_eq!(sizes(100), [64, 32, 4]);
        assert_eq!(sizes(130), [64, 64, 2]);
    }
}
