//! Any octets are read as a request to send. One that is accepted is composed, and reads as what it asked for.

#![no_main]

use contract::SendRequest;
use libfuzzer_sys::fuzz_target;
use mail::{Draft, DraftAttachment, Whole};

const LIMIT: usize = 64 * 1024;

fuzz_target!(|octets: &[u8]| {
    let Ok(request) = serde_json::from_slice::<SendRequest>(octets) else { return };
    mail::request_surfaces(&request, LIMIT);
    mail::outgoing_texts(&request, LIMIT);
    if mail::check(&request, 0).is_err() || mail::check_size(&request).is_err() {
        return;
    }
    let paths = mail::forward_paths(&request).expect("they were checked");
    assert!(!paths.is_empty() && paths.len() <= mail::MAX_RECIPIENTS);
    if !request.content.is_empty() {
        if let Ok(whole) = Whole::read(&request.content) {
            mail::parse(&whole.finish("id@x.test", 0), LIMIT);
        }
        return;
    }
    let body = request.body.clone().unwrap_or_default();
    let some = |it: &String| Some(it.clone()).filter(|it| !it.is_empty());
    let attachments = request.attachments.iter().map(|it| DraftAttachment {
        filename: it.filename.clone(),
        content_type: it.content_type.clone(),
        octets: it.content.clone(),
    });
    let draft = Draft {
        from: contract::Mailbox { name: String::new(), address: "agent@x.test".to_owned() },
        to: request.to.clone(),
        cc: request.cc.clone(),
        reply_to: some(&request.reply_to),
        subject: request.subject.clone(),
        text: some(&body.text),
        html: some(&body.html),
        message_id: "id@x.test".to_owned(),
        in_reply_to: None,
        references: Vec::new(),
        date: 0,
        headers: request.headers.clone().into_iter().collect(),
        attachments: attachments.collect(),
        auto_submitted: mail::automatic(&request).to_owned(),
        list: None,
        cfbl_address: None,
    };
    let Ok(composed) = mail::compose(&draft) else { return };
    let message = mail::parse(&composed, LIMIT);
    assert_eq!(message.message_id, "id@x.test");
    assert_eq!(message.from.len(), 1, "nobody adds an author");
    assert_eq!(message.from[0].address, "agent@x.test");
    // Nothing that was asked for can end a line and begin a field or a part.
    assert_eq!(message.attachments.len(), request.attachments.len());
    assert!(composed.windows(2).all(|it| it != b"\r\r"));
});
