//! SMTP replies (RFC 5321 section 4.2) with their enhanced status codes (RFC 3463, RFC 5248).

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// Empty where RFC 2034 wants none: the greeting, the answer to EHLO, and 3yz replies.
    pub(crate) status: &'static str,
    /// One reply line for each of its lines.
    text: Cow<'static, str>,
}

pub(crate) const OK: Reply = Reply::new(250, "2.0.0", "OK");
pub(crate) const SENDER_OK: Reply = Reply::new(250, "2.1.0", "Sender OK");
pub(crate) const RECIPIENT_OK: Reply = Reply::new(250, "2.1.5", "Recipient OK");
pub(crate) const BYE: Reply = Reply::new(221, "2.0.0", "Bye");
pub(crate) const START_TLS: Reply = Reply::new(220, "2.0.0", "Ready to start TLS");
pub(crate) const START_DATA: Reply = Reply::new(354, "", "End data with <CRLF>.<CRLF>");
pub(crate) const HELP: Reply =
    Reply::new(214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS QUIT");
pub(crate) const WILL_TRY: Reply =
    Reply::new(252, "2.0.0", "Cannot verify, but will accept mail and try");

pub(crate) const LOGGED_IN: Reply = Reply::new(235, "2.7.0", "Authentication succeeded");
pub(crate) const AUTH_CANCELLED: Reply = Reply::new(501, "5.7.0", "Authentication cancelled");
pub(crate) const BAD_BASE64: Reply = Reply::new(501, "5.5.2", "Response is not base64");
pub(crate) const RESPONSE_TOO_LONG: Reply = Reply::new(500, "5.5.6", "Response too long");
pub(crate) const UNKNOWN_MECHANISM: Reply =
    Reply::new(504, "5.5.4", "Mechanism not supported: use PLAIN or LOGIN");
pub(crate) const BAD_CREDENTIALS: Reply = Reply::new(
    535,
    "5.7.8",
    "Authentication failed: the username is an inbox's address, the password a token",
);
pub(crate) const AUTH_UNAVAILABLE: Reply =
    Reply::new(454, "4.7.0", "Cannot check the login now, try later");
pub(crate) const ENCRYPTION_WANTED: Reply =
    Reply::new(538, "5.7.11", "Encryption required: issue STARTTLS first");
pub(crate) const TLS_WANTED: Reply = Reply::new(530, "5.7.0", "Issue STARTTLS first");
pub(crate) const TOKEN_MAY_NOT_SEND: Reply = Reply::new(
    535,
    "5.7.8",
    "Authentication failed: this token has not the right to send, or is for some threads only",
);
pub(crate) const NOT_TO_THEM: Reply =
    Reply::new(550, "5.7.1", "This token may not send to this recipient");
pub(crate) const AUTH_WANTED: Reply = Reply::new(530, "5.7.0", "Authentication required");
pub(crate) const TOO_MANY_LOGINS: Reply = Reply::new(421, "4.7.0", "Too many failed logins");
pub(crate) const NOT_AN_INBOX: Reply =
    Reply::new(550, "5.7.1", "The sender is not an inbox of this account");

pub(crate) const UNKNOWN_COMMAND: Reply = Reply::new(500, "5.5.1", "Command unknown");
pub(crate) const NOT_IMPLEMENTED: Reply = Reply::new(502, "5.5.1", "Command not implemented");
pub(crate) const BAD_SEQUENCE: Reply = Reply::new(503, "5.5.1", "Bad sequence of commands");
pub(crate) const MALFORMED: Reply =
    Reply::new(500, "5.5.2", "Bare CR, bare LF, NUL or invalid UTF-8 in a command");
pub(crate) const LINE_TOO_LONG: Reply = Reply::new(500, "5.5.2", "Command line too long");
pub(crate) const NO_ARGUMENT_WANTED: Reply = Reply::new(501, "5.5.4", "No argument allowed");
pub(crate) const ARGUMENT_WANTED: Reply = Reply::new(501, "5.5.4", "Argument missing");
pub(crate) const BAD_MAIL_SYNTAX: Reply = Reply::new(501, "5.5.4", "Syntax: MAIL FROM:<address>");
pub(crate) const BAD_RCPT_SYNTAX: Reply = Reply::new(501, "5.5.4", "Syntax: RCPT TO:<address>");
pub(crate) const BAD_BDAT_SYNTAX: Reply = Reply::new(501, "5.5.4", "Syntax: BDAT octets [LAST]");
pub(crate) const BAD_PARAMETER: Reply = Reply::new(501, "5.5.4", "Parameter value not valid");
pub(crate) const UNKNOWN_PARAMETER: Reply = Reply::new(555, "5.5.4", "Parameter not supported");
pub(crate) const BAD_SENDER: Reply = Reply::new(501, "5.1.7", "Sender address not valid");
pub(crate) const BAD_RECIPIENT: Reply = Reply::new(501, "5.1.3", "Recipient address not valid");
pub(crate) const NEEDS_SMTPUTF8: Reply =
    Reply::new(553, "5.6.7", "Address needs the SMTPUTF8 parameter of MAIL");
pub(crate) const UNKNOWN_RECIPIENT: Reply = Reply::new(550, "5.1.1", "No such inbox here");
pub(crate) const NO_RELAY: Reply = Reply::new(550, "5.7.1", "Relaying denied");
pub(crate) const TOO_MANY_RECIPIENTS: Reply = Reply::new(452, "4.5.3", "Too many recipients");

pub(crate) const TOO_LARGE: Reply = Reply::new(552, "5.3.4", "Message too large");
pub(crate) const HEADER_TOO_LARGE: Reply = Reply::new(552, "5.3.4", "Header section too large");
pub(crate) const BARE_LINE_END: Reply =
    Reply::new(550, "5.6.11", "Bare CR or LF in the message: a line ends with CRLF");
pub(crate) const TEXT_LINE_TOO_LONG: Reply =
    Reply::new(554, "5.6.0", "A line of the message is too long");
pub(crate) const MAIL_LOOP: Reply = Reply::new(554, "5.4.6", "Too many hops, mail is looping");
pub(crate) const NO_MEMORY: Reply = Reply::new(452, "4.3.1", "Too much mail at once, try later");
pub(crate) const FULL: Reply = Reply::new(452, "4.3.1", "Queue is full, try later");
pub(crate) const UNAVAILABLE: Reply = Reply::new(451, "4.3.0", "Cannot store mail now, try later");
pub(crate) const LOOKUP_FAILED: Reply =
    Reply::new(451, "4.4.3", "Cannot look up the address now, try later");

pub(crate) const TIMED_OUT: Reply = Reply::new(421, "4.4.2", "Timeout, closing connection");
pub(crate) const TOO_SLOW: Reply = Reply::new(421, "4.4.2", "Data too slow, closing connection");
pub(crate) const SHUTTING_DOWN: Reply = Reply::new(421, "4.3.2", "Shutting down, try again");
pub(crate) const TOO_MANY_CONNECTIONS: Reply =
    Reply::new(421, "4.3.2", "Too many connections, try later");
pub(crate) const TOO_MANY_FROM_PEER: Reply =
    Reply::new(421, "4.7.0", "Too many connections from your network, try later");
pub(crate) const TOO_MANY_ERRORS: Reply = Reply::new(421, "4.7.0", "Too many errors");
pub(crate) const TOO_MANY_UNKNOWN: Reply = Reply::new(421, "4.7.0", "Too many unknown recipients");
pub(crate) const TOO_MANY_MAILS: Reply =
    Reply::new(421, "4.7.0", "Enough mail on this connection, open another");

impl Reply {
    pub(crate) const fn new(code: u16, status: &'static str, text: &'static str) -> Reply {
        Reply { code, status, text: Cow::Borrowed(text) }
    }

    pub(crate) fn saying(code: u16, status: &'static str, text: String) -> Reply {
        Reply { code, status, text: Cow::Owned(text) }
    }

    pub(crate) fn closes(&self) -> bool {
        matches!(self.code, 221 | 421)
    }

    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let mark = if lines.peek().is_some() { '-' } else { ' ' };
            let space = if self.status.is_empty() { "" } else { " " };
            let text = format!("{}{mark}{}{space}{line}\r\n", self.code, self.status);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &Reply, expected: &str) {
        let mut out = Vec::new();
        reply.write_to(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn writes_one_line_with_its_status() {
        check(&OK, "250 2.0.0 OK\r\n");
    }

    #[test]
    fn writes_no_status_where_there_is_none() {
        check(&START_DATA, "354 End data with <CRLF>.<CRLF>\r\n");
    }

    #[test]
    fn writes_all_lines_but_the_last_with_a_hyphen() {
        let ehlo = Reply::saying(250, "", "mx.example\nPIPELINING\nSIZE 5".to_owned());
        check(&ehlo, "250-mx.example\r\n250-PIPELINING\r\n250 SIZE 5\r\n");
    }
}
