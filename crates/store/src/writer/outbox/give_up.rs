//! Mail that an operator gives up before its time is over.

use std::collections::BTreeSet;

use super::settle::{fail, leave, waiting};
use crate::{
    Error, Writer,
    moment::now,
    writer::{commit, emails},
};

impl Writer {
    /// Gives up those of these mails that still wait, as if their time were over: their sender hears of it
    /// like that. Returns their ids; the others are on their way, or gone.
    pub async fn give_up(
        &self,
        mails: &[(String, String)],
        diagnostic: &str,
    ) -> Result<Vec<String>, Error> {
        let mut transaction = self.database.begin().await?;
        let inbox_ids: BTreeSet<String> = mails.iter().map(|(_, inbox)| inbox.clone()).collect();
        let dialect = self.database.dialect;
        emails::lock_inboxes(&mut transaction, dialect, inbox_ids, now()).await?;
        let email_ids: Vec<String> = mails.iter().map(|(email, _)| email.clone()).collect();
        let leaving = waiting(&mut transaction, &email_ids).await?;
        leave(&mut transaction, &leaving, "expired").await?;
        fail(&mut transaction, &leaving, diagnostic).await?;
        commit(transaction).await?;
        Ok(leaving.into_iter().map(|it| it.email_id).collect())
    }
}
