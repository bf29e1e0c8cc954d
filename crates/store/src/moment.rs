//! Times: microseconds since 1970 inside, RFC 3339 with milliseconds outside.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, format_description::FormatItem, macros::format_description};

pub(crate) const MILLISECOND: i64 = 1_000;
pub(crate) const SECOND: i64 = 1_000 * MILLISECOND;
pub(crate) const DAY: i64 = 24 * 60 * 60 * SECOND;

const FORMAT: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The time as agents see it: "2026-11-24T05:41:12.123Z".
pub fn rfc3339(micros: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .ok()
        .and_then(|it| it.format(FORMAT).ok())
        // Beyond the year 9999: nothing we wrote.
        .unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned())
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// When the first email becomes readable that a transaction adds to an inbox: later than all it has,
/// in whole milliseconds, so that what agents see is the stored value. Transactions of one inbox
/// follow each other; so whoever asks for what came after an email he has seen does not get it again,
/// and misses none.
pub(crate) fn next_created_at(now: i64, last_stored_at: i64) -> i64 {
    (now - now.rem_euclid(MILLISECOND)).max(last_stored_at + MILLISECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_milliseconds() {
        assert_eq!(rfc3339(1_795_498_872_123_456), "2026-11-24T05:41:12.123Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn created_at_is_whole_milliseconds_and_rises() {
        assert_eq!(next_created_at(5_999, 0), 5_000);
        assert_eq!(next_created_at(5_999, 5_000), 6_000);
        assert_eq!(next_created_at(5_999, 9_000), 10_000, "a clock that went back");
    }
}
