//! The flow of information: what an untrusted mail brought in must not steer or leave by a mail that its
//! thread did not ask for. Pure.
//!
//! Each item that a mail to be sent names is looked at with the mails that named it. Who somebody wrote to
//! before, whom the thread knows, and what the inbox wrote itself before is no news.

use std::collections::{BTreeSet, HashMap};

use contract::HoldReason;
use mail::{Mention, MentionKind, canonical, host_owner};
use store::Mentioned;

pub(crate) const KIND: &str = "information_flow";

/// As many are told.
const MOST_REASONS: usize = 10;

/// Everybody links there, and anybody can have a page there: what counts is the link as a whole.
const SHARED: [&str; 40] = [
    "google.com",
    "youtube.com",
    "github.com",
    "gitlab.com",
    "microsoft.com",
    "office.com",
    "live.com",
    "sharepoint.com",
    "zoom.us",
    "calendly.com",
    "linkedin.com",
    "facebook.com",
    "instagram.com",
    "twitter.com",
    "x.com",
    "apple.com",
    "amazon.com",
    "dropbox.com",
    "notion.so",
    "slack.com",
    "atlassian.net",
    "wikipedia.org",
    "w3.org",
    "paypal.com",
    "stripe.com",
    "docusign.net",
    "docusign.com",
    "trello.com",
    "figma.com",
    "loom.com",
    "vimeo.com",
    "medium.com",
    "goo.gl",
    "youtu.be",
    "whatsapp.com",
    "t.me",
    "reddit.com",
    "mozilla.org",
    "python.org",
    "npmjs.com",
];

/// What a mail to be sent says, and what is known around it.
#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) recipients: Vec<Recipient>,
    /// What it names; addresses do not count, only who gets it.
    pub(crate) named: Vec<Mention>,
    /// What mails named of all that.
    pub(crate) mentioned: Vec<Mentioned>,
    /// The threads that it belongs to, and that of what it passes on.
    pub(crate) threads: Vec<String>,
    /// Of the inbox and its account.
    pub(crate) own_domains: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Recipient {
    pub(crate) address: String,
    /// Since when the inbox writes to him.
    pub(crate) known_since: Option<i64>,
    /// An inbox of the same account.
    pub(crate) is_own: bool,
    /// From or to him are mails of the thread.
    pub(crate) is_in_thread: bool,
}

impl Recipient {
    fn canonical(&self) -> String {
        canonical(&self.address).unwrap_or_else(|| self.address.to_lowercase())
    }

    fn domain(&self) -> Option<String> {
        self.address.rsplit_once('@').and_then(|(_, it)| host_owner(it))
    }

    fn was_known(&self, at: i64) -> bool {
        self.known_since.is_some_and(|it| it < at)
    }
}

impl Flow {
    /// What to ask the database for.
    pub(crate) fn items(recipients: &[String], named: &[Mention]) -> Vec<i64> {
        let people = recipients.iter().filter_map(|it| canonical(it)).flat_map(|it| {
            [Mention::new(MentionKind::Address, &it), Mention::new(MentionKind::Sender, &it)]
        });
        let mut items: Vec<i64> = people.map(|it| it.item()).collect();
        items.extend(named.iter().filter(|it| it.kind != MentionKind::Address).map(Mention::item));
        items.sort_unstable();
        items.dedup();
        items
    }

    pub(crate) fn reasons(&self) -> Vec<HoldReason> {
        let mut by_item: HashMap<i64, Vec<&Mentioned>> = HashMap::new();
        for it in &self.mentioned {
            by_item.entry(it.item).or_default().push(it);
        }
        let of = |mention: &Mention| by_item.get(&mention.item()).map_or(&[][..], Vec::as_slice);
        let recipients = self.recipients.iter().filter_map(|it| self.steered(it, of));
        let named = self.named.iter().filter_map(|it| self.carried(it, of));
        recipients.chain(named).take(MOST_REASONS).collect()
    }

