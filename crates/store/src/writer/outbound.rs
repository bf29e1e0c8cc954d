//! The ledger: what was asked to be sent, once per key.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Email, Mailbox, Rejection};
use sqlx::AnyConnection;

use super::{
    Writer, brakes, commit,
    emails::{self, EmailRow, Locked},
    guards, holds,
    limits::Days,
    outbox::{self, Decision, Outgoing},
    threads,
    token_counts::TokenCounts,
    work,
};
use crate::{
    Composed, Direction, Entered, Error, LedgerEntry, Limit, Mentions, Outcome, Rejected,
    Submitted,
    dialect::{Dialect, Indexed},
    email::{self, MailRow},
    ledger::{self, Key},
    moment::now,
    sql,
    threading::{Candidate, Keys},
    words,
};

impl Writer {
    /// Enters requests into the ledger, all in one transaction unless two of them are under one lease.
    /// (inbox, key) is unique: a repeated one leaves everything as it is and gets the first one's entry.
    /// What is accepted under a lease acks its mail in that transaction; under one that is lost, nothing
    /// is entered. An entry for an inbox that does not exist is an error.
    pub async fn enter(&self, submissions: &[Submitted]) -> Result<Vec<Entered>, Error> {
        let mut entered = Vec::new();
        let mut rest = submissions;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(until_a_lease_repeats(rest));
            entered.extend(self.enter_at_once(now).await?);
            rest = later;
        }
        Ok(entered)
    }

    async fn enter_at_once(&self, submissions: &[Submitted]) -> Result<Vec<Entered>, Error> {
        let dialect = self.database.dialect;
        let mut transaction = self.database.begin().await?;
        let wanted = submissions.iter().map(|it| it.inbox_id.clone()).collect();
        let entered_at = now();
        let inboxes = emails::lock_inboxes(&mut transaction, dialect, wanted, entered_at).await?;
        let keys: BTreeSet<Key> = submissions.iter().map(key).collect();
        let before = ledger::entries(&mut transaction, keys.clone()).await?;
        let mut fresh: Vec<&Submitted> =
            submissions.iter().filter(|it| !before.contains_key(&key(it))).collect();
        let lost = work::lost_leases(&mut transaction, dialect, &fresh).await?;
        let lost = |it: &Submitted| {
            let is_new = !before.contains_key(&key(it)) && is_composed(it);
            it.lease_id.as_ref().filter(|_| is_new).and_then(|it| lost.get(it))
        };
        let mut seen = BTreeSet::new();
        fresh.retain(|it| lost(it).is_none() && seen.insert(key(it)));
        let policy = self.policy.as_deref();
        let judged = brakes::judge(&mut transaction, policy, &fresh, entered_at).await?;
        let mut new: Vec<New<'_>> = Vec::new();
        for submitted in judged.iter().map(|it| &*it.submitted) {
            let inbox = inboxes.get(&submitted.inbox_id).ok_or(Error::NoInbox)?;
            let (key, email) = (key(submitted), row(submitted, inbox));
            new.push(New { key, submitted, email, inbox, refused: None, held: None });
        }
        emails::spread(new.iter_mut().map(|it| &mut it.email));
        self.admit(&mut transaction, &mut new, entered_at).await?;
        let leases = accepted(&new).filter_map(|(it, _)| it.submitted.lease_id.as_deref());
        work::ack_leases(&mut transaction, dialect, &leases.collect::<Vec<_>>()).await?;
        brakes::remember(&mut transaction, policy, &judged, entered_at).await?;
        let after = ledger::entries(&mut transaction, keys).await?;
        let ids: Vec<String> = after.values().map(|it| it.entry.email_id.clone()).collect();
        let found = email::find(&mut transaction, &ids).await?;
        commit(transaction).await?;
        let mut fresh: BTreeMap<&Key, Option<Limit>> =
            new.iter().map(|it| (&it.key, it.held)).collect();
        let entered = submissions.iter().map(|it| {
            if let Some(rejection) = lost(it) {
                return Ok(not_kept(it, rejection));
            }
            let key = key(it);
            let known = after.get(&key).ok_or(Error::Corrupt { what: "a new ledger entry" })?;
            let email = found.get(&known.entry.email_id);
            let email = email.ok_or(Error::Corrupt { what: "the email of a ledger entry" })?;
            // A key twice in one batch: the first one is new.
            let first = fresh.remove(&key);
            let entered = known.entered(email.email.clone(), it.requested_at, first.is_none());
            Ok(Entered { held: first.flatten(), ..entered })
        });
        entered.collect()
    }

    /// Enters requests that are new: those that a limit refuses as rejected, the others into the
    /// outbox.
    async fn admit(
        &self,
        connection: &mut AnyConnection,
        new: &mut [New<'_>],
        now: i64,
    ) -> Result<(), Error> {
        let account_ids = new.iter().map(|it| it.inbox.account_id.as_str()).collect();
        let mut days = Days::lock(connection, account_ids, now).await?;
        let counted = new.iter().filter(|it| it.composed().is_some());
        let counted = counted.flat_map(|it| &it.submitted.counted_for);
        let mut tokens = TokenCounts::lock(connection, self.database.dialect, counted, now).await?;
        for it in new.iter_mut().filter(|it| it.composed().is_some()) {
            let counted_for = &it.submitted.counted_for;
            if let Err(rejection) = tokens.admit(counted_for) {
                it.refuse(rejection);
            } else if let Err(rejection) = days.admit(&it.inbox.account_id, &self.limits) {
                tokens.take_back(counted_for);
                it.refuse(rejection);
            }
        }
        let rows: Vec<EmailRow> = accepted(new).map(|(it, _)| it.email.clone()).collect();
        let outgoing = rows.iter().zip(accepted(new)).map(|(email, (it, mail))| Outgoing {
            is_held: it.submitted.scrutiny.hold.is_some(),
            ..outgoing(email, mail)
        });
        let mails: Vec<Outgoing<'_>> = outgoing.collect();
        let entering =
            outbox::plan(connection, self.database.dialect, &self.limits, &mails, now).await?;
        let mut decisions = entering.decisions(now);
        for it in new.iter_mut().filter(|it| it.composed().is_some()) {
            match decisions.next().ok_or(Error::Corrupt { what: "the plan of a mail" })? {
                Decision::Enters { status, held } => (it.email.status, it.held) = (status, held),
                Decision::Refused(rejection) => {
                    days.take_back(&it.inbox.account_id);
                    tokens.take_back(&it.submitted.counted_for);
                    it.refuse(rejection);
                }
            }
        }
        drop(decisions);
        days.save(connection).await?;
        insert(connection, self.database.dialect, new, now).await?;
        let counted = accepted(new).flat_map(|(it, _)| {
            it.submitted.counted_for.iter().map(|hash| (hash.as_str(), it.email.id.as_str()))
        });
        tokens.save(connection, &counted.collect::<Vec<_>>()).await?;
        outbox::insert(connection, &self.limits, entering, &mails, now).await
    }
}

