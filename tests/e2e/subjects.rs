//! Holds `docs/subjects.md` to the code.

use std::{collections::BTreeSet, fs, path::Path};

use contract::{
    DeliveryDue, DeliveryReported, Input, MailReceived, MailReviewed, MailScanned, OutcomeResolved,
    Submission, SubmissionAccepted, SubmissionScanned,
    topology::{CLAIMS, CONSUMERS, DIRECTORY, DOTS, POLICIES, SHAPING, STREAMS, UPLOADS},
};

/// The rows of the table under a heading, as cells without the backticks.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let section = page.split("\n## ").find(|it| it.starts_with(heading)).expect("section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|it| it.trim().to_owned()).collect())
        .collect()
}

/// What stands between the first two backticks.
fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or(cell)
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/subjects.md");
    fs::read_to_string(path).expect("read docs/subjects.md")
}

#[test]
fn every_subject_is_in_the_table() {
    let documented: BTreeSet<[String; 3]> = table(&page(), "Subjects")
        .iter()
        .map(|row| [code(&row[0]), code(&row[3]), code(&row[4])].map(str::to_owned))
        .collect();
    let declared: BTreeSet<[String; 3]> =
        CONSUMERS.iter().map(|it| [it.filter, it.durable, it.stream].map(str::to_owned)).collect();
    assert_eq!(documented, declared);
}

#[test]
fn every_subject_names_its_message() {
    let declared: BTreeSet<(&str, &str)> = [
        (MailReceived::SUBJECT, "MailReceived"),
        (MailScanned::SUBJECT, "MailScanned"),
        (MailReviewed::SUBJECT, "MailReviewed"),
        (Submission::SUBJECT, "SendRequest"),
        (SubmissionScanned::SUBJECT, "SubmissionScanned"),
        (SubmissionAccepted::SUBJECT, "SubmissionAccepted"),
        (DeliveryDue::SUBJECT, "DeliveryDue"),
        (DeliveryReported::SUBJECT, "DeliveryReported"),
        (OutcomeResolved::SUBJECT, "OutcomeResolved"),
    ]
    .into();
    let rows = table(&page(), "Subjects");
    let documented = rows.iter().map(|row| (code(&row[0]), code(&row[1]))).collect();
    assert_eq!(declared, documented);
}

#[test]
fn every_stream_and_bucket_is_in_its_table() {
    let page = page();
    let first_cells = |heading| -> BTreeSet<String> {
        table(&page, heading).iter().map(|row| code(&row[0]).to_owned()).collect()
    };
    assert_eq!(first_cells("Streams"), STREAMS.iter().map(|it| it.name.to_owned()).collect());
    assert_eq!(
        first_cells("Buckets"),
        [CLAIMS, DIRECTORY, DOTS, POLICIES, SHAPING, UPLOADS].map(str::to_owned).into()
    );
}
