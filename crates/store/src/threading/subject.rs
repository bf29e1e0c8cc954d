//! Base subjects (RFC 5256 section 2.1), the last resort of threading.

/// Longer ones are cut: it is an index key.
const LONGEST_BASE: usize = 255;

/// What of a subject is looked at.
const LONGEST_SUBJECT: usize = 2_000;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subject {
    /// What all subjects of a conversation share, in lower case.
    pub(crate) base: String,
    /// A prefix or suffix says that it answers or forwards something.
    pub(crate) is_reply: bool,
}

impl Subject {
    pub(crate) fn of(subject: &str) -> Subject {
        let subject = &subject[..subject.floor_char_boundary(LONGEST_SUBJECT)];
        let folded = subject.replace('\0', "").to_lowercase();
        let words: Vec<&str> = folded.split_whitespace().collect();
        let mut rest: &str = &words.join(" ");
        let mut is_reply = false;
        loop {
            let before = rest;
            if let Some(cut) = rest.strip_suffix("(fwd)") {
                (rest, is_reply) = (cut.trim_end(), true);
            }
            if let Some(cut) = without_reply_prefix(rest) {
                (rest, is_reply) = (cut, true);
            }
            if let Some(cut) = without_blob(rest) {
                rest = cut;
            }
            if let Some(cut) = rest.strip_prefix("[fwd:").and_then(|it| it.strip_suffix(']')) {
                (rest, is_reply) = (cut.trim(), true);
            }
            if rest == before {
                return Subject { base: cut(rest), is_reply };
            }
        }
    }
}

/// `re: x`, `fw: x`, `fwd: x`, `re [blob]: x`, with or without blobs before.
fn without_reply_prefix(subject: &str) -> Option<&str> {
    let mut rest = subject;
    while let Some(after) = after_blob(rest) {
        rest = after;
    }
    let rest = ["re", "fwd", "fw"].iter().find_map(|it| rest.strip_prefix(it))?.trim_start();
    let rest = after_blob(rest).unwrap_or(rest);
    Some(rest.strip_prefix(':')?.trim_start())
}

/// A leading `[blob]` goes unless nothing would be left.
fn without_blob(subject: &str) -> Option<&str> {
    after_blob(subject).filter(|it| !it.is_empty())
}

fn after_blob(subject: &str) -> Option<&str> {
    let (blob, rest) = subject.strip_prefix('[')?.split_once(']')?;
    if blob.contains('[') { None } else { Some(rest.trim_start()) }
}

fn cut(base: &str) -> String {
    base[..base.floor_char_boundary(LONGEST_BASE)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(subject: &str, base: &str, is_reply: bool) {
        let expected = Subject { base: base.to_owned(), is_reply };
        assert_eq!(Subject::of(subject), expected, "{subject:?}");
    }

    #[test]
    fn strips_what_mailers_add() {
        check("Lunch", "lunch", false);
        check("Re: Lunch", "lunch", true);
        check("RE:   re : FW: Lunch", "lunch", true);
        check("Re [2]: Lunch", "lunch", true);
        check("Lunch (fwd)", "lunch", true);
    }

    /// From the ORDEREDSUBJECT vector of Dovecot's imaptest.
    #[test]
    fn follows_rfc_5256() {
        check("[foo] Fwd: [bar] Re: fw: b (fWd)  (fwd)", "b", true);
        check("b (a)", "b (a)", false);
        check("Re: [FWD: c]", "c", true);
        check("[xyz]", "[xyz]", false);
        check("Ad: Re: Ad: Re: Ad: x", "ad: re: ad: re: ad: x", false);
        check("re: [fwd: [fwd: re: [fwd: babylon]]]", "babylon", true);
        check("", "", false);
    }

    #[test]
    fn cuts_long_ones_between_characters() {
        assert_eq!(Subject::of(&"é".repeat(200)).base, "é".repeat(127));
    }
}
