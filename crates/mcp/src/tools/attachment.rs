//! What is in an attached document.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    api::{Api, Call, Id, ask},
    refusal::Refusal,
    tool::{About, READS_MAIL, Reply, Tool},
    tools::read::{CHARACTERS, MOST_CHARACTERS},
    untrusted::{Untrusted, part},
    view::Mail,
};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReadAttachment {
    email_id: Id,
    /// Of `attachments` in read_email's answer, from 0.
    index: usize,
    /// Of the answer before: `nextOffset`.
    offset: Option<usize>,
    /// 16000 without, 64000 at most.
    max_characters: Option<usize>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentText {
    email_id: String,
    index: usize,
    size_bytes: u64,
    /// false: its kind is not read, or there is no text in it. Its octets are behind downloadUrl.
    has_text: bool,
    /// Characters of the text that is kept.
    characters: usize,
    /// The text goes on from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<usize>,
    /// There is more text than is kept.
    truncated: bool,
    /// Needs no token and expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    download_url: Option<String>,
}

impl Tool for ReadAttachment {
    const ABOUT: About = About {
        name: "read_attachment",
        title: "Read an attachment",
        description: "The text of an attached document (PDF, office documents, calendars, text), fenced, \
                      and a link to its octets. A long text comes in parts.",
        hints: READS_MAIL,
    };
    type Output = AttachmentText;

    async fn run<A: Api>(self, api: &A) -> Result<Reply<AttachmentText>, Refusal> {
        let mail: Mail = ask(api, Call::get(format!("/v1/emails/{}", self.email_id))).await?;
        let attachment = mail.attachments.get(self.index).ok_or_else(|| {
            let count = mail.attachments.len();
            Refusal::argument("index", format!("this email has {count} attachments, from 0 on"))
        })?;
        let text = attachment.text.as_deref().unwrap_or_default();
        let text = reading::plain_text(text, usize::MAX);
        let most = self.max_characters.unwrap_or(CHARACTERS).clamp(100, MOST_CHARACTERS);
        let part = part(&text, self.offset.unwrap_or_default(), most);

        let mut words = Untrusted::default();
        words.field("File", &attachment.filename);
        words.field("Type", &attachment.content_type);
        if !part.text.is_empty() {
            words.lines("");
            words.lines(&part.text);
        }
        let facts = AttachmentText {
            email_id: mail.id,
            index: self.index,
            size_bytes: attachment.size_bytes,
            has_text: !text.is_empty(),
            characters: part.characters,
            next_offset: part.next_offset,
            truncated: attachment.text_truncated,
            download_url: attachment.download_url.clone(),
        };
        Ok(Reply { facts, words })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::Fake;

    #[tokio::test]
    async fn a_document_is_read_in_parts() {
        let api = Fake::default();
        let text = format!("{}END\u{200b}", "x".repeat(150));
        let mail = json!({ "id": "eml_1", "attachments": [
            { "filename": "a.bin", "contentType": "application/x-data", "sizeBytes": 9 },
            { "filename": "a.pdf", "contentType": "application/pdf", "sizeBytes": 9, "text": text },
        ]});
        api.answer("GET /v1/emails/eml_1", 200, &mail);
        let read = async |index: usize, offset: usize| {
            let given = json!({ "emailId": "eml_1", "index": index, "offset": offset, "maxCharacters": 100 });
            let reply = api.run::<ReadAttachment>(given).await?;
            Ok::<_, Refusal>((reply.facts, reply.words.fenced()?.unwrap_or_default()))
        };
        let (facts, words) = read(1, 0).await.expect("read");
        assert_eq!((facts.characters, facts.next_offset, facts.has_text), (153, Some(100), true));
        assert!(words.contains("| File: a.pdf\n| Type: application/pdf\n|\n| xxx"), "{words}");
        let (facts, words) = read(1, 100).await.expect("read");
        assert!(facts.next_offset.is_none() && words.contains("xEND\n"), "{words}");
        assert!(!read(0, 0).await.expect("read").0.has_text);
        assert_eq!(read(2, 0).await.err().expect("refuse").code, "invalid_argument");
    }
}
