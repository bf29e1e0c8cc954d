//! Links, those first that confirm, log in or reset, each with the host that it really leads to.

mod words;

use std::{collections::HashSet, sync::LazyLock};

use linkify::{LinkFinder, LinkKind};
use regex::Regex;
use url::{Host, Url};

use self::words::{LEAVE, PASSIVE, PURPOSES};
use crate::{Reading, line::Line, reply::expression};

/// More are not listed.
pub const MAX_LINKS: usize = 50;
/// More are not looked at, and longer ones are none.
const MAX_FOUND: usize = 400;
const MAX_URL: usize = 4096;
/// Of a link's text, octets.
const MAX_TEXT: usize = 200;

/// What following a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Verify,
    Login,
    Reset,
    Invite,
    Other,
    Unsubscribe,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// As it was written.
    pub url: String,
    /// Where it leads: what follows "@" and stands before the path, in ASCII (RFC 5890).
    pub host: String,
    pub purpose: Purpose,
    /// What a person sees of it, on one line.
    pub text: String,
    /// It seems to lead elsewhere than it does: its text names another host, or its host imitates the
    /// sender's domain.
    pub deceptive: bool,
}

/// The links of a mail, the most useful first; those that were quoted are left out.
pub fn links(reading: &Reading<'_>) -> Vec<Link> {
    scored(reading).into_iter().map(|it| it.link).take(MAX_LINKS).collect()
}

/// The links that may be the one to confirm, log in, reset or join with, each as good as the others; none
/// if there is none. Where the HTML has any, those of the text are the same ones in other words.
pub fn foremost_links(reading: &Reading<'_>) -> Vec<Link> {
    let mut links = scored(reading);
    links.retain(|it| it.link.purpose < Purpose::Other);
    if links.iter().any(|it| it.is_of_page) {
        links.retain(|it| it.is_of_page);
    }
    let best = links.iter().map(|it| it.score).max();
    links.retain(|it| Some(it.score) == best);
    links.into_iter().map(|it| it.link).collect()
}

struct Scored {
    score: i32,
    is_of_page: bool,
    link: Link,
}

fn scored(reading: &Reading<'_>) -> Vec<Scored> {
    let mut seen = HashSet::new();
    let subject = reading.mail.subject.to_lowercase();
    let mut scored: Vec<Scored> = Vec::new();
    for found in found(reading).into_iter().take(MAX_FOUND) {
        let is_of_page = found.is_of_page;
        if let Some((score, link)) = judged(found, &subject, reading.mail.from)
            && seen.insert(link.url.clone())
        {
            scored.push(Scored { score, is_of_page, link });
        }
    }
    // Stable: those that are as good stay in the order of the mail.
    scored.sort_by_key(|it| (it.link.purpose >= Purpose::Other, -it.score));
    scored
}

/// A link with what stands around it.
struct Found {
    is_of_page: bool,
    url: String,
    text: String,
    around: String,
}

fn found(reading: &Reading<'_>) -> Vec<Found> {
    let [page, text] = reading.written();
    let mut found = Vec::new();
    // The page's own lines, up to where what was written ends.
    let written = page.last().map_or(0, |last| {
        reading.page.lines.iter().rposition(|it| it == last).map_or(0, |it| it + 1)
    });
    for anchor in &reading.page.anchors {
        if anchor.line < written && !reading.page.lines[anchor.line].is_quoted() {
            let around = around(&reading.page.lines, anchor.line);
            let (url, text) = (anchor.href.clone(), anchor.text.clone());
            found.push(Found { is_of_page: true, url, text, around });
        }
    }
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    for (is_of_page, lines) in [(true, page), (false, text)] {
        for (at, line) in lines.iter().enumerate().filter(|(_, it)| !it.is_quoted()) {
            let room = MAX_FOUND.saturating_sub(found.len());
            if room == 0 {
                return found;
            }
            for link in finder.links(&line.text).take(room) {
                let before = &line.text[..link.start()];
                let near = before.ceil_char_boundary(before.len().saturating_sub(MAX_TEXT));
                found.push(Found {
                    is_of_page,
                    url: link.as_str().to_owned(),
                    text: before[near..].trim().to_owned(),
                    around: around(lines, at),
                });
            }
        }
    }
    found
}

