//! What keeps machines from answering each other for ever, and from saying the same to everybody.
//! Pure: what an inbox has sent comes in, a refusal goes out.

use std::collections::{BTreeSet, HashMap};

use aws_lc_rs::digest::{Context, SHA256};
use contract::{Rejection, SendRequest};
use data_encoding::HEXLOWER;
use serde::Deserialize;

use crate::{
    moment::{DAY, SECOND},
    threading::Subject,
};

/// What "an hour" is to the brakes.
pub(crate) const HOUR: i64 = 3_600 * SECOND;

/// How long the mails of a thread count.
pub(crate) const THREAD_WINDOW: i64 = DAY;

/// How much of the same an inbox may send. 0 is no limit.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Brakes {
    /// The most automatic mails to one correspondent in an hour.
    pub automatic_per_hour: u32,
    /// A mail that continues a conversation is automatic if a mail came in there within so many
    /// seconds; 0 leaves it to what the request says in `automatic`.
    pub answer_seconds: u32,
    /// The most mails that an inbox sends in one thread within 24 hours.
    pub thread_per_day: u32,
    /// The most recipients of the same content in an hour.
    pub same_content_recipients_per_hour: u32,
    /// The most times that one recipient gets the same content in an hour.
    pub same_content_per_hour: u32,
}

impl Default for Brakes {
    fn default() -> Brakes {
        Brakes {
            automatic_per_hour: 20,
            answer_seconds: 180,
            thread_per_day: 100,
            same_content_recipients_per_hour: 200,
            same_content_per_hour: 5,
        }
    }
}

impl Brakes {
    /// None of them.
    pub fn released() -> Brakes {
        Brakes {
            automatic_per_hour: 0,
            answer_seconds: 0,
            thread_per_day: 0,
            same_content_recipients_per_hour: 0,
            same_content_per_hour: 0,
        }
    }

    pub(crate) fn answer_window(&self) -> i64 {
        i64::from(self.answer_seconds) * SECOND
    }
}

/// What the brakes look at in a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manner {
    /// Of what is said: subject, texts and attachments.
    pub content_digest: String,
    /// It says itself that a machine has decided on it.
    pub is_automatic: bool,
}

impl Manner {
    /// Hashes all of the content.
    pub fn of(request: &SendRequest) -> Manner {
        let mut digest = Context::new(&SHA256);
        let mut add = |octets: &[u8]| {
            digest.update(&(octets.len() as u64).to_be_bytes());
            digest.update(octets);
        };
        // An answer to an answer says the same.
        add(Subject::of(&request.subject).base.as_bytes());
        if let Some(body) = &request.body {
            add(body.text.trim().as_bytes());
            add(body.html.trim().as_bytes());
        }
        for attachment in &request.attachments {
            add(attachment.filename.as_bytes());
            add(&attachment.content);
        }
        // The header section of a whole message is never the same.
        let (head, body) = parted(&request.content);
        add(body);
        // A list exists to say the same to many.
        if request.list.is_some() {
            request.to.iter().for_each(|it| add(it.to_lowercase().as_bytes()));
        }
        let is_automatic = match request.automatic.as_str() {
            "" => is_marked_automatic(head),
            said => said != "no",
        };
        // Half of it is enough to tell contents apart, and it is an index key.
        let digest = digest.finish();
        Manner { content_digest: HEXLOWER.encode(&digest.as_ref()[..16]), is_automatic }
    }
}

/// The header section and the body of a message.
fn parted(message: &[u8]) -> (&[u8], &[u8]) {
    let end = [&b"\r\n\r\n"[..], b"\n\n"]
        .into_iter()
        .filter_map(|end| message.windows(end.len()).position(|it| it == end))
        .min();
    message.split_at(end.unwrap_or(message.len()))
}

/// Whether a header section has Auto-Submitted, other than "no".
fn is_marked_automatic(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    head.lines().filter_map(|it| it.split_once(':')).any(|(name, value)| {
        let keyword = value.split(';').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("auto-submitted") && !keyword.eq_ignore_ascii_case("no")
    })
}

/// A mail that is about to enter the ledger.
pub(crate) struct Sending<'a> {
    pub(crate) inbox_id: &'a str,
    /// In lower case.
    pub(crate) recipients: BTreeSet<String>,
    pub(crate) content_digest: &'a str,
    pub(crate) is_automatic: bool,
    /// The thread it continues.
    pub(crate) thread_id: Option<String>,
}

