//! What a process logs: lines for people, or one JSON object a line.

use std::{fmt, io::IsTerminal as _};

use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{JsonFields, Writer},
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

pub(crate) fn start_log(format: LogFormat) {
    // Of connections that come and go, `bus` tells as much as an operator needs; of each request of a model,
    // `rmcp` would tell several lines.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn,rmcp=error"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => log.init(),
        LogFormat::Json => log.json().event_format(JsonLine).init(),
    }
}

/// Everything on one level, so that `mail.id` is found in one place: what the spans around an event say,
/// and what it says itself.
struct JsonLine;

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(|it| it.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                line.extend(object(fields));
            }
        }
        let mut own = String::new();
        context.field_format().format_fields(Writer::new(&mut own), event)?;
        line.extend(object(&own));
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        line.insert("timestamp".to_owned(), timestamp.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing::subscriber::with_default;

    use super::*;
    use crate::mail_span;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lock").extend(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("warn"))
            .with_writer(move || writer.clone())
            .json()
            .event_format(JsonLine)
            .finish();
        with_default(subscriber, log);
        let text = String::from_utf8(lines.0.lock().expect("lock").clone()).expect("text");
        text.lines().map(|it| serde_json::from_str(it).expect("JSON")).collect()
    }

    #[test]
    fn a_line_says_which_mail_it_is_about() {
        let lines = logged(|| {
            mail_span("m1", None).in_scope(|| {
                tracing::info!("too little");
                tracing::warn!(attempt = 2, "will\nretry");
            });
            mail_span("", None).in_scope(|| tracing::warn!(mail.id = "m2", "another"));
            tracing::error!("no mail");
        });
        let ids: Vec<Option<&str>> = lines.iter().map(|it| it["mail.id"].as_str()).collect();
        assert_eq!(ids, [Some("m1"), Some("m2"), None], "{lines:?}");
        let first = &lines[0];
        assert_eq!((&first["message"], &first["attempt"]), (&"will\nretry".into(), &2.into()));
        assert_eq!((&first["level"], &first["trace_id"]), (&"WARN".into(), &Value::Null));
        assert!(first["timestamp"].is_string() && first["target"].is_string(), "{first}");
    }
}
