use mail::Address;
use serde_json::Value;

use crate::corpus;

/// What flanker takes and we do not: a display name or a comment is no part of an address in an
/// envelope or a request, and an IP address stands in brackets (RFC 5321 section 4.1.3).
const DIFFERENT: &[&str] = &[
    "Bill Gates <\"billy\"@retired.Micr!osoft99.com>",
    "Steve Jobs <steve@apple.com>",
    "Matt \"The Matt\" Mickiewicz <matt.Mickiewicz@99designs.com>",
    "\"<john@smith.com>\" <john@smith.com>",
    "foobar@192.168.0.1",
    "(this is a comment)test@example.com",
    "test@example.com(this is a comment)",
];

#[test]
fn agrees_with_flanker_but_for_names_and_comments() {
    let Some(corpus) = corpus::open("addresses") else { return };
    let mut different = Vec::new();
    for line in &corpus.expected {
        let input = text(line, "input");
        let verdict = text(line, "verdict");
        let address = match verdict {
            "valid" | "invalid" => input.to_owned(),
            _ => format!("{input}@x.test"),
        };
        if address.parse::<Address>().is_ok() != verdict.starts_with("valid") {
            different.push(input);
        }
    }
    let all = corpus.expected.len();
    eprintln!("addresses: {} of {all} as flanker says", all - different.len());
    assert_eq!(different, DIFFERENT);
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().expect("text")
}