/// How many requests can be entered at once: of two under one lease, the second sees what became of it.
fn until_a_lease_repeats(submissions: &[Submitted]) -> usize {
    let mut seen = BTreeSet::new();
    let repeats = |it: &Submitted| it.lease_id.as_ref().is_some_and(|it| !seen.insert(it.clone()));
    submissions.iter().position(repeats).unwrap_or(submissions.len())
}

fn is_composed(submitted: &Submitted) -> bool {
    matches!(submitted.outcome, Outcome::Composed(_))
}

/// What is said of a request whose lease is lost.
fn not_kept(submitted: &Submitted, rejection: &Rejection) -> Entered {
    let status = "rejected".to_owned();
    let email = Email {
        id: submitted.mail_id.clone(),
        inbox_id: submitted.inbox_id.clone(),
        direction: Direction::Outbound.as_str().to_owned(),
        status: Some(status.clone()),
        ..Email::default()
    };
    let entry = LedgerEntry {
        email_id: submitted.mail_id.clone(),
        account_id: submitted.account_id.clone(),
        inbox_id: submitted.inbox_id.clone(),
        idempotency_key: submitted.idempotency_key.clone(),
        request_digest: submitted.request_digest.clone(),
        status,
        rejection: Some(rejection.clone()),
        requested_at: submitted.requested_at,
        hold: None,
        lease_id: submitted.lease_id.clone(),
    };
    Entered { entry, email, repeated: false, to_send: false, held: None, is_kept: false }
}

/// A request whose key is not in the ledger.
struct New<'a> {
    key: Key,
    submitted: &'a Submitted,
    inbox: &'a Locked,
    email: EmailRow,
    /// It could be honoured, but for a limit.
    refused: Option<Rejected>,
    /// It has to wait for this limit.
    held: Option<Limit>,
}

