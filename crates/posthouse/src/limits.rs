//! `posthouse inbox limits`: how much one inbox may send.

use anyhow::{Context as _, bail};
use clap::{Args, value_parser};
use store::{LimitOverrides, Store};

use crate::operator::{Answer, change};

/// What is to be other than it is; without any, nothing.
#[derive(Args)]
pub(crate) struct Change {
    /// Mails in any minute; 0 for no limit.
    #[arg(long, value_parser = value_parser!(i64).range(0..))]
    per_minute: Option<i64>,
    /// Mails in any 60 minutes; 0 for no limit.
    #[arg(long, value_parser = value_parser!(i64).range(0..))]
    per_hour: Option<i64>,
    /// Mails in any 24 hours; 0 for no limit.
    #[arg(long, value_parser = value_parser!(i64).range(0..))]
    per_day: Option<i64>,
    /// Addresses in any 24 hours that the inbox never wrote to before; 0 for no limit.
    #[arg(long, value_parser = value_parser!(i64).range(0..))]
    new_recipients_per_day: Option<i64>,
    /// Leave everything that is not given here to the tier again.
    #[arg(long)]
    reset: bool,
}

impl Change {
    fn apply(&self, before: LimitOverrides) -> LimitOverrides {
        let before = if self.reset { LimitOverrides::default() } else { before };
        LimitOverrides {
            per_minute: self.per_minute.or(before.per_minute),
            per_hour: self.per_hour.or(before.per_hour),
            per_day: self.per_day.or(before.per_day),
            new_recipients_per_day: self.new_recipients_per_day.or(before.new_recipients_per_day),
        }
    }
}

/// Makes the change, if there is one, and says what holds.
pub(crate) async fn run(
    store: &Store,
    inbox_id: &str,
    change: &Change,
    how: &change::Change,
) -> anyhow::Result<Answer> {
    let before = store.reader.inbox_limits(inbox_id).await.context("read the limits")?;
    let Some(before) = before else { bail!("there is no inbox {inbox_id}") };
    let after = change.apply(before);
    if after == before {
        return Ok(Answer::from(text(after)));
    }
    if how.dry_run {
        return Ok(Answer::from(format!("set\n{}", text(after))).would());
    }
    let work = async {
        store.writer.set_inbox_limits(inbox_id, after).await.context("set the limits")?;
        Ok(Answer::from(text(after)))
    };
    how.audited(store, "inbox limits", inbox_id, work).await
}

fn text(limits: LimitOverrides) -> String {
    let lines = [
        ("per_minute", limits.per_minute),
        ("per_hour", limits.per_hour),
        ("per_day", limits.per_day),
        ("new_recipients_per_day", limits.new_recipients_per_day),
    ];
    let line = |(key, value): (&str, Option<i64>)| match value {
        None => format!("{key}: as its tier"),
        Some(0) => format!("{key}: no limit"),
        Some(value) => format!("{key}: {value}"),
    };
    lines.map(line).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(reset: bool) -> Change {
        Change {
            per_minute: Some(5),
            per_hour: None,
            per_day: Some(0),
            new_recipients_per_day: None,
            reset,
        }
    }

    #[test]
    fn what_is_not_named_stays_unless_it_is_reset() {
        let before = LimitOverrides { per_hour: Some(7), ..LimitOverrides::default() };
        let after = change(false).apply(before);
        assert_eq!((after.per_minute, after.per_hour), (Some(5), Some(7)));
        assert_eq!(change(true).apply(before).per_hour, None);
    }

    #[test]
    fn says_what_holds() {
        assert_eq!(
            text(change(true).apply(LimitOverrides::default())),
            "per_minute: 5\nper_hour: as its tier\nper_day: no limit\n\
             new_recipients_per_day: as its tier"
        );
    }
}
