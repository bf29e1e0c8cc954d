//! From a request to what the ledger takes: composed or rejected. Pure.

use contract::{Mailbox, Rejection, SendRequest, SubmissionAccepted, SubmissionScanned};
use mail::{Address, ComposeError, Draft, DraftAttachment, DraftList};
use store::{Account, Ancestry, Composed, Inbox, Outcome, Rejected, Suppression, UNSUBSCRIBED};

use crate::{
    lists::{Lists, with_link},
    whole,
};

/// What of a refused request is kept.
const MOST_RECIPIENTS: usize = 50;
const LONGEST_FIELD: usize = 1_000;

/// What the database says of a request.
pub(crate) struct Circumstances {
    pub(crate) account: Account,
    pub(crate) inbox: Inbox,
    /// Its domain is the operator's, or verified by its account.
    pub(crate) is_domain_ours: bool,
    /// Of the thread the request names; `None` if there is no such thread.
    pub(crate) thread: Option<Ancestry>,
    /// Of the mail it answers; `None` if that is not in the inbox.
    pub(crate) answered: Option<Ancestry>,
    /// Why no machine may answer that.
    pub(crate) answer_refused: Option<String>,
    /// Those of its recipients that the account must not send to.
    pub(crate) suppressed: Vec<Suppression>,
}

/// What the request becomes.
pub(crate) fn decide(
    submission: &SubmissionScanned,
    request: &SendRequest,
    around: &Circumstances,
    lists: &Lists,
) -> Outcome {
    let composed = match &submission.rejection {
        Some(rejection) => Err(rejection.clone()),
        None => {
            permitted(request, around).and_then(|()| compose(submission, request, around, lists))
        }
    };
    match composed {
        Ok(composed) => Outcome::Composed(Box::new(composed)),
        Err(rejection) => Outcome::Rejected(Box::new(rejected(&whole::shown(request), rejection))),
    }
}

fn rejected(request: &SendRequest, rejection: Rejection) -> Rejected {
    let cut = |it: &String| it[..it.floor_char_boundary(LONGEST_FIELD)].to_owned();
    Rejected {
        rejection,
        subject: cut(&request.subject),
        to: request.to.iter().take(MOST_RECIPIENTS).map(cut).collect(),
        cc: request.cc.iter().take(MOST_RECIPIENTS).map(cut).collect(),
    }
}

fn permitted(request: &SendRequest, around: &Circumstances) -> Result<(), Rejection> {
    let inbox = &around.inbox;
    if !inbox.is_active {
        return Err(rejection("inbox_not_found", format!("inbox {} is deleted", inbox.id)));
    }
    if !around.is_domain_ours {
        let message = format!(
            "the domain {} is not verified, or no more: GET /v1/domains says which DNS records it \
             needs; nothing can be sent from its inboxes before",
            inbox.domain
        );
        return Err(rejection("domain_not_verified", message));
    }
    if around.account.tier < 1 {
        let message = "accounts of tier 0 can only receive; verify the account to send".to_owned();
        return Err(rejection("insufficient_tier", message));
    }
    if !request.from.is_empty() && canonical(&request.from) != canonical(&inbox.address) {
        let message = format!(
            "from: {:?} is not the address of the inbox, {:?}",
            request.from, inbox.address
        );
        return Err(rejection("invalid_request", message));
    }
    if !request.thread_id.is_empty() && around.thread.is_none() {
        let message = format!("threadId: the inbox has no thread {:?}", request.thread_id);
        return Err(rejection("thread_not_found", message));
    }
    mail::check_answer(request, around.answer_refused.as_deref())?;
    reachable(request, &around.suppressed)
}

/// Refuses a mail that nobody would get; where some would, the sender leaves out the others.
fn reachable(request: &SendRequest, suppressed: &[Suppression]) -> Result<(), Rejection> {
    let recipients = mail::forward_paths(request)?;
    let of = |path: &String| suppressed.iter().find(|it| it.address == path.to_lowercase());
    let all: Option<Vec<&Suppression>> = recipients.iter().map(of).collect();
    let Some(first) = all.and_then(|it| it.first().copied()) else { return Ok(()) };
    let message = format!(
        "no recipient may be sent to; {} is suppressed as {}: {}",
        first.address, first.reason, first.evidence
    );
    let code = if first.reason == UNSUBSCRIBED { UNSUBSCRIBED } else { "recipient_suppressed" };
    Err(rejection(code, message))
}

