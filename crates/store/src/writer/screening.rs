//! Screening of mail as it arrives: what its inbox knows and wants, in the transaction that stores it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contract::{Authentication, MailScanned, Mailbox, Message, SecurityReason};
use mail::{Acquaintances, Sighting};
use sqlx::{AnyConnection, Row as _};

use super::acquaintances::{self, Familiar, Heard, Pair, pair};
use crate::{
    Error, ScreeningPolicy, ScreeningSettings, SenderList, SenderRule, Together,
    screening::{Evidence, Screening, decide},
    sender_rule::{entries_of, foremost},
    sql,
};

const SPOOFED: &str = "spoofed_sender";

/// A copy that is about to be stored.
pub(super) struct Candidate<'a> {
    pub(super) scanned: &'a MailScanned,
    pub(super) inbox_id: &'a str,
    pub(super) account_id: &'a str,
    /// When it would become readable.
    pub(super) at: i64,
    pub(super) score: f64,
    /// What it says together with mails before it.
    pub(super) together: Option<&'a Together>,
}

impl Candidate<'_> {
    fn sender(&self) -> Option<&Mailbox> {
        self.scanned.message.as_ref()?.from.iter().find(|it| !it.address.is_empty())
    }

    fn address(&self) -> &str {
        self.sender().map_or("", |it| &it.address)
    }

    fn is_authenticated(&self) -> bool {
        let author = self.scanned.authentication.as_ref().map_or("", |it| &it.author);
        !author.is_empty() && author.eq_ignore_ascii_case(self.address())
    }

    /// Somebody outside could have proved something, DNS was there, and nothing passed. A client on this
    /// host is asked for nothing.
    fn is_unproven(&self) -> bool {
        let Some(Authentication { spf, dkim, dmarc, .. }) = &self.scanned.authentication else {
            return false;
        };
        let ip = self.scanned.peer.as_ref().and_then(|it| it.ip.parse::<std::net::IpAddr>().ok());
        ip.is_some_and(|it| !it.is_loopback())
            && spf != "pass"
            && dkim != "pass"
            && ![spf, dkim, dmarc].contains(&&"temperror".to_owned())
    }
}

/// What is to be done with each copy, in their order. Who was heard from is remembered.
pub(super) async fn screen(
    connection: &mut AnyConnection,
    defaults: &ScreeningPolicy,
    candidates: &[Candidate<'_>],
) -> Result<Vec<Screening>, Error> {
    let pairs: BTreeSet<Pair> =
        candidates.iter().map(|it| pair(it.inbox_id, it.address())).collect();
    let pairs: Vec<Pair> = pairs.into_iter().collect();
    let mut familiar = acquaintances::familiar(connection, &pairs).await?;
    let settings = settings(connection, candidates).await?;
    let rules = rules(connection, candidates).await?;
    let mut known: HashMap<&str, Acquaintances> = HashMap::new();
    let mut heard: BTreeMap<Pair, Heard> = BTreeMap::new();
    let mut screenings = Vec::new();
    for it in candidates {
        let place = pair(it.inbox_id, it.address());
        let before = familiar.get(&place).copied();
        if (before.is_none() || !it.scanned.link_hosts.is_empty())
            && !known.contains_key(it.inbox_id)
        {
            let read = acquaintances::of_inbox(connection, it.inbox_id, it.account_id).await?;
            known.insert(it.inbox_id, read);
        }
        let policy = [it.account_id, it.inbox_id]
            .into_iter()
            .filter_map(|scope| settings.get(scope))
            .fold(defaults.clone(), ScreeningPolicy::with);
        let screening = screening(it, before, known.get(it.inbox_id), &policy, &rules);
        let is_himself = screening.reasons.iter().all(|it| it.flag != SPOOFED);
        if !screening.is_hidden() && is_himself && !it.address().is_empty() {
            // The next one in this batch is no first contact.
            familiar.entry(place.clone()).or_default();
            note(heard.entry(place).or_default(), it);
        }
        screenings.push(screening);
    }
    acquaintances::remember(connection, &heard).await?;
    Ok(screenings)
}

fn note(heard: &mut Heard, it: &Candidate<'_>) {
    heard.name = it.sender().map(|it| it.name.clone()).unwrap_or_default();
    heard.at = it.at;
    heard.received += 1;
    heard.authenticated += i64::from(it.is_authenticated());
}

fn screening(
    it: &Candidate<'_>,
    before: Option<Familiar>,
    known: Option<&Acquaintances>,
    policy: &ScreeningPolicy,
    rules: &[SenderRule],
) -> Screening {
    let nobody = Acquaintances::default();
    let none = Message::default();
    let message = it.scanned.message.as_ref().unwrap_or(&none);
    let is_authenticated = it.is_authenticated();
    let sighting = Sighting {
        name: it.sender().map_or("", |it| &it.name),
        address: it.address(),
        reply_to: message.reply_to.iter().map(|it| it.address.as_str()).collect(),
        link_hosts: &it.scanned.link_hosts,
        is_proven: is_authenticated,
        was_proven: before.is_some_and(|it| it.authenticated > 0),
        is_first_contact: before.is_none(),
        is_unproven: !is_authenticated && it.is_unproven(),
        dmarc: it.scanned.authentication.as_ref().map_or("", |it| &it.dmarc),
    };
    let suspicions = mail::suspicions(&sighting, known.unwrap_or(&nobody));
    let joined = it.together.map(|it| it.reason.clone());
    let reasons: Vec<SecurityReason> = suspicions.into_iter().map(reason).chain(joined).collect();
    let raised_to = it.together.map(|it| it.score);
    let verdict = it.scanned.verdict.iter().flat_map(|it| &it.flags).map(String::as_str);
    let own = reasons.iter().map(|it| it.flag.as_str());
    let flags: BTreeSet<&str> = verdict.chain(own).collect();
    let listed = listed(it, is_authenticated, rules);
    let evidence = Evidence {
        score: raised_to.map_or(it.score, |raised| raised.max(it.score)),
        flags: flags.into_iter().collect(),
        is_first_contact: before.is_none(),
        is_authenticated,
        listed: listed.map(|it| (it.list, it.entry.as_str())),
    };
    let (action, rules) = decide(policy, &evidence);
    Screening {
        action,
        rules,
        is_first_contact: before.is_none(),
        is_authenticated,
        reasons,
        raised_to,
        decision: None,
    }
}

fn reason(it: contract::Reason) -> SecurityReason {
    SecurityReason {
        detector: it.detector,
        version: it.version,
        flag: it.flag,
        part: it.part,
        start: it.start,
        end: it.end,
        excerpt: it.excerpt,
        explanation: it.explanation,
    }
}

/// The entry by which the sender is on a list. On one to allow is only who proves who he is.
fn listed<'a>(
    it: &Candidate<'_>,
    is_authenticated: bool,
    rules: &'a [SenderRule],
) -> Option<&'a SenderRule> {
    let entries = entries_of(it.address());
    foremost(rules.iter().filter(|rule| {
        rule.account_id == it.account_id
            && rule.inbox_id.as_deref().is_none_or(|inbox_id| inbox_id == it.inbox_id)
            && (rule.list == SenderList::Block || is_authenticated)
            && entries.contains(&rule.entry)
    }))
}

