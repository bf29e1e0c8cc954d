//! Third-party mail with expected answers, where it lies beside the checkout. The figures that are
//! printed are those of `docs/reading.md`; `just read-figures` shows them.

mod codes;
mod hostile;
mod replies;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// A corpus; `None`, with a word about it, where this checkout has none beside it.
fn corpus(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora").join(name);
    let found = path.is_dir().then_some(path);
    if found.is_none() {
        // The marker that `tests/run` counts.
        eprintln!("SKIPPED: no corpus {name} beside the checkout");
    }
    found
}

/// The cases of a corpus, each with the octets of its file.
fn cases(corpus: &Path) -> Vec<(Value, Vec<u8>)> {
    let list = fs::read_to_string(corpus.join("expected.jsonl")).expect("read the cases");
    let case = |line: &str| {
        let case: Value = serde_json::from_str(line).expect("parse a case");
        let file = case["file"].as_str().expect("a file").to_owned();
        (case, fs::read(corpus.join(file)).expect("read a file of the corpus"))
    };
    list.lines().map(case).collect()
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
