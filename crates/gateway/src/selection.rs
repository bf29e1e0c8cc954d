//! Which events of an account somebody wants.

use std::collections::HashSet;

use contract::{EVENT_TYPES, EventSubject, Grant, event_subject};

use crate::{happening::Happening, problem::Problem};

/// With more filters than this, a reader takes all of the account's events and picks them out.
const MOST_FILTERS: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selection {
    account_id: String,
    inbox_id: Option<String>,
    /// Inboxes that were subscribed to; those of all if `None`.
    subscribed: Option<HashSet<String>>,
    types: Types,
    /// Of the token: what it does not see, it does not hear of.
    grant: Grant,
}

/// Names of events; "email.*" stands for all that begin with "email.". Every one if there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Types(Vec<String>);

impl Types {
    /// Names after commas. One that no event has is most likely misspelt.
    pub(crate) fn parse(text: Option<&str>) -> Result<Types, Problem> {
        let names = text.into_iter().flat_map(|it| it.split(',')).map(str::trim);
        let types = Types(names.filter(|it| !it.is_empty()).map(str::to_owned).collect());
        match types.0.iter().find(|it| !EVENT_TYPES.iter().any(|event| fits(it, event))) {
            Some(unknown) => Err(Problem::invalid_request(format!(
                "types: there are no events {unknown:?}; they are {}",
                EVENT_TYPES.join(", ")
            ))),
            None => Ok(types),
        }
    }

    fn want(&self, event: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|it| fits(it, event))
    }
}

fn fits(wanted: &str, event: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => prefix.ends_with('.') && event.starts_with(prefix),
        None => wanted == event,
    }
}

impl Selection {
    pub(crate) fn new(
        account_id: String,
        inbox_id: Option<String>,
        types: Types,
        grant: Grant,
    ) -> Selection {
        Selection { account_id, inbox_id, subscribed: None, types, grant }
    }

    /// Whether the token sees the inbox, or something in it.
    pub(crate) fn sees_inbox(&self, inbox_id: &str) -> bool {
        self.grant.sees_inbox(inbox_id)
    }

    /// From then on only events of inboxes that were subscribed to, and of the account itself.
    pub(crate) fn subscribe(&mut self, inbox_ids: impl IntoIterator<Item = String>) {
        self.subscribed.get_or_insert_default().extend(inbox_ids);
    }

    pub(crate) fn unsubscribe(&mut self, inbox_ids: &[String]) {
        let subscribed = self.subscribed.get_or_insert_default();
        inbox_ids.iter().for_each(|it| _ = subscribed.remove(it));
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.subscribed.as_ref().map_or(0, HashSet::len)
    }

    pub(crate) fn wants(&self, happening: &Happening) -> bool {
        let of_seen_thread = || {
            let thread_id = happening.thread_id();
            self.grant.sees(&happening.subject.inbox_id, thread_id.as_deref())
        };
        self.wants_subject(&happening.subject)
            && self.grant.sees_inbox(&happening.subject.inbox_id)
            && (self.grant.thread_ids.is_none() || of_seen_thread())
    }

    fn wants_subject(&self, event: &EventSubject) -> bool {
        event.account_id == self.account_id
            && self.inbox_id.as_ref().is_none_or(|it| *it == event.inbox_id)
            && self.types.want(&event.event)
            && (event.is_of_the_account()
                || self.subscribed.as_ref().is_none_or(|it| it.contains(&event.inbox_id)))
    }

    /// Filters of the stream that let through what is wanted, and maybe more.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let inbox = self.inbox_id.as_deref().unwrap_or("*");
        let types = &self.types.0;
        let are_apart = !types.iter().any(|it| it.ends_with('*'));
        if types.is_empty() || types.len() > MOST_FILTERS || !are_apart {
            return vec![event_subject(&self.account_id, inbox, ">")];
        }
        // The stream refuses filters that overlap.
        let types: HashSet<&String> = types.iter().collect();
        types.into_iter().map(|it| event_subject(&self.account_id, inbox, it)).collect()
    }
}

#[cfg(test)]
mod tests {
    use bus::Logged;

