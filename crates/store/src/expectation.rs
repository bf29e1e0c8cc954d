//! What agents wait for in their inboxes, and which mail is it. Pure.
//!
//! Nothing here guesses: of mails the first that fits counts, of expectations that want the same code the
//! one that says most about its mail and then the oldest, and where one mail has several codes that are as
//! good, that is what is said.

use std::collections::HashSet;

use contract::{Expectation as Shown, ExpectationCandidate, PassedOver};

use crate::{
    moment::{SECOND, rfc3339},
    sender_rule::entries_of,
    sql,
};

/// A code or a link whose mail was dated so long before the request was made for another one. Clocks of
/// senders differ by less; what was held up on its way by more than this is not what was asked for.
const DATE_TOLERANCE: i64 = 120 * SECOND;

/// Most that wait in an inbox at once.
pub const MAX_WAITING: i64 = 100;

/// Of an ambiguous mail, so many are told.
const MAX_CANDIDATES: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectationKind {
    Reply,
    Code,
    Link,
    Any,
}

impl ExpectationKind {
    pub const ALL: [ExpectationKind; 4] = [
        ExpectationKind::Reply,
        ExpectationKind::Code,
        ExpectationKind::Link,
        ExpectationKind::Any,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            ExpectationKind::Reply => "reply",
            ExpectationKind::Code => "code",
            ExpectationKind::Link => "link",
            ExpectationKind::Any => "any",
        }
    }

    pub fn parse(text: &str) -> Option<ExpectationKind> {
        ExpectationKind::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// It waits for something that can be used once.
    fn is_for_a_secret(self) -> bool {
        matches!(self, ExpectationKind::Code | ExpectationKind::Link)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectationState {
    Waiting,
    Matched,
    Ambiguous,
    Expired,
    Cancelled,
}

impl ExpectationState {
    pub const ALL: [ExpectationState; 5] = [
        ExpectationState::Waiting,
        ExpectationState::Matched,
        ExpectationState::Ambiguous,
        ExpectationState::Expired,
        ExpectationState::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            ExpectationState::Waiting => "waiting",
            ExpectationState::Matched => "matched",
            ExpectationState::Ambiguous => "ambiguous",
            ExpectationState::Expired => "expired",
            ExpectationState::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<ExpectationState> {
        ExpectationState::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// An expectation that is to be made.
#[derive(Clone, Debug)]
pub struct NewExpectation {
    pub account_id: String,
    pub inbox_id: String,
    /// Made once within the inbox.
    pub idempotency_key: String,
    pub kind: ExpectationKind,
    /// A Message-ID without angle brackets.
    pub in_reply_to: Option<String>,
    /// In lower case.
    pub from_domain: Option<String>,
    /// Microseconds since 1970.
    pub deadline: i64,
}

/// What became of making one.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// It waits, or has been made before with this key.
    Made(Box<Expectation>),
    /// There is no such inbox of this account.
    NoInbox,
    /// `MAX_WAITING` wait there already.
    TooMany,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    pub id: String,
    pub account_id: String,
    pub inbox_id: String,
    pub kind: ExpectationKind,
    pub in_reply_to: Option<String>,
    pub from_domain: Option<String>,
    pub state: ExpectationState,
    pub created_at: i64,
    pub deadline: i64,
    pub settled_at: Option<i64>,
    pub email_id: Option<String>,
    pub code: Option<String>,
    pub link: Option<String>,
    pub candidates: Vec<ExpectationCandidate>,
    pub passed_over: Option<PassedOver>,
}

impl Expectation {
    /// As agents see it.
    pub fn shown(&self) -> Shown {
        Shown {
            id: self.id.clone(),
            inbox_id: self.inbox_id.clone(),
            kind: self.kind.as_str().to_owned(),
            state: self.state.as_str().to_owned(),
            in_reply_to: self.in_reply_to.as_ref().map(|it| format!("<{it}>")),
            from_domain: self.from_domain.clone(),
            created_at: rfc3339(self.created_at),
            deadline: rfc3339(self.deadline),
            settled_at: self.settled_at.map(rfc3339),
            email_id: self.email_id.clone(),
            code: self.code.clone(),
            link: self.link.clone(),
            candidates: self.candidates.clone(),
            passed_over: self.passed_over.clone(),
        }
    }

    pub fn is_settled(&self) -> bool {
        self.state != ExpectationState::Waiting
    }
}

/// What a received mail has for those who expect something, beyond what is stored of it. It is read before
/// the transaction, and only where somebody waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// A machine sent it in the absence of a person, or reports on a delivery.
    pub is_automatic: bool,
    /// By email_id, the copies of which this service knows that the inbox in From sent them.
    pub sent_here: HashSet<String>,
    /// One-time codes, each as good as the others.
    pub codes: Vec<String>,
    /// Links that confirm, log in, reset or invite, each as good as the others.
    pub links: Vec<String>,
}

impl Offer {
    /// Whether it has this code, or this link, as the database has them.
    pub(crate) fn has(&self, code: Option<&str>, link: Option<&str>) -> bool {
        let is_among = |all: &[String], one: Option<&str>| {
            one.is_some_and(|one| all.iter().any(|it| sql::text(it) == one))
        };
        is_among(&self.codes, code) || is_among(&self.links, link)
    }
}

/// A mail that enters an inbox.
pub(crate) struct Incoming<'a> {
    pub(crate) email_id: &'a str,
    pub(crate) inbox_id: &'a str,
    pub(crate) received_at: i64,
    /// What its Date says; 0 if it has none.
    pub(crate) dated: i64,
    pub(crate) message_id: &'a str,
    /// The address in From.
    pub(crate) from: String,
    /// The domain of From stands for it, or this service sent it.
    pub(crate) is_authenticated: bool,
    /// In-Reply-To and References.
    pub(crate) answers: HashSet<&'a str>,
    pub(crate) offer: &'a Offer,
}

/// What the inbox knows of a mail.
#[derive(Default)]
pub(crate) struct Past {
    /// When a mail with the same Message-ID was first received.
    pub(crate) first_received_at: Option<i64>,
    /// It answers a mail that the inbox has sent.
    pub(crate) answers_own: bool,
    /// When the newest of the codes and links that it has were handed out before.
    pub(crate) handed_out_at: Option<i64>,
}

/// What a mail does to an expectation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// It settles it.
    Settled(Box<Expectation>),
    /// It came from the right place, and does not count.
    PassedOver(Box<Expectation>),
}

/// What a mail does to those that wait in its inbox, oldest first.
pub(crate) fn meet(
    waiting: &[Expectation],
    mail: &Incoming<'_>,
    past: &Past,
    now: i64,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut secret: Option<(&Expectation, usize)> = None;
    let mut outdone: Vec<&Expectation> = Vec::new();
    for it in waiting.iter().filter(|it| it.deadline > now) {
        let Some(precision) = precision(it, mail, past) else { continue };
        match objection(it, mail, past) {
            Some(reason) => effects.push(passed_over(it, mail, reason)),
            None if !it.kind.is_for_a_secret() => effects.push(settled(it, mail, now)),
            // Oldest first: a later one has to be more precise.
            None => match secret {
                Some((_, best)) if best >= precision => outdone.push(it),
                _ => outdone.extend(secret.replace((it, precision)).map(|it| it.0)),
            },
        }
    }
    effects.extend(secret.map(|(it, _)| settled(it, mail, now)));
    effects.extend(outdone.into_iter().map(|it| passed_over(it, mail, "handed_out")));
    effects
}

/// How much an expectation says about the mail that it waits for, if this may be it.
fn precision(it: &Expectation, mail: &Incoming<'_>, past: &Past) -> Option<usize> {
    let reply = match &it.in_reply_to {
        Some(id) => mail.answers.contains(id.as_str()).then_some(1_000)?,
        None if it.kind == ExpectationKind::Reply => past.answers_own.then_some(0)?,
        None => 0,
    };
    let domain = match &it.from_domain {
        // The author's own domain, then those above it.
        Some(domain) => {
            let domains = entries_of(&mail.from);
            let place = domains.iter().skip(1).position(|it| it == domain)?;
            100_usize.saturating_sub(place).max(1)
        }
        None => 0,
    };
    Some(reply + domain)
}

/// Why a mail does not count that comes from where it is expected.
fn objection(it: &Expectation, mail: &Incoming<'_>, past: &Past) -> Option<&'static str> {
    let first_received_at = past.first_received_at.unwrap_or(i64::MAX).min(mail.received_at);
    let is_secret = it.kind.is_for_a_secret();
    let is_stale = is_secret && mail.dated != 0 && mail.dated < it.created_at - DATE_TOLERANCE;
    let is_used = past.handed_out_at.is_some_and(|at| at >= it.created_at);
    Some(match it.kind {
        _ if first_received_at < it.created_at || is_stale => "older",
        _ if it.from_domain.is_some() && !mail.is_authenticated => "unauthenticated",
        ExpectationKind::Reply if mail.offer.is_automatic => "automatic",
        ExpectationKind::Code if mail.offer.codes.is_empty() => "no_code",
        ExpectationKind::Link if mail.offer.links.is_empty() => "no_link",
        _ if is_secret && is_used => "handed_out",
        _ => return None,
    })
}

fn passed_over(it: &Expectation, mail: &Incoming<'_>, reason: &str) -> Effect {
    let why = PassedOver { email_id: mail.email_id.to_owned(), reason: reason.to_owned() };
    Effect::PassedOver(Box::new(Expectation { passed_over: Some(why), ..it.clone() }))
}

fn settled(it: &Expectation, mail: &Incoming<'_>, now: i64) -> Effect {
    let mut it = Expectation {
        state: ExpectationState::Matched,
        settled_at: Some(now),
        email_id: Some(mail.email_id.to_owned()),
        passed_over: None,
        ..it.clone()
    };
    let candidate = |code: Option<&String>, link: Option<&String>| ExpectationCandidate {
        email_id: mail.email_id.to_owned(),
        code: code.cloned(),
        link: link.cloned(),
    };
    let candidates: Vec<ExpectationCandidate> = match it.kind {
        ExpectationKind::Code => {
            mail.offer.codes.iter().map(|it| candidate(Some(it), None)).collect()
        }
        ExpectationKind::Link => {
            mail.offer.links.iter().map(|it| candidate(None, Some(it))).collect()
        }
        ExpectationKind::Reply | ExpectationKind::Any => Vec::new(),
    };
    match candidates.as_slice() {
        [] => (),
        [only] => (it.code, it.link) = (only.code.clone(), only.link.clone()),
        _ => it.state = ExpectationState::Ambiguous,
    }
    if it.state == ExpectationState::Ambiguous {
        it.candidates = candidates;
        it.candidates.truncate(MAX_CANDIDATES);
    }
    Effect::Settled(Box::new(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: i64 = 1_000 * SECOND;

    fn expectation(id: &str, kind: ExpectationKind) -> Expectation {
        Expectation {
            id: id.to_owned(),
            account_id: "acct_1".to_owned(),
            inbox_id: "ibx_1".to_owned(),
            kind,
            in_reply_to: None,
            from_domain: None,
            state: ExpectationState::Waiting,
            created_at: MADE,
            deadline: MADE + 60 * SECOND,
            settled_at: None,
            email_id: None,
            code: None,
            link: None,
            candidates: Vec::new(),
            passed_over: None,
        }
    }

    fn from(id: &str, kind: ExpectationKind, domain: &str) -> Expectation {
        Expectation { from_domain: Some(domain.to_owned()), ..expectation(id, kind) }
    }

    fn offer(codes: &[&str], links: &[&str]) -> Offer {
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
        Offer { codes: owned(codes), links: owned(links), ..Offer::default() }
    }

    fn mail(offer: &Offer) -> Incoming<'_> {
        Incoming {
            email_id: "eml_1",
            inbox_id: "ibx_1",
            received_at: MADE + SECOND,
            dated: MADE,
            message_id: "1@x",
            from: "no-reply@mail.acme.com".to_owned(),
            is_authenticated: true,
            answers: HashSet::new(),
            offer,
        }
    }

    /// "a=matched 1234" and "b!why", in the order in which they are settled or passed over.
    fn said(effects: &[Effect]) -> Vec<String> {
        let one = |effect: &Effect| match effect {
            Effect::Settled(it) => {
                let what = it.code.iter().chain(&it.link).cloned();
                let many =
                    it.candidates.iter().flat_map(|it| it.code.iter().chain(&it.link)).cloned();
                let what: Vec<String> = what.chain(many).collect();
                format!("{}={} {}", it.id, it.state.as_str(), what.join(",")).trim().to_owned()
            }
            Effect::PassedOver(it) => {
                let why = it.passed_over.as_ref().map_or("", |it| it.reason.as_str());
                format!("{}!{why}", it.id)
            }
        };
        effects.iter().map(one).collect()
    }

    #[track_caller]
    fn check(waiting: &[Expectation], mail: &Incoming<'_>, past: &Past, expected: &[&str]) {
        assert_eq!(said(&meet(waiting, mail, past, MADE + 2 * SECOND)), expected);
    }

    #[test]
    fn a_code_goes_to_one_who_said_most_and_then_to_the_oldest() {
        use ExpectationKind::{Any, Code, Link};
        let offer = offer(&["1234"], &["https://x/1"]);
        let (mail, past) = (mail(&offer), Past::default());
        let [a, b] = ["a", "b"].map(|it| expectation(it, Code));
        check(&[a.clone(), b.clone()], &mail, &past, &["a=matched 1234", "b!handed_out"]);
        let near = from("near", Code, "mail.acme.com");
        let far = from("far", Code, "acme.com");
        let three = [a.clone(), far, near];
        check(&three, &mail, &past, &["near=matched 1234", "a!handed_out", "far!handed_out"]);
        // What can be used once is handed out once, as a code or as a link.
        let link = expectation("link", Link);
        check(&[link, a], &mail, &past, &["link=matched https://x/1", "a!handed_out"]);
        // Of the mail everybody is told.
        let any = [expectation("c", Any), expectation("d", Any)];
        check(&any, &mail, &past, &["c=matched", "d=matched"]);
        check(&[from("e", Code, "other.com")], &mail, &past, &[]);
        check(&[from("e", Code, "cme.com")], &mail, &past, &[]);
    }

    #[test]
    fn what_cannot_be_told_apart_is_said() {
        use ExpectationKind::{Code, Link};
        let offer = offer(&["1", "2"], &["https://x/1", "https://x/2"]);
        let (mail, past) = (mail(&offer), Past::default());
        check(&[expectation("a", Code)], &mail, &past, &["a=ambiguous 1,2"]);
        let both = ["https://x/1", "https://x/2"].join(",");
        check(&[expectation("a", Link)], &mail, &past, &[&format!("a=ambiguous {both}")]);
    }

    #[test]
    fn what_is_older_than_the_request_never_counts() {
        use ExpectationKind::{Any, Code};
        let offer = offer(&["1234"], &[]);
        let both = [expectation("a", Code), expectation("b", Any)];
        let early = Incoming { received_at: MADE - 1, ..mail(&offer) };
        check(&both, &early, &Past::default(), &["a!older", "b!older"]);
        let again = Past { first_received_at: Some(MADE - 1), ..Past::default() };
        check(&both, &mail(&offer), &again, &["a!older", "b!older"]);
        // Held up on its way, so that it is the code of an earlier request.
        let late = Incoming { dated: MADE - DATE_TOLERANCE - 1, ..mail(&offer) };
        check(&both, &late, &Past::default(), &["a!older", "b=matched"]);
        let undated = Incoming { dated: 0, ..mail(&offer) };
        check(&both[..1], &undated, &Past::default(), &["a=matched 1234"]);
        let over = Expectation { deadline: MADE + 2 * SECOND, ..expectation("c", Any) };
        check(&[over], &mail(&offer), &Past::default(), &[]);
    }

    #[test]
    fn a_code_that_was_handed_out_is_for_those_who_ask_later() {
        let offer = offer(&["1234"], &[]);
        let [mut a, b] = ["a", "b"].map(|it| expectation(it, ExpectationKind::Code));
        a.created_at = MADE - SECOND;
        let past = Past { handed_out_at: Some(MADE - 1), ..Past::default() };
        check(&[a, b], &mail(&offer), &past, &["a!handed_out", "b=matched 1234"]);
    }

    #[test]
    fn a_domain_has_to_be_proven() {
        let offer = offer(&["1234"], &[]);
        let forged = Incoming { is_authenticated: false, ..mail(&offer) };
        let waiting = [from("a", ExpectationKind::Code, "acme.com")];
        check(&waiting, &forged, &Past::default(), &["a!unauthenticated"]);
        let open = [expectation("a", ExpectationKind::Code)];
        check(&open, &forged, &Past::default(), &["a=matched 1234"]);
    }

    #[test]
    fn a_reply_answers_what_was_sent_and_no_machine_wrote_it() {
        use ExpectationKind::{Code, Reply};
        let plain = offer(&[], &[]);
        let answer = Incoming { answers: HashSet::from(["m@us"]), ..mail(&plain) };
        let own = Past { answers_own: true, ..Past::default() };
        let to = |id: &str, message_id: &str, kind| Expectation {
            in_reply_to: Some(message_id.to_owned()),
            ..expectation(id, kind)
        };
        check(
            &[to("a", "m@us", Reply), expectation("b", Reply)],
            &answer,
            &own,
            &["a=matched", "b=matched"],
        );
        check(&[to("a", "other@us", Reply)], &answer, &own, &[]);
        check(&[expectation("b", Reply)], &answer, &Past::default(), &[]);
        check(&[to("a", "m@us", Code)], &answer, &own, &["a!no_code"]);
        let away = Offer { is_automatic: true, ..Offer::default() };
        let away = Incoming { answers: HashSet::from(["m@us"]), ..mail(&away) };
        check(&[to("a", "m@us", Reply)], &away, &own, &["a!automatic"]);
    }
}