impl<'a> New<'a> {
    /// The mail, unless it was rejected.
    fn composed(&self) -> Option<&'a Composed> {
        match &self.submitted.outcome {
            Outcome::Composed(composed) if self.refused.is_none() => Some(composed),
            _ => None,
        }
    }

    fn rejected(&self) -> Option<&Rejected> {
        match &self.submitted.outcome {
            Outcome::Composed(_) => self.refused.as_ref(),
            Outcome::Rejected(rejected) => Some(rejected),
        }
    }

    fn refuse(&mut self, rejection: Rejection) {
        if let Some(composed) = self.composed() {
            let addresses = |list: &[Mailbox]| list.iter().map(|it| it.address.clone()).collect();
            self.refused = Some(Rejected {
                rejection,
                subject: composed.message.subject.clone(),
                to: addresses(&composed.message.to),
                cc: addresses(&composed.message.cc),
            });
            self.email.status = "rejected";
        }
    }
}

/// Those that were not rejected, with their mails.
fn accepted<'n, 'a>(
    new: &'n [New<'a>],
) -> impl Iterator<Item = (&'n New<'a>, &'a Composed)> + use<'n, 'a> {
    new.iter().filter_map(|it| it.composed().map(|mail| (it, mail)))
}

fn outgoing<'a>(email: &'a EmailRow, mail: &'a Composed) -> Outgoing<'a> {
    Outgoing {
        email_id: &email.id,
        inbox_id: &email.inbox_id,
        handover: &mail.handover,
        send_at: mail.send_at,
        position: email.created_at,
        is_held: false,
    }
}

fn key(submitted: &Submitted) -> Key {
    (submitted.inbox_id.clone(), sql::text(&submitted.idempotency_key))
}

fn row(submitted: &Submitted, inbox: &Locked) -> EmailRow {
    EmailRow {
        id: submitted.mail_id.clone(),
        mail_id: submitted.mail_id.clone(),
        inbox_id: submitted.inbox_id.clone(),
        account_id: inbox.account_id.clone(),
        direction: Direction::Outbound,
        status: match &submitted.outcome {
            Outcome::Composed(_) => "queued",
            Outcome::Rejected(_) => "rejected",
        },
        thread_id: None,
        created_at: inbox.created_at,
        received_at: None,
        no_auto_reply: None,
        screening: None,
        is_hidden: false,
    }
}

