//! Mail that machines write, and mail to lists: what a request says of it, and the header fields that
//! tell receivers (RFC 3834, RFC 2919, RFC 2369, RFC 8058).

use contract::{Rejection, SendRequest};
use mail_builder::{
    MessageBuilder,
    headers::{address::Address as AddressField, raw::Raw},
};

use crate::{ComposeError, check::rejection};

/// Stands in a body for the address where its recipient leaves the list.
pub const UNSUBSCRIBE_URL: &str = "{{unsubscribe_url}}";

const MAX_ID: usize = 64;
const MAX_NAME: usize = 100;
/// Without being folded, the field has to fit in a line (RFC 5322 section 2.1.1).
const MAX_URL: usize = 960;

/// Header fields that a mail to a list gets from us.
const FIELDS: [&str; 3] = ["list-id", "list-unsubscribe", "list-unsubscribe-post"];

/// What makes a mail one to a list.
#[derive(Clone, Debug, Default)]
pub struct DraftList {
    /// For people; may be empty.
    pub name: String,
    /// Without angle brackets, such as "news.example.org".
    pub list_id: String,
    /// HTTPS; a POST to it unsubscribes.
    pub unsubscribe_url: String,
    /// The value of Feedback-ID.
    pub feedback_id: String,
}

/// The value of Auto-Submitted (RFC 3834 section 5) for a request: who answers a mail replies, who
/// writes of himself generates.
pub fn automatic(request: &SendRequest) -> &str {
    match request.automatic.as_str() {
        "" if request.in_reply_to.is_empty() => "auto-generated",
        "" => "auto-replied",
        said => said,
    }
}

/// Why there is no mail to lists where nobody could leave them.
pub fn lists_unavailable() -> Rejection {
    let message = "list: this installation sends no mail to lists: its operator has to set public_url, \
                   where recipients unsubscribe";
    Rejection { code: "lists_unavailable".to_owned(), message: message.to_owned() }
}

pub(crate) fn check_automatic(automatic: &str) -> Result<(), Rejection> {
    if matches!(automatic, "" | "no" | "auto-generated" | "auto-replied") {
        return Ok(());
    }
    let words = "\"auto-generated\", \"auto-replied\" or \"no\"";
    Err(rejection(format!("automatic: {automatic:?} is none of {words}")))
}

/// A list's mail names a way to leave it that is its recipient's alone, so it has one recipient.
pub(crate) fn check_list(request: &SendRequest) -> Result<(), Rejection> {
    let Some(list) = &request.list else { return Ok(()) };
    let is_sound = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if !(1..=MAX_ID).contains(&list.id.len()) || !list.id.bytes().all(is_sound) {
        let wanted = "1 to 64 lower-case letters, digits, \"-\" and \"_\"";
        return Err(rejection(format!("list.id: {:?} is not {wanted}", list.id)));
    }
    if list.name.chars().count() > MAX_NAME {
        return Err(rejection(format!("list.name: it has more than {MAX_NAME} characters")));
    }
    if list.name.chars().any(char::is_control) {
        return Err(rejection("list.name: it has a control character".to_owned()));
    }
    if (request.to.len(), request.cc.len(), request.bcc.len()) != (1, 0, 0) {
        let message = "list: mail to a list goes to each recipient by itself, because everybody has \
                       a way of his own to leave it: give one address in to, and none in cc and bcc";
        return Err(rejection(message.to_owned()));
    }
    let own = |it: &&String| FIELDS.contains(&it.to_ascii_lowercase().as_str());
    match request.headers.keys().find(own) {
        None => Ok(()),
        Some(name) => Err(rejection(format!(
            "headers: {name:?} is written by the service for mail to a list"
        ))),
    }
}

impl DraftList {
    pub(crate) fn write<'a>(
        &'a self,
        message: MessageBuilder<'a>,
    ) -> Result<MessageBuilder<'a>, ComposeError> {
        let wrong = |field, value: &str, why| {
            Err(ComposeError::Invalid { field, value: value.to_owned(), why })
        };
        let is_plain =
            |it: &str| it.bytes().all(|it| it.is_ascii_graphic() && !matches!(it, b'<' | b'>'));
        if !is_plain(&self.unsubscribe_url) || self.unsubscribe_url.len() > MAX_URL {
            return wrong("unsubscribe_url", &self.unsubscribe_url, "it does not fit in a line");
        }
        if !is_plain(&self.list_id) {
            return wrong("list_id", &self.list_id, "it has a character that it may not have");
        }
        if !is_plain(&self.feedback_id) {
            return wrong(
                "feedback_id",
                &self.feedback_id,
                "it has a character that it may not have",
            );
        }
        let name = Some(self.name.as_str()).filter(|it| !it.is_empty());
        Ok(message
            .header("List-Id", AddressField::new_address(name, self.list_id.as_str()))
            .header("List-Unsubscribe", Raw::new(format!("<{}>", self.unsubscribe_url)))
            .header("List-Unsubscribe-Post", Raw::new("List-Unsubscribe=One-Click"))
            .header("Feedback-ID", Raw::new(self.feedback_id.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use contract::SendList;

    use super::*;

    fn request() -> SendRequest {
        SendRequest {
            to: vec!["a@x.test".to_owned()],
            list: Some(SendList { id: "news".to_owned(), name: "Neues".to_owned() }),
            ..SendRequest::default()
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut SendRequest), begins: &str) {
        let mut request = request();
        change(&mut request);
        let rejection = check_list(&request).expect_err("refuse");
        assert!(rejection.message.starts_with(begins), "{}", rejection.message);
    }

    #[test]
    fn a_list_has_a_name_and_one_recipient() {
        check_list(&request()).expect("pass");
        check_list(&SendRequest::default()).expect("none is fine");
        let id = |id: &str| {
            let id = id.to_owned();
            move |it: &mut SendRequest| it.list = Some(SendList { id, name: String::new() })
        };
        id(&"a".repeat(64))(&mut request());
        for wrong in ["", "News", "a.b", "a b", "a\r\nb", "é", &"a".repeat(65)] {
            refused(id(wrong), "list.id:");
        }
        refused(|it| it.list.as_mut().expect("list").name = "a\r\nBcc: b".to_owned(), "list.name:");
        refused(|it| it.list.as_mut().expect("list").name = "a".repeat(101), "list.name:");
        refused(|it| it.to.push("b@x.test".to_owned()), "list: mail to a list");
        refused(|it| it.cc.push("b@x.test".to_owned()), "list: mail to a list");
        refused(|it| it.bcc.push("b@x.test".to_owned()), "list: mail to a list");
        let own = ("list-unsubscribe".to_owned(), "<https://x.test>".to_owned());
        refused(|it| it.headers.extend([own]), "headers: \"list-unsubscribe\"");
    }

    #[test]
    fn who_answers_replies() {
        let of = |automatic: &str, in_reply_to: &str| {
            let request = SendRequest {
                automatic: automatic.to_owned(),
                in_reply_to: in_reply_to.to_owned(),
                ..SendRequest::default()
            };
            super::automatic(&request).to_owned()
        };
        assert_eq!(of("", ""), "auto-generated");
        assert_eq!(of("", "1@x"), "auto-replied");
        assert_eq!(of("no", "1@x"), "no");
        assert_eq!(of("auto-generated", "1@x"), "auto-generated");
        check_automatic("yes").expect_err("refuse");
        check_automatic("no\r\nBcc: a@x.test").expect_err("refuse");
    }
}
