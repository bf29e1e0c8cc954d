use super::Writer;
use crate::{Announcement, Error};

impl Writer {
    /// Forgets what has been announced. False if somebody else had done so.
    pub async fn forget_announcement(&self, announcement: &Announcement) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM announcements WHERE event_id = $1")
            .bind(announcement.event_id.clone())
            .execute(&self.database.write)
            .await
            .map_err(Error::query("forget an announcement"))?;
        Ok(done.rows_affected() > 0)
    }
}
