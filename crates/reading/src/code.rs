//! The code of a verification mail: which of a mail's numbers and odd words is to be typed in.
//!
//! Every candidate is scored by its shape, by where it stands (alone on its line, after a colon, in
//! the subject) and by the words around it. What was quoted or is hidden counts for nothing.

mod candidate;
mod lexicon;

use std::collections::HashMap;

use candidate::Candidate;
use lexicon::Words;

use crate::{Reading, line::Line};

/// What has less is no code.
const ENOUGH: i32 = 6;
/// Codes stand near the top, and not among hundreds of their like.
const MOST_LINES: usize = 400;
const MOST_CANDIDATES: usize = 300;

/// The one-time code that a mail brings, if it brings one: digits in ASCII, blanks taken out, hyphens as
/// they are.
pub fn code(reading: &Reading<'_>) -> Option<String> {
    // Of several that are as good the one that sorts first: the same mail has the same code each time.
    codes(reading).into_iter().next()
}

/// The codes that may be the one a mail brings, each as good as the others; none if it brings none.
pub fn codes(reading: &Reading<'_>) -> Vec<String> {
    let subject = Subject {
        words: Words::of(reading.mail.subject),
        candidates: candidate::find(reading.mail.subject),
    };
    let mut scores = Scores::default();
    for body in reading.written() {
        judge(&joined_digits(body), &subject, &mut scores);
    }
    // A subject alone may say it all.
    if scores.is_empty() && subject.words.names_code {
        for found in &subject.candidates {
            note(&mut scores, found, found.shape_score() + 5);
        }
    }
    let best = scores.values().map(|(score, _)| *score).max().filter(|it| *it >= ENOUGH);
    let mut codes: Vec<(String, (i32, String))> =
        scores.into_iter().filter(|(_, (score, _))| Some(*score) == best).collect();
    codes.sort();
    codes.into_iter().map(|(_, (_, printed))| printed).collect()
}

/// What the subject says.
struct Subject {
    words: Words,
    candidates: Vec<Candidate>,
}

/// The best score of each candidate, and how it was printed there.
type Scores = HashMap<String, (i32, String)>;

fn note(scores: &mut Scores, found: &Candidate, score: i32) {
    let best = scores.entry(found.normal.clone()).or_insert((i32::MIN, String::new()));
    if score > best.0 {
        *best = (score, found.printed.clone());
    }
}

/// Scores the candidates of a body.
fn judge(body: &[String], subject: &Subject, scores: &mut Scores) {
    let words: Vec<Words> = body.iter().map(|it| Words::of(it)).collect();
    let is_about_codes =
        subject.words.names_code || subject.words.confirms || words.iter().any(|it| it.names_code);
    let candidates = body
        .iter()
        .enumerate()
        .flat_map(|(at, line)| candidate::find(line).into_iter().map(move |found| (at, found)));
    for (at, found) in candidates.take(MOST_CANDIDATES) {
        let is_in_subject = subject.candidates.iter().any(|it| it.normal == found.normal);
        if !is_about_codes && !is_in_subject {
            continue;
        }
        let score = found.shape_score()
            + place_score(body, &words, at, &found)
            + i32::from(subject.words.names_code)
            + if is_in_subject { 4 } else { 0 };
        note(scores, &found, score);
    }
}

fn place_score(body: &[String], words: &[Words], at: usize, found: &Candidate) -> i32 {
    let line = &body[at];
    let here = &words[at];
    let mut score = 0;
    let before = (0..at).rev().filter(|it| !body[*it].is_empty()).take(2);
    let after = (at + 1..body.len()).find(|it| !body[*it].is_empty());
    if found.is_alone(line) {
        score += 3;
        for (distance, it) in before.enumerate() {
            if words[it].names_code {
                score += 4 - 2 * distance as i32;
                break;
            }
            // Its own label stands right above it, and names something else.
            if distance == 0 && (words[it].names_other || words[it].names_number) {
                score -= 6;
                break;
            }
        }
        score += if after.is_some_and(|it| words[it].names_code) { 1 } else { 0 };
    } else {
        let sentence = Words::of(found.sentence(line));
        score += if sentence.names_code { 4 } else { 0 };
        score += if sentence.confirms && !sentence.names_code { 3 } else { 0 };
        score += if found.follows_label(line) && sentence.names_code { 2 } else { 0 };
        if sentence.names_other || (here.names_number && !sentence.names_code) {
            score -= 6;
        }
        score -= if line.contains(['|', '©']) || line.contains("(c)") { 5 } else { 0 };
    }
    score
}