    /// A recipient whom an untrusted mail named.
    fn steered<'a>(
        &self,
        recipient: &Recipient,
        of: impl Fn(&Mention) -> &'a [&'a Mentioned],
    ) -> Option<HoldReason> {
        let address = recipient.canonical();
        let wrote = of(&Mention::new(MentionKind::Sender, &address));
        if recipient.is_own || recipient.is_in_thread || wrote.iter().any(|it| self.is_asked(it)) {
            return None;
        }
        let named = of(&Mention::new(MentionKind::Address, &address));
        if named.iter().any(|it| !it.suspicious && self.is_asked(it)) {
            return None;
        }
        let source = news(named)?;
        if recipient.was_known(source.at) {
            return None;
        }
        Some(reason(
            "recipient",
            &recipient.address,
            "This recipient was first named by a received mail whose sender is not known and proven, \
             and the thread of this mail did not ask for him.",
            source,
        ))
    }

    /// A link or token that came with an untrusted mail.
    fn carried<'a>(
        &self,
        mention: &Mention,
        of: impl Fn(&Mention) -> &'a [&'a Mentioned],
    ) -> Option<HoldReason> {
        let mentioned = of(mention);
        if mention.kind == MentionKind::Address || mentioned.iter().any(|it| self.is_asked(it)) {
            return None;
        }
        if mention.kind == MentionKind::Domain && self.own_domains.contains(&mention.value) {
            return None;
        }
        // What several people write is a word of theirs, not a code.
        let untrusted = mentioned.iter().filter(|it| !it.trusted);
        let writers: BTreeSet<&str> = untrusted.map(|it| it.from.as_str()).collect();
        if mention.kind == MentionKind::Token && writers.len() > 1 {
            return None;
        }
        let source = news(mentioned)?;
        let home = source.from.rsplit_once('@').and_then(|(_, it)| host_owner(it));
        let others = self
            .recipients
            .iter()
            .filter(|it| !it.is_own && (it.domain() != home || home.is_none()));
        let is_shared = mention.kind == MentionKind::Domain && SHARED.contains(&&*mention.value);
        let is_reason = |it: &Recipient| {
            // What suspicious mail brings goes to nobody.
            (source.suspicious && !is_shared)
                || match mention.kind {
                    MentionKind::Domain => {
                        !is_shared
                            && !it.is_in_thread
                            && !it.was_known(source.at)
                            && it.domain().as_ref() != Some(&mention.value)
                    }
                    _ => self.is_tainted(it, source, &of),
                }
        };
        let mut others = others.filter(|it| is_reason(it));
        others.next()?;
        let explanation = match mention.kind {
            MentionKind::Token => {
                "This first came with a received mail of another thread whose sender is not known \
                 and proven, and goes to somebody who is not, either."
            }
            _ => {
                "This link first came with a received mail of another thread whose sender is not \
                 known and proven."
            }
        };
        Some(reason(mention.kind.as_str(), &mention.value, explanation, source))
    }

    /// He wrote, or was named by, an untrusted mail of another thread than that.
    fn is_tainted<'a>(
        &self,
        recipient: &Recipient,
        source: &Mentioned,
        of: &impl Fn(&Mention) -> &'a [&'a Mentioned],
    ) -> bool {
        let address = recipient.canonical();
        [MentionKind::Sender, MentionKind::Address].into_iter().any(|kind| {
            of(&Mention::new(kind, &address)).iter().any(|it| {
                !it.trusted
                    && it.email_id != source.email_id
                    && it.thread_id != source.thread_id
                    && !recipient.was_known(it.at)
            })
        })
    }

    fn is_asked(&self, mentioned: &Mentioned) -> bool {
        self.threads.contains(&mentioned.thread_id)
    }
}

/// The mail that brought an item, if it was untrusted: the suspicious one of several, else the first.
fn news<'a>(mentioned: &[&'a Mentioned]) -> Option<&'a Mentioned> {
    let first = mentioned.iter().map(|it| it.at).min()?;
    let is_known = mentioned.iter().any(|it| it.trusted && it.at <= first);
    let source = mentioned.iter().find(|it| !it.trusted)?;
    (!is_known).then_some(*source)
}

