//! Lists of senders: those whose mail is delivered, and those whose mail is kept out.

use mail::Address;

use crate::sql;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderList {
    /// For senders who prove who they are; a From that nothing stands behind is never on it.
    Allow,
    /// For whoever says that he is this sender.
    Block,
}

impl SenderList {
    pub fn as_str(self) -> &'static str {
        match self {
            SenderList::Allow => "allow",
            SenderList::Block => "block",
        }
    }
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct SenderRule {
    pub account_id: String,
    /// `None` for all inboxes of the account.
    pub inbox_id: Option<String>,
    pub list: SenderList,
    /// From `sender_entry`.
    pub entry: String,
    pub note: String,
    pub created_at: i64,
}

/// An address or a domain as a list has it, or what is wrong with it.
pub fn sender_entry(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.contains('@') {
        let address: Address = text.parse().map_err(|err| format!("{err}"))?;
        return Ok(sql::text(&address.to_string().to_lowercase()));
    }
    let address = format!("x@{text}").parse::<Address>();
    let address = address.map_err(|_| format!("{text:?} is neither an address nor a domain"))?;
    if mail::registrable(address.domain()).is_none() {
        return Err(format!(
            "{text:?} is a domain that everybody can have a domain under: name one of those"
        ));
    }
    Ok(address.domain().to_owned())
}

/// The entries that this sender is on a list by: his address, and his domain with those above it, the
/// nearest first.
pub(crate) fn entries_of(address: &str) -> Vec<String> {
    let normalized = address.parse::<Address>().map(|it| it.to_string());
    let address = sql::text(&normalized.unwrap_or_else(|_| address.to_owned()).to_lowercase());
    let Some((_, domain)) = address.rsplit_once('@') else { return Vec::new() };
    let mut entries = vec![address.clone()];
    if let Some(registrable) = mail::registrable(domain) {
        let mut rest = domain;
        while rest.len() >= registrable.len() {
            entries.push(rest.to_owned());
            match rest.split_once('.') {
                Some((_, above)) => rest = above,
                None => break,
            }
        }
    }
    entries
}

/// The entry that counts among those a sender is on: one of his address before one of a domain, the inbox's
/// before the account's, and to block before to allow.
pub(crate) fn foremost<'a>(rules: impl Iterator<Item = &'a SenderRule>) -> Option<&'a SenderRule> {
    rules.max_by_key(|it| {
        (it.entry.contains('@'), it.inbox_id.is_some(), it.list == SenderList::Block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_an_address_or_a_domain() {
        for (text, entry) in [
            ("Alice@Example.COM", "alice@example.com"),
            (" example.com ", "example.com"),
            ("Mail.B\u{fc}cher.Example", "mail.xn--bcher-kva.example"),
            ("alice.github.io", "alice.github.io"),
        ] {
            assert_eq!(sender_entry(text).as_deref(), Ok(entry));
        }
        for text in ["", "com", "co.uk", "github.io", "a b", "a@", "@example.com", "*.example.com"]
        {
            sender_entry(text).expect_err(text);
        }
    }

    #[test]
    fn a_sender_is_known_by_his_address_and_the_domains_above_it() {
        assert_eq!(
            entries_of("Bob@a.Mail.example.co.uk"),
            [
                "bob@a.mail.example.co.uk",
                "a.mail.example.co.uk",
                "mail.example.co.uk",
                "example.co.uk"
            ]
        );
        assert_eq!(entries_of("bob@[192.0.2.1]"), ["bob@[192.0.2.1]"]);
        assert!(entries_of("").is_empty());
    }

    #[test]
    fn the_narrower_entry_counts() {
        let rule = |list, entry: &str, inbox: bool| SenderRule {
            account_id: "acct_1".to_owned(),
            inbox_id: inbox.then(|| "ibx_1".to_owned()),
            list,
            entry: entry.to_owned(),
            note: String::new(),
            created_at: 0,
        };
        use SenderList::{Allow, Block};
        let check = |rules: &[SenderRule], list| {
            assert_eq!(foremost(rules.iter()).map(|it| it.list), Some(list), "{rules:?}");
        };
        check(&[rule(Block, "x.example", true), rule(Allow, "a@x.example", false)], Allow);
        check(&[rule(Block, "x.example", false), rule(Allow, "x.example", true)], Allow);
        check(&[rule(Allow, "x.example", true), rule(Block, "x.example", true)], Block);
        assert_eq!(foremost([].iter()), None);
    }
}
