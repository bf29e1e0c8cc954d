//! Whether a text looks made by chance.

/// Bits a character, by how often each stands in the text (Shannon).
pub(super) fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for it in text.bytes() {
        counts[usize::from(it)] += 1;
    }
    let total = text.len() as f64;
    let of = |count: u32| {
        let share = f64::from(count) / total;
        -share * share.log2()
    };
    counts.into_iter().filter(|it| *it > 0).map(of).sum()
}

/// What kinds of characters a text has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Classes {
    pub(super) lower: bool,
    pub(super) upper: bool,
    pub(super) digit: bool,
    pub(super) other: bool,
}

impl Classes {
    pub(super) fn of(text: &str) -> Classes {
        let mut classes = Classes::default();
        for it in text.chars() {
            if it.is_numeric() {
                classes.digit = true;
            } else if it.is_uppercase() {
                classes.upper = true;
            } else if it.is_alphabetic() {
                classes.lower = true;
            } else {
                classes.other = true;
            }
        }
        classes
    }

    pub(super) fn count(self) -> usize {
        [self.lower, self.upper, self.digit, self.other].into_iter().filter(|it| *it).count()
    }
}

const PLACEHOLDERS: [&str; 14] = [
    "xxxx",
    "****",
    "....",
    "____",
    "abcdef",
    "012345",
    "123456789",
    "your",
    "placeholder",
    "redacted",
    "changeme",
    "insert",
    "todo",
    "dummy",
];

/// Documentation writes such in place of a secret.
pub(super) fn is_placeholder(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|it| text.contains(it))
        || text.starts_with(['<', '{', '$', '%', '['])
        || text.contains("...")
        || text.contains('…')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_has_more_bits() {
        assert!(entropy("aaaaaaaaaaaa") < 0.1);
        assert!(entropy("thepasswordpage") < 3.5);
        assert!(entropy("q2Jx8Zp0Vb7nTf4Yk1Rw") > 4.0);
    }

    #[test]
    fn placeholders_are_known() {
        for text in ["<your-key>", "xxxxxxxx", "YOUR_TOKEN", "${TOKEN}", "abc...xyz", "ghp_…"] {
            assert!(is_placeholder(text), "{text}");
        }
        assert!(!is_placeholder("q2Jx8Zp0Vb7nTf4Yk1Rw"));
    }
}
