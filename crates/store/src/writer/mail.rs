//! Mail that arrived.

use std::collections::{BTreeSet, HashMap, HashSet, hash_map::Entry};

use contract::{Attachment, Authentication, EmailSecurity, ForwardPath, Message, Purpose};
use sqlx::{AnyConnection, Row as _};

use super::{
    Writer, attachment_texts,
    carried::{self, Copy},
    commit,
    emails::{self, EmailRow, Locked},
    expectations::{self, Entering},
    reviews,
    screening::{self, Candidate},
    threads,
};
use crate::{
    Arrival, Direction, Error, Stored, Together,
    continuations::continuing,
    dialect::{Dialect, Indexed},
    email::{self, MailRow},
    moment::now,
    sql,
    threading::{self, Keys},
    words,
};

impl Writer {
    /// Stores mails, threads them and indexes them, all in one transaction. The result has the
    /// copies of each mail, in the order given. A mail that is stored already is left as it is and
    /// comes back marked. A copy for an inbox that does not exist any more is left out.
    pub async fn store(&self, arrivals: &[Arrival]) -> Result<Vec<Vec<Stored>>, Error> {
        let dialect = self.database.dialect;
        // Before the lock that all who write wait for.
        let prepared: Vec<Prepared<'_>> = arrivals.iter().map(Prepared::new).collect();
        let mut transaction = self.database.begin().await?;
        let wanted = arrivals.iter().flat_map(forward_paths).map(|it| it.inbox_id.clone());
        let inboxes =
            emails::lock_inboxes(&mut transaction, dialect, wanted.collect(), now()).await?;
        let mut known = known(&mut transaction, arrivals).await?;
        let already: HashSet<String> = known.values().cloned().collect();
        let mut new = Vec::new();
        for prepared in &prepared {
            let arrival = prepared.arrival;
            for path in forward_paths(arrival) {
                let Some(inbox) = inboxes.get(&path.inbox_id) else { continue };
                let place = (arrival.scanned.mail_id.clone(), path.inbox_id.clone());
                if let Entry::Vacant(free) = known.entry(place) {
                    free.insert(path.email_id.clone());
                    let email = row(arrival, path, inbox);
                    new.push(New { prepared, email, together: None, is_authenticated: false });
                }
            }
        }
        emails::spread(new.iter_mut().map(|it| &mut it.email));
        self.join(&mut transaction, &mut new).await?;
        self.screen(&mut transaction, &mut new).await?;
        let entering = entering(&new);
        insert(&mut transaction, dialect, new).await?;
        expectations::meet_all(&mut transaction, dialect, &entering).await?;
        let copies = arrivals.iter().map(|it| {
            let place = |path: &ForwardPath| (it.scanned.mail_id.clone(), path.inbox_id.clone());
            forward_paths(it).filter_map(|path| known.get(&place(path)).cloned()).collect()
        });
        let copies: Vec<Vec<String>> = copies.collect();
        let stored = email::find(&mut transaction, &copies.concat()).await?;
        let continuing = continuing(&mut transaction, &copies.concat()).await?;
        commit(transaction).await?;
        let stored = |email_id: &String| {
            let it = stored.get(email_id)?;
            Some(Stored {
                account_id: it.account_id.clone(),
                email: it.email.clone(),
                repeated: already.contains(email_id),
                continues_thread: continuing.contains(email_id),
            })
        };
        Ok(copies.iter().map(|it| it.iter().filter_map(stored).collect()).collect())
    }
}

