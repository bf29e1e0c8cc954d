//! Polls that come again with nothing new to tell.
//!
//! A client whose own filter (a regular expression, say) fits none of the mails it was given asks
//! again at once, with the same parameters: hundreds of times a second. Such a repeat is held like a
//! poll that finds nothing. The price: a client that lost its answer and repeats the poll within the
//! window hears of the same mails only when that second poll has ended.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use contract::Email;
use store::ArrivalFilter;

/// A client that comes back later than this is not in a loop.
const WINDOW: Duration = Duration::from_secs(2);

/// So many answers are remembered at once; the rest is not damped.
const MOST_ANSWERS: usize = 10_000;

/// What was answered lately. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Repeats {
    answers: Arc<Mutex<HashMap<Question, (Answer, Instant)>>>,
    state: RandomState,
}

/// A poll's account, inbox and filter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Question(u64);

/// The mails of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Answer(u64);

impl Repeats {
    pub(crate) fn question(&self, account: &str, inbox: &str, filter: &ArrivalFilter) -> Question {
        let ArrivalFilter { since, from, subject, thread_ids } = filter;
        Question(self.state.hash_one((account, inbox, since, from, subject, thread_ids)))
    }

    pub(crate) fn answer(&self, emails: &[Email]) -> Answer {
        let ids: Vec<&str> = emails.iter().map(|it| &*it.id).collect();
        Answer(self.state.hash_one(ids))
    }

    /// What this question was answered a moment ago.
    pub(crate) fn recent(&self, question: Question, now: Instant) -> Option<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, at) = answers.get(&question)?;
        (now.duration_since(*at) < WINDOW).then_some(*answer)
    }

    pub(crate) fn answered(&self, question: Question, answer: Answer, now: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST_ANSWERS {
            answers.retain(|_, (_, at)| now.duration_since(*at) < WINDOW);
        }
        if answers.len() < MOST_ANSWERS {
            answers.insert(question, (answer, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emails(ids: &[&str]) -> Vec<Email> {
        ids.iter().map(|it| Email { id: (*it).to_owned(), ..Default::default() }).collect()
    }

    fn filter(since: i64, from: Option<&str>) -> ArrivalFilter {
        ArrivalFilter { since, from: from.map(str::to_owned), ..ArrivalFilter::default() }
    }

    #[test]
    fn the_same_question_is_known_for_a_moment() {
        let repeats = Repeats::default();
        let question = repeats.question("acct_1", "ibx_1", &filter(7, None));
        let answer = repeats.answer(&emails(&["eml_1"]));
        let now = Instant::now();
        assert_eq!(repeats.recent(question, now), None);
        repeats.answered(question, answer, now);
        assert_eq!(repeats.recent(question, now + WINDOW / 2), Some(answer));
        assert_eq!(repeats.recent(question, now + WINDOW), None);
    }

    #[test]
    fn any_difference_makes_another_question() {
        let repeats = Repeats::default();
        let question = repeats.question("acct_1", "ibx_1", &filter(7, None));
        for other in [
            repeats.question("acct_2", "ibx_1", &filter(7, None)),
            repeats.question("acct_1", "ibx_2", &filter(7, None)),
            repeats.question("acct_1", "ibx_1", &filter(8, None)),
            repeats.question("acct_1", "ibx_1", &filter(7, Some("a@b"))),
        ] {
            assert_ne!(question, other);
        }
        assert_eq!(question, repeats.question("acct_1", "ibx_1", &filter(7, None)));
    }

    #[test]
    fn a_new_mail_makes_another_answer() {
        let repeats = Repeats::default();
        let one = repeats.answer(&emails(&["eml_1"]));
        assert_ne!(one, repeats.answer(&emails(&["eml_1", "eml_2"])));
        assert_eq!(one, repeats.answer(&emails(&["eml_1"])));
    }

    #[test]
    fn memory_is_bounded() {
        let repeats = Repeats::default();
        let answer = repeats.answer(&[]);
        let now = Instant::now();
        for n in 0..=MOST_ANSWERS as u64 {
            repeats.answered(Question(n), answer, now);
        }
        assert_eq!(repeats.answers.lock().expect("lock").len(), MOST_ANSWERS);
        repeats.answered(Question(u64::MAX), answer, now + WINDOW);
        assert_eq!(repeats.answers.lock().expect("lock").len(), 1);
    }
}
