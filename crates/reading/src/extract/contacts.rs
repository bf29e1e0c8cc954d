//! People: who wrote, and whose addresses and numbers stand in the mail.

use std::sync::LazyLock;

use linkify::{LinkFinder, LinkKind};
use regex::Regex;

use super::{Contact, MOST};
use crate::{reply::expression, safe::plain_field};

/// International notation, or national with a word that says what it is.
static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"(?i)(\+\d[\d ().\-/]{6,20}\d)|(?:tel|phone|mobile|mobil|cell|fax|call|ph)[a-z]{0,6}[.:]{0,2}\s*(\(?\d[\d ().\-/]{6,18}\d)",
    )
});

pub(super) fn contacts(sentences: &[String], from: (&str, &str)) -> Vec<Contact> {
    let (name, address) = from;
    let mut contacts = vec![Contact {
        name: Some(plain_field(name, 100)).filter(|it| !it.is_empty()),
        email: Some(address.to_owned()),
        phone: None,
        role: Some("sender"),
    }];
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Email]);
    for sentence in sentences {
        for link in finder.links(sentence).take(MOST) {
            let email = link.as_str().to_owned();
            let is_known =
                |it: &Contact| it.email.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(&email));
            if contacts.len() < MOST && !contacts.iter().any(is_known) {
                contacts.push(Contact { email: Some(email), ..Contact::default() });
            }
        }
        for found in PHONE.captures_iter(sentence).take(MOST) {
            let number = found.get(1).or(found.get(2)).map_or("", |it| it.as_str());
            let number: String =
                number.chars().filter(|it| it.is_ascii_digit() || *it == '+').collect();
            let is_known = contacts.iter().any(|it| it.phone.as_deref() == Some(&number));
            let length = number.trim_start_matches('+').len();
            if is_known || !(7..=15).contains(&length) {
                continue;
            }
            // A number that nothing else is said of is the writer's own.
            if contacts[0].phone.is_none() {
                contacts[0].phone = Some(number);
            } else if contacts.len() < MOST {
                contacts.push(Contact { phone: Some(number), ..Contact::default() });
            }
        }
    }
    contacts.retain(|it| it.email.as_deref() != Some("") || it.phone.is_some());
    contacts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers() {
        let sentences =
            ["Tel.: (030) 1234567, write to A@x.test, a@x.test or +1 415 555 0100".to_owned()];
        let found = contacts(&sentences, ("Tom", "t@x.test"));
        assert_eq!(
            (found[0].name.as_deref(), found[0].phone.as_deref()),
            (Some("Tom"), Some("0301234567"))
        );
        assert_eq!(found[1].email.as_deref(), Some("A@x.test"));
        assert_eq!(found[2].phone.as_deref(), Some("+14155550100"));
        assert_eq!(found.len(), 3);
    }
}