/// What inboxes have sent so far.
#[derive(Default)]
pub(crate) struct Sent {
    /// Recipients within the hour, by inbox and content.
    pub(crate) recipients: HashMap<(String, String), i64>,
    /// Mails within the hour, by inbox, content and recipient.
    pub(crate) same: HashMap<(String, String, String), i64>,
    /// Automatic mails within the hour, by inbox and recipient.
    pub(crate) automatic: HashMap<(String, String), i64>,
    pub(crate) threads: HashMap<String, Thread>,
}

/// What happened in a thread lately.
#[derive(Clone, Copy, Default)]
pub(crate) struct Thread {
    /// Mails sent within `THREAD_WINDOW`.
    pub(crate) sent: i64,
    /// A mail came in within the time that makes an answer automatic.
    pub(crate) is_fresh: bool,
}

impl Sent {
    /// Whether a mail is automatic: it says so, or answers too soon.
    pub(crate) fn is_automatic(&self, sending: &Sending<'_>) -> bool {
        sending.is_automatic || self.thread(sending).is_fresh
    }

    fn thread(&self, sending: &Sending<'_>) -> Thread {
        let thread = sending.thread_id.as_ref().and_then(|it| self.threads.get(it));
        thread.copied().unwrap_or_default()
    }

    /// Refuses a mail that would be too much of the same; any other counts from now on.
    pub(crate) fn admit(
        &mut self,
        brakes: &Brakes,
        sending: &Sending<'_>,
    ) -> Result<(), Rejection> {
        self.check_correspondents(brakes, sending)?;
        self.check_thread(brakes, sending)?;
        self.check_content(brakes, sending)?;
        self.count(sending);
        Ok(())
    }

