//! Numbers of payment cards: a range that an issuer has, the length that goes with it, the check digit
//! (ISO/IEC 7812-1), and words around that do not say it is something else.

use aho_corasick::AhoCorasick;

use super::Hit;

/// How far before a number words speak of it.
const LOOK_BACK: usize = 80;

const SHORTEST: usize = 13;
const LONGEST: usize = 19;

const CARD: [&str; 26] = [
    "card",
    "visa",
    "mastercard",
    "amex",
    "american express",
    "discover",
    "maestro",
    "cvv",
    "cvc",
    "credit",
    "debit",
    "pan:",
    "kreditkarte",
    "karte",
    "carte",
    "tarjeta",
    "carta di",
    "cartão",
    "kaart",
    "karta",
    "карт",
    "kredi kart",
    "卡号",
    "信用卡",
    "カード",
    "카드",
];

const ELSE: [&str; 25] = [
    "order",
    "tracking",
    "invoice",
    "ticket",
    "reference",
    "ref.",
    "ref:",
    "booking",
    "shipment",
    "parcel",
    "serial",
    "imei",
    "account",
    "iban",
    "phone",
    "tel",
    "customer",
    "bestell",
    "sendung",
    "rechnung",
    "commande",
    "facture",
    "pedido",
    "factura",
    "id:",
];

pub(super) struct Cards {
    words: AhoCorasick,
}

impl Cards {
    pub(super) fn new() -> Cards {
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(CARD.into_iter().chain(ELSE))
            .expect("the words are few and short");
        Cards { words }
    }

    pub(super) fn find(&self, text: &str) -> Vec<Hit> {
        let hits = runs(text).filter(|it| is_card_number(&it.digits));
        let hits = hits.filter(|run| match self.said(text, run.start) {
            Some(is_card) => is_card,
            // Written in groups as on the card, it is one; other numbers come in one piece.
            None => run.is_grouped,
        });
        let hit = |run: Run| Hit {
            kind: "card_number",
            explanation: "This is the number of a payment card: its check digit is right.",
            span: run.start..run.end,
        };
        hits.map(hit).collect()
    }

    /// What the last word before it says: whether it is a card's number.
    fn said(&self, text: &str, start: usize) -> Option<bool> {
        let before = &text[text.floor_char_boundary(start.saturating_sub(LOOK_BACK))..start];
        let last = self.words.find_iter(before).last()?;
        Some(last.pattern().as_usize() < CARD.len())
    }
}

/// Digits, alone or in groups with one space or dash between.
struct Run {
    start: usize,
    end: usize,
    digits: Vec<u8>,
    is_grouped: bool,
}

fn runs(text: &str) -> impl Iterator<Item = Run> {
    let octets = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            at += octets.get(at..)?.iter().position(u8::is_ascii_digit)?;
            let (run, next) = run(octets, at);
            at = next;
            if let Some(run) = run {
                return Some(run);
            }
        }
    })
}

/// The run that begins here, if it can be a number by itself, and where to go on.
fn run(octets: &[u8], start: usize) -> (Option<Run>, usize) {
    let mut sizes = Vec::new();
    let mut digits = Vec::new();
    let (mut at, mut end) = (start, start);
    while at < octets.len() {
        let size = octets[at..].iter().take_while(|it| it.is_ascii_digit()).count();
        if size == 0 {
            break;
        }
        if digits.len() <= LONGEST {
            digits.extend(octets[at..at + size].iter().take(LONGEST + 1).map(|it| it - b'0'));
            sizes.push(size);
        }
        end = at + size;
        at = end + usize::from(octets.get(end).is_some_and(|it| matches!(it, b' ' | b'-')));
        if at == end {
            break;
        }
    }
    let part = |it: Option<&u8>| it.is_some_and(|it| it.is_ascii_alphanumeric() || *it == b'_');
    let before = start.checked_sub(1).map(|it| &octets[it]);
    let is_part = part(before) || part(octets.get(end));
    // A number with a fraction, or one of several in a version.
    let is_decimal = before.is_some_and(|it| matches!(it, b'.' | b','))
        || (octets.get(end).is_some_and(|it| matches!(it, b'.' | b','))
            && octets.get(end + 1).is_some_and(u8::is_ascii_digit));
    let fits = (SHORTEST..=LONGEST).contains(&digits.len()) && !is_part && !is_decimal;
    let is_grouped = sizes == [4, 4, 4, 4] || sizes == [4, 6, 5];
    let run = (fits && (is_grouped || sizes.len() == 1)).then_some(Run {
        start,
        end,
        digits,
        is_grouped,
    });
    (run, end)
}

fn is_card_number(digits: &[u8]) -> bool {
    is_issued(digits) && luhn(digits) && digits.iter().any(|it| *it != digits[0])
}

fn is_issued(digits: &[u8]) -> bool {
    let number =
        |count: usize| digits[..count].iter().fold(0_u32, |sum, it| sum * 10 + u32::from(*it));
    let length = digits.len();
    match (number(1), number(2), number(3), number(4)) {
        (4, ..) => matches!(length, 13 | 16 | 19),
        (_, 51..=55, ..) | (.., 2221..=2720) => length == 16,
        (_, 34 | 37, ..) => length == 15,
        (_, 36 | 38 | 39, ..) | (_, _, 300..=305, _) => length == 14,
        (.., 3528..=3589) => length == 16,
        (_, 62 | 65, ..) | (_, _, 644..=649, _) | (.., 6011) => (16..=19).contains(&length),
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(n, it)| match (n % 2, it * 2) {
        (0, _) => u32::from(*it),
        (_, double @ 10..) => u32::from(double - 9),
        (_, double) => u32::from(double),
    });
    weighed.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = Cards::new().find(text);
        let found: Vec<&str> = found.iter().map(|it| &text[it.span.clone()]).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn cards() {
        check("My card: 4539578763621486, exp 09/29", &["4539578763621486"]);
        check("4539 5787 6362 1486", &["4539 5787 6362 1486"]);
        check("4539-5787-6362-1486", &["4539-5787-6362-1486"]);
        check("Amex 3782 822463 10005.", &["3782 822463 10005"]);
        check(
            "Visa 4111111111111111 and MasterCard 5555555555554444",
            &["4111111111111111", "5555555555554444"],
        );
        check("Die Kreditkarte ist 2223003122003222", &["2223003122003222"]);
    }

    #[test]
    fn other_numbers_are_left_alone() {
        // The check digit is right, the range an issuer's.
        check("Order 4539578763621486 has shipped", &[]);
        check("Your order number: 4539 5787 6362 1486", &[]);
        check("4539578763621486", &[]);
        // It is wrong.
        check("card 4539578763621487", &[]);
        check("card 4539 5787 6362 1487", &[]);
        // No issuer has it, or it is too long, or part of something.
        check("card 9999999999999995", &[]);
        check("card 45395787636214860000", &[]);
        check("card id x4539578763621486", &[]);
        check("card 0.4539578763621486", &[]);
        check("card 4444444444444444", &[]);
        check("card +49 170 1234567, 2026-11-24 12:00", &[]);
        check("card 1795498872123456", &[]);
    }
}
