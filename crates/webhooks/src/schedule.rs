//! When what failed is tried again, and when it is given up. Pure.

use std::time::Duration;

use store::{Progress, Round};

use crate::{Config, client::Answer};

/// So many attempts in a row without any answer mean that nobody is there: from then on one is made at a
/// time, and nothing else is tried before its turn.
const ABSENT_AFTER: i64 = 3;

/// The waits between those attempts, in seconds; the last one repeats.
const ABSENT: [i64; 6] = [5, 30, 120, 600, 1_800, 3_600];

/// So many failures in a row there have to be before time counts.
const FAILURES_TO_DISABLE: i64 = 10;

/// The longest wait that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

const SECOND: i64 = 1_000_000;

pub(crate) struct Schedule {
    /// In microseconds.
    retries: Vec<i64>,
    disable_after: i64,
}

impl Schedule {
    pub(crate) fn new(config: &Config) -> Schedule {
        let micros = |seconds: u64| {
            i64::try_from(seconds).unwrap_or(i64::MAX / SECOND).saturating_mul(SECOND)
        };
        Schedule {
            retries: config.retry_seconds.iter().map(|it| micros(*it)).collect(),
            disable_after: micros(config.disable_after_seconds),
        }
    }

    /// When an event is tried again that has failed so often, this time with this answer; `None` if it is
    /// given up.
    pub(crate) fn next(&self, attempts: i64, answer: &Answer, now: i64) -> Option<i64> {
        let retry = usize::try_from(attempts - 1).ok()?;
        let wait = jittered(*self.retries.get(retry)?);
        let asked = answer.retry_after.unwrap_or_default().min(LONGEST_ASKED);
        Some(now + wait.max(i64::try_from(asked.as_micros()).unwrap_or(wait)))
    }

    /// What a webhook's attempts make of it: brings `round` up to date with them.
    pub(crate) fn conclude(
        &self,
        before: &Progress,
        answers: &[Answer],
        round: &mut Round,
        now: i64,
    ) {
        let progress = &mut round.progress;
        if answers.iter().any(Answer::is_success) {
            progress.failures = 0;
            progress.failing_since = None;
            progress.resume_at = 0;
            progress.last_success_at = Some(now);
        } else if !answers.is_empty() {
            progress.failures = before.failures + i64::try_from(answers.len()).unwrap_or(1);
            let since = *progress.failing_since.get_or_insert(now);
            let is_absent = answers.iter().all(|it| it.status == 0);
            progress.resume_at = match progress.failures - ABSENT_AFTER {
                over @ 0.. if is_absent => now + absent(before.resume_at, over),
                _ => 0,
            };
            if progress.failures >= FAILURES_TO_DISABLE && now - since >= self.disable_after {
                round.disabled = Some("failing");
            }
        }
        // 410 Gone is how a receiver says that it wants no more.
        if answers.iter().any(|it| it.status == 410) {
            round.disabled = Some("gone");
        }
    }
}

/// Longer from one attempt to the next; several that ran at once count as one.
fn absent(resumed_at: i64, over: i64) -> i64 {
    let place = if resumed_at == 0 { 0 } else { usize::try_from(over).unwrap_or_default() };
    jittered(ABSENT[place.min(ABSENT.len() - 1)] * SECOND)
}

/// By up to a fifth, so that what failed together does not come back together.
fn jittered(micros: i64) -> i64 {
    (micros as f64 * (0.8 + 0.4 * fastrand::f64())) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * SECOND;

    fn schedule() -> Schedule {
        Schedule::new(&Config::default())
    }

    fn answer(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    #[test]
    fn an_event_is_tried_for_a_day() {
        let (schedule, mut attempts, mut waited) = (schedule(), 1, 0);
        while let Some(next) = schedule.next(attempts, &answer(500), 0) {
            assert!(next > 0);
            waited += next;
            attempts += 1;
        }
        assert_eq!(attempts, 11);
        assert!((18 * HOUR..=30 * HOUR).contains(&waited), "{waited}");
    }

    #[test]
    fn a_receiver_may_ask_for_more_time() {
        let asked =
            |seconds| Answer { retry_after: Some(Duration::from_secs(seconds)), ..answer(503) };
        let next = |seconds| schedule().next(1, &asked(seconds), 0).expect("a time");
        assert_eq!(next(100), 100 * SECOND);
        assert_eq!(next(1_000_000), HOUR);
        assert!(next(0) >= 4 * SECOND);
    }

    #[track_caller]
    fn concluded(before: &Progress, statuses: &[u16], now: i64) -> Round {
        let answers: Vec<Answer> = statuses.iter().map(|it| answer(*it)).collect();
        let mut round = Round { progress: before.clone(), ..Round::default() };
        schedule().conclude(before, &answers, &mut round, now);
        round
    }

    #[test]
    fn one_success_clears_everything() {
        let failing = Progress { failures: 50, failing_since: Some(1), ..Progress::default() };
        let round = concluded(&failing, &[500, 200], 100 * HOUR);
        assert_eq!((round.progress.failures, round.progress.failing_since), (0, None));
        assert_eq!(round.disabled, None);
    }

    #[test]
    fn a_day_of_failures_disables() {
        let failing = Progress { failures: 9, failing_since: Some(0), ..Progress::default() };
        assert_eq!(concluded(&failing, &[500], 23 * HOUR).disabled, None);
        assert_eq!(concluded(&failing, &[500], 24 * HOUR).disabled, Some("failing"));
        let few = Progress { failures: 2, ..failing };
        assert_eq!(concluded(&few, &[500], 48 * HOUR).disabled, None, "it was asked three times");
    }

    #[test]
    fn gone_is_gone() {
        assert_eq!(concluded(&Progress::default(), &[200, 410], 0).disabled, Some("gone"));
    }

    #[test]
    fn who_is_absent_is_asked_one_at_a_time_and_more_and_more_rarely() {
        let mut progress = Progress::default();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            progress = concluded(&progress, &[0], HOUR).progress;
            pauses.push((progress.resume_at - HOUR).max(0));
        }
        assert_eq!(pauses[..2], [0, 0]);
        assert!(pauses[2] >= 4 * SECOND && pauses[5] > pauses[2], "{pauses:?}");
        assert!(pauses[9] <= HOUR * 6 / 5, "{pauses:?}");
        let answered = concluded(&progress, &[500], HOUR).progress;
        assert_eq!(answered.resume_at, 0, "somebody is there");
    }
}
