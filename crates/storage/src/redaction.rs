//! What is shown of a held mail besides itself, in events and lists: without what it is held for. Pure.
//!
//! The mail's octets and its text stay as they are: whoever decides on it has to see them.

use contract::{Message, SendRequest};
use injection::secrets::{self, Redactor, Secrets};
use store::Canary;

use crate::canaries::Lookout;

/// The octets of text that are searched for secrets.
const MAX_TEXT: usize = 16 * 1024 * 1024;
/// More than a preview has, so that no secret is cut.
const BEGINNING: usize = 64 * 1024;

/// In place of a text that has a canary in some spelling.
const REDACTED: &str = "[redacted]";

/// Takes secrets and canaries out of the subject, the preview and the names of files.
pub(crate) fn redact(
    secrets: &Secrets,
    request: &SendRequest,
    canaries: &[Canary],
    message: &mut Message,
) {
    let parts = mail::outgoing_texts(request, MAX_TEXT).parts;
    let redactor = Redactor::new(secrets, &parts);
    let shown = |text: &str| match has_any(canaries, text) {
        true => REDACTED.to_owned(),
        false => redactor.redact(text),
    };
    message.subject = shown(&message.subject);
    for it in &mut message.attachments {
        it.filename = shown(&it.filename);
    }
    let beginning = &message.text[..message.text.floor_char_boundary(BEGINNING)];
    // A preview may have a part of a canary.
    message.preview = match canaries {
        [] => mail::preview(&redactor.redact(beginning)),
        _ => String::new(),
    };
}

fn has_any(canaries: &[Canary], text: &str) -> bool {
    let mut lookout = Lookout::new(canaries);
    if !lookout.is_idle() {
        secrets::readings(text).iter().for_each(|it| lookout.look(it));
    }
    !lookout.found().is_empty()
}

#[cfg(test)]
mod tests {
    use contract::{Attachment, SendBody};

    use super::*;

    const TOKEN: &str = "sk-proj-q2Jx8Zp0Vb7nTf4Yk1Rw";

    fn redacted(canaries: &[Canary], subject: &str, text: &str, filename: &str) -> Message {
        let body = Some(SendBody { text: text.to_owned(), html: String::new() });
        let subject = subject.to_owned();
        let request = SendRequest { subject: subject.clone(), body, ..SendRequest::default() };
        let file = Attachment { filename: filename.to_owned(), ..Attachment::default() };
        let mut message = Message {
            subject,
            text: text.to_owned(),
            preview: mail::preview(text),
            attachments: vec![file],
            ..Message::default()
        };
        redact(&Secrets::new(), &request, canaries, &mut message);
        message
    }

    #[test]
    fn a_secret_is_masked_and_the_text_stays() {
        let text = format!("{}password: Tr0ub4dor&3x", "x".repeat(185) + " ");
        let message = redacted(&[], "Tr0ub4dor&3x", &text, "Tr0ub4dor&3x.txt");
        assert_eq!(message.text, text);
        assert_eq!(message.subject, "… (12 characters)");
        assert_eq!(message.attachments[0].filename, "… (12 characters).txt");
        // Without that the preview would end with the beginning of it.
        assert!(mail::preview(&text).contains("Tr0"));
        assert!(!message.preview.contains("Tr0"), "{}", message.preview);
    }

    #[test]
    fn of_a_canary_nothing_is_shown() {
        let canary = Canary {
            id: String::new(),
            kind: "api_key".to_owned(),
            label: String::new(),
            token: TOKEN.to_owned(),
            created_at: 0,
            hits: 0,
            last_hit_at: None,
        };
        let spaced: String = TOKEN.chars().map(|it| format!("{it} ")).collect();
        let message = redacted(&[canary], &spaced, &format!("Look: {TOKEN}"), "plan.pdf");
        assert_eq!((&*message.subject, &*message.preview), (REDACTED, ""));
        assert_eq!(message.attachments[0].filename, "plan.pdf");
    }
}
