//! The fields of a form, and whether a page of this console sent it.

use std::collections::HashMap;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};

use super::{Shared, failure::Failure};
use crate::octets::Octets;

/// A form that no foreign page sent.
pub(super) struct Form(HashMap<String, String>);

impl FromRequest<Shared> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, console: &Shared) -> Result<Form, Failure> {
        if !is_own(request.headers()) {
            return Err(Failure::forbidden("Another site sent this form. Nothing was done."));
        }
        let octets = Octets::from_request(request, console).await?;
        let fields = url::form_urlencoded::parse(&octets.octets).into_owned();
        Ok(Form(fields.collect()))
    }
}

impl Form {
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |it| it.trim())
    }
}

/// What a browser says of where a form comes from. One that says nothing is too old to say, and has to
/// know the session's secret all the same; a program that is no browser carries nobody's cookie.
fn is_own(headers: &HeaderMap) -> bool {
    let field = |name| headers.get(name).and_then(|it| it.to_str().ok());
    if let Some(site) = field(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let Some(origin) = field(header::ORIGIN) else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == field(header::HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_forms_are_told_apart() {
        let check = |fields: &[(&'static str, &str)], expected: bool| {
            let fields = fields.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), value.parse().expect("a value"))
            });
            assert_eq!(is_own(&fields.collect()), expected);
        };
        check(&[], true);
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "same-site")], false);
        check(&[("sec-fetch-site", "cross-site"), ("origin", "https://m"), ("host", "m")], false);
        check(&[("origin", "https://m.test"), ("host", "m.test")], true);
        check(&[("origin", "https://evil.test"), ("host", "m.test")], false);
        check(&[("origin", "null"), ("host", "m.test")], false);
    }
}
