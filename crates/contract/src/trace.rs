//! Where a message stands in a trace: the header fields of W3C Trace Context, on NATS as on HTTP.
//!
//! What is malformed is as if it was not there. What is kept is bounded, because strangers write it.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::Trace;

pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";

/// `00-<32 hexadecimal digits>-<16>-<2>`
const LENGTH: usize = 55;

/// Octets of `tracestate`: as many as everybody has to pass on (section 3.3.1.5). What is longer is
/// left out as a whole.
const LONGEST_STATE: usize = 512;

/// Sampled, and that the identifier is random (level 2). No other flag has a meaning yet.
const FLAGS: u8 = 0b11;

/// Reads the two fields, as `field` finds them; `None` if there is no trace.
pub fn read_trace<'a>(field: impl Fn(&'static str) -> Option<&'a str>) -> Option<SpanContext> {
    let (trace_id, span_id, flags) = parse(field(TRACEPARENT)?.trim())?;
    let state = field(TRACESTATE).filter(|it| it.len() <= LONGEST_STATE && is_plain(it));
    let state = state.and_then(|it| it.parse::<TraceState>().ok()).unwrap_or_default();
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

/// The value of `traceparent`.
pub fn traceparent(context: &SpanContext) -> String {
    let (trace_id, span_id) = (context.trace_id(), context.span_id());
    format!("00-{trace_id}-{span_id}-{:02x}", context.trace_flags().to_u8() & FLAGS)
}

/// The value of `tracestate`, if it has one.
pub fn tracestate(context: &SpanContext) -> Option<String> {
    let state = context.trace_state().header();
    (!state.is_empty() && state.len() <= LONGEST_STATE).then_some(state)
}

impl Trace {
    pub fn of(context: &SpanContext) -> Trace {
        let tracestate = tracestate(context).unwrap_or_default();
        Trace { traceparent: traceparent(context), tracestate }
    }

    pub fn context(&self) -> Option<SpanContext> {
        let Trace { traceparent, tracestate } = self;
        read_trace(|name| Some(if name == TRACEPARENT { traceparent } else { tracestate }))
    }
}

/// A later version may say more behind what is known of it (section 3.2.4).
fn parse(value: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let bytes = value.as_bytes();
    let is_whole = match (value.get(..2)?, bytes.len()) {
        ("00", length) => length == LENGTH,
        ("ff", _) => false,
        (_, length) => length == LENGTH || bytes.get(LENGTH) == Some(&b'-'),
    };
    if !is_whole || [2, 35, 52].iter().any(|at| bytes.get(*at) != Some(&b'-')) {
        return None;
    }
    hexadecimal(value.get(..2)?)?;
    let trace_id = TraceId::from_hex(hexadecimal(value.get(3..35)?)?).ok()?;
    let span_id = SpanId::from_hex(hexadecimal(value.get(36..52)?)?).ok()?;
    let flags = u8::from_str_radix(hexadecimal(value.get(53..LENGTH)?)?, 16).ok()?;
    if trace_id == TraceId::INVALID || span_id == SpanId::INVALID {
        return None;
    }
    Some((trace_id, span_id, TraceFlags::new(flags & FLAGS)))
}

/// In lower case only (section 3.2.2).
fn hexadecimal(text: &str) -> Option<&str> {
    let is_digit = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
    text.bytes().all(is_digit).then_some(text)
}

/// Nothing that could end a header field.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|it| it == b'\t' || (b' '..=b'~').contains(&it))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(parent: &str, state: Option<&str>) -> Option<SpanContext> {
        read_trace(|name| if name == TRACEPARENT { Some(parent) } else { state })
    }

    #[test]
    fn what_is_read_is_written_again() {
        let context = read(GIVEN, Some("vendor=1, other@system=a:b")).expect("a trace");
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(traceparent(&context), GIVEN);
        assert_eq!(tracestate(&context).as_deref(), Some("vendor=1,other@system=a:b"));
        assert_eq!(Trace::of(&context).context(), Some(context));
        let plain = read(GIVEN, None).expect("a trace");
        assert_eq!(tracestate(&plain), None);
        assert_eq!(Trace::of(&plain).context(), Some(plain));
        assert_eq!(Trace::default().context(), None);
    }

    #[test]
    fn what_is_malformed_is_not_there() {
        for wrong in [
            "",
            "00",
            "00-1-1-01",
            "é0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        ] {
            assert_eq!(read(wrong, Some("vendor=1")), None, "{wrong}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-more";
        let context = read(later, None).expect("a trace");
        let expected = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
        assert_eq!(traceparent(&context), expected);
    }

    #[test]
    fn a_state_that_is_too_long_or_malformed_is_left_out() {
        let long = format!("vendor={}", "x".repeat(LONGEST_STATE));
        for wrong in [&long, "no member", "a=b\r\nMail-Claim: x", "Upper=1"] {
            let context = read(GIVEN, Some(wrong)).expect("a trace all the same");
            assert_eq!(tracestate(&context), None, "{wrong}");
        }
        let fits = format!("v={}", "x".repeat(250));
        let context = read(GIVEN, Some(&fits)).expect("a trace");
        assert_eq!(tracestate(&context), Some(fits));
    }
}