async fn insert(
    connection: &mut AnyConnection,
    dialect: Dialect,
    new: &[New<'_>],
    entered_at: i64,
) -> Result<(), Error> {
    let mails: Vec<MailRow> = new.iter().map(mail_row).collect();
    // What was refused is in no conversation.
    let candidates: Vec<Candidate> =
        accepted(new).map(|(it, mail)| candidate(mail, it.email.created_at)).collect();
    let mut rows: Vec<EmailRow> = accepted(new).map(|(it, _)| it.email.clone()).collect();
    threads::thread(connection, &mut rows, &candidates).await?;
    let refused = new.iter().filter(|it| it.composed().is_none());
    rows.extend(refused.map(|it| it.email.clone()));

    let contents: Vec<(&str, &[u8], &str)> = accepted(new)
        .map(|(it, mail)| {
            (it.email.mail_id.as_str(), mail.octets.as_slice(), mail.message.text.as_str())
        })
        .collect();
    let indexed: Vec<Indexed> = new
        .iter()
        .zip(&mails)
        .map(|(it, mail)| {
            let body = it.composed().map_or("", |it| &it.message.text);
            let words = words::index(mail.words().chain([body]));
            let words = words::scoped(&it.email.account_id, &words);
            Indexed { email_id: it.email.id.clone(), words }
        })
        .collect();
    email::insert_mails(connection, &mails.iter().collect::<Vec<_>>()).await?;
    emails::insert_contents(connection, &contents).await?;
    emails::insert(connection, &rows).await?;
    dialect.index(connection, &indexed).await.map_err(Error::query("index mails"))?;
    insert_entries(connection, new, entered_at).await?;
    insert_lists(connection, new).await?;
    insert_scrutiny(connection, new, entered_at).await?;
    insert_recipients(connection, new).await
}

async fn insert_scrutiny(
    connection: &mut AnyConnection,
    new: &[New<'_>],
    entered_at: i64,
) -> Result<(), Error> {
    let held = accepted(new).filter_map(|(it, mail)| {
        Some(holds::Held {
            email_id: &it.email.id,
            account_id: &it.email.account_id,
            octets: &mail.octets,
            hold: it.submitted.scrutiny.hold.as_ref()?,
            gives_up_at: mail.handover.expires_at_micros,
        })
    });
    let held: Vec<holds::Held<'_>> = held.collect();
    holds::insert(connection, &held, entered_at).await?;
    let written = accepted(new).map(|(it, _)| Mentions {
        inbox_id: it.email.inbox_id.clone(),
        email_id: it.email.id.clone(),
        trusted: true,
        suspicious: false,
        items: it.submitted.scrutiny.items.clone(),
    });
    guards::note_written(connection, &written.collect::<Vec<_>>(), entered_at).await
}

async fn insert_lists(connection: &mut AnyConnection, new: &[New<'_>]) -> Result<(), Error> {
    let of_list =
        |(it, mail): (&New<'_>, &Composed)| Some((it.email.mail_id.clone(), mail.list_id.clone()?));
    let mails: Vec<(String, String)> = accepted(new).filter_map(of_list).collect();
    let statement = |rows| {
        format!(
            "INSERT INTO list_mails (mail_id, list_id) {rows} \
             ON CONFLICT (mail_id) DO NOTHING"
        )
    };
    sql::insert(connection, &mails, 2, statement, |query, (mail_id, list_id)| {
        query.bind(mail_id.clone()).bind(sql::text(list_id))
    })
    .await
    .map_err(Error::query("note the lists of mails"))
}

fn mail_row(new: &New<'_>) -> MailRow {
    let mail_id = &new.submitted.mail_id;
    if let Some(composed) = new.composed() {
        let mut mail = MailRow::of(mail_id, &composed.message);
        mail.reverse_path = composed.reverse_path.clone();
        mail.security = email::security(&composed.verdict, None);
        return mail;
    }
    let rejected = new.rejected().cloned().unwrap_or_default();
    MailRow {
        id: mail_id.clone(),
        from_address: new.inbox.address.clone(),
        subject: rejected.subject,
        to_addresses: rejected.to,
        cc_addresses: rejected.cc,
        ..MailRow::default()
    }
}

fn candidate(composed: &Composed, created_at: i64) -> Candidate {
    Candidate {
        keys: Keys::of(&composed.message),
        subject: composed.message.subject.clone(),
        created_at,
        named: composed.thread_id.clone(),
    }
}

async fn insert_entries(
    connection: &mut AnyConnection,
    new: &[New<'_>],
    entered_at: i64,
) -> Result<(), Error> {
    let statement = |rows| {
        format!(
            "INSERT INTO ledger (email_id, account_id, inbox_id, idempotency_key, request_digest, \
             rejection_code, rejection_message, requested_at, entered_at, send_at, notify, \
             lease_id) {rows}"
        )
    };
    sql::insert(connection, new, 12, statement, |query, new| {
        let rejection = new.rejected().map(|it| &it.rejection);
        let send_at = new.composed().map(|it| it.send_at).filter(|it| *it > 0);
        query
            .bind(new.email.id.clone())
            .bind(new.email.account_id.clone())
            .bind(new.key.0.clone())
            .bind(new.key.1.clone())
            .bind(new.submitted.request_digest.clone())
            .bind(rejection.map(|it| sql::text(&it.code)))
            .bind(rejection.map(|it| sql::text(&it.message)))
            .bind(new.submitted.requested_at)
            .bind(entered_at)
            .bind(send_at)
            .bind(new.composed().map_or(String::new(), |it| it.notify.join(",")))
            .bind(new.submitted.lease_id.as_deref().map(sql::text))
    })
    .await
    .map_err(Error::query("write the ledger"))
}

async fn insert_recipients(connection: &mut AnyConnection, new: &[New<'_>]) -> Result<(), Error> {
    let recipients: Vec<(&str, &str, i64)> = accepted(new)
        .flat_map(|(it, mail)| {
            let mail_id = it.email.mail_id.as_str();
            (0..).zip(&mail.forward_paths).map(move |(n, path)| (mail_id, path.as_str(), n))
        })
        .collect();
    let statement = |rows| {
        format!(
            "INSERT INTO recipients (mail_id, forward_path, position, action, status, diagnostic, \
             remote_host, attempt) {rows} ON CONFLICT (mail_id, forward_path) DO NOTHING"
        )
    };
    sql::insert(connection, &recipients, 8, statement, |query, (mail_id, path, position)| {
        query
            .bind((*mail_id).to_owned())
            .bind(sql::text(path))
            .bind(*position)
            .bind("")
            .bind("")
            .bind("")
            .bind("")
            .bind(0_i64)
    })
    .await
    .map_err(Error::query("store recipients"))
}
