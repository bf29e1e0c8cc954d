use std::borrow::Cow;

/// A message as it came off its stream.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    pub subject: &'a str,
    pub payload: &'a [u8],
    /// The header field `Nats-Msg-Id`.
    pub message_id: Option<&'a str>,
    /// The header field `Mail-Claim`: the payload is the object of this key in the claim bucket.
    pub claim: Option<&'a str>,
    /// Its position in the stream, the same at every delivery.
    pub stream_sequence: u64,
    /// When the stream stored it, in microseconds since 1970.
    pub stored_at_micros: i64,
}

/// Why a message is none of the events its subject carries.
pub type Decoded<T> = Result<T, String>;

/// Something that arrives on a subject.
pub trait Input: Sized + Send + 'static {
    /// The subject it is published on, or for events that name their owner there, the filter.
    const SUBJECT: &'static str;

    fn decode(delivered: Delivered<'_>) -> Decoded<Self>;

    /// The mail that it is about, for logs and traces; empty if it is about none.
    fn mail_id(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }
}

macro_rules! inputs {
    ($($subject:literal => $message:ident $(of $mail_id:ident)?;)+) => {
        $(impl Input for crate::$message {
            const SUBJECT: &'static str = $subject;

            fn decode(delivered: Delivered<'_>) -> Decoded<Self> {
                prost::Message::decode(delivered.payload).map_err(|err| err.to_string())
            }

            $(fn mail_id(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.$mail_id)
            })?
        })+
    };
}

inputs! {
    "inbound.received" => MailReceived of mail_id;
    "inbound.scanned" => MailScanned of mail_id;
    "inbound.rejudged" => MailRejudged of mail_id;
    "inbound.reviewed" => MailReviewed of email_id;
    "outbound.scanned" => SubmissionScanned of mail_id;
    "outbound.accepted" => SubmissionAccepted of mail_id;
    "outbound.due" => DeliveryDue of mail_id;
    "outbound.reported" => DeliveryReported of mail_id;
    "outbound.resolved" => OutcomeResolved of mail_id;
    "webhooks.due" => WebhookDue;
}
