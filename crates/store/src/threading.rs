//! Which mails belong to one conversation. Pure: what is known comes in, what to write goes out.
//!
//! Message-ID, In-Reply-To and References lead to the thread, identifiers of mails never seen
//! included (the "ghosts" of jwz's algorithm). A mail that knows identifiers of several threads merges
//! them: the oldest stays, the others redirect to it. Only where no identifier leads anywhere counts
//! Exchange's Thread-Index, and only where a mail refers to nothing its subject (`Subject`).

mod subject;

use std::collections::{HashMap, HashSet};

use contract::Message;

pub(crate) use subject::Subject;

/// Longer ones cannot stand on a line (RFC 5322 section 2.1.1).
const LONGEST_ID: usize = 998;

/// References kept: the first and the last ones.
const MOST_REFERENCES: usize = 51;

/// How long a subject alone continues a thread.
pub(crate) const SUBJECT_DAYS: i64 = 30;

/// What leads a mail to its thread, as keys of the inbox.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keys {
    /// Of its own and the referred Message-IDs.
    pub(crate) ids: Vec<String>,
    pub(crate) index: Option<String>,
    /// It says which mail it answers, in whatever way.
    pub(crate) refers: bool,
}

impl Keys {
    pub(crate) fn of(message: &Message) -> Keys {
        let referred = references(message);
        let own = Some(&message.message_id).filter(|it| is_id(it));
        let index =
            Some(&message.thread_index).filter(|it| !it.is_empty() && it.len() <= LONGEST_ID);
        let mut seen = HashSet::new();
        let ids = own.cloned().into_iter().chain(referred.iter().cloned());
        Keys {
            ids: ids.filter(|it| seen.insert(it.clone())).map(|it| id_key(&it)).collect(),
            index: index.map(|it| format!("index:{}", it.replace('\0', ""))),
            refers: !referred.is_empty() || index.is_some(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &String> {
        self.ids.iter().chain(&self.index)
    }
}

/// The key of a Message-ID.
pub(crate) fn id_key(id: &str) -> String {
    format!("id:{id}")
}

/// The Message-IDs a mail refers to, oldest first: References, then what of In-Reply-To is not there.
pub(crate) fn references(message: &Message) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for id in message.references.iter().chain(&message.in_reply_to) {
        if is_id(id) && !ids.contains(id) && ids.len() < 20 * MOST_REFERENCES {
            ids.push(id.clone());
        }
    }
    capped(ids)
}

/// The first and the last identifiers of a chain that has become too long.
pub(crate) fn capped(mut ids: Vec<String>) -> Vec<String> {
    if ids.len() > MOST_REFERENCES {
        ids.drain(1..ids.len() - (MOST_REFERENCES - 1));
    }
    ids
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && !id.contains('\0')
}

/// A mail that looks for its thread.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) keys: Keys,
    pub(crate) subject: String,
    pub(crate) created_at: i64,
    /// The thread its sender named, or that its subject continues.
    pub(crate) named: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewThread {
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) created_at: i64,
}

/// The threads of one inbox as far as a batch of mails touches them, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Thread of each key.
    threads: HashMap<String, String>,
    /// When each thread began; the older one wins a merge.
    began: HashMap<String, i64>,
    /// Thread a merged one went into.
    merged: HashMap<String, String>,
    changes: Changes,
}

/// What a batch does to the threads of an inbox.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    pub(crate) created: Vec<NewThread>,
    /// (key, thread) not known before. The thread may have been merged since.
    pub(crate) keys: Vec<(String, String)>,
    /// (loser, winner), in their order.
    pub(crate) merges: Vec<(String, String)>,
}

impl Book {
    /// Takes in that a key leads to a thread.
    pub(crate) fn know(&mut self, key: String, thread_id: String, began: i64) {
        self.began.insert(thread_id.clone(), began);
        self.threads.insert(key, thread_id);
    }

    /// Takes in that there is a thread.
    pub(crate) fn know_thread(&mut self, thread_id: String, began: i64) {
        self.began.insert(thread_id, began);
    }

    /// Finds a mail's thread; `new_id` names it if there is none yet. The thread may be merged by a
    /// later mail: ask `now` in the end.
    pub(crate) fn place(&mut self, mail: &Candidate, new_id: impl FnOnce() -> String) -> String {
        let mut found: Vec<String> = mail
            .keys
            .ids
            .iter()
            .filter_map(|it| self.threads.get(it))
            .map(|it| self.now(it))
            .collect();
        let named = mail.named.iter().filter(|it| self.began.contains_key(*it));
        found.extend(named.map(|it| self.now(it)));
        if found.is_empty() {
            let index = mail.keys.index.iter().filter_map(|it| self.threads.get(it));
            found.extend(index.map(|it| self.now(it)));
        }
        let thread_id = match self.oldest(&found) {
            Some(oldest) => oldest,
            None => self.create(mail, new_id()),
        };
        for other in found {
            if other != thread_id && !self.merged.contains_key(&other) {
                self.merged.insert(other.clone(), thread_id.clone());
                self.changes.merges.push((other, thread_id.clone()));
            }
        }
        for key in mail.keys.iter() {
            if !self.threads.contains_key(key) {
                self.threads.insert(key.clone(), thread_id.clone());
                self.changes.keys.push((key.clone(), thread_id.clone()));
            }
        }
        thread_id
    }

    /// What has become of a thread.
    pub(crate) fn now(&self, thread_id: &str) -> String {
        let mut thread_id = thread_id;
        while let Some(winner) = self.merged.get(thread_id) {
            thread_id = winner;
        }
        thread_id.to_owned()
    }

