use contract::Mailbox;

/// A mail to be composed.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub from: Mailbox,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub reply_to: Option<String>,
    pub subject: String,
    /// Derived from `html` if missing.
    pub text: Option<String>,
    pub html: Option<String>,
    /// Without angle brackets, as are those below.
    pub message_id: String,
    pub in_reply_to: Option<String>,
    pub references: Vec<String>,
    /// Seconds since 1970.
    pub date: i64,
    pub attachments: Vec<DraftAttachment>,
}

#[derive(Clone, Debug, Default)]
pub struct DraftAttachment {
    pub filename: String,
    pub content_type: String,
    pub octets: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ComposeError {
    #[error("{field}: a line break is not allowed here")]
    LineBreak { field: &'static str },
    #[error("{field}: {value:?} is not valid: {why}")]
    Invalid { field: &'static str, value: String, why: &'static str },
}

/// The content: CRLF line ends only, no line over 998 octets, ready to be signed.
pub fn compose(_draft: &Draft) -> Result<Vec<u8>, ComposeError> {
    unimplemented!()
}
