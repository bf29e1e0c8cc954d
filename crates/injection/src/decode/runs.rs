//! Long runs of certain octets, found without a look at every octet.

use std::{iter, ops::Range};

/// A set of octets.
pub(super) struct Octets([bool; 256]);

impl Octets {
    pub(super) const fn of(list: &[u8]) -> Octets {
        let mut set = [false; 256];
        let mut at = 0;
        while at < list.len() {
            set[list[at] as usize] = true;
            at += 1;
        }
        Octets(set)
    }

    pub(super) fn has(&self, octet: u8) -> bool {
        self.0[usize::from(octet)]
    }
}

/// The longest runs of these octets, of so many or more, cut to whole characters.
pub(super) fn runs<'a>(
    text: &'a str,
    set: &'a Octets,
    least: usize,
) -> impl Iterator<Item = Range<usize>> + 'a {
    let octets = text.as_bytes();
    let mut at = 0;
    iter::from_fn(move || {
        loop {
            // A run that begins at `at` or later and is long enough holds this one or a later probe.
            let probe = at + least - 1;
            if !set.has(*octets.get(probe)?) {
                at = probe + 1;
                continue;
            }
            let before = octets[at..probe].iter().rev().take_while(|it| set.has(**it)).count();
            let after = octets[probe..].iter().take_while(|it| set.has(**it)).count();
            let run = probe - before..probe + after;
            at = run.end;
            if run.len() >= least {
                return Some(text.ceil_char_boundary(run.start)..text.floor_char_boundary(run.end));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_look_at_every_octet_finds() {
        const SET: Octets = Octets::of(b"01");
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..2000 {
            let length = rng.usize(..60);
            let text: String =
                (0..length).map(|_| ['0', '1', '1', 'x', 'é'][rng.usize(..5)]).collect();
            let mut expected = Vec::new();
            let mut start = 0;
            for run in text.split(|it: char| !matches!(it, '0' | '1')) {
                let end = start + run.len();
                if run.len() >= 3 {
                    expected.push(start..end);
                }
                start = end + text[end..].chars().next().map_or(0, char::len_utf8);
            }
            assert_eq!(runs(&text, &SET, 3).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn runs_are_of_whole_characters() {
        const SET: Octets = Octets::of("·".as_bytes());
        let text = "·····é£····";
        for run in runs(text, &SET, 4) {
            assert!(text.get(run).is_some());
        }
    }
}
