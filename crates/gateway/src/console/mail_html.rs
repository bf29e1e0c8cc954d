//! The HTML of a mail, to be looked at in a frame that it cannot do anything from: no script, no form, no
//! name of this site, nothing loaded but what it brings itself.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;

use super::{asking::Member, failure::Failure, text::segment};
use crate::params::Segments;

const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'self'";

/// What a browser acts on without asking the policy: it would connect, look names up or go elsewhere.
const TAKEN_OUT: [&str; 3] = ["<link", "<meta", "<base"];

#[derive(Deserialize)]
struct Read {
    html: Option<String>,
}

pub(super) async fn show(
    member: Member,
    Segments(email_id): Segments<String>,
) -> Result<Response, Failure> {
    let path = format!("/v1/emails/{}?quarantined=true", segment(&email_id));
    let Read { html } = member.get(&path).await?;
    let html = html.ok_or_else(Failure::not_found)?;
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    Ok((fields, disarmed(&html)).into_response())
}

/// A tag begins with its name right behind "<", in any case, wherever it stands; another name is nothing that
/// browsers know.
fn disarmed(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let mut shown = String::with_capacity(html.len());
    let mut plain = 0;
    for (at, _) in lower.match_indices('<') {
        if TAKEN_OUT.iter().any(|it| lower[at..].starts_with(it)) {
            shown.push_str(&html[plain..=at]);
            shown.push_str("x-");
            plain = at + 1;
        }
    }
    shown.push_str(&html[plain..]);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connects_without_being_asked_is_no_tag_any_more() {
        let check = |html: &str, expected: &str| assert_eq!(disarmed(html), expected);
        check("<LINK rel=preconnect href=//x>", "<x-LINK rel=preconnect href=//x>");
        check(
            "a<meta http-equiv=refresh><baSE href=x>",
            "a<x-meta http-equiv=refresh><x-baSE href=x>",
        );
        check("<<link/><svg><link>", "<<x-link/><svg><x-link>");
        check("<p>Grüße, 1 < 2 <b>link</b>", "<p>Grüße, 1 < 2 <b>link</b>");
    }
}
