use contract::Mailbox;
use mail::{ComposeError, Draft, DraftAttachment, DraftList, compose, parse, part};

fn draft() -> Draft {
    Draft {
        from: Mailbox { name: "Sarah Shield".to_owned(), address: "sarah@x.test".to_owned() },
        to: vec!["a@y.test".to_owned()],
        subject: "Hello".to_owned(),
        text: Some("Hi\n".to_owned()),
        message_id: "1@x.test".to_owned(),
        date: 1_795_500_000,
        ..Default::default()
    }
}

/// The content of a draft, sound for the wire.
#[track_caller]
fn content(draft: &Draft) -> Vec<u8> {
    let content = compose(draft).expect("compose");
    for line in content.split_inclusive(|it| *it == b'\n') {
        assert!(line.len() <= 1000, "{} octets", line.len());
        let text = line.strip_suffix(b"\r\n").expect("CRLF");
        assert!(!text.iter().any(|it| matches!(it, b'\r' | b'\n' | 0)), "{text:?}");
    }
    content
}

#[test]
fn every_field_survives() {
    let long = "Grüße aus Köln, ".repeat(20);
    let references: Vec<String> = (0..40).map(|it| format!("{it}@long.example.test")).collect();
    let draft = Draft {
        from: Mailbox { name: "Jörg \"J\" Müller, Köln".to_owned(), ..draft().from },
        to: vec!["a@y.test".to_owned(), "\"b b\"@bücher.test".to_owned()],
        cc: (0..30).map(|it| format!("someone.{it}@long.example.test")).collect(),
        reply_to: Some("r@x.test".to_owned()),
        subject: long.clone(),
        in_reply_to: Some("39@long.example.test".to_owned()),
        references: references.clone(),
        ..draft()
    };
    let message = parse(&content(&draft), usize::MAX);
    assert_eq!(message.from, [draft.from]);
    let to: Vec<&str> = message.to.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(to, ["a@y.test", "\"b b\"@xn--bcher-kva.test"]);
    let cc: Vec<String> = message.cc.into_iter().map(|it| it.address).collect();
    assert_eq!(cc, draft.cc);
    assert_eq!(message.reply_to[0].address, "r@x.test");
    assert_eq!(message.subject, long.trim());
    assert_eq!(message.message_id, "1@x.test");
    assert_eq!(message.in_reply_to, ["39@long.example.test"]);
    assert_eq!(message.references, references);
    assert_eq!(message.date_micros, draft.date * 1_000_000);
    assert_eq!(message.text, "Hi\n");
}

#[test]
fn bodies_survive() {
    let many = "x ".repeat(5000);
    for text in [
        "plain",
        "From here\n.\n..\n\nto there",
        "Žluťoučký kůň\n\n日本語 🙂\n",
        "trailing  \nspaces\t\n",
        "--\nsignature = =41 =\n",
        many.as_str(),
    ] {
        let message =
            parse(&content(&Draft { text: Some(text.to_owned()), ..draft() }), usize::MAX);
        assert_eq!(message.text.trim_end_matches('\n'), text.trim_end_matches('\n'));
        let crlf = text.replace('\n', "\r\n");
        let message = parse(&content(&Draft { text: Some(crlf), ..draft() }), usize::MAX);
        assert_eq!(message.text.trim_end_matches('\n'), text.trim_end_matches('\n'));
    }
    content(&Draft { text: Some("bare\rreturn and \0".to_owned()), ..draft() });
}

#[test]
fn text_is_derived_from_html() {
    let html = "<p>Hello <b>you</b></p><div style='display:none'>not you</div>".to_owned();
    let draft = Draft { text: None, html: Some(html), ..draft() };
    let content = content(&draft);
    let shown = String::from_utf8(content.clone()).expect("ASCII");
    assert!(shown.contains("multipart/alternative"), "{shown}");
    assert_eq!(parse(&content, usize::MAX).text, "Hello you");
}

