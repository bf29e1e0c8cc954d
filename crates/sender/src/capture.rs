//! Mail that must not leave the machine, written to files instead.
//!
//! Each file is what the destination would have got, below one `X-Posthouse-Envelope-From` and one
//! `X-Posthouse-Envelope-To` line per recipient.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use time::{OffsetDateTime, macros::format_description};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt as _,
};

use crate::smtp::Letter;

/// What names a captured mail. Attempts do not: a redelivery writes the same file again.
pub(crate) struct Capture<'a> {
    pub(crate) accepted_at_micros: i64,
    pub(crate) mail_id: &'a str,
    pub(crate) domain: &'a str,
}

/// Returns once the file is on disk, whole, under its name.
pub(crate) async fn write(
    directory: &Path,
    capture: &Capture<'_>,
    letter: &Letter,
    recipients: &[String],
) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(directory)
        .await
        .with_context(|| format!("create {}", directory.display()))?;
    let name = file_name(capture);
    let path = directory.join(&name);
    let partial = directory.join(format!(".{name}.partial"));
    write_synced(&partial, &envelope(letter, recipients), &letter.octets)
        .await
        .with_context(|| format!("write {}", partial.display()))?;
    fs::rename(&partial, &path).await.with_context(|| format!("create {}", path.display()))?;
    File::open(directory)
        .await?
        .sync_all()
        .await
        .with_context(|| format!("sync {}", directory.display()))?;
    Ok(path)
}

async fn write_synced(path: &Path, envelope: &str, content: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path).await?;
    file.write_all(envelope.as_bytes()).await?;
    file.write_all(content).await?;
    file.sync_all().await
}

fn envelope(letter: &Letter, recipients: &[String]) -> String {
    let mut lines = format!("X-Posthouse-Envelope-From: <{}>\r\n", letter.reverse_path);
    for recipient in recipients {
        lines += &format!("X-Posthouse-Envelope-To: <{recipient}>\r\n");
    }
    lines
}

/// `<utc time>-<mail_id>-<domain>.eml`, the time that of acceptance.
fn file_name(capture: &Capture<'_>) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let accepted = i128::from(capture.accepted_at_micros) * 1_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(accepted)
        .ok()
        .and_then(|it| it.format(format).ok())
        .unwrap_or_else(|| capture.accepted_at_micros.to_string());
    let name = format!("{time}-{}-{}", capture.mail_id, capture.domain);
    // An address literal has brackets and colons, and neither part may lead out of the directory.
    let name: String = name
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() || "-_.".contains(it) { it } else { '_' })
        .collect();
    format!("{name}.eml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(domain: &str) -> Capture<'_> {
        Capture { accepted_at_micros: 1_764_000_000_000_000, mail_id: "eml_1", domain }
    }

    #[test]
    fn a_name_stays_in_the_directory() {
        assert_eq!(file_name(&capture("example.org")), "20251124T160000Z-eml_1-example.org.eml");
        assert_eq!(file_name(&capture("[::1]/..")), "20251124T160000Z-eml_1-___1__...eml");
    }

    #[tokio::test]
    async fn a_redelivery_writes_the_same_file() {
        let dir = tempfile::tempdir().expect("directory");
        let directory = dir.path().join("captured");
        let letter = Letter {
            reverse_path: "a@example.com".to_owned(),
            octets: b"Subject: x\r\n\r\nbody\r\n".to_vec(),
            eight_bit: false,
            smtputf8: false,
            dot: None,
        };
        let recipients = ["b@example.org".to_owned(), "c@example.org".to_owned()];
        let mut paths = Vec::new();
        for _ in 0..2 {
            paths.push(
                write(&directory, &capture("example.org"), &letter, &recipients)
                    .await
                    .expect("write"),
            );
        }
        assert_eq!(paths[0], paths[1]);
        assert_eq!(std::fs::read_dir(&directory).expect("list").count(), 1);
        assert_eq!(
            std::fs::read_to_string(&paths[0]).expect("read"),
            "X-Posthouse-Envelope-From: <a@example.com>\r\nX-Posthouse-Envelope-To: <b@example.org>\r\n\
             X-Posthouse-Envelope-To: <c@example.org>\r\nSubject: x\r\n\r\nbody\r\n"
        );
    }
}
