use contract::Message;
use sqlx::AnyConnection;

use crate::{Error, sql};

/// Writes what stands in the attachments of mails.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    mails: impl Iterator<Item = (&str, &Message)>,
) -> Result<(), Error> {
    let texts = mails.flat_map(|(mail_id, message)| {
        let told = (0_i64..).zip(&message.attachments).filter(|(_, it)| !it.text.is_empty());
        told.map(move |(place, it)| (mail_id, place, it))
    });
    let texts: Vec<_> = texts.collect();
    let statement = |rows| {
        format!(
            "INSERT INTO attachment_texts (mail_id, place, text, truncated) {rows} \
             ON CONFLICT (mail_id, place) DO NOTHING"
        )
    };
    sql::insert(connection, &texts, 4, statement, |query, (mail_id, place, it)| {
        let truncated = i64::from(it.text_truncated);
        query.bind((*mail_id).to_owned()).bind(*place).bind(sql::text(&it.text)).bind(truncated)
    })
    .await
    .map_err(Error::query("store the texts of attachments"))
}

/// What stands in the attachments of a mail.
pub(super) async fn of(
    connection: &mut AnyConnection,
    mail_id: &str,
) -> Result<Vec<String>, Error> {
    sqlx::query_scalar("SELECT text FROM attachment_texts WHERE mail_id = $1 ORDER BY place")
        .bind(mail_id.to_owned())
        .fetch_all(connection)
        .await
        .map_err(Error::query("read the texts of attachments"))
}
