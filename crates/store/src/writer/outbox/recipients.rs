//! Recipients that an inbox never wrote to before.
//!
//! They are counted when a mail takes its place in the queue, so that a flood to strangers is told at
//! once how long it takes. Until then, and if they are too many, they are not counted, and the mail
//! lets others pass.

use std::collections::HashSet;

use sqlx::{AnyConnection, Row as _};

use super::Queue;
use crate::{
    Error,
    allowance::{Held, Limit, Window},
    moment::DAY,
    sql, suppression,
};

/// Beyond so many days of waiting nothing is foretold.
const FORESEEN_DAYS: i64 = 30;

/// What an inbox's mail to new recipients has to go by.
pub(super) struct Strangers {
    /// 0 for no limit.
    most: i64,
    used: i64,
    /// Mails that wait for this limit already.
    put_off: i64,
    /// When each of those that are used is free again, as far as they were attempted.
    frees_at: Vec<i64>,
    known: HashSet<String>,
    /// Address and mail.
    claimed: Vec<(String, String)>,
}

/// Why a mail does not take its place in the queue.
#[derive(Debug)]
pub(super) enum NotNow {
    Later(Held),
    /// It has more new recipients than the limit.
    Never {
        most: i64,
    },
}

impl Strangers {
    pub(super) async fn load(
        connection: &mut AnyConnection,
        queue: &Queue,
        addresses: impl Iterator<Item = &String>,
        now: i64,
    ) -> Result<Strangers, Error> {
        let addresses: HashSet<String> = addresses.map(|it| suppression::key(it)).collect();
        let known = known(connection, &queue.inbox_id, addresses).await?;
        let most = queue.limits.new_recipients_per_day;
        let (used, put_off, frees_at) =
            if most > 0 { usage(connection, queue, now).await? } else { (0, 0, Vec::new()) };
        Ok(Strangers { most, used, put_off, frees_at, known, claimed: Vec::new() })
    }

    /// Counts the new ones among a mail's recipients, or says what it waits for.
    pub(super) fn admit(
        &mut self,
        email_id: &str,
        recipients: &[String],
        now: i64,
    ) -> Result<i64, NotNow> {
        let new: HashSet<String> = recipients.iter().map(|it| suppression::key(it)).collect();
        let new: Vec<String> = new.into_iter().filter(|it| !self.known.contains(it)).collect();
        let count = i64::try_from(new.len()).unwrap_or(i64::MAX);
        let is_limited = self.most > 0 && count > 0;
        if is_limited && count > self.most {
            return Err(NotNow::Never { most: self.most });
        }
        if is_limited && self.used + count > self.most {
            return Err(NotNow::Later(self.put_off(count, now)));
        }
        self.used += count;
        for address in new {
            self.known.insert(address.clone());
            self.claimed.push((address, email_id.to_owned()));
        }
        Ok(count)
    }

    /// Says until when a mail waits that has so many new recipients.
    pub(super) fn put_off(&mut self, count: i64, now: i64) -> Held {
        let (rounds, place) = (self.put_off / self.most, self.put_off % self.most);
        self.put_off += count;
        let frees_at = usize::try_from(place).ok().and_then(|it| self.frees_at.get(it));
        let until = frees_at.copied().unwrap_or(now + DAY).saturating_add(rounds * DAY);
        let window = Window {
            limit: Limit::NewRecipients,
            most: self.most,
            used: self.used,
            frees_at: Some(until),
        };
        Held::by(&window, until)
    }

    /// Keeps whom the inbox writes to now.
    pub(super) async fn save(
        self,
        connection: &mut AnyConnection,
        inbox_id: &str,
        now: i64,
    ) -> Result<(), Error> {
        let statement = |rows| {
            format!(
                "INSERT INTO correspondents (inbox_id, address, email_id, first_at) {rows} \
                 ON CONFLICT (inbox_id, address) DO NOTHING"
            )
        };
        sql::insert(connection, &self.claimed, 4, statement, |query, (address, email_id)| {
            query.bind(inbox_id.to_owned()).bind(address.clone()).bind(email_id.clone()).bind(now)
        })
        .await
        .map_err(Error::query("keep whom an inbox writes to"))
    }
}

/// Takes back what a mail claimed that never went.
pub(super) async fn forget(
    connection: &mut AnyConnection,
    inbox_id: &str,
    email_id: &str,
    recipients: &[String],
) -> Result<(), Error> {
    let addresses: Vec<String> = recipients.iter().map(|it| suppression::key(it)).collect();
    let statement = |tuples| {
        format!(
            "DELETE FROM correspondents WHERE (inbox_id, address, email_id) IN (VALUES {tuples})"
        )
    };
    sql::execute(connection, &addresses, 3, statement, |query, address| {
        query.bind(inbox_id.to_owned()).bind(address.clone()).bind(email_id.to_owned())
    })
    .await
    .map_err(Error::query("forget whom an inbox did not write to"))
}

