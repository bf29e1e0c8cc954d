//! What is read of bounces, complaints and receipts, in figures that must not fall.

use std::collections::BTreeSet;

use mail::{Class, Report, Suppression};
use serde_json::Value;

use crate::corpus;

/// Of those that are to be, or are.
#[derive(Default)]
struct Score {
    right: u32,
    wrong: Vec<String>,
}

impl Score {
    fn note(&mut self, is_right: bool, what: impl FnOnce() -> String) {
        if is_right {
            self.right += 1;
        } else {
            self.wrong.push(what());
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    fn part(&self) -> f64 {
        f64::from(self.right) / (f64::from(self.right) + self.wrong.len() as f64)
    }

    fn show(&self, name: &str) {
        eprintln!("{name}: {} right, {} wrong", self.right, self.wrong.len());
        for it in &self.wrong {
            eprintln!("  {it}");
        }
    }
}

/// What a report does to an address, in the words of the corpora.
fn hint(report: &Report, address: &str) -> Option<(&'static str, Class)> {
    let is = |it: &str| it.eq_ignore_ascii_case(address);
    let found = report.recipients.iter().find(|it| is(&it.address) || is(&it.original_address))?;
    let class = report.class(found);
    let hint = match class.suppression() {
        Suppression::AtOnce if class == Class::Complaint => "suppress_complaint",
        _ if !found.is_final() && class != Class::Complaint => "do_not_suppress_recipient",
        Suppression::AtOnce => "suppress",
        Suppression::Count => "count_towards_suppression",
        Suppression::Never if class == Class::Delivered => "none",
        Suppression::Never => "do_not_suppress_recipient",
    };
    Some((hint, class))
}

#[derive(Default)]
struct Scores {
    found: Score,
    precision: Score,
    recall: Score,
    exact: Score,
}

impl Scores {
    fn note(&mut self, file: &str, report: Option<&Report>, address: &str, expected: &str) {
        let read = report.and_then(|it| hint(it, address));
        self.found.note(read.is_some(), || format!("{file}: {address} not in {report:.400?}"));
        let (hint, class) = read.map_or(("nothing", Class::Undetermined), |it| it);
        let what = || format!("{file}: {hint} ({}) for {expected}", class.as_str());
        if hint.starts_with("suppress") {
            self.precision.note(expected.starts_with("suppress"), what);
        }
        if expected.starts_with("suppress") {
            self.recall.note(hint.starts_with("suppress"), what);
        }
        self.exact.note(hint == expected, what);
    }

    fn show(&self) {
        self.found.show("recipient");
        self.precision.show("suppression, precision");
        self.recall.show("suppression, recall");
        eprintln!("exact hint: {:.3}", self.exact.part());
        eprintln!(
            "recipient {:.3}, precision {:.3}, recall {:.3}",
            self.found.part(),
            self.precision.part(),
            self.recall.part()
        );
    }
}

#[test]
fn bounces_and_complaints_of_many_systems() {
    let Some(sisimai) = corpus::open("bounces-sisimai") else { return };
    let Some(misc) = corpus::open("reports-misc") else { return };
    let mut all = Scores::default();
    let mut claims = Score::default();
    for (file, content, expected) in sisimai.files() {
        let report = mail::report(&content);
        if matches!(expected["kind"].as_str(), Some("auto_reply" | "not_bounce")) {
            claims.note(report.is_none(), || format!("{file}: {report:.300?}"));
            continue;
        }
        for result in expected["results"].as_array().expect("results") {
            let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
            let address = text(&result["reference_only"]["recipient"]);
            // Placeholders for what Sisimai did not find.
            if address.is_empty() || address.ends_with(".invalid") {
                continue;
            }
            // A failed signature is no complaint of a person (RFC 6591).
            let hint = match result["feedback_type"].as_str() {
                Some("auth-failure") => "do_not_suppress_recipient".to_owned(),
                _ => text(&result["suppression_hint"]),
            };
            all.note(&file, report.as_ref(), &address, &hint);
        }
    }
    let mut kinds = Score::default();
    for (file, content, expected) in misc.files() {
        misc_report(&file, &content, expected, &mut all, &mut kinds);
    }
    all.show();
    claims.show("other mail");
    kinds.show("kind");
    assert!(all.found.part() >= 0.98);
    assert!(all.precision.part() >= 0.97);
    assert!(all.recall.part() >= 0.90);
    assert!(claims.wrong.is_empty());
    assert!(kinds.part() >= 0.95);
}

fn misc_report(
    file: &str,
    content: &[u8],
    expected: &Value,
    scores: &mut Scores,
    kinds: &mut Score,
) {
    let report = mail::report(content);
    let kind = match report.as_ref().map(|it| &it.kind) {
        None => "none",
        Some(mail::ReportKind::Delivery) => "delivery",
        Some(mail::ReportKind::Feedback { .. }) => "arf",
        Some(mail::ReportKind::Disposition { .. }) => "mdn",
    };
    let wanted = match expected["kind"].as_str().expect("kind") {
        "dsn" | "bounce_free_text" => "delivery",
        "report_without_status" => "none",
        other => other,
    };
    kinds.note(kind == wanted, || format!("{file}: {kind} for {wanted}"));
    for recipient in expected["recipients"].as_array().into_iter().flatten() {
        let address = recipient["final_recipient"].as_str().unwrap_or_default();
        if let Some(hint) = expected["suppression_hint"].as_str() {
            scores.note(file, report.as_ref(), address, hint);
        }
    }
    for address in expected["arf"]["original_rcpt_to"].as_array().into_iter().flatten() {
        let address = address.as_str().expect("address");
        let found = report.as_ref().and_then(|it| hint(it, address));
        scores.found.note(found.is_some(), || format!("{file}: {address} in {report:.300?}"));
    }
}

#[test]
fn other_mail_is_no_report() {
    let mut read = 0;
    let mut claims = BTreeSet::new();
    for name in [
        "mime-mail-parser",
        "mime-mime4j",
        "mime-consensus",
        "threading",
        "dkim",
        "otp-verification",
        "calendar-imip",
        "reply-talon",
        "tnef-winmail",
    ] {
        let Some(corpus) = corpus::open(name) else { return };
        for (file, content, _) in corpus.files() {
            read += 1;
            if let Some(report) = mail::report(&content) {
                claims.insert(format!("{name}/{file}: {report:.200?}"));
            }
            // Cut anywhere.
            for part in 1..4 {
                mail::report(&content[..content.len() * part / 4]);
            }
        }
    }
    eprintln!("{} claims in {read} messages: {claims:#?}", claims.len());
    assert!(claims.len() <= 2);
}

#[test]
fn automatic_answers_go_where_they_may() {
    let Some(corpus) = corpus::open("autoreply-rules") else { return };
    let mut score = Score::default();
    for case in &corpus.expected {
        let text = |it: &Value| it.as_str().expect("text").to_owned();
        let mut content = String::new();
        for field in case["headers"].as_array().expect("headers") {
            content += &format!("{}: {}\r\n", text(&field[0]), text(&field[1]));
        }
        content += "\r\nHello\r\n";
        let (path, own) = (text(&case["envelope_from"]), text(&case["envelope_to"]));
        let allowed = mail::auto_reply_allowed(content.as_bytes(), &path, &own);
        score.note(Some(allowed) == case["may_auto_reply"].as_bool(), || {
            format!("{}: {allowed}", text(&case["id"]))
        });
    }
    score.show("automatic answers");
    assert!(score.wrong.is_empty());
}
