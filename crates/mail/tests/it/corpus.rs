use std::path::{Path, PathBuf};

use serde_json::Value;

/// One corpus: its folder and what is expected of its files.
pub(crate) struct Corpus {
    pub(crate) folder: PathBuf,
    pub(crate) expected: Vec<Value>,
}

/// `None`, with a loud word, where the corpora are absent.
pub(crate) fn open(name: &str) -> Option<Corpus> {
    let folder =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora")).join(name);
    let Ok(lines) = std::fs::read_to_string(folder.join("expected.jsonl")) else {
        eprintln!("SKIPPED: corpus {name} is not at {}", folder.display());
        return None;
    };
    let expected = lines.lines().map(|it| serde_json::from_str(it).expect("JSON")).collect();
    Some(Corpus { folder, expected })
}

impl Corpus {
    /// The files with what is expected of each.
    pub(crate) fn files(&self) -> impl Iterator<Item = (String, Vec<u8>, &Value)> {
        self.expected.iter().filter_map(|line| {
            let file = line["file"].as_str()?;
            let content = std::fs::read(self.folder.join(file)).expect("read");
            Some((file.to_owned(), content, line))
        })
    }
}
