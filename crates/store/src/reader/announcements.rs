use sqlx::{Row as _, any::AnyRow};

use super::Reader;
use crate::{Announcement, Error};

impl Reader {
    /// What is to be announced, in the order in which it happened.
    pub async fn announcements(&self, limit: i64) -> Result<Vec<Announcement>, Error> {
        let failed = Error::query("read announcements");
        let rows = sqlx::query(
            "SELECT event_id, account_id, inbox_id, event, data, happened_at FROM announcements \
             ORDER BY happened_at, event_id LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.database.read)
        .await
        .map_err(&failed)?;
        let announcement = |row: &AnyRow| {
            Ok(Announcement {
                event_id: row.try_get("event_id")?,
                account_id: row.try_get("account_id")?,
                inbox_id: row.try_get("inbox_id")?,
                event: row.try_get("event")?,
                data: row.try_get("data")?,
                happened_at: row.try_get("happened_at")?,
            })
        };
        rows.iter().map(announcement).collect::<sqlx::Result<_>>().map_err(&failed)
    }
}
