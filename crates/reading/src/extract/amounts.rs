//! Sums of money.

use std::sync::LazyLock;

use regex::Regex;

use super::{Amount, MOST, label};
use crate::reply::expression;

static BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"(US\$|A\$|C\$|R\$|[$€£¥₹₽₩₺₪₴]|\b(?:EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|TRY|NZD|SGD|HKD|KRW)\b)\s?(\d[\d.,' \u{a0}\u{202f}’]{0,20}\d|\d)",
    )
});
static AFTER: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"(\d[\d.,' \u{a0}\u{202f}’]{0,20}\d|\d)\s?([€£¥₹₽₩₺₪₴]|\b(?:EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|TRY|NZD|SGD|HKD|KRW|kr|zł|Kč|Ft|Euro|euros?|dollars?)\b)",
    )
});

pub(super) fn amounts(sentence: &str) -> Vec<Amount> {
    let mut found: Vec<(usize, usize, Amount)> = Vec::new();
    for (regex, number, sign) in [(&BEFORE, 2, 1), (&AFTER, 1, 2)] {
        for it in regex.captures_iter(sentence).take(MOST) {
            let whole = it.get(0).map_or(0..0, |it| it.range());
            let overlaps =
                found.iter().any(|(start, end, _)| whole.start < *end && *start < whole.end);
            let (Some(value), Some(currency)) = (value(&it[number]), currency(&it[sign])) else {
                continue;
            };
            if !overlaps {
                let amount = Amount { value, currency, label: label(sentence) };
                found.push((whole.start, whole.end, amount));
            }
        }
    }
    found.sort_by_key(|(start, ..)| *start);
    found.into_iter().map(|(_, _, it)| it).collect()
}

/// "1,250.50", "1.250,50", "1 250", "1'250.-": the last sign with two digits behind it, or one, or one
/// that stands alone with other than three, is the decimal one.
fn value(text: &str) -> Option<f64> {
    let last = text.rfind([',', '.']);
    let decimal = last.filter(|at| {
        let behind = text.len() - at - 1;
        let sign = &text[*at..=*at];
        behind != 3 && behind <= 2 && text.matches(sign).count() == 1
    });
    let digits: String = text
        .char_indices()
        .filter_map(|(at, it)| match it {
            '0'..='9' => Some(it),
            _ if Some(at) == decimal => Some('.'),
            _ => None,
        })
        .collect();
    digits.parse().ok()
}

fn currency(sign: &str) -> Option<&'static str> {
    const SIGNS: &[(&str, &str)] = &[
        ("US$", "USD"),
        ("A$", "AUD"),
        ("C$", "CAD"),
        ("R$", "BRL"),
        ("$", "USD"),
        ("€", "EUR"),
        ("£", "GBP"),
        ("¥", "JPY"),
        ("₹", "INR"),
        ("₽", "RUB"),
        ("₩", "KRW"),
        ("₺", "TRY"),
        ("₪", "ILS"),
        ("₴", "UAH"),
        ("kr", "SEK"),
        ("zł", "PLN"),
        ("Kč", "CZK"),
        ("Ft", "HUF"),
        ("Euro", "EUR"),
        ("euro", "EUR"),
        ("euros", "EUR"),
        ("dollar", "USD"),
        ("dollars", "USD"),
        ("EUR", "EUR"),
        ("USD", "USD"),
        ("GBP", "GBP"),
        ("CHF", "CHF"),
        ("JPY", "JPY"),
        ("CNY", "CNY"),
        ("INR", "INR"),
        ("AUD", "AUD"),
        ("CAD", "CAD"),
        ("SEK", "SEK"),
        ("NOK", "NOK"),
        ("DKK", "DKK"),
        ("PLN", "PLN"),
        ("CZK", "CZK"),
        ("HUF", "HUF"),
        ("BRL", "BRL"),
        ("MXN", "MXN"),
        ("ZAR", "ZAR"),
        ("TRY", "TRY"),
        ("NZD", "NZD"),
        ("SGD", "SGD"),
        ("HKD", "HKD"),
        ("KRW", "KRW"),
    ];
    SIGNS.iter().find(|(it, _)| *it == sign).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(f64, &str)]) {
        let found: Vec<_> = amounts(text).iter().map(|it| (it.value, it.currency)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn sums_in_many_notations() {
        check(
            "$99, or €1.250,50 or CHF 1'250.50",
            &[(99.0, "USD"), (1250.5, "EUR"), (1250.5, "CHF")],
        );
        check("1 250,00 € and 300 USD", &[(1250.0, "EUR"), (300.0, "USD")]);
        check("¥1,500 and 12.5 EUR", &[(1500.0, "JPY"), (12.5, "EUR")]);
        check("room 300, 5 people", &[]);
    }
}
