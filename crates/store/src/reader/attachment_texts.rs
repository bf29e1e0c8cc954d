use contract::EmailAttachment;
use sqlx::Row as _;

use super::Reader;
use crate::Error;

impl Reader {
    /// Tells what stands in the attachments of a mail.
    pub(super) async fn tell_attachments(
        &self,
        mail_id: &str,
        attachments: &mut [EmailAttachment],
    ) -> Result<(), Error> {
        if attachments.is_empty() {
            return Ok(());
        }
        let failed = Error::query("read the texts of attachments");
        let statement = "SELECT place, text, truncated FROM attachment_texts WHERE mail_id = $1";
        let rows = sqlx::query(statement)
            .bind(mail_id.to_owned())
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        for row in rows {
            let place = row.try_get::<i64, _>("place").map_err(&failed)?;
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            if let Some(attachment) = attachments.get_mut(place) {
                attachment.text = Some(row.try_get("text").map_err(&failed)?);
                let truncated: i64 = row.try_get("truncated").map_err(&failed)?;
                attachment.text_truncated = truncated != 0;
            }
        }
        Ok(())
    }
}
