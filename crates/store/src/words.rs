//! Words to search by. Both databases get them cut and folded here, so that both find the same.
//!
//! A word is a run of letters and digits, in lower case and without accents. Scripts that put no
//! spaces between words are cut into single characters and pairs of them.

use std::collections::HashSet;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// The longest word, in characters; longer ones are cut.
const LONGEST_WORD: usize = 40;

/// The most octets of words kept per email: PostgreSQL takes less than 1 MiB.
const MOST_OCTETS: usize = 256 * 1024;

/// The octets of one text that are read for its words. Indexing happens while others wait to write, and
/// what stands further down in a text is what nobody searches for: logs, tables, what was quoted.
const MOST_TEXT: usize = 256 * 1024;

/// The most words of a query that count.
const MOST_QUERY_WORDS: usize = 32;

/// A query, ready for either database.
#[derive(Debug, PartialEq)]
pub(crate) struct Query {
    /// Must all occur.
    pub(crate) words: Vec<String>,
    /// A word must begin with this: the last of the query, which may not be finished.
    pub(crate) prefix: Option<String>,
}

/// The distinct words of these texts, separated by spaces; of a long text those at its beginning.
pub(crate) fn index<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut found = Found::default();
    for text in texts {
        let text = &text[..text.floor_char_boundary(MOST_TEXT)];
        if text.split('\n').try_for_each(|line| found.add_line(line)).is_none() {
            break;
        }
    }
    found.words
}

/// What `index` found, as it is kept for an email of the account.
pub(crate) fn scoped(account_id: &str, words: &str) -> String {
    let mut scoped = scope(account_id);
    if !words.is_empty() {
        scoped.push(' ');
        scoped.push_str(words);
    }
    scoped
}

#[derive(Default)]
struct Found {
    words: String,
    seen: HashSet<String>,
}

impl Found {
    /// `None` once there is no room for more. No word goes over a line's end.
    fn add_line(&mut self, line: &str) -> Option<()> {
        if line.is_ascii() {
            // Nothing to fold but the case: most mail, most of the time.
            let line = line.to_ascii_lowercase();
            let words = line.split(|it: char| !it.is_ascii_alphanumeric());
            for word in words.filter(|it| !it.is_empty()) {
                self.add(&word[..word.len().min(LONGEST_WORD)])?;
            }
            return Some(());
        }
        for word in Folded::of(line) {
            for piece in pieces(word) {
                self.add(&piece)?;
            }
        }
        Some(())
    }

    fn add(&mut self, word: &str) -> Option<()> {
        if self.seen.contains(word) {
            return Some(());
        }
        if self.words.len() + word.len() > MOST_OCTETS {
            return None;
        }
        if !self.words.is_empty() {
            self.words.push(' ');
        }
        self.words.push_str(word);
        self.seen.insert(word.to_owned());
        Some(())
    }
}

/// Nothing can match if there are no words in `text`: `None`.
pub(crate) fn query(account_id: &str, text: &str) -> Option<Query> {
    let folded: Vec<String> = Folded::of(text).take(MOST_QUERY_WORDS).collect();
    let (last, others) = folded.split_last()?;
    let mut words = vec![scope(account_id)];
    words.extend(others.iter().flat_map(|it| sought(it)));
    let prefix = if is_unspaced(last) {
        words.extend(sought(last));
        None
    } else {
        Some(last.clone())
    };
    Some(Query { words, prefix })
}

/// A word that no text has, in the index of every email of an account: a search reads what its own
/// account has of a word, not what everybody has.
fn scope(account_id: &str) -> String {
    format!("@{account_id}")
}

/// The words of a text, folded.
struct Folded<I: Iterator<Item = char>> {
    chars: I,
    /// Of the word in hand.
    word: String,
    /// The first character of the next word, where two follow each other without a gap.
    held: Option<char>,
}

impl Folded<std::iter::Empty<char>> {
    fn of(text: &str) -> Folded<impl Iterator<Item = char>> {
        let chars = text.nfkd().filter(|it| !is_combining_mark(*it)).flat_map(char::to_lowercase);
        Folded { chars, word: String::new(), held: None }
    }
}