/// The lines before and after, as far as they say something about this one.
fn around(lines: &[Line], at: usize) -> String {
    let near = lines[at.saturating_sub(2)..].iter().take(4);
    let cut = |text: &str| text[..text.floor_char_boundary(300)].to_lowercase() + "\n";
    near.map(|it| cut(&it.text)).collect()
}

static TOKEN: LazyLock<Regex> =
    LazyLock::new(|| expression(r"[A-Za-z0-9_~.%-]{14,}|\d{5,}|[a-f0-9]{8,}"));

fn judged(found: Found, subject: &str, from: &str) -> Option<(i32, Link)> {
    if found.url.len() > MAX_URL {
        return None;
    }
    let url = Url::parse(&found.url).ok().filter(|it| matches!(it.scheme(), "http" | "https"))?;
    let host = match url.host()? {
        Host::Domain(domain) => domain.to_owned(),
        address => address.to_string(),
    };
    let deceptive = names_another(&found.text, &host) || imitates(&host, domain_of(from));
    let after_host = url[url::Position::BeforePath..].to_lowercase();
    let text = found.text.to_lowercase();
    let has_token = TOKEN.is_match(&url[url::Position::BeforePath..]);
    let mut best = (0, Purpose::Other);
    for (purpose, words) in PURPOSES {
        let has = |text: &str| words.iter().any(|it| text.contains(it));
        let score = 3 * i32::from(has(&after_host))
            + 3 * i32::from(text.len() < 120 && has(&text))
            + i32::from(has(&found.around))
            + i32::from(has(subject));
        if score > best.0 {
            best = (score, *purpose);
        }
    }
    let [passive, leave] = [PASSIVE, LEAVE].map(|words| {
        words.iter().any(|it| after_host.contains(it) || (text.len() < 60 && text.contains(it)))
    });
    let purpose = match best {
        _ if leave => Purpose::Unsubscribe,
        _ if passive || deceptive || !has_token => Purpose::Other,
        (4.., purpose) => purpose,
        _ => Purpose::Other,
    };
    let text = one_line(&found.text);
    Some((best.0, Link { url: found.url, host, purpose, text, deceptive }))
}

/// Where a link of the web really leads.
pub(crate) fn host_of(url: &str) -> Option<String> {
    let url = if url.starts_with("//") { format!("http:{url}") } else { url.to_owned() };
    let url = Url::parse(&url).ok().filter(|it| matches!(it.scheme(), "http" | "https"))?;
    url.host_str().map(str::to_owned)
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line[..line.floor_char_boundary(MAX_TEXT)].to_owned()
}

fn domain_of(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or_default()
}

/// The part of a host that somebody registered.
fn registered(host: &str) -> &str {
    psl::domain_str(host).unwrap_or(host)
}

/// What a person sees is the name of another host than the link's.
fn names_another(text: &str, host: &str) -> bool {
    let text = text.trim();
    if text.contains(char::is_whitespace) || text.contains('@') {
        return false;
    }
    let shown = Url::parse(text).or_else(|_| Url::parse(&format!("http://{text}")));
    let shown = shown.ok().and_then(|it| it.host_str().map(str::to_owned)).unwrap_or_default();
    let last = shown.rsplit('.').next().unwrap_or_default();
    // "readme.md" is a file, though Moldova has domains.
    let is_file = text == shown && matches!(last, "md" | "zip" | "mov" | "sh" | "py" | "rs" | "pl");
    let is_known = psl::suffix(shown.as_bytes()).is_some_and(|it| it.is_known())
        || matches!(last, "example" | "test" | "invalid");
    shown.contains('.') && is_known && !is_file && registered(&shown) != registered(host)
}