/// Of the accounts and inboxes that have any.
async fn settings(
    connection: &mut AnyConnection,
    candidates: &[Candidate<'_>],
) -> Result<HashMap<String, ScreeningSettings>, Error> {
    let failed = Error::query("read policies");
    let scopes: BTreeSet<&str> =
        candidates.iter().flat_map(|it| [it.account_id, it.inbox_id]).collect();
    let scopes: Vec<&str> = scopes.into_iter().collect();
    let statement = |ids| {
        format!(
            "SELECT scope_id, settings FROM screening_settings WHERE scope_id IN (VALUES {ids})"
        )
    };
    let bind = |query: sql::Bound, id: &&str| query.bind((*id).to_owned());
    let rows = sql::fetch(connection, &scopes, 1, statement, bind).await.map_err(&failed)?;
    let mut settings = HashMap::new();
    for row in rows {
        let text: String = row.try_get("settings").map_err(&failed)?;
        settings.insert(row.try_get("scope_id").map_err(&failed)?, read_settings(&text)?);
    }
    Ok(settings)
}

pub(crate) fn read_settings(text: &str) -> Result<ScreeningSettings, Error> {
    serde_json::from_str(text).map_err(|_| Error::Corrupt { what: "a policy" })
}

/// The entries of lists that name one of the senders.
async fn rules(
    connection: &mut AnyConnection,
    candidates: &[Candidate<'_>],
) -> Result<Vec<SenderRule>, Error> {
    let failed = Error::query("read lists of senders");
    let accounts: BTreeSet<&str> = candidates.iter().map(|it| it.account_id).collect();
    let accounts: Vec<&str> = accounts.into_iter().collect();
    let statement = |ids| {
        format!("SELECT DISTINCT account_id FROM sender_rules WHERE account_id IN (VALUES {ids})")
    };
    let bind = |query: sql::Bound, id: &&str| query.bind((*id).to_owned());
    let rows = sql::fetch(connection, &accounts, 1, statement, bind).await.map_err(&failed)?;
    let having: BTreeSet<String> =
        rows.iter().map(|it| it.try_get(0)).collect::<sqlx::Result<_>>().map_err(&failed)?;
    let sought: BTreeSet<(&str, String)> = candidates
        .iter()
        .filter(|it| having.contains(it.account_id))
        .flat_map(|it| entries_of(it.address()).into_iter().map(|entry| (it.account_id, entry)))
        .collect();
    let sought: Vec<_> = sought.into_iter().collect();
    let statement = |tuples| {
        format!(
            "SELECT {RULE} FROM (VALUES {tuples}) AS v JOIN sender_rules r \
             ON r.account_id = v.column1 AND r.entry = v.column2"
        )
    };
    let rows = sql::fetch(connection, &sought, 2, statement, |query, (account_id, entry)| {
        query.bind((*account_id).to_owned()).bind(entry.clone())
    })
    .await
    .map_err(&failed)?;
    rows.iter().map(rule).collect::<sqlx::Result<_>>().map_err(&failed)
}

/// The columns of `sender_rules r`.
pub(crate) const RULE: &str = "r.account_id, r.inbox_id, r.list, r.entry, r.note, r.created_at";

pub(crate) fn rule(row: &sqlx::any::AnyRow) -> sqlx::Result<SenderRule> {
    let inbox_id: String = row.try_get("inbox_id")?;
    let list: String = row.try_get("list")?;
    Ok(SenderRule {
        account_id: row.try_get("account_id")?,
        inbox_id: Some(inbox_id).filter(|it| !it.is_empty()),
        list: if list == "allow" { SenderList::Allow } else { SenderList::Block },
        entry: row.try_get("entry")?,
        note: row.try_get("note")?,
        created_at: row.try_get("created_at")?,
    })
}
