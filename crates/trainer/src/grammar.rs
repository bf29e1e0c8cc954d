//! Texts from sections of alternatives: `{name}` stands for a line of a section, `{a|b}` for a or b.

use std::collections::BTreeMap;

use fastrand::Rng;

/// No text is nested deeper.
const MAX_DEPTH: usize = 12;

pub(crate) struct Grammar<'a> {
    sections: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Grammar<'a> {
    pub(crate) fn read(texts: &[&'a str]) -> Grammar<'a> {
        let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for text in texts {
            let mut current: Option<&str> = None;
            for (line, next) in text.lines().zip(text.lines().skip(1).chain([""])) {
                let heading = line.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
                match (heading, current) {
                    (Some(name), _) if is_name(name) => current = Some(name),
                    // An empty line between sections is none of theirs; within one, it is.
                    (_, Some(name)) if !line.is_empty() || !ends(next) => {
                        sections.entry(name).or_default().push(line);
                    }
                    _ => (),
                }
            }
        }
        Grammar { sections }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.sections.keys().copied()
    }

    /// A text for a section.
    pub(crate) fn text(&self, section: &str, rng: &mut Rng) -> String {
        let mut text = String::new();
        self.section(section, rng, 0, &mut text);
        text.trim().to_owned()
    }

    fn section(&self, name: &str, rng: &mut Rng, depth: usize, out: &mut String) {
        if let Some(lines) = self.sections.get(name) {
            self.expand(lines[rng.usize(..lines.len())], rng, depth + 1, out);
        }
    }

    fn expand(&self, template: &str, rng: &mut Rng, depth: usize, out: &mut String) {
        if depth > MAX_DEPTH {
            return;
        }
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            let Some((inner, after)) = group(&rest[open + 1..]) else {
                out.push_str(&rest[open..]);
                return;
            };
            let alternatives = alternatives(inner);
            if alternatives.len() > 1 {
                self.expand(alternatives[rng.usize(..alternatives.len())], rng, depth + 1, out);
            } else if self.sections.contains_key(inner) {
                self.section(inner, rng, depth + 1, out);
            } else {
                // Braces that stand for themselves, as in JSON.
                out.push('{');
                self.expand(inner, rng, depth + 1, out);
                out.push('}');
            }
            rest = after;
        }
        out.push_str(rest);
    }
}

/// A heading, rather than a text in brackets.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|it| it.is_ascii_lowercase() || matches!(it, ' ' | '_'))
}

fn ends(next: &str) -> bool {
    next.is_empty() || next.starts_with('[') || next.starts_with('#')
}

/// What stands before the brace that closes, and what comes after it.
fn group(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, it) in text.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            '}' => depth -= 1,
            _ => (),
        }
    }
    None
}

fn alternatives(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut start = 0;
    let mut found = Vec::new();
    for (at, it) in text.char_indices() {
        match it {
            '{' => depth += 1,
            '}' => depth -= 1,
            '|' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    found.push(&text[start..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(grammar: &str, expected: &[&str]) {
        let grammar = Grammar::read(&[grammar]);
        let mut rng = Rng::with_seed(1);
        let mut seen: Vec<String> = (0..50).map(|_| grammar.text("top", &mut rng)).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, expected);
    }

    #[test]
    fn sections_and_alternatives_are_drawn_from() {
        check("[top]\n{a|b} {low}\n[low]\nx{y|}\n", &["a x", "a xy", "b x", "b xy"]);
    }

    #[test]
    fn other_braces_stand_for_themselves() {
        check("[top]\n{\"a\": \"{low}\"}\n[low]\nx\n", &["{\"a\": \"x\"}"]);
        check("[top]\nopen { here\n", &["open { here"]);
    }

    #[test]
    fn what_contains_itself_ends() {
        let grammar = Grammar::read(&["[top]\nx{top}\n"]);
        assert!(grammar.text("top", &mut Rng::with_seed(1)).len() <= MAX_DEPTH);
    }
}