fn reason(
    detail: &str,
    excerpt: &str,
    explanation: &'static str,
    source: &Mentioned,
) -> HoldReason {
    let is_secret = detail == MentionKind::Token.as_str() || detail == MentionKind::Link.as_str();
    let excerpt = if is_secret { masked(excerpt) } else { excerpt.to_owned() };
    HoldReason {
        kind: KIND.to_owned(),
        detail: detail.to_owned(),
        part: String::new(),
        excerpt,
        explanation: explanation.to_owned(),
        email_id: Some(source.email_id.clone()),
    }
}

/// A code is a secret, and so may be what a link ends with.
fn masked(value: &str) -> String {
    let shown: String = value.chars().take(value.find('/').unwrap_or(0).max(2)).collect();
    format!("{shown}… ({} characters)", value.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "evil@x.test";

    fn recipient(address: &str) -> Recipient {
        Recipient { address: address.to_owned(), ..Recipient::default() }
    }

    fn mentioned(kind: MentionKind, value: &str, thread: &str) -> Mentioned {
        Mentioned {
            item: Mention::new(kind, value).item(),
            email_id: format!("eml_{thread}"),
            trusted: false,
            suspicious: false,
            at: 100,
            thread_id: thread.to_owned(),
            from: format!("{thread}@{thread}.test"),
        }
    }

    #[track_caller]
    fn check(flow: &Flow, expected: &[&str]) {
        let reasons = flow.reasons();
        assert_eq!(reasons.iter().map(|it| &*it.detail).collect::<Vec<_>>(), expected);
    }

    fn to(address: &str, mentions: Vec<Mentioned>) -> Flow {
        Flow { recipients: vec![recipient(address)], mentioned: mentions, ..Flow::default() }
    }

    #[test]
    fn a_recipient_that_a_stranger_named_is_a_reason() {
        let flow = to(EVIL, vec![mentioned(MentionKind::Address, EVIL, "a")]);
        check(&flow, &["recipient"]);
        assert_eq!(flow.reasons()[0].email_id.as_deref(), Some("eml_a"));
        // In another thread all the same.
        check(&Flow { threads: vec!["b".to_owned()], ..flow }, &["recipient"]);
    }

    #[test]
    fn ordinary_recipients_are_none() {
        let named = || vec![mentioned(MentionKind::Address, EVIL, "a")];
        check(&to("carol@y.test", named()), &[]);
        // The thread that named him, as when a customer asks to copy his accountant.
        check(&Flow { threads: vec!["a".to_owned()], ..to(EVIL, named()) }, &[]);
        let known = Recipient { known_since: Some(99), ..recipient(EVIL) };
        check(&Flow { recipients: vec![known], ..to(EVIL, named()) }, &[]);
        let own = Recipient { is_own: true, ..recipient(EVIL) };
        check(&Flow { recipients: vec![own], ..to(EVIL, named()) }, &[]);
        let there = Recipient { is_in_thread: true, ..recipient(EVIL) };
        check(&Flow { recipients: vec![there], ..to(EVIL, named()) }, &[]);
        // Somebody trusted named him first.
        let trusted =
            Mentioned { trusted: true, at: 50, ..mentioned(MentionKind::Address, EVIL, "t") };
        check(&to(EVIL, [named(), vec![trusted]].concat()), &[]);
    }

    #[test]
    fn known_since_the_mail_came_is_not_known() {
        let late = Recipient { known_since: Some(101), ..recipient(EVIL) };
        let named = vec![mentioned(MentionKind::Address, EVIL, "a")];
        check(&Flow { recipients: vec![late], ..to(EVIL, named) }, &["recipient"]);
    }

    #[test]
    fn whom_a_suspicious_mail_names_is_a_reason_in_its_own_thread_but_for_its_sender() {
        let named = |value: &str| Mentioned {
            suspicious: true,
            ..mentioned(MentionKind::Address, value, "a")
        };
        let threads = vec!["a".to_owned()];
        let flow = Flow { threads: threads.clone(), ..to(EVIL, vec![named(EVIL)]) };
        check(&flow, &["recipient"]);
        let wrote = mentioned(MentionKind::Sender, EVIL, "a");
        check(&Flow { threads, ..to(EVIL, vec![named(EVIL), wrote.clone()]) }, &[]);
        // To himself, but elsewhere.
        check(&to(EVIL, vec![named(EVIL), wrote]), &["recipient"]);
    }

    fn naming(mention: (MentionKind, &str), flow: Flow) -> Flow {
        Flow { named: vec![Mention::new(mention.0, mention.1)], ..flow }
    }

    #[test]
    fn a_code_of_another_thread_goes_to_no_stranger_who_wrote() {
        let code = || mentioned(MentionKind::Token, "482913", "bank");
        let wrote = mentioned(MentionKind::Sender, EVIL, "a");
        let flow = |recipient: &str, mentions| {
            naming((MentionKind::Token, "482913"), to(recipient, mentions))
        };
        check(&flow(EVIL, vec![code(), wrote.clone()]), &["token"]);
        let in_his_thread = flow(EVIL, vec![code(), wrote.clone()]);
        check(&Flow { threads: vec!["a".to_owned()], ..in_his_thread }, &["token"]);
        // The operator's colleague, whom nobody named.
        check(&flow("colleague@work.test", vec![code()]), &[]);
        // Whom it came from, in its own thread or by another address.
        check(&flow("help@bank.test", vec![code()]), &[]);
        let answer = flow(EVIL, vec![code(), wrote]);
        check(&Flow { threads: vec!["bank".to_owned()], ..answer }, &[]);
    }

    #[test]
    fn what_several_write_or_the_inbox_wrote_before_is_no_code() {
        let code = |thread: &str| mentioned(MentionKind::Token, "482913", thread);
        let wrote = mentioned(MentionKind::Sender, EVIL, "a");
        let flow = |mentions| naming((MentionKind::Token, "482913"), to(EVIL, mentions));
        check(&flow(vec![code("bank"), code("shop"), wrote.clone()]), &[]);
        let own = Mentioned { trusted: true, at: 50, from: String::new(), ..code("own") };
        check(&flow(vec![code("bank"), own, wrote]), &[]);
    }

    #[test]
    fn a_code_is_not_shown() {
        let code = mentioned(MentionKind::Token, "482913", "bank");
        let wrote = mentioned(MentionKind::Sender, EVIL, "a");
        let flow = naming((MentionKind::Token, "482913"), to(EVIL, vec![code, wrote]));
        assert_eq!(flow.reasons()[0].excerpt, "48… (6 characters)");
    }

    #[test]
    fn a_strangers_link_goes_to_nobody_new() {
        let link = || mentioned(MentionKind::Domain, "shop.test", "a");
        let flow = || naming((MentionKind::Domain, "shop.test"), to("new@y.test", vec![link()]));
        check(&flow(), &["domain"]);
        check(&Flow { threads: vec!["a".to_owned()], ..flow() }, &[]);
        check(&Flow { own_domains: vec!["shop.test".to_owned()], ..flow() }, &[]);
        let known = Recipient { known_since: Some(1), ..recipient("new@y.test") };
        check(&Flow { recipients: vec![known.clone()], ..flow() }, &[]);
        let suspicious = Mentioned { suspicious: true, ..link() };
        let flow = Flow { recipients: vec![known], mentioned: vec![suspicious], ..flow() };
        check(&flow, &["domain"]);
    }

    #[test]
    fn what_the_inbox_wrote_before_is_no_news() {
        let written = Mentioned {
            trusted: true,
            at: 50,
            thread_id: String::new(),
            ..mentioned(MentionKind::Domain, "shop.test", "own")
        };
        let quoted = mentioned(MentionKind::Domain, "shop.test", "a");
        let flow =
            |mentions| naming((MentionKind::Domain, "shop.test"), to("new@y.test", mentions));
        check(&flow(vec![quoted.clone(), written.clone()]), &[]);
        let later = Mentioned { at: 150, ..written };
        check(&flow(vec![quoted, later]), &["domain"]);
    }

    #[test]
    fn pages_that_everybody_links_to_count_as_a_whole() {
        let site = mentioned(MentionKind::Domain, "zoom.us", "a");
        check(&naming((MentionKind::Domain, "zoom.us"), to("new@y.test", vec![site])), &[]);
    }
}
