//! Moments: what clients write as RFC 3339 is microseconds since 1970 here.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Any offset; digits beyond microseconds are cut. `None` if it is not RFC 3339.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1000)).ok()
}

/// Until the next midnight UTC.
pub(crate) fn seconds_to_midnight(now_micros: i64) -> u64 {
    const DAY: i64 = 24 * 60 * 60;
    (DAY - (now_micros / 1_000_000).rem_euclid(DAY)).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_any_offset_and_nothing_else() {
        assert_eq!(parse_rfc3339("1970-01-01T01:00:00.5+01:00"), Some(500_000));
        assert_eq!(parse_rfc3339("1969-12-31T23:59:59.9999999Z"), Some(-1));
        assert_eq!(
            parse_rfc3339(&store::rfc3339(1_764_000_000_123_000)),
            Some(1_764_000_000_123_000)
        );
        for text in ["", "yesterday", "2025-11-24", "1764000000"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn midnight_is_never_further_than_a_day() {
        assert_eq!(seconds_to_midnight(0), 86_400);
        assert_eq!(seconds_to_midnight(86_399_000_000), 1);
    }
}
