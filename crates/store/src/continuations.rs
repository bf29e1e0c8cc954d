//! Which emails continue a thread, and which begin one.

use std::collections::HashSet;

use sqlx::{AnyConnection, Row as _};

use crate::{Error, sql};

/// Those of the emails that came when their thread had others already. The answer stays the same
/// whenever it is asked, as long as threads are not merged.
pub(crate) async fn continuing(
    connection: &mut AnyConnection,
    email_ids: &[String],
) -> Result<HashSet<String>, Error> {
    let failed = Error::query("find what continues threads");
    let statement = |ids| {
        format!(
            "SELECT e.id FROM emails e WHERE e.id IN (VALUES {ids}) AND EXISTS (SELECT 1 FROM emails o \
             WHERE o.thread_id = e.thread_id AND o.hidden = 0 AND (o.created_at, o.id) < (e.created_at, e.id))"
        )
    };
    let rows = sql::fetch(connection, email_ids, 1, statement, |query, id| query.bind(id.clone()))
        .await
        .map_err(&failed)?;
    rows.iter().map(|row| row.try_get("id")).collect::<sqlx::Result<_>>().map_err(&failed)
}
