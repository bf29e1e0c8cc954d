//! How often parts of an order are found, and innocent mails are not, on labelled mail beside the checkout
//! that the model has not learnt from.

use std::{fs, path::Path};

use injection::Assessor;
use serde_json::Value;
use store::Earlier;

use super::{RISK_THRESHOLD, assess, carried, judge};

const MOST_ORDERS: usize = 100;
const MOST_PAIRS: usize = 300;

/// A longer one is a text of its own rather than an order.
const MAX_ORDER: usize = 600;

#[test]
fn most_orders_in_two_parts_are_found_and_hardly_a_conversation() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/injection-data/val.jsonl");
    let Ok(lines) = fs::read_to_string(Path::new(file)) else {
        return eprintln!("SKIPPED: no labelled mail at {file}");
    };
    let lines: Vec<Value> =
        lines.lines().map(|it| serde_json::from_str(it).expect("JSON")).collect();
    let assessor = Assessor::new();
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();

    let orders = lines.iter().filter(|it| it["label"] == 1).map(|it| text(it, "payload"));
    let orders = orders.filter(|it| !it.is_empty() && it.len() <= MAX_ORDER);
    let (mut cut, mut found) = (0, 0);
    for order in orders {
        let middle = order.ceil_char_boundary(order.len() / 2);
        let Some(at) = order[middle..].find(' ').map(|it| middle + it) else { continue };
        let letters = [
            format!("Hi,\n\n{}\n\nBest,\nTom", order[..at].trim()),
            format!("Hello again,\n\n{}\n\nThanks,\nTom", order[at..].trim()),
        ];
        if assess(&assessor, &order).0 < RISK_THRESHOLD {
            continue;
        }
        let Some(is_found) = together(&assessor, &letters) else { continue };
        cut += 1;
        found += usize::from(is_found);
        if cut == MOST_ORDERS {
            break;
        }
    }

    let innocent = lines.iter().filter(|it| it["label"] == 0 && it["tier"] == "mail");
    let mut innocent: Vec<(String, String)> =
        innocent.map(|it| (text(it, "family"), text(it, "text"))).collect();
    innocent.sort_by(|a, b| a.0.cmp(&b.0));
    let pairs = innocent.windows(2).filter(|it| it[0].0 == it[1].0);
    let pairs = pairs.map(|it| [it[0].1.clone(), it[1].1.clone()]);
    let judged: Vec<bool> =
        pairs.filter_map(|it| together(&assessor, &it)).take(MOST_PAIRS).collect();
    let flagged = judged.iter().filter(|it| **it).count();
    eprintln!(
        "of {cut} orders in two parts, {found} are found; of {} pairs of innocent mails, {flagged}",
        judged.len()
    );
    assert!(found * 4 >= cut * 3, "{found} of {cut}");
    assert!(flagged * 100 <= judged.len(), "{flagged} of {}", judged.len());
}

/// Whether they add up; `None` if one of them is found alone.
fn together(assessor: &Assessor, mails: &[String; 2]) -> Option<bool> {
    let [first, second] = mails.each_ref().map(|it| carried(it));
    let (before, after) = (assess(assessor, &first).0, assess(assessor, &second).0);
    if before >= RISK_THRESHOLD || after >= RISK_THRESHOLD {
        return None;
    }
    let earlier = Earlier { email_id: "eml_1".to_owned(), text: first, score: before, at: 0 };
    Some(judge(assessor, &[earlier], &second, after).is_some())
}
