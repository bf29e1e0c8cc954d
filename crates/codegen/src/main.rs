//! Generates `contract/src/gen` from `proto/`.
//!
//! A crate of its own, because it has to run when `contract` does not compile.

use std::path::{Path, PathBuf};

const FILES: [&str; 9] = [
    "posthouse/v1/mail.proto",
    "posthouse/v1/inbound.proto",
    "posthouse/v1/outbound.proto",
    "posthouse/v1/agent.proto",
    "posthouse/v1/bundle.proto",
    "posthouse/v1/expectation.proto",
    "posthouse/v1/review.proto",
    "posthouse/v1/trace.proto",
    "posthouse/v1/webhooks.proto",
];

/// The messages that also travel as JSON, those that agents write first.
const READ_AS_JSON: [&str; 4] = ["SendRequest", "SendBody", "SendAttachment", "SendList"];
const WRITTEN_AS_JSON: [&str; 21] = [
    "Event",
    "InboxEvent",
    "Standing",
    "Figures",
    "Email",
    "EmailDecision",
    "EmailAttachment",
    "EmailSecurity",
    "SecurityReason",
    "RecipientResult",
    "EmailError",
    "Expectation",
    "ExpectationCandidate",
    "PassedOver",
    "AutoReply",
    "Hold",
    "HoldReason",
    "InboxSummary",
    "DomainSummary",
    "DomainProblem",
    "WebhookSummary",
];

fn main() -> anyhow::Result<()> {
    generate(&contract().join("src/gen"))
}

fn generate(out_dir: &Path) -> anyhow::Result<()> {
    let files = protox::compile(FILES, [contract().join("../../proto")])?;
    let mut config = prost_build::Config::new();
    config
        .out_dir(out_dir)
        .bytes([".posthouse.v1.Content", ".posthouse.v1.BundledMessage"])
        // Ordered, so that the same request is the same octets.
        .btree_map([".posthouse.v1.SendRequest"]);
    for message in READ_AS_JSON.iter().chain(&WRITTEN_AS_JSON) {
        config
            .message_attribute(
                format!(".posthouse.v1.{message}"),
                "#[derive(serde::Deserialize, serde::Serialize, utoipa::ToSchema)]",
            )
            .message_attribute(
                format!(".posthouse.v1.{message}"),
                "#[serde(rename_all = \"camelCase\", default)]",
            );
    }
    for message in READ_AS_JSON {
        // A field nobody knows is a wish nobody would fulfil.
        config
            .message_attribute(format!(".posthouse.v1.{message}"), "#[serde(deny_unknown_fields)]");
    }
    for field in ["SendRequest.content", "SendAttachment.content"] {
        let field = format!(".posthouse.v1.{field}");
        config
            .field_attribute(&field, "#[serde(with = \"crate::base64\")]")
            .field_attribute(&field, "#[schema(value_type = String, format = Byte)]");
    }
    for (field, absent) in [
        ("EmailAttachment.download_url", "Option::is_none"),
        ("EmailAttachment.text", "Option::is_none"),
        ("EmailAttachment.text_truncated", "std::ops::Not::not"),
        ("Email.idempotency_key", "Option::is_none"),
        ("Email.recipients", "Vec::is_empty"),
        ("Email.error", "Option::is_none"),
        ("Email.repeated", "std::ops::Not::not"),
        ("Email.body_differs", "std::ops::Not::not"),
        ("Email.auto_reply", "Option::is_none"),
        ("AutoReply.reason", "String::is_empty"),
        ("Expectation.in_reply_to", "Option::is_none"),
        ("Expectation.from_domain", "Option::is_none"),
        ("Expectation.settled_at", "Option::is_none"),
        ("Expectation.email_id", "Option::is_none"),
        ("Expectation.code", "Option::is_none"),
        ("Expectation.link", "Option::is_none"),
        ("Expectation.candidates", "Vec::is_empty"),
        ("Expectation.passed_over", "Option::is_none"),
        ("ExpectationCandidate.code", "Option::is_none"),
        ("ExpectationCandidate.link", "Option::is_none"),
        ("Email.hold", "Option::is_none"),
        ("Hold.expires_at", "Option::is_none"),
        ("Hold.decided_at", "Option::is_none"),
        ("Hold.decided_by", "Option::is_none"),
        ("Hold.note", "Option::is_none"),
        ("HoldReason.email_id", "Option::is_none"),
        ("SendAttachment.upload_id", "String::is_empty"),
        ("Email.held_reason", "Option::is_none"),
        ("Email.held_until", "Option::is_none"),
        ("Email.send_at", "Option::is_none"),
        ("Email.sender_authenticated", "Option::is_none"),
        ("Email.decision", "Option::is_none"),
        ("Email.attempts", "Option::is_none"),
        ("Email.set_aside_at", "Option::is_none"),
        ("Email.set_aside_reason", "Option::is_none"),
        ("EmailSecurity.action", "Option::is_none"),
        ("EmailSecurity.first_contact", "Option::is_none"),
    ] {
        config.field_attribute(
            format!(".posthouse.v1.{field}"),
            format!("#[serde(skip_serializing_if = \"{absent}\")]"),
        );
    }
    config.compile_fds(files)?;
    Ok(())
}

fn contract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_code_is_current() {
        let scratch = tempfile::tempdir().expect("create scratch directory");
        generate(scratch.path()).expect("generate");

        let read = |dir: &Path| std::fs::read_to_string(dir.join("posthouse.v1.rs")).expect("read");
        let is_current = read(scratch.path()) == read(&contract().join("src/gen"));
        assert!(is_current, "proto/ changed: run `just gen` and commit the result");
    }
}