#[test]
fn attachments_arrive_octet_for_octet() {
    let attachments: Vec<DraftAttachment> = [
        ("a.bin", "application/x-thing", (0..=255).collect::<Vec<u8>>()),
        ("mixed ends.txt", "text/plain; charset=\"utf-8\"", b"a\nb\r\nc\rd\n".to_vec()),
        ("Überblick \"neu\".csv", "text/csv", "ä;ö\n".into()),
        ("forwarded.eml", "message/rfc822", b"Subject: a\n\nb".to_vec()),
        ("empty", "", Vec::new()),
    ]
    .map(|(filename, content_type, octets)| DraftAttachment {
        filename: filename.to_owned(),
        content_type: content_type.to_owned(),
        octets,
    })
    .into();
    let draft = Draft { attachments: attachments.clone(), ..draft() };
    let content = content(&draft);
    let message = parse(&content, usize::MAX);
    assert_eq!(message.text, "Hi\n");
    assert_eq!(message.attachments.len(), attachments.len());
    for (n, attachment) in attachments.iter().enumerate() {
        let part = part(&content, n).expect("part");
        assert_eq!(part.filename, attachment.filename);
        assert_eq!(part.octets, attachment.octets);
        assert_eq!(message.attachments[n].size_bytes, attachment.octets.len() as u64);
        assert_eq!(message.attachments[n].content_type, part.content_type);
    }
    assert_eq!(part(&content, attachments.len()), None);
}

#[test]
fn no_line_break_gets_into_a_header() {
    let break_in = "x\r\nBcc: victim@y.test".to_owned();
    let attachment = |filename: &str, content_type: &str| {
        vec![DraftAttachment {
            filename: filename.to_owned(),
            content_type: content_type.to_owned(),
            octets: Vec::new(),
        }]
    };
    let mailbox = Mailbox { name: break_in.clone(), address: "a@x.test".to_owned() };
    for draft in [
        Draft { subject: break_in.clone(), ..draft() },
        Draft { subject: "a\rb".to_owned(), ..draft() },
        Draft { subject: "a\nb".to_owned(), ..draft() },
        Draft { from: mailbox, ..draft() },
        Draft { to: vec![break_in.clone()], ..draft() },
        Draft { cc: vec![break_in.clone()], ..draft() },
        Draft { reply_to: Some(break_in.clone()), ..draft() },
        Draft { message_id: break_in.clone(), ..draft() },
        Draft { in_reply_to: Some(break_in.clone()), ..draft() },
        Draft { attachments: attachment(&break_in, ""), ..draft() },
        Draft { attachments: attachment("a", &break_in), ..draft() },
    ] {
        let err = compose(&draft).expect_err("refuse");
        assert!(matches!(err, ComposeError::LineBreak { .. }), "{err}");
    }
    let references = vec![break_in, "2@x.test".to_owned()];
    let message = parse(&content(&Draft { references, ..draft() }), usize::MAX);
    assert_eq!(message.references, ["2@x.test"]);
}

#[test]
fn says_which_field_is_wrong() {
    let err = compose(&Draft { to: vec!["nobody".to_owned()], ..draft() }).expect_err("refuse");
    assert_eq!(err.to_string(), "to: \"nobody\" is not valid: it has no @");
    for draft in [
        Draft { message_id: "a b".to_owned(), ..draft() },
        Draft { in_reply_to: Some("<a>".to_owned()), ..draft() },
        Draft { text: None, ..draft() },
        Draft { subject: "bell\u{7}".to_owned(), ..draft() },
    ] {
        let err = compose(&draft).expect_err("refuse");
        assert!(matches!(err, ComposeError::Invalid { .. }), "{err}");
    }
}

#[test]
fn long_names_are_folded() {
    let name = "word".repeat(300);
    let draft = Draft {
        from: Mailbox { name: name.clone(), address: "a@x.test".to_owned() },
        subject: "s".repeat(3000),
        attachments: vec![DraftAttachment {
            filename: "f".repeat(255),
            content_type: String::new(),
            octets: vec![1],
        }],
        ..draft()
    };
    let content = content(&draft);
    let message = parse(&content, usize::MAX);
    assert_eq!(message.from[0].name, name);
    assert_eq!(message.subject, draft.subject);
    assert_eq!(message.attachments[0].filename, draft.attachments[0].filename);
}

#[test]
fn custom_fields_stand_in_the_header_section() {
    let long = format!("<https://x.test/{}>", "u".repeat(800));
    let headers = vec![
        ("X-Order".to_owned(), "17, for =?you?=".to_owned()),
        ("List-Unsubscribe".to_owned(), long.clone()),
        ("X-Greeting".to_owned(), "Grüße aus Köln ".repeat(40)),
    ];
    let content = content(&Draft { headers, ..draft() });
    let text = String::from_utf8(content).expect("ASCII");
    let (section, _) = text.split_once("\r\n\r\n").expect("a header section");
    assert!(section.is_ascii());
    assert!(section.contains("X-Order: 17, for =?you?="), "{section}");
    assert!(section.replace("\r\n ", " ").contains(&long), "{section}");
    assert!(section.contains("X-Greeting: =?utf-8?"), "{section}");

    for (name, value) in [("X\r\nBcc", "v"), ("X", "v\r\nBcc: a@x.test"), ("Bcc", "a@x.test")] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        compose(&Draft { headers, ..draft() }).expect_err(name);
    }
}

