//! What mail to a list says of itself, and where receivers report complaints. Pure.

use contract::{Rejection, SendList};
use mail::{DraftList, UNSUBSCRIBE_URL};
use store::{Inbox, Subscription, UnsubscribeTokens};

use crate::Config;

/// How this installation presents itself in the mail it composes.
pub(crate) struct Lists {
    tokens: UnsubscribeTokens,
    public_url: Option<String>,
    feedback_sender: String,
    pub(crate) cfbl_address: Option<String>,
}

impl Lists {
    pub(crate) fn new(config: &Config, tokens: UnsubscribeTokens) -> Lists {
        let base = |it: &String| it.trim_end_matches('/').to_owned();
        Lists {
            tokens,
            public_url: config.public_url.as_ref().map(base),
            feedback_sender: config.feedback_sender.clone(),
            cfbl_address: config.cfbl_address.clone(),
        }
    }

    /// The fields of a mail to `recipient` on a list of the inbox's account.
    pub(crate) fn draft(
        &self,
        list: &SendList,
        inbox: &Inbox,
        recipient: &str,
        mail_id: &str,
    ) -> Result<DraftList, Rejection> {
        let base = self.public_url.as_ref().ok_or_else(mail::lists_unavailable)?;
        let token = self.tokens.sign(&Subscription {
            account_id: inbox.account_id.clone(),
            list_id: list.id.clone(),
            address: recipient.to_owned(),
            mail_id: mail_id.to_owned(),
        });
        // Accounts share domains, and may call their lists the same (RFC 2919 section 3).
        let account = inbox.account_id.strip_prefix("acct_").unwrap_or(&inbox.account_id);
        Ok(DraftList {
            name: list.name.clone(),
            list_id: format!("{}.{account}.{}", list.id, inbox.domain),
            unsubscribe_url: format!("{base}/v1/unsubscribe/{token}"),
            feedback_id: format!(
                "{}:{}:{}:{}",
                list.id, inbox.id, inbox.account_id, self.feedback_sender
            ),
        })
    }
}

/// A body with the address where its recipient leaves the list.
pub(crate) fn with_link(body: &str, list: Option<&DraftList>) -> String {
    match list {
        Some(list) => body.replace(UNSUBSCRIBE_URL, &list.unsubscribe_url),
        None => body.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use contract::{SendBody, SendRequest};
    use store::{Outcome, Suppression, UNSUBSCRIBED};

    use super::*;
    use crate::request::{
        decide,
        tests::{around, composed, refused, request, submission, suppressed, text},
    };

    fn to_list() -> SendRequest {
        SendRequest {
            to: vec!["bob@example.net".to_owned()],
            cc: Vec::new(),
            list: Some(SendList { id: "news".to_owned(), name: "News".to_owned() }),
            body: Some(SendBody {
                text: "Leave: {{unsubscribe_url}}".to_owned(),
                html: "<a href=\"{{unsubscribe_url}}\">Leave</a>".to_owned(),
            }),
            ..request()
        }
    }

    #[test]
    fn a_mail_to_a_list_says_how_to_leave_it() {
        let composed = composed(&to_list(), &around());
        assert_eq!(composed.list_id.as_deref(), Some("news"));
        let text = text(composed);
        let subscription = Subscription {
            account_id: "acct_1".to_owned(),
            list_id: "news".to_owned(),
            address: "bob@example.net".to_owned(),
            mail_id: "eml_0123".to_owned(),
        };
        let token = UnsubscribeTokens::new(&[7; 32]).sign(&subscription);
        let url = format!("https://mail.example/v1/unsubscribe/{token}");
        for line in [
            &*format!("List-Unsubscribe: <{url}>"),
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "List-Id: \"News\" <news.1.posthouse.localhost>",
            "Feedback-ID: news:ibx_1:acct_1:posthouse",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}\n{text}");
        }
        let body = text.replace("=\r\n", "").replace("=3D", "=");
        assert!(body.contains(&format!("Leave: {url}")), "{body}");
        assert!(body.contains(&format!("<a href=\"{url}\">")), "{body}");
    }

    #[test]
    fn who_has_left_a_list_is_spared() {
        let mut around = around();
        around.suppressed =
            vec![Suppression { reason: UNSUBSCRIBED.to_owned(), ..suppressed("bob@example.net") }];
        refused(&to_list(), &around, "unsubscribed");
    }

    #[test]
    fn without_an_address_to_leave_there_are_no_lists() {
        let lists = Lists::new(&Config::default(), UnsubscribeTokens::new(&[7; 32]));
        let outcome = decide(&submission(), &to_list(), &around(), &lists);
        let Outcome::Rejected(rejected) = outcome else { panic!("composed") };
        assert_eq!(rejected.rejection.code, "lists_unavailable");
    }
}
