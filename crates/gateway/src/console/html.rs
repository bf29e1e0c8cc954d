//! The frame of every page, and what pages have in common.

use maud::{DOCTYPE, Markup, html};

use super::{
    session::{Session, Who},
    text,
};

/// A place in the navigation: its path, its name, and the key that goes there after "g".
struct Place {
    path: &'static str,
    name: &'static str,
    key: &'static str,
}

const INBOXES: Place = Place { path: "/console/inboxes", name: "Inboxes", key: "i" };
/// The first ones show who is narrowed to some inboxes what is of these.
const OF_ACCOUNT: [Place; 5] = [
    Place { path: "/console/quarantine", name: "Quarantine", key: "q" },
    Place { path: "/console/holds", name: "Held", key: "h" },
    Place { path: "/console/suppressions", name: "Suppressed", key: "s" },
    Place { path: "/console/domains", name: "Domains", key: "d" },
    Place { path: "/console/record", name: "Record", key: "r" },
];
const OF_OPERATOR: [Place; 3] = [
    Place { path: "/console/pipeline", name: "Pipeline", key: "p" },
    Place { path: "/console/dead", name: "Dead letters", key: "l" },
    Place { path: "/console/accounts", name: "Accounts", key: "a" },
];

/// A page for somebody who is signed in.
pub(super) fn page(session: &Session, title: &str, body: Markup) -> Markup {
    framed(session, title, html! {}, body)
}

/// As `page`; a browser without JavaScript loads it again every few seconds.
pub(super) fn live(session: &Session, title: &str, body: Markup) -> Markup {
    framed(session, title, html! { noscript { meta http-equiv="refresh" content="5"; } }, body)
}

fn framed(session: &Session, title: &str, head: Markup, body: Markup) -> Markup {
    let assets = &session.console.assets;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (common(title))
                link rel="stylesheet" href=(assets.path("console.css"));
                link rel="icon" type="image/svg+xml" href=(assets.path("icon.svg"));
                script src=(assets.path("console.js")) defer {}
                (head)
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.bar {
                    a.brand href="/console" { "Posthouse" }
                    nav aria-label="Console" { ul { @for it in places(session) { li { (place(session, it)) } } } }
                    (who(session))
                }
                main #main tabindex="-1" { (body) }
                footer.foot { "Times are UTC. " button.plain data-help hidden type="button" { "Keys" } }
            }
        }
    }
}

/// A page for anybody: signing in, and what went wrong. It has the style of this build by another name.
pub(super) fn bare(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (common(title))
                link rel="stylesheet" href="/console/assets/current/console.css";
                link rel="icon" type="image/svg+xml" href="/console/assets/current/icon.svg";
            }
            body.bare {
                header.bar { a.brand href="/console" { "Posthouse" } }
                main #main { (body) }
            }
        }
    }
}

fn common(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (reading::plain_field(title, 100)) " · Posthouse" }
    }
}

fn places(session: &Session) -> impl Iterator<Item = &'static Place> {
    let (first, more): (Option<&Place>, &[Place]) = match session.who {
        Who::Operator(_) => (None, &OF_OPERATOR),
        Who::Account(_) if session.sees_account() => (Some(&INBOXES), &OF_ACCOUNT),
        Who::Account(_) if session.is_admin() => (Some(&INBOXES), &OF_ACCOUNT[..2]),
        Who::Account(_) => (Some(&INBOXES), &[]),
    };
    first.into_iter().chain(more)
}

fn place(session: &Session, it: &Place) -> Markup {
    let is_here = session.path.starts_with(it.path);
    html! { a href=(it.path) data-go=(it.key) aria-current=[is_here.then_some("page")] { (it.name) } }
}

fn who(session: &Session) -> Markup {
    let (kind, name) = match &session.who {
        Who::Operator(token) => {
            ("Operator", if token.label.is_empty() { token.id() } else { &token.label })
        }
        Who::Account(it) if session.is_admin() => ("Account", it.account.id.as_str()),
        Who::Account(it) => ("Looking on", it.account.id.as_str()),
    };
    html! {
        div.who {
            span.name title=(name) { span.quiet { (kind) " " } (text::line(name)) }
            form method="post" action="/console/sign-out" {
                (csrf(session))
                button.plain type="submit" { "Sign out" }
            }
        }
    }
}

pub(super) fn csrf(session: &Session) -> Markup {
    html! { input type="hidden" name="csrf" value=(session.csrf); }
}

/// A word on what something is. `tone`: "good", "warn", "bad" or "calm"; the word says it too.
pub(super) fn badge(tone: &str, word: &str) -> Markup {
    html! { span class={ "badge " (tone) } { (word) } }
}

/// What became of a mail, in a badge.
pub(super) fn status(status: &str) -> Markup {
    let tone = match status {
        "sent" | "delivered" | "received" | "approved" | "released" | "good" | "verified" => "good",
        "quarantined"
        | "held"
        | "waiting"
        | "deferred"
        | "unknown"
        | "warned"
        | "pending"
        | "pending_verification"
        | "unreachable"
        | "scheduled"
        | "delayed" => "warn",
        "refused" | "declined" | "rejected" | "bounced" | "failed" | "expired" | "stopped"
        | "missing" | "wrong" | "complained" => "bad",
        _ => "calm",
    };
    badge(tone, &status.replace('_', " "))
}

/// In the place of a list that has nothing in it.
pub(super) fn nothing(text: &str) -> Markup {
    html! { p.empty { (text) } }
}

/// To the page after this one.
pub(super) fn more(path: &str, cursor: Option<&str>) -> Markup {
    let sign = if path.contains('?') { '&' } else { '?' };
    html! {
        @if let Some(cursor) = cursor {
            p.more {
                a.button rel="next" href={ (path) (sign) "cursor=" (text::query_value(cursor)) } { "Older" }
            }
        }
    }
}

/// Where this page hangs; the key "u" goes to the last of them.
pub(super) fn trail(steps: &[(&str, &str)]) -> Markup {
    html! {
        nav.trail aria-label="Where this is" {
            ol {
                @for (at, (path, name)) in steps.iter().enumerate() {
                    li { a href=(path) data-up[at + 1 == steps.len()] { (text::line(name)) } }
                }
            }
        }
    }
}

/// Choices of what a page shows.
pub(super) fn tabs(label: &str, choices: &[(String, &str, bool)]) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (path, name, is_here) in choices {
                a href=(path) aria-current=[is_here.then_some("page")] { (name) }
            }
        }
    }
}

/// From 0 to 100 as a bar of that length: without a style of its own, which the policy forbids.
pub(super) fn bar(tone: &str, percent: f64) -> Markup {
    let width = percent.clamp(0.0, 100.0);
    html! {
        svg class={ "meter " (tone) } viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="6" {}
            rect.fill width=(format!("{width:.1}")) height="6" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_behind_what_is_asked_already() {
        let link = |path: &str| more(path, Some("a+b")).into_string();
        assert!(link("/x").contains("href=\"/x?cursor=a%2Bb\""));
        assert!(link("/x?state=y").contains("href=\"/x?state=y&amp;cursor=a%2Bb\""));
        assert_eq!(more("/x", None).into_string(), "");
    }

    #[test]
    fn a_trail_ends_where_up_is() {
        let shown = trail(&[("/a", "A"), ("/b", "<B>")]).into_string();
        assert_eq!(shown.matches("data-up").count(), 1);
        assert!(shown.contains("<a href=\"/b\" data-up><bdi>&lt;B&gt;</bdi></a>"), "{shown}");
    }
}
