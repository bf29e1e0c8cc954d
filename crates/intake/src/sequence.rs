//! The order of commands, which is `mailin`'s state machine.
//!
//! It is asked for nothing else: what a command means and what is answered is decided before, with
//! lookups that its synchronous handler could not wait for. So no argument of a client reaches it,
//! only the commands themselves.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mailin::{Handler, Response, Session, SessionBuilder, response};

pub(crate) struct Sequence {
    session: Session<Verdict>,
    accept: Arc<AtomicBool>,
}

/// A command that has its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Hello,
    Mail,
    Rcpt,
    Data,
    DataEnd,
    Reset,
    StartTls,
}

impl Step {
    fn line(self) -> &'static [u8] {
        match self {
            Step::Hello => b"EHLO client\r\n",
            Step::Mail => b"MAIL FROM:<path>\r\n",
            Step::Rcpt => b"RCPT TO:<path>\r\n",
            Step::Data => b"DATA\r\n",
            Step::DataEnd => b".\r\n",
            Step::Reset => b"RSET\r\n",
            Step::StartTls => b"STARTTLS\r\n",
        }
    }
}

/// Agrees to every step or to none.
struct Verdict {
    accept: Arc<AtomicBool>,
}

const OUT_OF_ORDER: u16 = 503;

impl Sequence {
    pub(crate) fn new() -> Sequence {
        let accept = Arc::new(AtomicBool::new(true));
        let verdict = Verdict { accept: Arc::clone(&accept) };
        let mut builder = SessionBuilder::new("");
        builder.enable_start_tls();
        // The name and the address would only be handed back to the handler.
        let session = builder.build(IpAddr::V4(Ipv4Addr::UNSPECIFIED), verdict);
        Sequence { session, accept }
    }

    /// Whether the step has its place here. Of those that ask the handler: Hello, Mail, Rcpt, Data.
    pub(crate) fn allows(&mut self, step: Step) -> bool {
        // The handler refuses, so that the machine stays where it is.
        self.accept.store(false, Ordering::Relaxed);
        let response = self.session.process(step.line());
        self.accept.store(true, Ordering::Relaxed);
        response.code != OUT_OF_ORDER
    }

    /// Goes the step; whether it has its place here.
    pub(crate) fn advance(&mut self, step: Step) -> bool {
        self.session.process(step.line()).code != OUT_OF_ORDER
    }

    /// TLS is there: everything the client said before is forgotten (RFC 3207 section 4.2).
    pub(crate) fn secured(&mut self) {
        self.session.tls_active();
    }
}

impl Verdict {
    fn response(&self) -> Response {
        if self.accept.load(Ordering::Relaxed) { response::OK } else { response::NO_MAILBOX }
    }
}

impl Handler for Verdict {
    fn helo(&mut self, _: IpAddr, _: &str) -> Response {
        self.response()
    }

    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        self.response()
    }

    fn rcpt(&mut self, _: &str) -> Response {
        self.response()
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, _: &[String]) -> Response {
        self.response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Step::*;

    /// Goes all steps but the last, which must be allowed or not.
    fn check(steps: &[Step], allowed: bool) {
        let mut sequence = Sequence::new();
        let (last, before) = steps.split_last().expect("a step");
        for step in before {
            assert!(sequence.advance(*step), "{step:?} of {steps:?}");
        }
        assert_eq!(sequence.advance(*last), allowed, "{steps:?}");
    }

    #[test]
    fn a_transaction_has_its_order() {
        check(&[Mail], false);
        check(&[Hello, Rcpt], false);
        check(&[Hello, Data], false);
        check(&[Hello, Mail, Data], false);
        check(&[Hello, Mail, Mail], false);
        check(&[Hello, Mail, Rcpt, Rcpt, Data], true);
        check(&[Hello, Mail, Rcpt, Data, DataEnd, Mail], true);
        check(&[Hello, Mail, Rcpt, Data, DataEnd, Data], false);
    }

    #[test]
    fn reset_and_hello_forget_the_transaction() {
        check(&[Reset], true);
        check(&[Hello, Mail, Rcpt, Reset, Data], false);
        check(&[Hello, Mail, Rcpt, Hello, Data], false);
        check(&[Hello, Mail, Rcpt, Hello, Mail], true);
    }

    #[test]
    fn asking_changes_nothing() {
        let mut sequence = Sequence::new();
        assert!(sequence.allows(Hello) && !sequence.allows(Mail));
        assert!(sequence.advance(Hello));
        assert!(sequence.allows(Mail) && sequence.allows(Mail) && !sequence.allows(Rcpt));
        assert!(sequence.advance(Mail) && sequence.advance(Rcpt));
        assert!(sequence.allows(Data) && sequence.allows(Data) && sequence.allows(Rcpt));
    }

    #[test]
    fn tls_starts_once_and_outside_a_transaction() {
        check(&[Hello, Mail, StartTls], false);
        let mut sequence = Sequence::new();
        assert!(sequence.advance(Hello) && sequence.advance(StartTls));
        sequence.secured();
        assert!(!sequence.allows(Mail));
        assert!(sequence.advance(Hello) && !sequence.advance(StartTls));
    }
}