    fn check_correspondents(
        &self,
        brakes: &Brakes,
        sending: &Sending<'_>,
    ) -> Result<(), Rejection> {
        let most = brakes.automatic_per_hour;
        if !self.is_automatic(sending) {
            return Ok(());
        }
        for recipient in &sending.recipients {
            let key = (sending.inbox_id.to_owned(), recipient.clone());
            if is_over(self.automatic.get(&key).copied().unwrap_or_default() + 1, most) {
                let seconds = brakes.answer_seconds;
                return Err(rejection(
                    "loop_suspected",
                    format!(
                        "{recipient} had {most} automatic mails of this inbox within the last hour, \
                         as many as there may be: two machines may be answering each other. \
                         Automatic is what says so itself (automatic), or answers within \
                         {seconds} s of a mail in the same thread. Go on later, or by hand; the \
                         operator's limit is brakes.automatic_per_hour"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_thread(&self, brakes: &Brakes, sending: &Sending<'_>) -> Result<(), Rejection> {
        let most = brakes.thread_per_day;
        let Some(thread_id) = &sending.thread_id else { return Ok(()) };
        if !is_over(self.thread(sending).sent + 1, most) {
            return Ok(());
        }
        Err(rejection(
            "thread_too_long",
            format!(
                "this inbox sent {most} mails in the thread {thread_id} within the last 24 hours, as \
                 many as there may be: it may be a loop. Go on tomorrow, or begin a new thread, \
                 without threadId and inReplyTo; the operator's limit is brakes.thread_per_day"
            ),
        ))
    }

    fn check_content(&self, brakes: &Brakes, sending: &Sending<'_>) -> Result<(), Rejection> {
        let most = brakes.same_content_per_hour;
        let times = |recipient: &String| {
            self.same.get(&sending.same_key(recipient)).copied().unwrap_or_default()
        };
        if let Some(recipient) = sending.recipients.iter().find(|it| is_over(times(it) + 1, most)) {
            return Err(rejection(
                "identical_content",
                format!(
                    "{recipient} had a mail of this subject and content {most} times from this \
                     inbox within the last hour, as often as may be. Say something else, or wait; \
                     the operator's limit is brakes.same_content_per_hour"
                ),
            ));
        }
        let most = brakes.same_content_recipients_per_hour;
        let new = sending.recipients.iter().filter(|it| times(it) == 0).count() as i64;
        let before = self.recipients.get(&sending.content_key()).copied().unwrap_or_default();
        if new == 0 || !is_over(before + new, most) {
            return Ok(());
        }
        Err(rejection(
            "identical_content",
            format!(
                "{before} recipients had a mail of this subject and content from this inbox within \
                 the last hour, this one has {new} more, and {most} is the most there may be. Go on \
                 later, or say something else; the operator's limit is \
                 brakes.same_content_recipients_per_hour"
            ),
        ))
    }

    fn count(&mut self, sending: &Sending<'_>) {
        let is_automatic = self.is_automatic(sending);
        if let Some(thread_id) = &sending.thread_id {
            self.threads.entry(thread_id.clone()).or_default().sent += 1;
        }
        for recipient in &sending.recipients {
            let times = self.same.entry(sending.same_key(recipient)).or_default();
            *times += 1;
            if *times == 1 {
                *self.recipients.entry(sending.content_key()).or_default() += 1;
            }
            if is_automatic {
                let key = (sending.inbox_id.to_owned(), recipient.clone());
                *self.automatic.entry(key).or_default() += 1;
            }
        }
    }
}

impl Sending<'_> {
    fn content_key(&self) -> (String, String) {
        (self.inbox_id.to_owned(), self.content_digest.to_owned())
    }

    fn same_key(&self, recipient: &str) -> (String, String, String) {
        (self.inbox_id.to_owned(), self.content_digest.to_owned(), recipient.to_owned())
    }
}

fn is_over(count: i64, most: u32) -> bool {
    most > 0 && count > i64::from(most)
}

fn rejection(code: &str, message: String) -> Rejection {
    Rejection { code: code.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use contract::{SendAttachment, SendBody, SendList};

    use super::*;

    fn sending<'a>(digest: &'a str, recipients: &[&str]) -> Sending<'a> {
        Sending {
            inbox_id: "ibx_1",
            recipients: recipients.iter().map(|it| (*it).to_owned()).collect(),
            content_digest: digest,
            is_automatic: false,
            thread_id: None,
        }
    }

    /// How many of these are admitted, and why the next one is not.
    #[track_caller]
    fn check(
        sent: &mut Sent,
        brakes: &Brakes,
        sendings: impl Iterator<Item = Sending<'static>>,
        expected: (usize, Option<&str>),
    ) -> String {
        for (n, it) in sendings.enumerate() {
            if let Err(rejection) = sent.admit(brakes, &it) {
                assert_eq!((n, Some(&*rejection.code)), expected, "{}", rejection.message);
                return rejection.message;
            }
        }
        assert_eq!(expected.1, None);
        String::new()
    }

    const DIGESTS: [&str; 40] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r",
        "s", "t", "u", "v", "w", "x", "y", "z", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J",
        "K", "L", "M", "N",
    ];

    #[test]
    fn automatic_mails_to_one_are_counted() {
        let brakes = Brakes::default();
        let automatic = |recipient| {
            DIGESTS.iter().map(move |it| Sending { is_automatic: true, ..sending(it, recipient) })
        };
        let mut sent = Sent::default();
        let message =
            check(&mut sent, &brakes, automatic(&["bob@x"]), (20, Some("loop_suspected")));
        assert!(message.contains("bob@x had 20 automatic mails"), "{message}");
        // Others are not concerned, nor what is written by hand.
        check(&mut sent, &brakes, automatic(&["carol@x"]), (20, Some("loop_suspected")));
        let by_hand = DIGESTS.iter().map(|it| sending(it, &["bob@x"]));
        check(&mut sent, &brakes, by_hand, (0, None));
    }

    #[test]
    fn a_quick_answer_is_automatic() {
        let brakes = Brakes::default();
        let answers = || {
            let thread_id = || Some("thd_1".to_owned());
            DIGESTS
                .iter()
                .map(move |it| Sending { thread_id: thread_id(), ..sending(it, &["b@x"]) })
        };
        let mut sent = Sent::default();
        sent.threads.insert("thd_1".to_owned(), Thread { sent: 0, is_fresh: true });
        check(&mut sent, &brakes, answers(), (20, Some("loop_suspected")));
        sent.threads.insert("thd_1".to_owned(), Thread { sent: 20, is_fresh: false });
        check(&mut sent, &brakes, answers(), (0, None));
    }

    #[test]
    fn a_thread_has_an_end() {
        let brakes = Brakes { thread_per_day: 3, ..Brakes::default() };
        let mut sent = Sent::default();
        sent.threads.insert("thd_1".to_owned(), Thread { sent: 1, is_fresh: false });
        let in_thread = DIGESTS
            .iter()
            .map(|it| Sending { thread_id: Some("thd_1".to_owned()), ..sending(it, &["b@x"]) });
        check(&mut sent, &brakes, in_thread, (2, Some("thread_too_long")));
        check(&mut sent, &brakes, [sending("other", &["b@x"])].into_iter(), (0, None));
    }

    #[test]
    fn the_same_is_said_to_so_many() {
        let brakes = Brakes { same_content_recipients_per_hour: 4, ..Brakes::default() };
        let mut sent = Sent::default();
        let first = [sending("a", &["1@x", "2@x"]), sending("a", &["2@x", "3@x"])];
        check(&mut sent, &brakes, first.into_iter(), (0, None));
        let too_many = [sending("a", &["4@x", "5@x"])];
        let message =
            check(&mut sent, &brakes, too_many.into_iter(), (0, Some("identical_content")));
        assert!(message.starts_with("3 recipients") && message.contains("2 more"), "{message}");
        let others = [sending("a", &["4@x"]), sending("a", &["1@x"]), sending("b", &["5@x"])];
        check(&mut sent, &brakes, others.into_iter(), (0, None));
    }

    #[test]
    fn the_same_is_said_to_one_so_often() {
        let brakes = Brakes::default();
        let same = || (0..9).map(|_| sending("a", &["bob@x", "carol@x"]));
        let mut sent = Sent::default();
        let message = check(&mut sent, &brakes, same(), (5, Some("identical_content")));
        assert!(message.contains("5 times"), "{message}");
        check(&mut Sent::default(), &Brakes::released(), same(), (0, None));
    }

    fn request() -> SendRequest {
        SendRequest {
            subject: "Re: Hello".to_owned(),
            body: Some(SendBody { text: "Hi".to_owned(), html: String::new() }),
            ..SendRequest::default()
        }
    }

    #[test]
    fn content_is_subject_words_and_attachments() {
        let digest = |it: &SendRequest| Manner::of(it).content_digest;
        let first = digest(&request());
        assert_eq!(first, digest(&SendRequest { subject: "RE: re: hello".into(), ..request() }));
        let others = SendRequest { to: vec!["bob@x".to_owned()], ..request() };
        assert_eq!(first, digest(&others));
        assert_ne!(first, digest(&SendRequest { subject: "Bye".to_owned(), ..request() }));
        let body = Some(SendBody { text: String::new(), html: "Hi".to_owned() });
        assert_ne!(first, digest(&SendRequest { body, ..request() }));
        let attachment = SendAttachment { content: vec![1], ..SendAttachment::default() };
        assert_ne!(first, digest(&SendRequest { attachments: vec![attachment], ..request() }));
        let whole =
            |it: &str| digest(&SendRequest { content: it.into(), ..SendRequest::default() });
        assert_eq!(whole("Date: 1\r\n\r\nHi"), whole("Date: 2\r\n\r\nHi"));
        assert_ne!(whole("Date: 1\r\n\r\nHi"), whole("Date: 1\r\n\r\nBye"));
    }

    #[test]
    fn what_says_that_a_machine_wrote_it_is_automatic() {
        let with = |automatic: &str| {
            Manner::of(&SendRequest { automatic: automatic.to_owned(), ..request() }).is_automatic
        };
        assert!(with("auto-replied") && with("auto-generated"));
        assert!(!with("no") && !with(""));
        let whole =
            |it: &str| Manner::of(&SendRequest { content: it.into(), ..request() }).is_automatic;
        assert!(whole("Subject: x\r\nAuto-Submitted: auto-replied; owner=x\r\n\r\ntext"));
        assert!(whole("auto-submitted: auto-generated\n\ntext"));
        assert!(!whole("Auto-Submitted: No\r\n\r\n"));
        assert!(!whole("Subject: x\r\n\r\nAuto-Submitted: auto-replied\r\n"));
    }

    #[test]
    fn a_list_may_say_the_same_to_many() {
        let digest = |to: &str| {
            let list = Some(SendList { id: "news".to_owned(), name: String::new() });
            let request = SendRequest { to: vec![to.to_owned()], list, ..request() };
            Manner::of(&request).content_digest
        };
        assert_eq!(digest("bob@x"), digest("Bob@X"));
        assert_ne!(digest("bob@x"), digest("carol@x"));
    }
}
