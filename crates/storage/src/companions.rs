//! What is announced beside `email.received`: the contract's events about the same moment.
//!
//! `email.scan.complete`, because a mail is read only once it is scanned; `email.thread.new` or
//! `email.thread.reply`, because that is known once it is stored.

use contract::Event;
use store::Stored;

use crate::events;

pub(crate) fn of(stored: &Stored) -> Vec<Event> {
    let thread = if stored.continues_thread { "email.thread.reply" } else { "email.thread.new" };
    // By its part in the identity, a thread that was merged meanwhile is announced once all the same.
    [("email.scan.complete", "scan"), (thread, "thread")]
        .into_iter()
        .map(|(name, part)| {
            let timestamp = stored.email.created_at.clone();
            let parts = [stored.email.id.as_str(), part];
            events::event(&parts, name, timestamp, &stored.account_id, stored.email.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use contract::Email;

    use super::*;

    #[test]
    fn a_mail_begins_a_thread_or_continues_one() {
        let names = |continues_thread| {
            let email = Email { id: "eml_1".to_owned(), ..Email::default() };
            let account_id = "acct_1".to_owned();
            let stored = Stored { account_id, email, repeated: false, continues_thread };
            of(&stored).into_iter().map(|it| (it.event, it.event_id)).collect::<Vec<_>>()
        };
        let (new, reply) = (names(false), names(true));
        assert_eq!([&*new[0].0, &*new[1].0], ["email.scan.complete", "email.thread.new"]);
        assert_eq!([&*reply[0].0, &*reply[1].0], ["email.scan.complete", "email.thread.reply"]);
        assert_eq!(new[1].1, reply[1].1, "one of the two");
    }
}