/// A host that has the sender's domain in it and is not below it.
fn imitates(host: &str, domain: &str) -> bool {
    let own = registered(domain).to_ascii_lowercase();
    if own.is_empty() || registered(host) == own {
        return false;
    }
    let name = own.split('.').next().unwrap_or_default();
    let label = registered(host).split('.').next().unwrap_or_default();
    let has_name = name.len() >= 4 && label != name && label.split('-').any(|it| it == name);
    format!("{host}.").contains(&format!("{own}.")) || has_name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mail;

    fn of(html: &str) -> Vec<(String, String, Purpose, bool)> {
        let mail = Mail { from: "no-reply@acme.com", subject: "Hi", html, ..Mail::default() };
        let links = links(&Reading::of(mail));
        links.into_iter().map(|it| (it.url, it.host, it.purpose, it.deceptive)).collect()
    }

    #[track_caller]
    fn check(html: &str, url: &str, host: &str, purpose: Purpose, deceptive: bool) {
        let first = of(html).into_iter().next().expect("a link");
        assert_eq!(first, (url.to_owned(), host.to_owned(), purpose, deceptive), "{html}");
    }

    #[test]
    fn what_a_link_is_for() {
        let token = "4f9d8a7b6c5e4d3c2b1a";
        let url = format!("https://acme.com/confirm/{token}");
        check(
            &format!(
                "<a href=https://acme.com/unsubscribe/{token}>x</a> <a href={url}>Confirm</a>"
            ),
            &url,
            "acme.com",
            Purpose::Verify,
            false,
        );
        let url = format!("https://click.tracker.net/ls/{token}");
        check(
            &format!("<a href={url}>Reset your password</a> reset"),
            &url,
            "click.tracker.net",
            Purpose::Reset,
            false,
        );
        let url = "https://acme.com/pricing";
        check(&format!("<a href={url}>Log in to see</a>"), url, "acme.com", Purpose::Other, false);
    }

    #[test]
    fn one_link_is_foremost_or_several_are_as_good() {
        let of = |html: &str, text: &str| -> Vec<String> {
            let mail =
                Mail { from: "no-reply@acme.com", subject: "Hi", html, text, has_plain_text: true };
            foremost_links(&Reading::of(mail)).into_iter().map(|it| it.url).collect()
        };
        let [one, two] = ["1a4f9d8a7b6c5e4d", "2b4f9d8a7b6c5e4d"]
            .map(|it| format!("https://acme.com/confirm/{it}"));
        let link = |url: &str| format!("<p><a href={url}>Confirm</a></p>");
        // The button and, in the text, the same through another redirect.
        let check = |html: &str, text: &str, expected: &[&String]| {
            assert_eq!(of(html, text).iter().collect::<Vec<_>>(), expected);
        };
        check(&link(&one), &format!("Confirm: {two}"), &[&one]);
        check(&(link(&one) + &link(&two)), "", &[&one, &two]);
        check(&(link(&one) + &link(&one)), "", &[&one]);
        assert!(of("<a href=https://acme.com/pricing>Prices</a>", "").is_empty());
    }

    #[test]
    fn where_a_link_really_leads() {
        let url = "https://acme.com@evil.net/login/4f9d8a7b6c5e4d3c2b1a";
        check(&format!("<a href={url}>Log in</a>"), url, "evil.net", Purpose::Login, false);
        let url = "https://acme.com.evil.net/login/4f9d8a7b6c5e4d3c2b1a";
        check(&format!("<a href={url}>Log in</a>"), url, "acme.com.evil.net", Purpose::Other, true);
        let url = "https://evil.net/login/4f9d8a7b6c5e4d3c2b1a";
        check(&format!("<a href={url}>acme.com</a>"), url, "evil.net", Purpose::Other, true);
        let url = "https://acme-login.com/login/4f9d8a7b6c5e4d3c2b1a";
        check(&format!("<a href={url}>Log in</a>"), url, "acme-login.com", Purpose::Other, true);
    }

    #[test]
    fn a_file_is_no_host() {
        for text in ["readme.md", "report.pdf", "Tom", "a@acme.com", "1.5"] {
            assert!(!names_another(text, "x.net"), "{text}");
        }
        for text in ["acme.com", "https://acme.com/x.md", "bank.example"] {
            assert!(names_another(text, "x.net"), "{text}");
        }
    }

    #[test]
    fn only_the_web_and_only_so_many() {
        assert!(
            of("<a href='javascript:x'>a</a><a href='data:x'>b</a><a href=mailto:a@b>c</a>")
                .is_empty()
        );
        let many: String =
            (0..1000).map(|n| format!("<a href=https://x.test/{n}>x</a> ")).collect();
        assert_eq!(of(&many).len(), MAX_LINKS);
    }
}
