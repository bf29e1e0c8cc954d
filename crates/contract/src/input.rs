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
}

macro_rules! inputs {
    ($($subject:literal => $message:ident;)+) => {
        $(impl Input for crate::$message {
            const SUBJECT: &'static str = $subject;

            fn decode(delivered: Delivered<'_>) -> Decoded<Self> {
                prost::Message::decode(delivered.payload).map_err(|err| err.to_string())
            }
        })+
    };
}

inputs! {
    "inbound.received" => MailReceived;
    "inbound.scanned" => MailScanned;
    "inbound.reviewed" => MailReviewed;
    "outbound.scanned" => SubmissionScanned;
    "outbound.accepted" => SubmissionAccepted;
    "outbound.due" => DeliveryDue;
    "outbound.reported" => DeliveryReported;
    "outbound.resolved" => OutcomeResolved;
}
