//! What a command answers: a text for people, JSON for programs. Both say the same.

use std::fmt;

use serde_json::{Value, json};

pub(crate) struct Answer {
    text: String,
    json: Value,
    is_good: bool,
}

impl Answer {
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Answer {
        Answer { text: text.into(), json, is_good: true }
    }

    /// Something was found that is not as it should be: the command exits with 1.
    pub(crate) fn bad(self) -> Answer {
        Answer { is_good: false, ..self }
    }

    /// What a changing command would do.
    pub(crate) fn would(self) -> Answer {
        let json = match self.json {
            Value::Object(mut fields) => {
                fields.insert("dryRun".into(), json!(true));
                Value::Object(fields)
            }
            other => json!({ "dryRun": true, "would": other }),
        };
        Answer { text: format!("would {}", self.text), json, ..self }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.is_good
    }

    /// In JSON if so wished.
    pub(crate) fn shown(&self, in_json: bool) -> String {
        if in_json { format!("{:#}", self.json) } else { self.text.clone() }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One that has no more to say than this.
impl From<String> for Answer {
    fn from(text: String) -> Answer {
        let json = json!({ "said": text });
        Answer::new(text, json)
    }
}

/// Columns as wide as they have to be. Without rows it says `none`.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>], none: &str) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let heading: Vec<String> = headings.iter().map(|it| it.to_uppercase()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|it| it.get(column)).map(|it| it.chars().count()).max()
    };
    let widths: Vec<usize> = (0..headings.len()).map(|it| width(it).unwrap_or(0)).collect();
    let line = |cells: &&Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| {
            let pad = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(pad))
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_words() {
        let rows =
            [vec!["scanner".to_owned(), "7".to_owned()], vec!["a".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["stage", "n"], &rows, "none"), "STAGE    N\nscanner  7\na        x");
        assert_eq!(table(&["stage"], &[], "none"), "none");
    }

    #[test]
    fn a_dry_run_says_so() {
        let answer = Answer::new("drop 7", json!({ "dropped": [7] })).would();
        assert_eq!(answer.shown(false), "would drop 7");
        let json: Value = serde_json::from_str(&answer.shown(true)).expect("JSON");
        assert_eq!(json, json!({ "dropped": [7], "dryRun": true }));
    }
}
