/// Why a stage could not handle an event, in the terms SMTP uses for its 4yz and 5yz replies.
#[derive(Debug)]
pub enum Failure {
    /// It may work later: the event is delivered again after a delay.
    Transient(anyhow::Error),
    /// It will never work: the event is parked on `dead.<durable>`.
    Permanent(anyhow::Error),
}

impl Failure {
    /// For traces.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Failure::Transient(_) => "transient",
            Failure::Permanent(_) => "permanent",
        }
    }

    /// What happened, where the class does not matter.
    pub fn cause(self) -> anyhow::Error {
        match self {
            Failure::Transient(err) | Failure::Permanent(err) => err,
        }
    }
}

/// An error nobody classified is retried, and so never loses mail. `anyhow::Error` is the only
/// source: a bare `?` on an I/O error does not compile in a stage, context comes first.
impl From<anyhow::Error> for Failure {
    fn from(err: anyhow::Error) -> Failure {
        Failure::Transient(err)
    }
}
