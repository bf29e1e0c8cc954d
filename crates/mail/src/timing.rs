//! When a mail is to go, and until when it is tried.

use contract::SendRequest;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// `None` is at once.
    pub send_at: Option<i64>,
    /// `None` leaves it to the sender.
    pub expires_at: Option<i64>,
}

impl Timing {
    /// What a checked request wants that was made at `asked_at`.
    pub fn of(request: &SendRequest, asked_at: i64) -> Timing {
        let send_at = moment(&request.send_at).filter(|it| *it > asked_at);
        let ttl = request.ttl_seconds.map(|it| i64::from(it) * 1_000_000);
        let expires_at = ttl.map(|it| send_at.unwrap_or(asked_at).saturating_add(it));
        Timing { send_at, expires_at }
    }
}

/// RFC 3339 with any offset.
pub(crate) fn moment(text: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_live_counts_from_when_it_goes() {
        let check = |send_at: &str, ttl_seconds, send, expires| {
            let send_at = send_at.to_owned();
            let request = SendRequest { send_at, ttl_seconds, ..SendRequest::default() };
            let expected = Timing { send_at: send, expires_at: expires };
            assert_eq!(Timing::of(&request, 1_000_000), expected);
        };
        check("", None, None, None);
        check("", Some(60), None, Some(61_000_000));
        check("1970-01-01T01:00:09+01:00", None, Some(9_000_000), None);
        check("1970-01-01T00:00:09Z", Some(60), Some(9_000_000), Some(69_000_000));
        check("1970-01-01T00:00:01Z", Some(60), None, Some(61_000_000));
    }
}
