use super::Reader;
use crate::{
    Direction, Emails, Error, Page, SearchQuery,
    cursor::Cursor,
    email::{COLUMNS, TABLES},
    sight, sql, words,
};

impl Reader {
    pub async fn search(&self, account_id: &str, query: &SearchQuery) -> Result<Emails, Error> {
        let cursor = Cursor::from_option(query.cursor.as_deref())?;
        let dialect = self.database.dialect;
        let words = match words::query(account_id, &query.words) {
            Some(words) => Some(dialect.query(&words.words, words.prefix.as_deref())),
            None if query.words.trim().is_empty() => None,
            // Signs only: no text has such a word.
            None => return Ok(Page { items: Vec::new(), cursor: None }),
        };
        let matches = match words {
            Some(_) => dialect.matches(11),
            None => "$11 = ''".to_owned(),
        };
        let in_inboxes = dialect.listed("e.inbox_id", 12);
        let in_threads = dialect.listed("e.thread_id", 13);
        let position = dialect.position();
        let statement = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE e.account_id = $1 \
             AND (e.created_at, e.id) < ($2, $3) AND ($4 = '' OR e.inbox_id = $4) \
             AND ($5 = '' OR e.direction = $5) \
             AND ($6 = '' OR {position}(lower(m.from_address), $6) > 0) \
             AND e.created_at > $7 AND e.created_at <= $8 \
             AND ($9 < 0 OR m.has_attachments = $9) AND {matches} \
             AND {in_inboxes} AND {in_threads} \
             ORDER BY e.created_at DESC, e.id DESC LIMIT $10"
        );
        self.page_of_emails(&statement, query.limit, |statement| {
            statement
                .bind(sql::text(account_id))
                .bind(cursor.at)
                .bind(cursor.id)
                .bind(sql::text(query.inbox_id.as_deref().unwrap_or_default()))
                .bind(query.direction.map_or("", Direction::as_str))
                .bind(sql::text(&query.from.as_deref().unwrap_or_default().to_lowercase()))
                .bind(query.since.unwrap_or(i64::MIN))
                .bind(query.until.unwrap_or(i64::MAX))
                .bind(query.has_attachments.map_or(-1, i64::from))
                .bind(query.limit.saturating_add(1))
                .bind(words.unwrap_or_default())
                .bind(sight::parameter(query.inbox_ids.as_deref()))
                .bind(sight::parameter(query.thread_ids.as_deref()))
        })
        .await
    }
}
