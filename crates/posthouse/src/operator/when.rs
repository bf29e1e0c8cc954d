//! Times and durations as people write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// "90s", "5m", "2h" or "3d".
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 90s, 5m, 2h or 3d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    if count == 0 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(u64::from(count) * seconds))
}

/// So long ago ("2h"), or a moment ("2026-11-24T05:41:12Z"), in microseconds since 1970.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    if let Ok(ago) = duration(text) {
        return Ok(now().saturating_sub(micros(ago)));
    }
    let time = OffsetDateTime::parse(text, &Rfc3339);
    let time = time.ok().and_then(|it| i64::try_from(it.unix_timestamp_nanos() / 1_000).ok());
    time.ok_or_else(|| {
        format!("{text:?} is no time such as 2026-11-24T05:41:12Z, nor 2h for as long ago")
    })
}

pub(crate) fn now() -> i64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// "4 s", "3 min", "2 h", "5 d": for tables.
pub(crate) fn span(micros: i64) -> String {
    let seconds = micros.max(0) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        let seconds = |text: &str| duration(text).map(|it| it.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("2h"), Ok(7_200));
        assert_eq!(seconds("3d"), Ok(259_200));
        for wrong in ["", "5", "m", "0m", "-1m", "1.5h", "5 m", "5w", "\u{e9}"] {
            duration(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn moments_are_times_or_so_long_ago() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(1_000_000));
        let ago = moment("1h").expect("a moment");
        assert!((now() - ago - 3_600_000_000).abs() < 60_000_000, "{ago}");
        moment("yesterday").expect_err("no time");
    }

    #[test]
    fn spans_are_short() {
        for (seconds, expected) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 d")]
        {
            assert_eq!(span(seconds * 1_000_000), expected);
        }
    }
}
