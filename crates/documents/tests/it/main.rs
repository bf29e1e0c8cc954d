//! Documents as programs write them.

use std::io::{Cursor, Write as _};

use documents::{Extracted, Format, Kind, Limits, Unreadable, extract};
use zip::{ZipWriter, write::SimpleFileOptions};

mod archives;
mod office;
mod pdf;

/// An archive of these members.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, octets) in members {
        writer.start_file(*name, SimpleFileOptions::default()).expect("start");
        writer.write_all(octets).expect("write");
    }
    writer.finish().expect("finish").into_inner()
}

/// Read as what it is.
fn read(octets: &[u8], limits: &Limits) -> Result<Extracted, Unreadable> {
    extract(Format::of(octets, "", ""), octets, limits)
}

#[track_caller]
fn check(octets: &[u8], expected: &[(Kind, &str)]) {
    let found = read(octets, &Limits::default()).expect("read");
    let pieces: Vec<(Kind, &str)> =
        found.pieces.iter().map(|it| (it.kind, it.text.as_str())).collect();
    assert_eq!(pieces, expected);
    assert_eq!(found.gap, None);
}