#[test]
fn an_enclosed_mail_stays_a_mail() {
    let mail = compose(&draft()).expect("compose");
    let enclosed = |octets: &[u8]| {
        let attachments = vec![DraftAttachment {
            filename: "m.eml".to_owned(),
            content_type: "message/rfc822".to_owned(),
            octets: octets.to_vec(),
        }];
        let content = content(&Draft { attachments, ..draft() });
        let part = part(&content, 0).expect("part");
        assert_eq!(part.octets, octets);
        part.content_type
    };
    assert_eq!(enclosed(&mail), "message/rfc822");
    let not_for_the_wire = [
        "Subject: ü\r\n\r\nx\r\n".as_bytes().to_vec(),
        b"Subject: x\n\nbare\n".to_vec(),
        b"Subject: x\r\n\r\nno end".to_vec(),
        [b"Subject: x\r\n\r\n", "y".repeat(999).as_bytes(), b"\r\n"].concat(),
    ];
    for octets in not_for_the_wire {
        assert_eq!(enclosed(&octets), "application/octet-stream");
    }
}

fn list(name: &str, url: &str) -> DraftList {
    DraftList {
        name: name.to_owned(),
        list_id: "news.0123.x.test".to_owned(),
        unsubscribe_url: url.to_owned(),
        feedback_id: "news:1:2:posthouse".to_owned(),
    }
}

/// The value of a field, unfolded.
fn field(content: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(content).replace("\r\n ", " ").replace("\r\n\t", " ");
    let line = text.lines().find(|it| it.starts_with(&format!("{name}: ")))?;
    Some(line[name.len() + 2..].to_owned())
}

#[test]
fn a_list_is_told_how_it_is_left() {
    let url = format!("https://mail.x.test/v1/unsubscribe/{}", "A".repeat(900));
    let draft = Draft {
        list: Some(list("Neues \"aus\" Köln", &url)),
        auto_submitted: "auto-generated".to_owned(),
        cfbl_address: Some("fbl@x.test".to_owned()),
        ..draft()
    };
    let content = content(&draft);
    let field = |name: &str| field(&content, name).expect(name);
    assert_eq!(field("List-Unsubscribe"), format!("<{url}>"));
    assert_eq!(field("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    assert!(field("List-Id").ends_with("<news.0123.x.test>"), "{}", field("List-Id"));
    assert!(field("List-Id").is_ascii());
    assert_eq!(field("Feedback-ID"), "news:1:2:posthouse");
    assert_eq!(field("Auto-Submitted"), "auto-generated");
    assert_eq!(field("CFBL-Address"), "fbl@x.test; report=arf");
}

#[test]
fn a_person_writes_without_a_word_of_it() {
    let draft = Draft { auto_submitted: "no".to_owned(), ..draft() };
    for name in [
        "Auto-Submitted",
        "Posthouse-Author",
        "List-Id",
        "List-Unsubscribe",
        "Feedback-ID",
        "CFBL-Address",
    ] {
        assert_eq!(field(&content(&draft), name), None);
    }
}

/// At another Posthouse, where somebody waits for an answer.
#[test]
fn what_an_agent_answers_is_an_answer() {
    let is_automatic =
        |content: &[u8]| mail::is_automatic_answer(content, "Re: Offer", "ada@x.test", false);
    let answer = Draft { auto_submitted: "auto-replied".to_owned(), ..draft() };
    let answer = content(&answer);
    assert_eq!(field(&answer, "Posthouse-Author").as_deref(), Some("agent"));
    assert!(!is_automatic(&answer));
    assert!(is_automatic(
        &String::from_utf8_lossy(&answer).replace("Posthouse-Author", "X").into_bytes()
    ));
    assert!(!mail::auto_reply_allowed(&answer, "ada@x.test", "b@x.test"), "no machine answers it");
    assert!(!is_automatic(&content(&Draft { auto_submitted: "no".to_owned(), ..draft() })));
}

#[test]
fn a_lists_fields_cannot_be_broken_out_of() {
    for broken in [
        list("", "https://x.test/\r\nBcc: a@x.test"),
        list("", "https://x.test/>, <mailto:a@x.test"),
        list("", &format!("https://x.test/{}", "A".repeat(960))),
        DraftList { list_id: "a>\r\nBcc: b".to_owned(), ..list("", "https://x.test") },
        DraftList { feedback_id: "a b".to_owned(), ..list("", "https://x.test") },
    ] {
        compose(&Draft { list: Some(broken), ..draft() }).expect_err("refuse");
    }
}
