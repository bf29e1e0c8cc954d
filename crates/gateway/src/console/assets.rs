//! The style sheet, the script and the icon, as files of this program.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};

use super::{Shared, failure::Failure};
use crate::{params::Segments, token};

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Under which name the files of this build are served, so that they can be kept for ever.
pub(super) struct Assets {
    version: String,
}

impl Assets {
    pub(super) fn new() -> Assets {
        let mut version = token::hash(&[STYLE, SCRIPT, ICON].concat());
        version.truncate(12);
        Assets { version }
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("/console/assets/{}/{name}", self.version)
    }
}

pub(super) async fn serve(
    Segments((version, name)): Segments<(String, String)>,
    State(console): State<Shared>,
) -> Response {
    let (kind, content) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", STYLE),
        "console.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Failure::not_found().into_response(),
    };
    // A page of another version, from another gateway, gets these, and asks again.
    let is_own = version == console.assets.version;
    let kept = if is_own { "public, max-age=31536000, immutable" } else { "no-store" };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)], content).into_response()
}