/// The lines without marks; digits that stand alone, one a line or one a cell, make one number.
fn joined_digits(body: &[Line]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut run = 0;
    for line in body.iter().take(MOST_LINES) {
        let text = candidate::plain(line.content());
        let is_single =
            text.chars().count() == 1 && text.chars().all(|it| it.is_ascii_alphanumeric());
        match lines.last_mut() {
            Some(last) if is_single && run > 0 => last.push_str(&text),
            _ if text.is_empty() && run > 0 => continue,
            _ => lines.push(spaced_out(&text).unwrap_or(text)),
        }
        run = if is_single { run + 1 } else { 0 };
    }
    lines
}

/// "7 4 0 3 1 6" as one.
fn spaced_out(text: &str) -> Option<String> {
    let pieces: Vec<&str> = text.split_whitespace().collect();
    let single = |it: &&str| it.len() == 1 && it.bytes().all(|it| it.is_ascii_alphanumeric());
    ((4..=10).contains(&pieces.len()) && pieces.iter().all(single)).then(|| pieces.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mail;

    #[track_caller]
    fn check(subject: &str, text: &str, expected: Option<&str>) {
        let mail =
            Mail { subject, text, from: "a@x.test", has_plain_text: true, ..Mail::default() };
        assert_eq!(code(&Reading::of(mail)).as_deref(), expected, "{text}");
    }

    #[test]
    fn a_code_on_its_own_line_or_in_a_sentence() {
        check(
            "Sign in",
            "Your code is below.\n\n123 456\n\nIgnore this otherwise.",
            Some("123456"),
        );
        check("Welcome", "Your verification code is 204117.", Some("204117"));
        check("Welcome", "Use 8841 as your one-time password", Some("8841"));
        check("Confirm your address", "Or enter 551204 in the app.", Some("551204"));
        check("Your code: YKPMYE", "Hello", Some("YKPMYE"));
        check("確認コード", "認証コード：１２３９８４", Some("123984"));
        check("x", "Dein Bestätigungscode lautet: G-482913", Some("G-482913"));
        check(
            "Log in",
            "Or paste this login code:\n\nsparo-ndigo-amurt-secan",
            Some("sparo-ndigo-amurt-secan"),
        );
        check("x", "Your code is\n7\n4\n0\n3\n1\n6", Some("740316"));
        check("رمز", "رمز التحقق:\n\n٤٨٢٩١٣", Some("482913"));
    }

    #[test]
    fn numbers_of_other_kinds_are_none() {
        check("Order #482913 has shipped", "Your order 482913 left. Total 128.40 EUR.", None);
        check("Invoice", "Invoice number\n20260317\nAmount\n1234", None);
        check("Sale", "Use code SAVE2026 for 20% off", None);
        check("Password changed", "On 2025-02-13 09:27 from 23.90.134.114.", None);
        check("Call", "Call +1 415 555 1395 or write to PO Box 1234, zip code 94107", None);
        check("Codes", "The code review is a well-known back-and-forth.", None);
        check("Hello", "We met in 2019.\n\n123456\n", None);
    }

    #[test]
    fn what_cannot_be_told_apart_is_all_told() {
        let of = |text: &str| {
            let mail = Mail { subject: "Codes", text, has_plain_text: true, ..Mail::default() };
            codes(&Reading::of(mail))
        };
        let two = "Your code for Acme is 482913.\n\nYour code for Bolt is 117204.";
        assert_eq!(of(two), ["117204", "482913"]);
        assert_eq!(of("Your code is 482913.\n\nYour code is 482 913."), ["482913"]);
        assert!(of("See you at 1700.").is_empty());
    }

    #[test]
    fn an_older_one_that_is_quoted_is_none() {
        check(
            "Re: code",
            "The code is 111222\n\nOn 1 May 2026, X wrote:\n> code 998120",
            Some("111222"),
        );
    }
}
