//! What a replay says: a line for each mail that is judged otherwise now, and the totals.

use std::{
    collections::BTreeMap,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use contract::EmailSecurity;
use serde_json::{Value, json};
use store::rfc3339;

use super::{Outcome, Replayed};

const PROGRESS_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Report {
    is_json: bool,
    is_applied: bool,
    begun: Instant,
    told_at: Instant,
    mails: u64,
    changed: u64,
    unsettled: u64,
    gone: u64,
    /// By the version that judged before and the one that judges now.
    versions: BTreeMap<(String, String), Count>,
}

#[derive(Default)]
struct Count {
    mails: u64,
    changed: u64,
}

/// How a mail is judged otherwise.
struct Change<'a> {
    before: &'a EmailSecurity,
    after: &'a EmailSecurity,
}

impl Report {
    pub(super) fn new(is_json: bool, is_applied: bool) -> Report {
        let now = Instant::now();
        Report {
            is_json,
            is_applied,
            begun: now,
            told_at: now,
            mails: 0,
            changed: 0,
            unsettled: 0,
            gone: 0,
            versions: BTreeMap::new(),
        }
    }

    pub(super) fn note(&mut self, replayed: &Replayed) -> anyhow::Result<()> {
        self.mails += 1;
        let mail = &replayed.mail;
        let after = match &replayed.outcome {
            Outcome::Judged { after, .. } => after,
            Outcome::Unsettled => {
                self.unsettled += 1;
                return Ok(());
            }
            Outcome::Gone => {
                self.gone += 1;
                return Ok(());
            }
        };
        let change = Change { before: &mail.security, after };
        let is_changed = !store::is_same_verdict(change.before, change.after);
        let versions = (change.before.version.clone(), change.after.version.clone());
        let count = self.versions.entry(versions).or_default();
        count.mails += 1;
        if !is_changed {
            return Ok(());
        }
        count.changed += 1;
        self.changed += 1;
        if self.is_json {
            let mut line = change.json();
            line["mailId"] = json!(mail.mail_id);
            line["emailId"] = json!(mail.email_id);
            line["storedAt"] = json!(rfc3339(mail.stored_at));
            tell(&line.to_string())
        } else {
            tell(&format!("{} {}", mail.email_id, change.text()))
        }
    }

    /// Now and then, in the log.
    pub(super) fn tell_progress(&mut self) {
        if self.told_at.elapsed() >= PROGRESS_EVERY {
            self.told_at = Instant::now();
            let per_second = self.per_second();
            tracing::info!(mails = self.mails, changed = self.changed, per_second, "replaying");
        }
    }

    pub(super) fn tell_totals(&self) -> anyhow::Result<()> {
        tell(&if self.is_json { self.json_totals().to_string() } else { self.text_totals() })
    }

    fn per_second(&self) -> u64 {
        (self.mails as f64 / self.begun.elapsed().as_secs_f64().max(0.001)) as u64
    }

    fn text_totals(&self) -> String {
        let mut lines = Vec::new();
        for ((before, after), count) in &self.versions {
            let (before, after) = (named(before), named(after));
            lines.push(format!(
                "version {before} → {after}: {} mails, {} judged otherwise",
                count.mails, count.changed
            ));
        }
        if self.unsettled > 0 {
            lines.push(format!(
                "{} mails were not judged in time and stay as they are",
                self.unsettled
            ));
        }
        if self.gone > 0 {
            lines.push(format!("{} mails were purged meanwhile", self.gone));
        }
        let done = if self.is_applied { "replaced by storage" } else { "not changed: no --apply" };
        lines.push(format!(
            "{} mails in {:.1} s, {} a second; {} judged otherwise, {done}",
            self.mails,
            self.begun.elapsed().as_secs_f64(),
            self.per_second(),
            self.changed
        ));
        lines.join("\n")
    }

    fn json_totals(&self) -> Value {
        let versions = self.versions.iter().map(|((before, after), count)| {
            json!({ "before": before, "after": after, "mails": count.mails, "changed": count.changed })
        });
        json!({ "totals": {
            "mails": self.mails, "changed": self.changed, "unsettled": self.unsettled,
            "gone": self.gone, "applied": self.is_applied,
            "seconds": self.begun.elapsed().as_secs_f64(), "perSecond": self.per_second(),
            "versions": versions.collect::<Vec<_>>(),
        } })
    }
}

impl Change<'_> {
    fn gained(&self) -> Vec<&str> {
        missing(&self.after.flags, &self.before.flags)
    }

    fn lost(&self) -> Vec<&str> {
        missing(&self.before.flags, &self.after.flags)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "version {} → {}: {:.2} → {:.2}",
            named(&self.before.version),
            named(&self.after.version),
            self.before.injection_risk_score,
            self.after.injection_risk_score
        );
        for (sign, flags) in [('+', self.gained()), ('-', self.lost())] {
            for flag in flags {
                text.push_str(&format!(" {sign}{flag}"));
            }
        }
        text
    }

    fn json(&self) -> Value {
        let told = |it: &EmailSecurity| {
            let score = it.injection_risk_score;
            json!({ "injectionRiskScore": score, "flags": it.flags, "version": it.version })
        };
        json!({
            "before": told(self.before), "after": told(self.after),
            "flagsGained": self.gained(), "flagsLost": self.lost(),
        })
    }
}

/// Those that the others do not have.
fn missing<'a>(flags: &'a [String], others: &[String]) -> Vec<&'a str> {
    flags.iter().filter(|it| !others.contains(it)).map(String::as_str).collect()
}

fn named(version: &str) -> &str {
    if version.is_empty() { "unknown" } else { version }
}

fn tell(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn security(score: f64, flags: &[&str], version: &str) -> EmailSecurity {
        EmailSecurity {
            injection_risk_score: score,
            flags: flags.iter().map(|it| (*it).to_owned()).collect(),
            version: version.to_owned(),
            ..EmailSecurity::default()
        }
    }

    #[test]
    fn a_change_is_told_with_both_sides() {
        let before = security(0.125, &["hidden_text", "spoofed_sender"], "");
        let after = security(0.731, &["prompt_injection", "spoofed_sender"], "3");
        let change = Change { before: &before, after: &after };
        assert_eq!(
            change.text(),
            "version unknown → 3: 0.12 → 0.73 +prompt_injection -hidden_text"
        );
        let json = change.json();
        assert_eq!(json["flagsGained"], json!(["prompt_injection"]));
        assert_eq!(json["flagsLost"], json!(["hidden_text"]));
        assert_eq!(json["after"]["injectionRiskScore"], 0.731);
    }

    #[test]
    fn totals_are_by_version() {
        let mut report = Report::new(false, false);
        report.mails = 3;
        report.changed = 1;
        report.unsettled = 1;
        let versions = ("2".to_owned(), "3".to_owned());
        report.versions.insert(versions, Count { mails: 2, changed: 1 });
        let text = report.text_totals();
        assert!(text.contains("version 2 → 3: 2 mails, 1 judged otherwise"), "{text}");
        assert!(text.contains("1 mails were not judged in time"), "{text}");
        assert!(text.contains("3 mails in") && text.contains("no --apply"), "{text}");
        let json = report.json_totals();
        assert_eq!(json["totals"]["versions"][0]["changed"], 1);
        assert_eq!(json["totals"]["applied"], false);
    }
}
