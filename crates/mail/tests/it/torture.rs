use std::time::Instant;

use contract::Message;

use crate::corpus;

const LIMIT: usize = 256 * 1024;

/// What storage can count on, whatever the content.
#[track_caller]
fn sound(content: &[u8]) -> Message {
    let message = mail::parse(content, LIMIT);
    assert!(message.text.len() <= LIMIT);
    assert!(message.preview.chars().count() <= 200 && !message.preview.contains('\n'));
    assert!(message.references.len() <= 51);
    assert!(message.references.iter().chain([&message.message_id]).all(|it| it.len() <= 998));
    assert!(message.subject.len() <= 8192);
    let named = message.from.iter().chain(&message.to).flat_map(|it| [&it.name, &it.address]);
    for text in named.chain([&message.text, &message.subject, &message.message_id]) {
        assert!(!text.contains('\0'));
    }
    for (n, attachment) in message.attachments.iter().enumerate().take(20) {
        let part = mail::part(content, n).expect("part");
        assert_eq!(part.octets.len() as u64, attachment.size_bytes);
        assert!(!part.filename.contains(['/', '\\', '\0', '\n']), "{:?}", part.filename);
    }
    message
}

#[test]
fn no_message_of_the_corpora_does_harm() {
    let mut files = 0;
    for name in ["mime-mail-parser", "mime-mime4j", "mime-consensus", "threading", "dkim"] {
        let Some(corpus) = corpus::open(name) else { return };
        for (_, content, _) in corpus.files() {
            sound(&content);
            // Cut anywhere, as by a lost connection, and with octets that no charset has.
            for part in 1..8 {
                sound(&content[..content.len() * part / 8]);
            }
            let damaged: Vec<u8> = content
                .iter()
                .enumerate()
                .map(|(n, it)| if n % 97 == 96 { 0xff } else { *it })
                .collect();
            sound(&damaged);
            files += 1;
        }
    }
    eprintln!("read {files} messages, whole, cut and damaged");
}

/// Pieces of the syntax in any order: what no corpus thinks of.
#[test]
fn no_arrangement_does_harm() {
    let pieces = [
        "\n",
        "\r\n",
        "\r",
        " ",
        "\t",
        "--",
        "--a",
        "--ab",
        "--a--",
        "--ab--",
        "=",
        "==",
        "=\r\n",
        "=\n",
        "=4",
        "x",
        "é",
        "(",
        ")",
        ":",
        ";",
        "\"",
        "\\",
        "<a@b>",
        "=?utf-8?q?",
        "?=",
        "QUJD",
        "+AGE-",
        "99999999999999",
        "Subject: ",
        "References: ",
        "To: ",
        "Date: Mon, 1 ",
        "Content-Type: multipart/mixed; boundary=a\n\n",
        "Content-Type: multipart/digest; boundary=ab\n\n",
        "Content-Type: message/rfc822\n\n",
        "Content-Type: text/html; charset=utf-7\n\n",
        "Content-Type: text/plain; charset=utf-16; name*0*=",
        "Content-Transfer-Encoding: base64\n",
        "Content-Transfer-Encoding: quoted-printable\n",
    ];
    let mut random = 88_172_645_463_325_252_u64;
    let mut below = |limit: usize| {
        // Xorshift (Marsaglia 2003): the same pieces in every run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % limit as u64).expect("small")
    };
    for _ in 0..20_000 {
        let mut content = String::new();
        if below(2) == 0 {
            content += "Content-Type: multipart/mixed; boundary=a\n\n--a\n";
        }
        for _ in 0..below(30) {
            content += pieces[below(pieces.len())];
        }
        sound(content.as_bytes());
        mail::surfaces(content.as_bytes(), LIMIT);
    }
}

/// Each of these makes some parser quadratic, recursive or greedy.
#[test]
fn hostile_structure_costs_little() {
    let part = "Content-Type: multipart/mixed; boundary=x\n\n--x\n";
    let nested: String = (0..20_000)
        .map(|it| format!("Content-Type: multipart/mixed; boundary=b{it}\n\n--b{it}\n"))
        .collect();
    let missing: String = (0..20_000)
        .map(|it| format!("--x\nContent-Type: multipart/mixed; boundary=m{it}\n\n"))
        .collect();
    for content in [
        part.repeat(20_000),
        nested,
        format!("{part}{missing}"),
        format!("{part}{}", "--x\n\n\n".repeat(200_000)),
        "Content-Type: message/rfc822\n\n".repeat(50_000),
        "a:\n".repeat(500_000),
        format!("Subject: {}", "=?utf-8?q? ".repeat(100_000)),
        format!("Content-Type: text/plain{}", "; a*0=b".repeat(100_000)),
        format!("To: {}", "(".repeat(1_000_000)),
        format!("To: {}", "a:b@c;,".repeat(100_000)),
        format!("References: {}", "<a@b> ".repeat(100_000)),
        format!("References: {}", (0..100_000).map(|it| format!("<{it}@b>")).collect::<String>()),
        format!("Subject: a\n{}", " \n".repeat(500_000)),
        "\n".repeat(1_000_000),
        format!("Message-ID: <{0}>\nSubject: {0}\n\n", "a".repeat(100_000)),
        format!("Message-ID: {}\n\n", "a".repeat(100_000)),
        format!("From: mailer-daemon\nSubject: failure notice\n\n{}", "a@b.test\n".repeat(100_000)),
        format!("From: mailer-daemon\nSubject: failure notice\n\n{}", "@".repeat(1_000_000)),
        format!("Final-Recipient: a@b\nAction: x\n\n{}", "Final-Recipient: a@b\n\n".repeat(50_000)),
    ] {
        survive(&content);
    }
}

/// As large as mail gets.
#[test]
fn hostile_size_costs_little() {
    let part = "Content-Type: multipart/mixed; boundary=x\n\n--x\n";
    let body = "Lorem ipsum --dolor sit amet, consetetur\n".repeat(25 * 1024 * 1024 / 41);
    let absent: String = (0..50)
        .map(|it| format!("--x\nContent-Type: multipart/mixed; boundary=m{it}\n\n"))
        .collect();
    let endless: String = (0..50)
        .map(|it| format!("Content-Type: multipart/mixed; boundary=m{it}\n\n--m{it}\n"))
        .collect();
    for content in [
        "Content-Type: message/rfc822; name=a; charset=b; format=c\n\n".repeat(500_000),
        format!("{part}{}", "--x\n\na\n".repeat(100_000)),
        format!("{part}{}", "--x\nContent-Type: image/png\n\na\n".repeat(100_000)),
        format!("{part}{absent}{body}"),
        format!("{endless}{body}"),
        "a:\n".repeat(10_000_000),
        format!("{part}--x\n{}", "a:\n".repeat(10_000_000)),
        format!("Content-Type: text/plain{}", "; a*1=b".repeat(3_000_000)),
    ] {
        survive(&content);
    }
}

/// What is not linear takes hours here, and the test runner ends it.
fn survive(content: &str) {
    let begun = Instant::now();
    sound(content.as_bytes());
    mail::report(content.as_bytes());
    eprintln!("{:?} {:?}", begun.elapsed(), &content[..content.len().min(60)]);
}

#[test]
fn parts_are_capped_and_the_rest_is_read() {
    let mut content = String::from("Content-Type: multipart/mixed; boundary=x\n\n--x\n\nHello\n");
    content += &"--x\nContent-Type: image/png\n\na\n".repeat(2000);
    let message = sound(content.as_bytes());
    assert_eq!(message.text, "Hello");
    assert!((900..=1000).contains(&message.attachments.len()), "{}", message.attachments.len());
}