    use super::*;

    fn event(subject: &str) -> Happening {
        in_thread(subject, "thd_1")
    }

    fn in_thread(subject: &str, thread_id: &str) -> Happening {
        let payload = format!(r#"{{"data":{{"threadId":"{thread_id}"}}}}"#).into();
        let subject = format!("mail.v1.event.{subject}");
        Happening::of(Logged { sequence: 1, subject, payload, trace: None }).expect("an event")
    }

    fn ids(ids: &[&str]) -> Option<Vec<String>> {
        Some(ids.iter().map(|it| (*it).to_owned()).collect())
    }

    #[test]
    fn a_token_hears_of_what_it_sees() {
        let of = |grant: Grant| Selection::new("acct_1".to_owned(), None, Types::default(), grant);
        let inbox = of(Grant { inbox_ids: ids(&["ibx_1"]), ..Grant::default() });
        assert!(inbox.wants(&event("acct_1.ibx_1.email.received")));
        assert!(inbox.wants(&event("acct_1.ibx_1.inbox.warned")));
        assert!(!inbox.wants(&event("acct_1.ibx_2.email.received")));
        assert!(!inbox.wants(&event("acct_1.ibx_2.inbox.created")));
        assert!(!inbox.wants(&event("acct_1.-.domain.verified")));
        let grant =
            Grant { inbox_ids: ids(&["ibx_1"]), thread_ids: ids(&["thd_1"]), ..Grant::default() };
        let thread = of(grant);
        assert!(thread.wants(&event("acct_1.ibx_1.email.received")));
        assert!(!thread.wants(&in_thread("acct_1.ibx_1.email.received", "thd_2")));
        assert!(!thread.wants(&in_thread("acct_1.ibx_1.inbox.warned", "")));
    }

    fn selection(inbox: Option<&str>, types: &str) -> Selection {
        let types = Types::parse(Some(types)).expect("types");
        Selection::new("acct_1".to_owned(), inbox.map(str::to_owned), types, Grant::default())
    }

    #[test]
    fn another_account_is_never_wanted() {
        let all = selection(None, "");
        assert!(all.wants(&event("acct_1.ibx_1.email.received")));
        assert!(all.wants(&event("acct_1.-.domain.verified")));
        assert!(!all.wants(&event("acct_2.ibx_1.email.received")));
        assert!(!all.wants(&event("acct_11.ibx_1.email.received")));
        assert_eq!(all.subjects(), ["mail.v1.event.acct_1.*.>"]);
    }

    #[test]
    fn types_and_inbox_narrow_it() {
        let some = selection(Some("ibx_1"), "email.sent, email.sent,inbox.deleted");
        assert!(some.wants(&event("acct_1.ibx_1.email.sent")));
        assert!(!some.wants(&event("acct_1.ibx_2.email.sent")));
        assert!(!some.wants(&event("acct_1.ibx_1.email.received")));
        assert_eq!(some.subjects().len(), 2, "each filter once");
        let emails = selection(None, "email.*");
        assert!(emails.wants(&event("acct_1.ibx_1.email.thread.new")));
        assert!(!emails.wants(&event("acct_1.ibx_1.inbox.created")));
    }

    #[test]
    fn a_misspelt_type_is_refused() {
        for types in ["email.recieved", "email*", "*", "email", "nothing.*"] {
            let problem = Types::parse(Some(types)).expect_err(types);
            assert!(problem.message.contains(types), "{}", problem.message);
        }
    }

    #[test]
    fn who_subscribes_hears_of_those_inboxes_and_of_the_account() {
        let mut some = selection(None, "");
        some.subscribe(["ibx_1".to_owned()]);
        assert!(some.wants(&event("acct_1.ibx_1.email.received")));
        assert!(!some.wants(&event("acct_1.ibx_2.email.received")));
        assert!(some.wants(&event("acct_1.ibx_2.inbox.created")));
        some.unsubscribe(&["ibx_1".to_owned()]);
        assert!(!some.wants(&event("acct_1.ibx_1.email.received")), "none is not all");
        assert_eq!(some.subscriptions(), 0);
    }
}