    /// The new keys with what has become of their threads.
    pub(crate) fn resolved_keys(&self) -> Vec<(String, String)> {
        self.changes.keys.iter().map(|(key, it)| (key.clone(), self.now(it))).collect()
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }

    fn oldest(&self, threads: &[String]) -> Option<String> {
        threads
            .iter()
            .min_by_key(|it| (self.began.get(*it).copied().unwrap_or(i64::MAX), *it))
            .cloned()
    }

    fn create(&mut self, mail: &Candidate, id: String) -> String {
        self.began.insert(id.clone(), mail.created_at);
        self.changes.created.push(NewThread {
            id: id.clone(),
            subject: mail.subject.clone(),
            created_at: mail.created_at,
        });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(id: &str, references: &[&str], at: i64) -> Candidate {
        let message = Message {
            message_id: id.to_owned(),
            references: references.iter().map(|it| (*it).to_owned()).collect(),
            ..Message::default()
        };
        Candidate { keys: Keys::of(&message), subject: id.to_owned(), created_at: at, named: None }
    }

    fn place(book: &mut Book, mail: &Candidate) -> String {
        book.place(mail, || format!("thd_{}", mail.created_at))
    }

    #[test]
    fn an_answer_joins() {
        let mut book = Book::default();
        assert_eq!(place(&mut book, &mail("a@x", &[], 1)), "thd_1");
        assert_eq!(place(&mut book, &mail("b@x", &["a@x"], 2)), "thd_1");
        assert_eq!(place(&mut book, &mail("c@x", &[], 3)), "thd_3");
    }

    #[test]
    fn answers_to_a_mail_never_seen_meet() {
        let mut book = Book::default();
        place(&mut book, &mail("b@x", &["ghost@x"], 1));
        assert_eq!(place(&mut book, &mail("c@x", &["ghost@x"], 2)), "thd_1");
        assert_eq!(place(&mut book, &mail("ghost@x", &[], 3)), "thd_1");
    }

    #[test]
    fn a_late_parent_merges_into_the_oldest() {
        let mut book = Book::default();
        place(&mut book, &mail("b@x", &[], 1));
        place(&mut book, &mail("c@x", &[], 2));
        let third = place(&mut book, &mail("d@x", &["c@x", "b@x"], 3));
        assert_eq!(third, "thd_1");
        assert_eq!(book.now("thd_2"), "thd_1");
        assert_eq!(place(&mut book, &mail("e@x", &["c@x"], 4)), "thd_1");
        assert_eq!(book.into_changes().merges, [("thd_2".to_owned(), "thd_1".to_owned())]);
    }

    #[test]
    fn a_known_thread_counts_as_it_is_in_the_database() {
        let mut book = Book::default();
        book.know(id_key("a@x"), "thd_old".to_owned(), 1);
        assert_eq!(place(&mut book, &mail("b@x", &["a@x"], 9)), "thd_old");
        let changes = book.into_changes();
        assert_eq!(changes.created, []);
        assert_eq!(changes.keys, [(id_key("b@x"), "thd_old".to_owned())]);
    }

    #[test]
    fn one_message_id_is_one_thread() {
        let mut book = Book::default();
        place(&mut book, &mail("a@x", &[], 1));
        assert_eq!(place(&mut book, &mail("a@x", &[], 2)), "thd_1");
    }

    #[test]
    fn mails_without_any_identifier_stay_alone() {
        let mut book = Book::default();
        place(&mut book, &mail("", &[], 1));
        assert_eq!(place(&mut book, &mail("", &[], 2)), "thd_2");
    }

    #[test]
    fn a_thread_index_joins_but_never_merges() {
        let mut book = Book::default();
        let indexed = |id, references: &[&str], at| {
            let mut mail = mail(id, references, at);
            mail.keys.index = Some("index:01d0".to_owned());
            mail
        };
        place(&mut book, &indexed("a@x", &[], 1));
        assert_eq!(place(&mut book, &indexed("b@x", &[], 2)), "thd_1");
        place(&mut book, &mail("c@x", &[], 3));
        assert_eq!(place(&mut book, &indexed("d@x", &["c@x"], 4)), "thd_3");
    }

    #[test]
    fn a_named_thread_is_joined_if_it_exists() {
        let mut book = Book::default();
        book.know_thread("thd_named".to_owned(), 1);
        let named = |thread: &str, at| Candidate {
            named: Some(thread.to_owned()),
            ..mail(&format!("{at}@x"), &[], at)
        };
        assert_eq!(place(&mut book, &named("thd_named", 2)), "thd_named");
        assert_eq!(place(&mut book, &named("thd_unknown", 3)), "thd_3");
    }

    #[test]
    fn long_chains_keep_their_ends() {
        let message = Message {
            references: (0..200).map(|it| format!("{it}@x")).collect(),
            in_reply_to: vec!["last@x".to_owned()],
            ..Message::default()
        };
        let ids = references(&message);
        assert_eq!(ids.len(), MOST_REFERENCES);
        assert_eq!((ids[0].as_str(), ids[50].as_str()), ("0@x", "last@x"));
    }

    #[test]
    fn ids_that_cannot_be_are_ignored() {
        let message = Message {
            message_id: "a".repeat(2_000),
            in_reply_to: vec![String::new(), "a\0b".to_owned()],
            ..Message::default()
        };
        assert_eq!(Keys::of(&message), Keys::default());
    }
}