fn canonical(address: &str) -> Option<String> {
    address.parse().ok().map(|it: Address| it.canonical())
}

fn compose(
    submission: &SubmissionScanned,
    request: &SendRequest,
    around: &Circumstances,
    lists: &Lists,
) -> Result<Composed, Rejection> {
    if !request.content.is_empty() {
        return whole::compose(submission, request, &around.inbox);
    }
    let forward_paths = mail::forward_paths(request)?;
    let list = match (&request.list, forward_paths.first()) {
        (Some(list), Some(path)) => {
            Some(lists.draft(list, &around.inbox, path, &submission.mail_id)?)
        }
        _ => None,
    };
    let draft = Draft {
        cfbl_address: lists.cfbl_address.clone(),
        ..draft(submission, request, around, list)
    };
    let octets = mail::compose(&draft)
        .map_err(|err: ComposeError| rejection("invalid_request", err.to_string()))?;
    let message = mail::parse(&octets, usize::MAX);
    let reverse_path = around.inbox.address.clone();
    let forward_paths = mail::forward_paths(request)?;
    Ok(Composed {
        octets,
        message,
        verdict: submission.verdict.clone().unwrap_or_default(),
        handover: handover(submission, reverse_path.clone(), forward_paths.clone()),
        reverse_path,
        forward_paths,
        thread_id: some(&request.thread_id),
        send_at: submission.send_at_micros,
        notify: request.notify.clone(),
        list_id: request.list.as_ref().map(|it| it.id.clone()),
    })
}

/// What the sender is told once the mail may go.
pub(crate) fn handover(
    submission: &SubmissionScanned,
    reverse_path: String,
    forward_paths: Vec<String>,
) -> SubmissionAccepted {
    SubmissionAccepted {
        mail_id: submission.mail_id.clone(),
        account_id: submission.account_id.clone(),
        inbox_id: submission.inbox_id.clone(),
        reverse_path,
        forward_paths,
        accepted_at_micros: submission.requested_at_micros,
        expires_at_micros: submission.expires_at_micros,
        on_unknown: submission.on_unknown,
        trace: submission.trace.clone(),
        ..SubmissionAccepted::default()
    }
}

fn draft(
    submission: &SubmissionScanned,
    request: &SendRequest,
    around: &Circumstances,
    list: Option<DraftList>,
) -> Draft {
    let inbox = &around.inbox;
    let body = request.body.clone().unwrap_or_default();
    let ancestry = ancestry(request, around);
    let attachments = request.attachments.iter().map(|it| DraftAttachment {
        filename: it.filename.clone(),
        content_type: it.content_type.clone(),
        octets: it.content.clone(),
    });
    // The same at every attempt, so that receivers see a mail that goes out twice as one.
    let unique = submission.mail_id.strip_prefix("eml_").unwrap_or(&submission.mail_id);
    Draft {
        from: Mailbox {
            name: inbox.display_name.clone().unwrap_or_default(),
            address: inbox.address.clone(),
        },
        to: request.to.clone(),
        cc: request.cc.clone(),
        reply_to: some(&request.reply_to),
        subject: request.subject.clone(),
        text: some(&with_link(&body.text, list.as_ref())),
        html: some(&with_link(&body.html, list.as_ref())),
        message_id: format!("{unique}@{}", inbox.domain),
        in_reply_to: ancestry.in_reply_to,
        references: ancestry.references,
        // Receivers distrust a mail that was written long before it came.
        date: submission.requested_at_micros.max(submission.send_at_micros) / 1_000_000,
        headers: request.headers.clone().into_iter().collect(),
        attachments: attachments.collect(),
        auto_submitted: mail::automatic(request).to_owned(),
        list,
        cfbl_address: None,
    }
}

