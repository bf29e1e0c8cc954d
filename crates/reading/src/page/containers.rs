//! The elements that mail programs put around what is answered and around signatures.

use crate::line::Mark;

/// What an element's `class`, `id` and `type` say of its lines. `name` and the values are in lower case.
pub(super) fn mark(name: &[u8], class: &str, id: &str, kind: &str) -> Mark {
    let words = || class.split_ascii_whitespace().chain([id]).map(|it| it.trim_start_matches("x_"));
    let is_block = name == b"blockquote";
    if is_block && kind == "cite" || !is_block && words().any(is_quote) {
        Mark::Quoted
    } else if words().any(is_rest) {
        Mark::Rest
    } else if words().any(is_signature) {
        Mark::Signature
    } else {
        Mark::None
    }
}

fn is_quote(word: &str) -> bool {
    matches!(
        word,
        // Gmail
        "gmail_quote" | "gmail_quote_container" | "gmail_attr"
        // Thunderbird
        | "moz-cite-prefix" | "moz-email-headers-table"
        // Yahoo
        | "yahoo_quoted" | "yahooquoted"
        // Outlook for Mac
        | "olk_src_body_section"
        // Proton, Tutanota, Zoho, Open-Xchange, Zimbra, Fastmail, HubSpot, Front
        | "protonmail_quote" | "tutanota_quote" | "zmail_extra" | "ox-quote" | "zimbra_quote"
        | "qt" | "hs_reply" | "front-blockquote"
    )
}

/// The quote stands beside it, to the end of the mail.
fn is_rest(word: &str) -> bool {
    matches!(
        word,
        // Outlook on the web and Outlook.com
        "divrplyfwdmsg"
            | "appendonsend"
            | "ms-outlook-mobile-reference-message"
            | "mail-editor-reference-message-container"
            | "stopspelling"
    )
}

fn is_signature(word: &str) -> bool {
    matches!(
        word,
        "gmail_signature"
            | "gmail_signature_prefix"
            | "moz-signature"
            | "signature"
            | "ms-outlook-mobile-signature"
            | "ms-outlook-ios-signature"
            | "bloop_sign"
            | "protonmail_signature_block"
            | "tutanota_signature"
            | "zimbra_signature"
            | "applemailsignature"
    )
}
