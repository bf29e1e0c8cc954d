//! `mail.v1.send.>` → check, score, search for secrets → `outbound.scanned`

use std::sync::Arc;

use bus::{Claims, Failure, Stage, Uploads};
use contract::{OnUnknown, Rejection, SendRequest, Submission, SubmissionScanned};
use mail::Timing;

use crate::{
    judge::{Judge, Judged, Read},
    leaks::Leaks,
};

pub(crate) struct SubmissionScanner {
    pub(crate) claims: Claims,
    pub(crate) uploads: Uploads,
    pub(crate) judge: Judge,
    pub(crate) leaks: Leaks,
}

impl Stage for SubmissionScanner {
    const DURABLE: &'static str = "submission-scanner";
    type In = Submission;
    type Out = SubmissionScanned;

    async fn handle(&self, submission: Submission) -> Result<SubmissionScanned, Failure> {
        let octets = self.claims.get(&submission.request).await?;
        let mut scanned = SubmissionScanned {
            mail_id: submission.mail_id(),
            account_id: submission.account_id,
            inbox_id: submission.inbox_id,
            idempotency_key: submission.idempotency_key,
            requested_at_micros: submission.requested_at_micros,
            request: Some(submission.request),
            rejection: None,
            verdict: None,
            send_at_micros: 0,
            expires_at_micros: 0,
            on_unknown: OnUnknown::Unspecified.into(),
            token: submission.token.unwrap_or_default(),
            trace: None,
        };
        // The ledger removes a claim once the request is entered, so this one has come again; if not, the
        // ledger parks it. Nothing that was not scanned is sent.
        let Some(octets) = octets else {
            scanned.rejection = Some(gone());
            return Ok(scanned);
        };
        match self.request(&scanned, &octets).await? {
            Ok(request) => {
                let timing = Timing::of(&request, scanned.requested_at_micros);
                scanned.send_at_micros = timing.send_at.unwrap_or(0);
                scanned.expires_at_micros = timing.expires_at.unwrap_or(0);
                scanned.set_on_unknown(mail::on_unknown(&request).unwrap_or_default());
                let shared = Arc::new(request);
                let request = Arc::clone(&shared);
                let judged =
                    self.judge.outgoing(move |limit| mail::request_surfaces(&request, limit));
                let Judged { mut verdict, read, .. } = judged.await?;
                let documents = read.as_ref().map(Read::documents).unwrap_or_default();
                self.leaks.note(shared, read, &mut verdict).await?;
                if !documents.is_empty() {
                    let key = format!("{}.documents", scanned.mail_id);
                    verdict.documents = Some(self.claims.put(&key, documents.into()).await?);
                }
                scanned.verdict = Some(verdict);
            }
            Err(rejection) => scanned.rejection = Some(rejection),
        }
        Ok(scanned)
    }
}

impl SubmissionScanner {
    /// With what it names as uploaded, which is judged like what is in it.
    async fn request(
        &self,
        scanned: &SubmissionScanned,
        octets: &[u8],
    ) -> Result<Result<SendRequest, Rejection>, Failure> {
        let at = scanned.requested_at_micros;
        let mut request = match read(octets, at) {
            Ok(request) => request,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let resolved = self.uploads.resolve(&scanned.account_id, &mut request, at).await?;
        Ok(resolved.and_then(|()| mail::check_size(&request)).map(|()| request))
    }
}

fn gone() -> Rejection {
    Rejection {
        code: "unavailable".to_owned(),
        message: "The request's content could not be read: send it again under another key."
            .to_owned(),
    }
}

/// The request, if it can be honoured.
fn read(json: &[u8], now: i64) -> Result<SendRequest, Rejection> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let request: SendRequest =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|err| {
            invalid(match err.path().to_string().as_str() {
                // So the path says that no field is to blame.
                "." | "?" => format!("not a SendRequest in JSON: {}", err.inner()),
                path => format!("{path}: {}", err.inner()),
            })
        })?;
    deserializer.end().map_err(|err| invalid(err.to_string()))?;
    mail::check(&request, now)?;
    Ok(request)
}

fn invalid(message: String) -> Rejection {
    Rejection { code: "invalid_request".to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(json: &str, message: &str) {
        let rejection = read(json.as_bytes(), 0).expect_err("refuse");
        assert_eq!(rejection.code, "invalid_request");
        assert!(rejection.message.starts_with(message), "{}", rejection.message);
    }

    #[test]
    fn takes_what_can_be_sent() {
        let json = r#"{"to":["a@x.test"],"subject":"Hi","body":{"text":"Hi"}}"#;
        assert_eq!(read(json.as_bytes(), 0).expect("read").to, ["a@x.test"]);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        refused("", "not a SendRequest in JSON: EOF");
        refused(r#"{"to":"a@x.test"}"#, r#"to: invalid type: string "a@x.test""#);
        refused(r#"{"to":["a@x.test",5]}"#, "to[1]: invalid type: integer `5`");
        refused(r#"{"bdoy":{}}"#, "bdoy: unknown field `bdoy`");
        refused(r#"{"headers":{"X-A":1}}"#, "headers.X-A: invalid type: integer `1`");
        refused(r#"{"ttlSeconds":-1}"#, "ttlSeconds: invalid value: integer `-1`");
        refused(r#"{"to":["a"]}"#, "to[0]: \"a\" is not an address");
        refused(
            r#"{"to":["a@x.test"],"attachments":[{"filename":"a","content":"%"}]}"#,
            "attachments[0].content: not base64",
        );
        refused(r#"{"to":["a@x.test"],"subject":"a","body":{"text":"a"}} x"#, "trailing");
    }
}