impl Writer {
    /// Has what is new judged together with what came before it.
    async fn join(&self, connection: &mut AnyConnection, new: &mut [New<'_>]) -> Result<(), Error> {
        let Some(joiner) = &self.joiner else { return Ok(()) };
        let judged = carried::judge(connection, joiner, &copies(new)).await?;
        for (it, together) in new.iter_mut().zip(judged) {
            it.together = together;
        }
        Ok(())
    }

    /// Has the inboxes' policies decide on what is new.
    async fn screen(
        &self,
        connection: &mut AnyConnection,
        new: &mut [New<'_>],
    ) -> Result<(), Error> {
        let candidates: Vec<Candidate<'_>> = new
            .iter()
            .map(|it| Candidate {
                scanned: &it.prepared.arrival.scanned,
                inbox_id: &it.email.inbox_id,
                account_id: &it.email.account_id,
                at: it.email.created_at,
                score: it.prepared.mail.security.injection_risk_score,
                together: it.together.as_ref(),
            })
            .collect();
        let screenings = screening::screen(connection, &self.screening, &candidates).await?;
        for (it, screening) in new.iter_mut().zip(screenings) {
            it.is_authenticated = screening.is_authenticated;
            it.email.is_hidden = screening.is_hidden();
            if it.email.is_hidden {
                it.email.status = reviews::QUARANTINED;
            }
            it.email.screening = Some(email::to_json(&screening));
        }
        Ok(())
    }
}

/// Those that agents will see, for whoever expects them.
fn entering<'a>(new: &[New<'a>]) -> Vec<Entering<'a>> {
    let shown = new.iter().filter(|it| !it.email.is_hidden);
    shown
        .filter_map(|it| {
            let arrival = it.prepared.arrival;
            Some(Entering {
                email_id: it.email.id.clone(),
                inbox_id: it.email.inbox_id.clone(),
                received_at: arrival.scanned.received_at_micros,
                is_authenticated: it.is_authenticated,
                message: arrival.scanned.message.as_ref()?,
                offer: arrival.offer.as_ref()?,
            })
        })
        .collect()
}

/// A mail with what is worked out of it.
struct Prepared<'a> {
    arrival: &'a Arrival,
    mail: MailRow,
    words: String,
}

impl Prepared<'_> {
    fn new(arrival: &Arrival) -> Prepared<'_> {
        let mail = mail_row(arrival);
        let attached = attachments(arrival).iter().map(|it| it.text.as_str());
        let words = words::index(mail.words().chain([text(arrival)]).chain(attached));
        Prepared { arrival, mail, words }
    }
}

/// A copy that is not in its inbox yet.
struct New<'a> {
    prepared: &'a Prepared<'a>,
    email: EmailRow,
    together: Option<Together>,
    /// The domain in From stands for it.
    is_authenticated: bool,
}

