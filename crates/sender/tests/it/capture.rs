//! The capture route.

use sender::{Config, Route};

use crate::{CONTENT, check, delivery, due};

#[tokio::test]
async fn captures_instead_of_sending() {
    let dir = tempfile::tempdir().expect("directory");
    let directory = dir.path().join("captured");
    let config = Config {
        default_route: Route::Capture { directory: directory.clone() },
        ..Config::default()
    };
    let report =
        delivery(&config).attempt(CONTENT, &due(&["a@example.org", "b@example.org"])).await;
    check(&report, &["Delivered 2.0.0", "Delivered 2.0.0"]);
    assert_eq!(report.recipients[0].diagnostic, "captured: did not leave this machine");
    let files: Vec<_> = std::fs::read_dir(&directory).expect("list").collect();
    assert_eq!(files.len(), 1);
    let path = files[0].as_ref().expect("entry").path();
    assert!(path.to_string_lossy().ends_with("-eml_1-example.org.eml"), "{}", path.display());
    let written = std::fs::read(&path).expect("read");
    assert!(written.starts_with(b"X-Posthouse-Envelope-From: <agent@example.com>\r\n"));
    assert!(written.ends_with(CONTENT));
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_a_delay() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("write");
    let config = Config {
        default_route: Route::Capture { directory: file.join("captured") },
        ..Config::default()
    };
    check(&delivery(&config).attempt(CONTENT, &due(&["a@example.org"])).await, &["Delayed 4.3.0"]);
}