impl<I: Iterator<Item = char>> Iterator for Folded<I> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut length = 0;
        let mut unspaced = None;
        while let Some(char) = self.held.take().or_else(|| self.chars.next()) {
            let belongs = char.is_alphanumeric();
            if belongs && unspaced.is_none_or(|it| it == is_unspaced_char(char)) {
                unspaced = Some(is_unspaced_char(char));
                length += 1;
                // Only texts without spaces are cut into pieces; they need no limit.
                if length <= LONGEST_WORD || unspaced == Some(true) {
                    self.word.push(char);
                }
            } else if !self.word.is_empty() {
                self.held = belongs.then_some(char);
                break;
            }
        }
        if self.word.is_empty() { None } else { Some(std::mem::take(&mut self.word)) }
    }
}

/// What a word is found by: itself, or its characters and pairs of them.
fn pieces(word: String) -> Vec<String> {
    if !is_unspaced(&word) {
        return vec![word];
    }
    word.chars().map(String::from).chain(pairs(&word)).collect()
}

/// What a word of a query needs to be there.
fn sought(word: &str) -> Vec<String> {
    if is_unspaced(word) && word.chars().nth(1).is_some() {
        return pairs(word);
    }
    vec![word.to_owned()]
}

fn pairs(word: &str) -> Vec<String> {
    word.chars().zip(word.chars().skip(1)).map(|(a, b)| format!("{a}{b}")).collect()
}

fn is_unspaced(word: &str) -> bool {
    word.chars().next().is_some_and(is_unspaced_char)
}

/// Of a script written without spaces between words.
fn is_unspaced_char(char: char) -> bool {
    matches!(char,
        '\u{0e00}'..='\u{0eff}'       // Thai, Lao
        | '\u{1780}'..='\u{17ff}'     // Khmer
        | '\u{3040}'..='\u{30ff}'     // Hiragana, Katakana
        | '\u{3400}'..='\u{9fff}'     // Han
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_index(text: &str, expected: &str) {
        assert_eq!(index([text]), expected);
    }

    #[track_caller]
    fn check_query(text: &str, words: &[&str], prefix: Option<&str>) {
        let query = query("acct_1", text).expect("words");
        assert_eq!(query.words[1..], *words);
        assert_eq!(query.prefix.as_deref(), prefix);
    }

    #[test]
    fn folds_case_and_accents() {
        check_index("Crème BRÛLÉE, Ångström!", "creme brulee angstrom");
        check_index("ﬁnd ①２", "find 12");
    }

    #[test]
    fn folds_alike_with_and_without_a_letter_that_needs_it() {
        for text in ["Re: FW a_b-c", "x@Y.example 3.14", &"Ab1".repeat(30), "a\rb\tC"] {
            let folded: Vec<String> = Folded::of(text).collect();
            assert_eq!(index([text]), folded.join(" "));
        }
    }

    #[test]
    fn cuts_addresses_into_words() {
        check_index("Bob.Smith+x@mail.example.com", "bob smith x mail example com");
    }

    #[test]
    fn belongs_to_an_account() {
        assert_eq!(scoped("acct_1", "a b"), "@acct_1 a b");
        assert_eq!(scoped("acct_1", ""), "@acct_1");
    }

    #[test]
    fn keeps_each_word_once() {
        check_index("to be or not to be", "to be or not");
        check_index("", "");
    }

    #[test]
    fn cuts_long_words() {
        check_index(&"a".repeat(100), &"a".repeat(LONGEST_WORD));
        check_query(&"a".repeat(100), &[], Some(&"a".repeat(LONGEST_WORD)));
    }

    #[test]
    fn cuts_unspaced_scripts_into_pairs() {
        check_index("東京都 mail", "東 京 都 東京 京都 mail");
        check_index("Q3売上", "q3 売 上 売上");
        check_query("東京都", &["東京", "京都"], None);
        check_query("都 rep", &["都"], Some("rep"));
    }

    #[test]
    fn the_last_word_of_a_query_may_be_unfinished() {
        check_query("Quarterly rep", &["quarterly"], Some("rep"));
    }

    #[test]
    fn operators_are_words_or_nothing() {
        check_query(r#""a" OR (b & !c)* NEAR"#, &["a", "or", "b", "c"], Some("near"));
        assert_eq!(query("acct_1", "?! ()"), None);
    }

    #[test]
    fn stays_below_the_limit() {
        let text: String = (0..200_000).map(|it| format!("{it} ")).collect();
        let words = index([text.as_str()]);
        assert!(words.len() <= MOST_OCTETS + LONGEST_WORD * 4, "{}", words.len());
    }

    #[test]
    fn the_beginning_of_a_long_text_is_indexed() {
        let text = format!("first {} last", "é ".repeat(MOST_TEXT / 3 + 1));
        assert_eq!(index([text.as_str(), "next"]), index(["first é next"]));
    }
}
