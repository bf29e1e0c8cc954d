//! Statements over many rows.
//!
//! Rows go in runs of a power of two, so that there are few different statements and all of them stay
//! prepared, and so that no statement has more parameters than the databases take (SQLite: 32,766).
//! In SQLite what is not bound is NULL, so that a statement has room for more rows than there are, and
//! one does where PostgreSQL takes several: an empty row joins nothing and is equal to nothing.

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

/// Cuts rows into runs of 64, 32, 16, 8, 4, 2 and 1; where rows may be empty, into runs of 64 and a rest.
fn runs<T>(mut rows: &[T], empty: bool) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = if empty { rows.len() } else { 1 << rows.len().checked_ilog2()? };
        let (run, rest) = rows.split_at(usize::min(size, MOST_ROWS));
        rows = rest;
        (!run.is_empty()).then_some(run)
    })
}

/// Runs a statement over all rows; `statement` makes its text from the tuples that stand for them, which
/// it has in `IN (VALUES …)` or as a table to join with. What inserts them as they are is `insert`.
pub(crate) async fn execute<T>(
    connection: &mut AnyConnection,
    rows: &[T],
    columns: usize,
    statement: impl Fn(String) -> String,
    bind: impl Fn(Bound, &T) -> Bound,
) -> sqlx::Result<()> {
    let text = |room| statement(tuples(room, columns));
    for query in queries(rows, has_empty_rows(connection), text, bind) {
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Inserts all rows; `statement` makes its text from what stands for them, after the names of the
/// columns. The first of these is never NULL.
pub(crate) async fn insert<T>(
    connection: &mut AnyConnection,
    rows: &[T],
    columns: usize,
    statement: impl Fn(String) -> String,
    bind: impl Fn(Bound, &T) -> Bound,
) -> sqlx::Result<()> {
    let has_empty = has_empty_rows(connection);
    let statement = |tuples| {
        statement(match has_empty {
            true => format!("SELECT * FROM (VALUES {tuples}) AS v WHERE v.column1 IS NOT NULL"),
            false => format!("VALUES {tuples}"),
        })
    };
    execute(connection, rows, columns, statement, bind).await
}

/// As `execute`, with what comes back.
pub(crate) async fn fetch<T>(
    connection: &mut AnyConnection,
    rows: &[T],
    columns: usize,
    statement: impl Fn(String) -> String,
    bind: impl Fn(Bound, &T) -> Bound,
) -> sqlx::Result<Vec<AnyRow>> {
    fetch_rows(connection, rows, |room| statement(tuples(room, columns)), bind).await
}

/// As `fetch`, with a SELECT for each row, all of them in a single statement; `select` makes its text from
/// what stands for the columns of the row.
pub(crate) async fn fetch_each<T, const COLUMNS: usize>(
    connection: &mut AnyConnection,
    rows: &[T],
    select: impl Fn([String; COLUMNS]) -> String,
    bind: impl Fn(Bound, &T) -> Bound,
) -> sqlx::Result<Vec<AnyRow>> {
    let text = |room| {
        let select = |row: usize| {
            let column = |column: usize| format!("${}", row * COLUMNS + column + 1);
            format!("SELECT * FROM ({}) AS r", select(std::array::from_fn(column)))
        };
        (0..room).map(select).collect::<Vec<_>>().join(" UNION ALL ")
    };
    fetch_rows(connection, rows, text, bind).await
}

async fn fetch_rows<T>(
    connection: &mut AnyConnection,
    rows: &[T],
    text: impl Fn(usize) -> String,
    bind: impl Fn(Bound, &T) -> Bound,
) -> sqlx::Result<Vec<AnyRow>> {
    let mut found = Vec::new();
    for query in queries(rows, has_empty_rows(connection), text, bind) {
        found.extend(query.fetch_all(&mut *connection).await?);
    }
    Ok(found)
}

/// A query for each run; `text` is that of a statement with room for so many rows.
fn queries<T>(
    rows: &[T],
    empty: bool,
    text: impl Fn(usize) -> String,
    bind: impl Fn(Bound, &T) -> Bound,
) -> impl Iterator<Item = Bound> {
    runs(rows, empty).map(move |run| {
        let text = text(run.len().next_power_of_two());
        run.iter().fold(sqlx::query(AssertSqlSafe(text)), &bind)
    })
}

fn has_empty_rows(connection: &AnyConnection) -> bool {
    connection.backend_name() == "SQLite"
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
        let sizes = |n, empty| runs(&vec![(); n], empty).map(<[()]>::len).collect::<Vec<_>>();
        for empty in [false, true] {
            assert_eq!(sizes(0, empty), [0; 0]);
            assert_eq!(sizes(130, empty), [64, 64, 2]);
        }
        assert_eq!(sizes(7, false), [4, 2, 1]);
        assert_eq!(sizes(7, true), [7]);
        assert_eq!(sizes(100, false), [64, 32, 4]);
        assert_eq!(sizes(100, true), [64, 36]);
    }
}
