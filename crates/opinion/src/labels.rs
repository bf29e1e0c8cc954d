//! Which of a classifier's labels stand for an attack.

use crate::{Error, folder::CONFIG, folder::Folder};

/// How published classifiers call it. Prompt Guard 2 has no names: its second label is the attack.
const ATTACKS: [&str; 8] = [
    "injection",
    "prompt_injection",
    "prompt injection",
    "jailbreak",
    "malicious",
    "attack",
    "unsafe",
    "harmful",
];
const UNNAMED: [&str; 2] = ["label_0", "label_1"];

/// For each label whether it is an attack: those the operator names, or those whose names say so.
pub(crate) fn attacks(
    folder: &Folder,
    labels: &[String],
    wanted: &[String],
) -> Result<Vec<bool>, Error> {
    let names: Vec<String> = labels.iter().map(|it| it.to_lowercase()).collect();
    let wanted: Vec<String> = wanted.iter().map(|it| it.to_lowercase()).collect();
    let unsuitable = |what: String| folder.unsuitable(CONFIG, what);
    let all = labels.join(", ");
    if let Some(unknown) = wanted.iter().find(|it| !names.contains(it)) {
        return Err(unsuitable(format!("it has no label {unknown:?}, only {all}")));
    }
    let attacks: Vec<bool> = if !wanted.is_empty() {
        names.iter().map(|it| wanted.contains(it)).collect()
    } else if names == UNNAMED {
        vec![false, true]
    } else {
        names.iter().map(|it| ATTACKS.contains(&it.as_str())).collect()
    };
    if attacks.iter().all(|it| *it) || !attacks.contains(&true) {
        return Err(unsuitable(format!(
            "which of its labels stand for an attack is not clear: say it with `opinion.attacks`, such as \
             [\"{}\"] (it has {all})",
            labels.last().map_or("", |it| it)
        )));
    }
    Ok(attacks)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(labels: &[&str], wanted: &[&str]) -> Result<Vec<bool>, Error> {
        let owned = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        attacks(&Folder::new(Path::new("m")), &owned(labels), &owned(wanted))
    }

    #[track_caller]
    fn check(labels: &[&str], wanted: &[&str], expected: &[bool]) {
        assert_eq!(told(labels, wanted).expect("clear"), expected);
    }

    #[track_caller]
    fn refused(labels: &[&str], wanted: &[&str], why: &str) {
        let err = told(labels, wanted).expect_err("refuse").to_string();
        assert!(err.contains("config.json") && err.contains(why), "{err}");
    }

    #[test]
    fn published_classifiers_are_understood() {
        check(&["SAFE", "INJECTION"], &[], &[false, true]);
        check(&["benign", "injection"], &[], &[false, true]);
        check(&["BENIGN", "INJECTION", "JAILBREAK"], &[], &[false, true, true]);
        check(&["LABEL_0", "LABEL_1"], &[], &[false, true]);
        check(&["MALICIOUS", "BENIGN"], &[], &[true, false]);
    }

    #[test]
    fn an_operator_knows_better() {
        check(&["BENIGN", "INJECTION", "JAILBREAK"], &["injection"], &[false, true, false]);
        check(&["ok", "bad"], &["BAD"], &[false, true]);
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        refused(&["positive", "negative"], &[], "opinion.attacks");
        refused(&["LABEL_0", "LABEL_1", "LABEL_2"], &[], "opinion.attacks");
        refused(&["INJECTION"], &[], "opinion.attacks");
        refused(&["ok", "bad"], &["ok", "bad"], "opinion.attacks");
        refused(&["ok", "bad"], &["evil"], "no label \"evil\", only ok, bad");
    }
}