fn copies<'a>(new: &'a [New<'_>]) -> Vec<Copy<'a>> {
    let copy = |it: &'a New<'_>| {
        let Prepared { arrival, mail, .. } = it.prepared;
        let message = arrival.scanned.message.as_ref();
        Copy {
            email_id: &it.email.id,
            inbox_id: &it.email.inbox_id,
            sender: &mail.from_address,
            keys: message.map(Keys::of).unwrap_or_default(),
            text: &arrival.carried,
            score: mail.security.injection_risk_score,
            at: it.email.created_at,
        }
    };
    new.iter().map(copy).collect()
}

/// Of inboxes: reports on mail that was sent go nowhere.
fn forward_paths(arrival: &Arrival) -> impl Iterator<Item = &ForwardPath> {
    let paths = arrival.scanned.envelope.iter().flat_map(|it| &it.forward_paths);
    paths.filter(|it| it.purpose() == Purpose::Unspecified)
}

fn message(arrival: &Arrival) -> Message {
    arrival.scanned.message.clone().unwrap_or_default()
}

fn text(arrival: &Arrival) -> &str {
    let cut = arrival.scanned.message.as_ref().map_or("", |it| &it.text);
    arrival.whole_text.as_deref().unwrap_or(cut)
}

fn attachments(arrival: &Arrival) -> &[Attachment] {
    arrival.scanned.message.as_ref().map_or(&[], |it| &it.attachments)
}

fn row(arrival: &Arrival, path: &ForwardPath, inbox: &Locked) -> EmailRow {
    EmailRow {
        id: path.email_id.clone(),
        mail_id: arrival.scanned.mail_id.clone(),
        inbox_id: path.inbox_id.clone(),
        account_id: inbox.account_id.clone(),
        direction: Direction::Inbound,
        status: "received",
        thread_id: None,
        created_at: inbox.created_at,
        received_at: Some(arrival.scanned.received_at_micros),
        no_auto_reply: arrival.no_auto_reply.get(&path.email_id).cloned(),
        screening: None,
        is_hidden: false,
    }
}

/// The email of each (mail, inbox) that is stored already.
async fn known(
    connection: &mut AnyConnection,
    arrivals: &[Arrival],
) -> Result<HashMap<(String, String), String>, Error> {
    let failed = Error::query("find stored mails");
    let mail_ids: BTreeSet<&str> = arrivals.iter().map(|it| it.scanned.mail_id.as_str()).collect();
    let mail_ids: Vec<&str> = mail_ids.into_iter().collect();
    let statement =
        |ids| format!("SELECT mail_id, inbox_id, id FROM emails WHERE mail_id IN (VALUES {ids})");
    let rows =
        sql::fetch(connection, &mail_ids, 1, statement, |query, id| query.bind((*id).to_owned()))
            .await
            .map_err(&failed)?;
    let place = |row: &sqlx::any::AnyRow| {
        Ok(((row.try_get("mail_id")?, row.try_get("inbox_id")?), row.try_get("id")?))
    };
    rows.iter().map(place).collect::<sqlx::Result<_>>().map_err(&failed)
}

async fn insert(
    connection: &mut AnyConnection,
    dialect: Dialect,
    new: Vec<New<'_>>,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let mails: Vec<&Prepared<'_>> =
        new.iter().map(|it| it.prepared).filter(|it| seen.insert(&it.mail.id)).collect();
    let contents: Vec<(&str, &[u8], &str)> = mails
        .iter()
        .map(|it| (it.mail.id.as_str(), it.arrival.octets.as_slice(), text(it.arrival)))
        .collect();
    let mut indexed = Vec::new();
    let mut candidates = Vec::new();
    let (hidden, shown): (Vec<_>, Vec<_>) = new.iter().partition(|it| it.email.is_hidden);
    for it in &shown {
        indexed.push(Indexed {
            email_id: it.email.id.clone(),
            words: words::scoped(&it.email.account_id, &it.prepared.words),
        });
        candidates.push(candidate(connection, it).await?);
    }
    let mut rows: Vec<EmailRow> = shown.iter().map(|it| it.email.clone()).collect();
    threads::thread(connection, &mut rows, &candidates).await?;
    let messages: Vec<(&str, &Message)> = mails
        .iter()
        .filter_map(|it| Some((it.mail.id.as_str(), it.arrival.scanned.message.as_ref()?)))
        .collect();
    rows.extend(hidden.iter().map(|it| it.email.clone()));
    let mail_rows: Vec<&MailRow> = mails.iter().map(|it| &it.mail).collect();
    email::insert_mails(connection, &mail_rows).await?;
    attachment_texts::insert(connection, messages.into_iter()).await?;
    emails::insert_contents(connection, &contents).await?;
    emails::insert(connection, &rows).await?;
    carried::insert(connection, &copies(&new)).await?;
    dialect.index(connection, &indexed).await.map_err(Error::query("index mails"))
}

fn mail_row(arrival: &Arrival) -> MailRow {
    let scanned = &arrival.scanned;
    let mut mail = MailRow::of(&scanned.mail_id, &message(arrival));
    mail.reverse_path =
        scanned.envelope.as_ref().map(|it| it.reverse_path.clone()).unwrap_or_default();
    mail.security = security(arrival);
    mail
}

fn security(arrival: &Arrival) -> EmailSecurity {
    let none = Authentication::default();
    let authentication = arrival.scanned.authentication.as_ref().unwrap_or(&none);
    let verdict = arrival.scanned.verdict.clone().unwrap_or_default();
    email::security(&verdict, Some(authentication))
}

async fn candidate(
    connection: &mut AnyConnection,
    new: &New<'_>,
) -> Result<threading::Candidate, Error> {
    let mail = &new.prepared.mail;
    let keys = Keys::of(&message(new.prepared.arrival));
    let (inbox_id, created_at) = (&new.email.inbox_id, new.email.created_at);
    let named = if keys.refers {
        None
    } else {
        let (subject, sender) = (&mail.subject, &mail.from_address);
        threads::by_subject(connection, inbox_id, subject, sender, created_at).await?
    };
    Ok(threading::Candidate { keys, subject: mail.subject.clone(), created_at, named })
}
