//! Whether a mail has a canary in it, in any spelling. Pure.

use aho_corasick::AhoCorasick;
use store::Canary;

/// Looks for all canaries of an account at once.
pub(crate) struct Lookout<'a> {
    canaries: &'a [Canary],
    automaton: AhoCorasick,
    hit: Vec<bool>,
}

impl<'a> Lookout<'a> {
    pub(crate) fn new(canaries: &'a [Canary]) -> Lookout<'a> {
        let tokens = canaries.iter().map(|it| folded(&it.token));
        let automaton = AhoCorasick::new(tokens).expect("tokens are few and short");
        Lookout { canaries, automaton, hit: vec![false; canaries.len()] }
    }

    /// There is nothing to look for.
    pub(crate) fn is_idle(&self) -> bool {
        self.canaries.is_empty()
    }

    /// At a text as it stands; what was decoded of it is a text of its own.
    pub(crate) fn look(&mut self, text: &str) {
        if self.is_idle() {
            return;
        }
        for found in self.automaton.find_overlapping_iter(&folded(text)) {
            self.hit[found.pattern().as_usize()] = true;
        }
    }

    /// Those that were seen.
    pub(crate) fn found(self) -> Vec<Canary> {
        let seen = self.canaries.iter().zip(self.hit).filter(|(_, hit)| *hit);
        seen.map(|(it, _)| it.clone()).collect()
    }
}

/// Without case, white space and what is put between letters.
fn folded(text: &str) -> String {
    let is_kept = |it: &char| it.is_alphanumeric() || *it == '@';
    text.chars().filter(is_kept).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "sk-proj-q2Jx8Zp0Vb7nTf4Yk1Rw";

    fn check(text: &str, expected: bool) {
        let canary = Canary {
            id: "cny_1".to_owned(),
            kind: "api_key".to_owned(),
            label: "wiki".to_owned(),
            token: TOKEN.to_owned(),
            created_at: 0,
            hits: 0,
            last_hit_at: None,
        };
        let canaries = [canary];
        let mut lookout = Lookout::new(&canaries);
        lookout.look(text);
        assert_eq!(!lookout.found().is_empty(), expected, "{text}");
    }

    #[test]
    fn a_canary_is_found_in_any_spelling() {
        for disguise in [
            TOKEN.to_owned(),
            TOKEN.to_uppercase(),
            TOKEN.replace("Zp0", "Zp0 \r\n"),
            TOKEN.replace('J', "J\u{200b}"),
            TOKEN.chars().map(|it| format!("{it} ")).collect(),
            TOKEN.chars().map(|it| format!("{it}.")).collect(),
        ] {
            check(&format!("Look: {disguise}!"), true);
        }
        check(&TOKEN[..20], false);
        check("Lunch at noon?", false);
    }

    #[test]
    fn without_canaries_nothing_is_found() {
        let mut lookout = Lookout::new(&[]);
        lookout.look(TOKEN);
        assert!(lookout.is_idle() && lookout.found().is_empty());
    }
}
