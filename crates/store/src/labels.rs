//! Labels: what accounts put on their emails.

use std::collections::HashMap;

use sqlx::{AnyConnection, Row as _};

use crate::{Error, sql};

/// Characters of a label.
pub const MAX_LABEL: usize = 64;
/// Labels of an account.
pub const MAX_LABELS: usize = 200;
/// Labels of an email.
pub const MAX_LABELS_OF_EMAIL: usize = 20;

/// What is to be done to an email. What is to be added and removed at once is added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    pub read: Option<bool>,
    pub add: Vec<String>,
    pub remove: Vec<String>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// The email has these labels now.
    Done(Vec<String>),
    /// The account has no such email.
    Unknown,
    /// The email would have too many labels.
    TooManyOfEmail,
    /// The account would.
    TooMany,
}

/// A condition on `emails e`: it has the label in this parameter.
pub(crate) fn on_email(parameter: usize) -> String {
    format!(
        "EXISTS (SELECT 1 FROM email_labels t WHERE t.email_id = e.id AND t.label = ${parameter})"
    )
}

/// The labels of emails, in alphabetical order.
pub(crate) async fn of(
    connection: &mut AnyConnection,
    email_ids: &[String],
) -> Result<HashMap<String, Vec<String>>, Error> {
    let failed = Error::query("read labels");
    let statement = |ids| {
        format!(
            "SELECT email_id, label FROM email_labels WHERE email_id IN (VALUES {ids}) \
             ORDER BY email_id, label"
        )
    };
    let rows = sql::fetch(connection, email_ids, 1, statement, |query, id| query.bind(id.clone()))
        .await
        .map_err(&failed)?;
    let mut labels: HashMap<String, Vec<String>> = HashMap::new();
    for row in rows {
        let email_id = row.try_get("email_id").map_err(&failed)?;
        labels.entry(email_id).or_default().push(row.try_get("label").map_err(&failed)?);
    }
    Ok(labels)
}
