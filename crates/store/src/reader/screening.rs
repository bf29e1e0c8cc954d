//! Policies, lists of senders, and what is in quarantine.

use contract::EmailDecision;
use sqlx::{AssertSqlSafe, Row as _};

use super::Reader;
use crate::{
    Emails, Error, Page, ScreeningPolicy, ScreeningSettings, SenderList, SenderRule,
    cursor::Cursor,
    email::{self, ALL_TABLES, COLUMNS},
    screening::Screening,
    sight, sql,
    writer::{
        QUARANTINED,
        screening::{RULE, read_settings, rule},
    },
};

/// The row of `policies` that has the operator's.
pub(crate) const DEFAULTS: &str = "screening";

/// What an account or an inbox has set, and since when; `None` if it never did.
pub type Settings = Option<(ScreeningSettings, i64)>;

/// Which mail that is kept from agents to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct QuarantineFilter {
    pub inbox_id: Option<String>,
    /// What was refused, instead of what waits for a decision.
    pub refused: bool,
    pub limit: i64,
    pub cursor: Option<String>,
    /// Only of these inboxes; of all without.
    pub inbox_ids: Option<Vec<String>>,
}

/// A received mail, as far as deciding on it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Screened {
    pub status: String,
    pub is_quarantined: bool,
    pub is_authenticated: bool,
    pub decision: Option<EmailDecision>,
}

impl Reader {
    /// What is done where accounts have set nothing.
    pub async fn screening_defaults(&self) -> Result<ScreeningPolicy, Error> {
        let policy: Option<String> =
            sqlx::query_scalar("SELECT policy FROM policies WHERE name = $1")
                .bind(DEFAULTS)
                .fetch_optional(&self.database.read)
                .await
                .map_err(Error::query("read the policy of screening"))?;
        policy.map_or_else(
            || Ok(ScreeningPolicy::default()),
            |it| email::from_json(&it, "the policy of screening"),
        )
    }

    /// `scope_id` is an account's or an inbox's.
    pub async fn screening_settings(&self, scope_id: &str) -> Result<Settings, Error> {
        let failed = Error::query("read a policy");
        let statement = "SELECT settings, updated_at FROM screening_settings WHERE scope_id = $1";
        let row = sqlx::query(statement)
            .bind(sql::text(scope_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let settings: String = row.try_get("settings").map_err(&failed)?;
        Ok(Some((read_settings(&settings)?, row.try_get("updated_at").map_err(&failed)?)))
    }

    /// A list of the account's, or of one inbox, newest first.
    pub async fn sender_rules(
        &self,
        account_id: &str,
        inbox_id: Option<&str>,
        list: SenderList,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Page<SenderRule>, Error> {
        let failed = Error::query("read a list of senders");
        let cursor = Cursor::from_option(cursor)?;
        let statement = format!(
            "SELECT {RULE} FROM sender_rules r WHERE r.account_id = $1 AND r.inbox_id = $2 \
             AND r.list = $3 AND (r.created_at, r.entry) < ($4, $5) \
             ORDER BY r.created_at DESC, r.entry DESC LIMIT $6"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(sql::text(account_id))
            .bind(sql::text(inbox_id.unwrap_or_default()))
            .bind(list.as_str())
            .bind(cursor.at)
            .bind(cursor.id)
            .bind(limit.saturating_add(1))
            .fetch_all(&self.database.read)
            .await
            .map_err(&failed)?;
        let items: Vec<SenderRule> =
            rows.iter().map(rule).collect::<sqlx::Result<_>>().map_err(&failed)?;
        let place = |it: &SenderRule| Cursor { at: it.created_at, id: it.entry.clone() };
        Ok(page(items, limit, place))
    }

    /// Without `body`.
    pub async fn quarantine(
        &self,
        account_id: &str,
        filter: &QuarantineFilter,
    ) -> Result<Emails, Error> {
        let cursor = Cursor::from_option(filter.cursor.as_deref())?;
        let in_inboxes = self.database.dialect.listed("e.inbox_id", 7);
        let statement = format!(
            "SELECT {COLUMNS} FROM {ALL_TABLES} JOIN inboxes i ON i.id = e.inbox_id \
             WHERE e.account_id = $1 AND e.hidden = 1 AND i.deleted_at IS NULL AND e.status = $2 \
             AND ($3 = '' OR e.inbox_id = $3) AND (e.created_at, e.id) < ($4, $5) AND {in_inboxes} \
             ORDER BY e.created_at DESC, e.id DESC LIMIT $6"
        );
        self.page_of_emails(&statement, filter.limit, |query| {
            query
                .bind(sql::text(account_id))
                .bind(if filter.refused { "refused" } else { QUARANTINED })
                .bind(sql::text(filter.inbox_id.as_deref().unwrap_or_default()))
                .bind(cursor.at)
                .bind(cursor.id)
                .bind(filter.limit.saturating_add(1))
                .bind(sight::parameter(filter.inbox_ids.as_deref()))
        })
        .await
    }

    /// `None` if the account has received no such mail.
    pub async fn screened(
        &self,
        account_id: &str,
        email_id: &str,
    ) -> Result<Option<Screened>, Error> {
        let failed = Error::query("read what became of a mail");
        let statement = "SELECT status, hidden, screening FROM emails \
                         WHERE id = $1 AND account_id = $2 AND direction = 'inbound'";
        let row = sqlx::query(statement)
            .bind(sql::text(email_id))
            .bind(sql::text(account_id))
            .fetch_optional(&self.database.read)
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let screening: Option<String> = row.try_get("screening").map_err(&failed)?;
        let screening = screening
            .map_or_else(|| Ok(Screening::default()), |it| email::from_json(&it, "screening"))?;
        Ok(Some(Screened {
            status: row.try_get("status").map_err(&failed)?,
            is_quarantined: row.try_get::<i64, _>("hidden").map_err(&failed)? != 0,
            is_authenticated: screening.is_authenticated,
            decision: screening.decision,
        }))
    }
}

/// Of what was asked for with one more than `limit`.
pub(super) fn page<T>(mut items: Vec<T>, limit: i64, place: impl Fn(&T) -> Cursor) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or_default();
    let has_more = items.len() > limit;
    items.truncate(limit);
    let cursor = items.last().filter(|_| has_more).map(|it| place(it).encode());
    Page { items, cursor }
}