/// The mail answered counts for more than the thread; one that is not here is believed.
fn ancestry(request: &SendRequest, around: &Circumstances) -> Ancestry {
    let thread = around.thread.clone().unwrap_or_default();
    if request.in_reply_to.is_empty() {
        return thread;
    }
    around.answered.clone().unwrap_or_else(|| {
        let answered = mail::bare_id(&request.in_reply_to).to_owned();
        let mut references = thread.references;
        references.retain(|it| *it != answered);
        references.push(answered.clone());
        Ancestry { in_reply_to: Some(answered), references }
    })
}

fn rejection(code: &str, message: String) -> Rejection {
    Rejection { code: code.to_owned(), message }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|it| !it.is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use contract::SendBody;
    use store::UnsubscribeTokens;

    use super::*;
    use crate::Config;

    pub(crate) fn lists() -> Lists {
        let public_url = Some("https://mail.example/".to_owned());
        let config = Config { public_url, ..Config::default() };
        Lists::new(&config, UnsubscribeTokens::new(&[7; 32]))
    }

    pub(crate) fn around() -> Circumstances {
        Circumstances {
            account: Account { id: "acct_1".to_owned(), tier: 1, created_at: 0, last_active_at: 0 },
            inbox: Inbox {
                id: "ibx_1".to_owned(),
                account_id: "acct_1".to_owned(),
                address: "my.agent@posthouse.localhost".to_owned(),
                display_name: Some("My Agent".to_owned()),
                domain: "posthouse.localhost".to_owned(),
                is_active: true,
                email_count: 0,
                expires_at: None,
                created_at: 0,
                deleted_at: None,
            },
            is_domain_ours: true,
            thread: None,
            answered: None,
            answer_refused: None,
            suppressed: Vec::new(),
        }
    }

    pub(crate) fn suppressed(address: &str) -> Suppression {
        Suppression {
            address: address.to_owned(),
            scope: store::Scope::Account,
            reason: "recipient_unknown".to_owned(),
            evidence: "550 5.1.1 no".to_owned(),
            source: "eml_1".to_owned(),
            created_at: 0,
            expires_at: None,
        }
    }

    pub(crate) fn request() -> SendRequest {
        SendRequest {
            to: vec!["bob@Example.net".to_owned(), "bob@example.net".to_owned()],
            cc: vec!["carol@example.org".to_owned()],
            subject: "Hello".to_owned(),
            body: Some(SendBody { text: "Hi".to_owned(), html: String::new() }),
            ..SendRequest::default()
        }
    }

    pub(crate) fn submission() -> SubmissionScanned {
        SubmissionScanned {
            mail_id: "eml_0123".to_owned(),
            requested_at_micros: 1_795_498_872_123_456,
            ..SubmissionScanned::default()
        }
    }

    #[track_caller]
    pub(crate) fn composed(request: &SendRequest, around: &Circumstances) -> Composed {
        match decide(&submission(), request, around, &lists()) {
            Outcome::Composed(composed) => *composed,
            Outcome::Rejected(rejected) => panic!("{rejected:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn refused(request: &SendRequest, around: &Circumstances, code: &str) -> Rejected {
        match decide(&submission(), request, around, &lists()) {
            Outcome::Composed(_) => panic!("composed"),
            Outcome::Rejected(rejected) => {
                assert_eq!(rejected.rejection.code, code, "{rejected:?}");
                *rejected
            }
        }
    }

    #[test]
    fn composes_the_same_every_time() {
        let first = composed(&request(), &around());
        assert_eq!(first.message.message_id, "0123@posthouse.localhost");
        assert_eq!(first.message.from[0].name, "My Agent");
        assert_eq!(first.reverse_path, "my.agent@posthouse.localhost");
        assert_eq!(first.forward_paths, ["bob@example.net", "carol@example.org"]);
        assert_eq!(first.message.date_micros, 1_795_498_872_000_000);
        let text = String::from_utf8(first.octets).expect("ASCII");
        assert!(text.contains("Hi"), "{text}");
    }

    fn whole(content: &str) -> SendRequest {
        let to = vec!["bob@example.net".to_owned()];
        SendRequest { to, content: content.into(), ..SendRequest::default() }
    }

    #[test]
    fn a_whole_message_goes_as_it_is_and_gets_what_it_lacks() {
        let lacking = whole("From: My.Agent@posthouse.localhost\r\nBcc: x@y.test\r\n\r\nHi\r\n");
        let first = composed(&lacking, &around());
        let text = String::from_utf8(first.octets).expect("ASCII");
        let expected = "From: My.Agent@posthouse.localhost\r\n\
                        Date: Tue, 24 Nov 2026 05:41:12 +0000\r\n\
                        Message-ID: <0123@posthouse.localhost>\r\n\r\nHi\r\n";
        assert_eq!(text, expected);
        assert_eq!(first.message.message_id, "0123@posthouse.localhost");
        assert_eq!(first.forward_paths, ["bob@example.net"]);
        assert_eq!(first.reverse_path, "my.agent@posthouse.localhost");

        let full = "Date: Tue, 24 Nov 2026 01:02:03 +0000\r\nMessage-ID: <own@client>\r\n\
                    In-Reply-To: <a@x>\r\nFrom: myagent@posthouse.localhost\r\n\r\n";
        let second = composed(&whole(full), &around());
        assert_eq!(String::from_utf8(second.octets).expect("ASCII"), full);
        assert_eq!(second.message.in_reply_to, ["a@x"]);
    }

    #[test]
    fn a_whole_message_of_somebody_else_is_refused() {
        let foreign = whole("Subject: Hi\r\nFrom: ceo@posthouse.localhost\r\n\r\n");
        let refused = refused(&foreign, &around(), "invalid_request");
        assert_eq!(refused.rejection.message, "content: From is not the address of the inbox");
        assert_eq!((&*refused.subject, &*refused.to), ("Hi", &["bob@example.net".to_owned()][..]));
    }

    #[test]
    fn takes_its_own_address_in_any_spelling() {
        let from = |it: &str| SendRequest { from: it.to_owned(), ..request() };
        composed(&from("MyAgent@posthouse.localhost"), &around());
        refused(&from("other@posthouse.localhost"), &around(), "invalid_request");
        refused(&from("nonsense"), &around(), "invalid_request");
    }

    #[test]
    fn tier_0_only_receives() {
        let mut around = around();
        around.account.tier = 0;
        let refused = refused(&request(), &around, "insufficient_tier");
        assert_eq!((&*refused.subject, refused.to.len()), ("Hello", 2));
    }

    #[test]
    fn a_domain_that_is_not_verified_sends_nothing() {
        let around = Circumstances { is_domain_ours: false, ..around() };
        let refused = refused(&request(), &around, "domain_not_verified");
        assert!(refused.rejection.message.contains("posthouse.localhost"));
    }

    #[test]
    fn a_mail_that_nobody_may_get_is_refused() {
        let mut around = around();
        around.suppressed = vec![suppressed("bob@example.net")];
        composed(&request(), &around);
        around.suppressed.push(suppressed("carol@example.org"));
        let refused = refused(&request(), &around, "recipient_suppressed");
        assert!(refused.rejection.message.contains("550 5.1.1 no"));
    }

    #[test]
    fn a_deleted_inbox_sends_nothing() {
        let mut around = around();
        around.inbox.is_active = false;
        refused(&request(), &around, "inbox_not_found");
    }

    #[test]
    fn the_scanners_rejection_stands() {
        let rejection = Some(rejection("too_large", "why".to_owned()));
        let submission = SubmissionScanned { rejection, ..submission() };
        let outcome = decide(&submission, &SendRequest::default(), &around(), &lists());
        let Outcome::Rejected(rejected) = outcome else { panic!("composed") };
        assert_eq!(rejected.rejection.code, "too_large");
    }

    #[test]
    fn a_thread_gives_the_ancestors() {
        let request = SendRequest { thread_id: "thd_1".to_owned(), ..request() };
        refused(&request, &around(), "thread_not_found");
        let thread = Ancestry {
            in_reply_to: Some("b@x".to_owned()),
            references: vec!["a@x".to_owned(), "b@x".to_owned()],
        };
        let around = Circumstances { thread: Some(thread), ..around() };
        let composed = composed(&request, &around);
        assert_eq!(composed.message.in_reply_to, ["b@x"]);
        assert_eq!(composed.message.references, ["a@x", "b@x"]);
        assert_eq!(composed.thread_id.as_deref(), Some("thd_1"));
    }

    #[test]
    fn an_answer_to_a_mail_elsewhere_is_believed() {
        let request = SendRequest { in_reply_to: "<c@y>".to_owned(), ..request() };
        let composed = composed(&request, &around());
        assert_eq!(composed.message.in_reply_to, ["c@y"]);
        assert_eq!(composed.message.references, ["c@y"]);
    }

    #[test]
    fn what_cannot_be_composed_is_rejected() {
        let request = SendRequest { subject: "a\nb".to_owned(), ..request() };
        refused(&request, &around(), "invalid_request");
        let request = SendRequest { to: vec!["nobody".to_owned()], ..self::request() };
        refused(&request, &around(), "invalid_request");
    }

    #[test]
    fn hidden_recipients_are_in_the_envelope_alone() {
        let bcc = vec!["hidden@example.org".to_owned(), "bob@example.net".to_owned()];
        let composed = composed(&SendRequest { bcc, ..request() }, &around());
        let expected = ["bob@example.net", "carol@example.org", "hidden@example.org"];
        assert_eq!(composed.forward_paths, expected);
        let text = String::from_utf8(composed.octets).expect("ASCII");
        assert!(!text.contains("hidden") && !text.to_lowercase().contains("bcc"), "{text}");
    }

    #[test]
    fn custom_fields_are_written() {
        let headers = [("X-Order".to_owned(), "17".to_owned())].into();
        let composed = composed(&SendRequest { headers, ..request() }, &around());
        assert!(String::from_utf8_lossy(&composed.octets).contains("\r\nX-Order: 17\r\n"));
    }

    #[test]
    fn a_mail_for_later_is_dated_then() {
        let later = SubmissionScanned { send_at_micros: 1_795_564_800_000_000, ..submission() };
        let Outcome::Composed(composed) = decide(&later, &request(), &around(), &lists()) else {
            panic!("rejected");
        };
        assert_eq!(composed.send_at, later.send_at_micros);
        assert_eq!(composed.message.date_micros, later.send_at_micros);
        assert_eq!(self::composed(&request(), &around()).send_at, 0);
    }

    pub(crate) fn text(composed: Composed) -> String {
        String::from_utf8(composed.octets).expect("ASCII").replace("\r\n ", " ")
    }

    #[test]
    fn who_has_written_is_said() {
        let of = |request: SendRequest| text(composed(&request, &around()));
        assert!(of(request()).contains("\r\nAuto-Submitted: auto-generated\r\n"));
        let answer = SendRequest { in_reply_to: "<c@y>".to_owned(), ..request() };
        assert!(of(answer.clone()).contains("\r\nAuto-Submitted: auto-replied\r\n"));
        let by_person = SendRequest { automatic: "no".to_owned(), ..answer };
        assert!(!of(by_person).contains("Auto-Submitted"));
    }

    #[test]
    fn a_machine_does_not_answer_a_machine_unless_told_to() {
        let why = Some("it is a report".to_owned());
        let around = Circumstances { answer_refused: why, ..around() };
        let answer = SendRequest { in_reply_to: "<c@y>".to_owned(), ..request() };
        let refused = refused(&answer, &around, "auto_reply_refused");
        let message = refused.rejection.message;
        assert!(message.contains("it is a report") && message.contains("allowAutoReply"));
        composed(&SendRequest { allow_auto_reply: true, ..answer.clone() }, &around);
        composed(&SendRequest { automatic: "no".to_owned(), ..answer }, &around);
    }
}
