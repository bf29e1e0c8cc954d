//! Innocent mail beside the checkout: how much of it is flagged, and by which of its surfaces.

use std::{
    fs,
    path::{Path, PathBuf},
};

use documents::{Format, Limits};
use injection::{Assessor, Kind, Part, Sample};

const RISK: f64 = 0.5;

/// Of a hundred mails that are not what somebody reads, two may be flagged.
const MOST: usize = 50;

/// Surfaces that people do not read as the mail, by what they are called here.
const GROUPS: [(&str, &[Kind]); 6] = [
    ("attached texts and documents", &[Kind::Attached]),
    ("file names", &[Kind::Filename]),
    ("header fields and attributes", &[Kind::Attribute]),
    ("hidden text", &[Kind::Hidden]),
    ("comments", &[Kind::Comment]),
    ("what alternatives say alone", &[Kind::Divergent]),
];

#[test]
fn ordinary_mail_is_not_flagged_by_what_people_do_not_see() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora"));
    let mut files = Vec::new();
    collect(folder, &mut files);
    if files.is_empty() {
        return eprintln!("SKIPPED: no mail in {}", folder.display());
    }
    let assessor = Assessor::new();
    let score = |parts: Vec<Part>| assessor.assess(&Sample { parts }).score;
    let mut flagged = 0;
    let mut tallies = [(0usize, 0usize); GROUPS.len()];
    for file in &files {
        let Ok(content) = fs::read(file) else { continue };
        let parts = parts(&content);
        let all = score(parts.clone());
        flagged += usize::from(all >= RISK);
        for ((_, kinds), tally) in GROUPS.iter().zip(&mut tallies) {
            let (own, rest): (Vec<Part>, Vec<Part>) =
                parts.iter().cloned().partition(|it| kinds.contains(&it.kind));
            if own.is_empty() {
                continue;
            }
            tally.0 += 1;
            tally.1 += usize::from(all >= RISK && score(rest) < RISK);
        }
    }
    eprintln!("{} mails, {flagged} with a score of {RISK}", files.len());
    for ((name, _), (having, because)) in GROUPS.iter().zip(tallies) {
        eprintln!("{name}: in {having} mails, {because} flagged because of them");
        assert!(because * MOST <= having.max(MOST), "{name}: {because} of {having}");
    }
}

fn parts(content: &[u8]) -> Vec<Part> {
    let mut surfaces = mail::surfaces(content, 4 * 1024 * 1024);
    let attachments = std::mem::take(&mut surfaces.attachments);
    let mut parts = Sample::from(surfaces).parts;
    for it in attachments {
        let format = Format::of(&it.octets, &it.content_type, &it.filename);
        // What libraries could die of is read in processes of their own only.
        if !matches!(format, Format::Card | Format::Text) {
            continue;
        }
        let Ok(read) = documents::extract(format, &it.octets, &Limits::default()) else { continue };
        parts
            .extend(read.pieces.into_iter().map(|it| Part { kind: Kind::Attached, text: it.text }));
    }
    parts
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|it| it.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "eml") {
            files.push(path);
        }
    }
}