async fn known(
    connection: &mut AnyConnection,
    inbox_id: &str,
    addresses: HashSet<String>,
) -> Result<HashSet<String>, Error> {
    let failed = Error::query("find whom an inbox wrote to");
    let addresses: Vec<String> = addresses.into_iter().collect();
    let statement = |tuples| {
        format!(
            "SELECT c.address FROM (VALUES {tuples}) AS v JOIN correspondents c \
             ON c.inbox_id = v.column1 AND c.address = v.column2"
        )
    };
    let rows = sql::fetch(connection, &addresses, 2, statement, |query, address| {
        query.bind(inbox_id.to_owned()).bind(address.clone())
    })
    .await
    .map_err(&failed)?;
    rows.iter().map(|row| row.try_get("address")).collect::<sqlx::Result<_>>().map_err(&failed)
}

/// How many are used, how many mails are put off, and when those used are free again.
async fn usage(
    connection: &mut AnyConnection,
    queue: &Queue,
    now: i64,
) -> Result<(i64, i64, Vec<i64>), Error> {
    let failed = Error::query("count new recipients");
    let most = queue.limits.new_recipients_per_day;
    let statement = "SELECT \
         (SELECT CAST(COALESCE(SUM(new_recipients), 0) AS BIGINT) FROM outbox WHERE inbox_id = $1 \
          AND new_recipients > 0 AND (attempted_at IS NULL OR attempted_at > $2)) AS used, \
         (SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE inbox_id = $1 AND state = 'waiting' \
          AND new_recipients IS NULL AND held_reason IS NOT NULL LIMIT $3) AS t) AS put_off";
    let row = sqlx::query(statement)
        .bind(queue.inbox_id.clone())
        .bind(now - DAY)
        .bind(most.saturating_mul(FORESEEN_DAYS))
        .fetch_one(&mut *connection)
        .await
        .map_err(&failed)?;
    let used: i64 = row.try_get("used").map_err(&failed)?;
    let put_off: i64 = row.try_get("put_off").map_err(&failed)?;
    let statement = "SELECT attempted_at FROM outbox WHERE inbox_id = $1 AND new_recipients > 0 \
                     AND attempted_at > $2 ORDER BY attempted_at LIMIT $3 OFFSET $4";
    let frees_at: Vec<i64> = sqlx::query_scalar(statement)
        .bind(queue.inbox_id.clone())
        .bind(now - DAY)
        .bind(most)
        // Above a limit that was lowered, the first ones make no room.
        .bind((used - most).max(0))
        .fetch_all(connection)
        .await
        .map_err(&failed)?;
    Ok((used, put_off, frees_at.into_iter().map(|it| it + DAY).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000 * DAY;

    fn strangers(most: i64, used: i64, frees_at: &[i64]) -> Strangers {
        let known = ["ann@x.example".to_owned()].into();
        Strangers {
            most,
            used,
            put_off: 0,
            frees_at: frees_at.to_vec(),
            known,
            claimed: Vec::new(),
        }
    }

    /// The moment until which it waits, if it does; 0 if it never goes.
    fn admit(strangers: &mut Strangers, recipients: &[&str]) -> Result<i64, i64> {
        let recipients: Vec<String> = recipients.iter().map(|it| (*it).to_owned()).collect();
        strangers.admit("eml_1", &recipients, NOW).map_err(|it| match it {
            NotNow::Later(held) => held.until,
            NotNow::Never { .. } => 0,
        })
    }

    #[test]
    fn an_address_is_new_once() {
        let mut it = strangers(3, 0, &[]);
        assert_eq!(admit(&mut it, &["Ann@x.example", "bob@x.example", "BOB@x.example"]), Ok(1));
        assert_eq!(admit(&mut it, &["bob@x.example"]), Ok(0));
        assert_eq!(it.claimed, [("bob@x.example".to_owned(), "eml_1".to_owned())]);
    }

    #[test]
    fn without_a_limit_they_are_kept_all_the_same() {
        let mut it = strangers(0, 0, &[]);
        assert_eq!(admit(&mut it, &["bob@x.example", "carol@x.example"]), Ok(2));
        assert_eq!(it.claimed.len(), 2);
    }

    #[test]
    fn too_many_wait_and_the_known_pass() {
        let mut it = strangers(2, 1, &[NOW + 7]);
        assert_eq!(admit(&mut it, &["a@x.example", "b@x.example"]), Err(NOW + 7));
        assert_eq!(admit(&mut it, &["ann@x.example"]), Ok(0));
        assert_eq!(admit(&mut it, &["a@x.example"]), Ok(1));
        assert_eq!(admit(&mut it, &["x@x.example", "y@x.example", "z@x.example"]), Err(0));
    }

    #[test]
    fn each_waits_for_a_place_of_its_own() {
        let mut it = strangers(2, 2, &[NOW + 5, NOW + 9]);
        let mut next = |address| admit(&mut it, &[address]);
        assert_eq!(next("a@x.example"), Err(NOW + 5));
        assert_eq!(next("b@x.example"), Err(NOW + 9));
        assert_eq!(next("c@x.example"), Err(NOW + 5 + DAY));
        let mut outstanding = strangers(1, 1, &[]);
        assert_eq!(admit(&mut outstanding, &["a@x.example"]), Err(NOW + DAY));
    }
}
