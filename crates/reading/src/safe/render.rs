//! The rendering as one text.

use std::fmt::Write as _;

use super::{MOST_FIELDS, Safe, Stranger, clean_field, fence};

/// Who reads this is told what the lines are before any of them comes.
pub(super) fn whole(mail: &Stranger<'_>, safe: &Safe) -> String {
    let mut text = String::new();
    let mut line = |it: &str| {
        text.push_str(it);
        text.push('\n');
    };
    line(&safe.begin);
    line(&fence::notice(&safe.end));
    line(&format!("Injection risk: {} ({:.2})", risk(mail.score), mail.score));
    if !mail.flags.is_empty() {
        line(&format!("Flags: {}", words(mail.flags)));
    }
    let [spf, dkim, dmarc] = mail.authentication.map(|it| if it.is_empty() { "none" } else { it });
    line(&format!("Authentication: spf={spf} dkim={dkim} dmarc={dmarc}"));
    for it in notes(safe) {
        line(&it);
    }
    for it in quoted(mail, safe) {
        line(&it);
    }
    text.push_str(&safe.end);
    text
}

fn risk(score: f64) -> &'static str {
    match score {
        it if it >= 0.7 => "HIGH",
        it if it >= 0.5 => "MEDIUM",
        _ => "low",
    }
}

/// Flags are this service's own words; even so nothing else gets in with them.
fn words(flags: &[String]) -> String {
    let is_plain =
        |it: &&String| it.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it));
    let flags: Vec<&str> = flags.iter().filter(is_plain).map(String::as_str).collect();
    flags.join(", ")
}

/// What was done to the mail.
fn notes(safe: &Safe) -> Vec<String> {
    let mut notes = Vec::new();
    let pieces: usize = safe.hidden.iter().map(|it| it.pieces).sum();
    if pieces > 0 {
        let ways = safe.hidden.iter().map(|it| format!("{}: {}", it.way, it.pieces));
        let ways = ways.collect::<Vec<_>>().join(", ");
        let noun = if pieces == 1 { "piece" } else { "pieces" };
        notes.push(format!("Hidden text removed: {pieces} {noun} ({ways})"));
    }
    if safe.removed_characters > 0 {
        notes.push(format!("Invisible characters removed: {}", safe.removed_characters));
    }
    if safe.removed_boundaries > 0 {
        notes.push(format!("Imitated boundaries removed: {}", safe.removed_boundaries));
    }
    if !safe.image_hosts.is_empty() {
        notes.push(format!("Hosts whose images were not loaded: {}", safe.image_hosts.len()));
    }
    if let Some(marker) = safe.marker {
        notes.push(format!("Between the words of the mail stands {marker:?} instead of a space."));
    }
    if safe.truncated {
        notes.push("The mail is longer than what is shown.".to_owned());
    }
    notes
}

/// The mail's own lines.
fn quoted(mail: &Stranger<'_>, safe: &Safe) -> Vec<String> {
    let mut quoted = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(quoted, "From: {}", safe.from);
    if !safe.to.is_empty() {
        let _ = writeln!(quoted, "To: {}", safe.to.join(", "));
    }
    let _ = writeln!(quoted, "Date: {}", clean_field(mail.date, 40).text);
    let _ = writeln!(quoted, "Subject: {}", safe.subject);
    let attachments = mail.attachments.iter().take(MOST_FIELDS);
    for (attachment, name) in attachments.zip(&safe.filenames) {
        let kind = attachment.content_type.bytes().take(100);
        let kind: String = kind.map(char::from).filter(|it| it.is_ascii_graphic()).collect();
        let _ = writeln!(quoted, "Attachment: {name:?} ({kind}, {} octets)", attachment.size_bytes);
    }
    for host in safe.image_hosts.iter().take(MOST_FIELDS) {
        let _ = writeln!(quoted, "Image from: {host}");
    }
    for it in &safe.hidden {
        if let Some(words) = &it.words {
            let _ = writeln!(quoted, "Hidden ({}): {words}", it.way);
        }
    }
    let _ = writeln!(quoted, "\n{}", safe.content);
    quoted
        .lines()
        .map(|it| if it.is_empty() { "|".to_owned() } else { format!("| {it}") })
        .collect()
}
