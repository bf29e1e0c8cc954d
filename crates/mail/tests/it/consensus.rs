use aws_lc_rs::digest;
use contract::{Mailbox, Message};
use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::corpus;

/// Fields on which at least three of four independent parsers agree.
#[test]
fn reads_what_other_parsers_agree_on() {
    let Some(corpus) = corpus::open("mime-consensus") else { return };
    let (mut right, mut all, mut whole, mut files) = (0, 0, 0, 0);
    for (file, content, line) in corpus.files() {
        let read = Reading::of(&content);
        let mut expected = line["expected"].as_object().expect("object").clone();
        // A Message does not say whether it was HTML.
        expected.remove("has_html");
        let missed: Vec<&String> = expected
            .iter()
            .filter(|(field, value)| !read.agrees(field, value))
            .map(|it| it.0)
            .collect();
        for field in &missed {
            eprintln!("{file}: {field}: expected {} read {}", expected[*field], read.shown(field));
        }
        all += expected.len();
        right += expected.len() - missed.len();
        whole += usize::from(missed.is_empty());
        files += 1;
    }
    eprintln!(
        "mime-consensus: {right} of {all} fields, {whole} of {files} messages without a miss"
    );
    // 1,735 of 1,757 over the whole corpus.
    assert!(right * 1757 >= all * 1735, "{right} of {all}");
}

struct Reading {
    message: Message,
    attachments: Vec<(String, String)>,
}

impl Reading {
    fn of(content: &[u8]) -> Reading {
        let message = mail::parse(content, usize::MAX);
        let attachments = (0..message.attachments.len())
            .map(|it| mail::part(content, it).expect("part"))
            .map(|it| {
                let hash = digest::digest(&digest::SHA256, &it.octets);
                (it.filename, HEXLOWER.encode(hash.as_ref()))
            })
            .collect();
        Reading { message, attachments }
    }

    fn agrees(&self, field: &str, expected: &Value) -> bool {
        let message = &self.message;
        match field {
            "from" => addresses(&message.from) == strings(expected),
            "to" => addresses(&message.to) == strings(expected),
            "cc" => addresses(&message.cc) == strings(expected),
            "subject" => collapsed(&message.subject) == text(expected),
            "message_id" => message.message_id == text(expected),
            "date" => {
                Some(message.date_micros / 1_000_000) == expected.as_i64()
                    || (expected.is_null() && message.date_micros == 0)
            }
            "text_ws_collapsed" => collapsed(&message.text).starts_with(text(expected)),
            "attachments" => {
                let mut read: Vec<&str> = self.attachments.iter().map(|it| it.1.as_str()).collect();
                let mut wanted: Vec<&str> = expected
                    .as_array()
                    .expect("array")
                    .iter()
                    .map(|it| it["sha256"].as_str().or(it.as_str()).expect("hash"))
                    .collect();
                read.sort_unstable();
                wanted.sort_unstable();
                read == wanted
            }
            _ => panic!("{field}"),
        }
    }

    fn shown(&self, field: &str) -> String {
        let message = &self.message;
        match field {
            "from" => format!("{:?}", message.from),
            "to" => format!("{:?}", message.to),
            "cc" => format!("{:?}", message.cc),
            "subject" => message.subject.clone(),
            "message_id" => message.message_id.clone(),
            "date" => message.date_micros.to_string(),
            "text_ws_collapsed" => collapsed(&message.text),
            _ => format!("{:?} {:?}", self.attachments, message.attachments),
        }
    }
}

fn addresses(mailboxes: &[Mailbox]) -> Vec<String> {
    mailboxes.iter().map(|it| it.address.to_lowercase()).collect()
}

fn strings(expected: &Value) -> Vec<String> {
    expected.as_array().expect("array").iter().map(|it| text(it).to_owned()).collect()
}

fn text(expected: &Value) -> &str {
    expected.as_str().unwrap_or_default()
}

fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
