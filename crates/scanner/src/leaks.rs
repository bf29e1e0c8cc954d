//! Secrets in what agents send, as reasons of the verdict. They leave the score alone: it says how likely
//! a mail gives orders.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use contract::{Reason, SendRequest, Verdict};
use injection::secrets::{Secret, Secrets};
use mail::Outgoing;
use tokio::{task::spawn_blocking, time::timeout};

use crate::judge::Read;

/// The octets of text that are searched.
const MAX_TEXT: usize = 16 * 1024 * 1024;

const FLAG: &str = "outbound_secret";

/// Begins the names of the detectors; what follows says what was found.
const DETECTOR: &str = "secret";

/// What was not searched may have one.
const UNSEARCHED: &str = "secret/not_searched";

#[derive(Clone)]
pub(crate) struct Leaks {
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) budget: Duration,
}

impl Leaks {
    /// Adds what is found to a verdict. `read` is what was read already, and what documents say.
    pub(crate) async fn note(
        &self,
        request: Arc<SendRequest>,
        read: Option<Read>,
        verdict: &mut Verdict,
    ) -> anyhow::Result<()> {
        let secrets = Arc::clone(&self.secrets);
        let search = spawn_blocking(move || search(&secrets, &request, read, MAX_TEXT));
        // A search that is over its time is left alone: what it reads is bounded, so it ends.
        let reasons = match timeout(self.budget, search).await {
            Ok(found) => found.context("search for secrets")?,
            Err(_) => vec![unsearched("The search for secrets took longer than its time.")],
        };
        if reasons.is_empty() {
            return Ok(());
        }
        // Others show what stands around a passage, which may be the secret.
        verdict.reasons.iter_mut().for_each(|it| it.excerpt.clear());
        verdict.flags.push(FLAG.to_owned());
        verdict.reasons.extend(reasons);
        Ok(())
    }
}

fn search(
    secrets: &Secrets,
    request: &SendRequest,
    read: Option<Read>,
    limit: usize,
) -> Vec<Reason> {
    let Read { mut parts, names, own, truncated } = read.unwrap_or_default();
    let documents = parts.split_off(own);
    // The search for orders reads less.
    let Outgoing { mut parts, truncated, .. } = match own > 0 && !truncated {
        true => Outgoing::of(request, parts, limit),
        false => mail::outgoing_texts(request, limit),
    };
    let texts = parts.len();
    parts.extend(documents);
    let named = |it: &Secret| match it.part.checked_sub(texts) {
        Some(at) => names.get(own + at).map_or("", String::as_str),
        None => parts[it.part].kind.name(),
    };
    let found = secrets.find(&parts).into_iter();
    let mut reasons: Vec<Reason> =
        found.map(|it| (named(&it).to_owned(), it)).map(|(part, it)| reason(it, part)).collect();
    if truncated {
        reasons.push(unsearched("There is more text than is searched for secrets."));
    }
    reasons
}

fn reason(secret: Secret, part: String) -> Reason {
    let octets = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    Reason {
        detector: format!("{DETECTOR}/{}", secret.kind),
        version: injection::VERSION.to_owned(),
        flag: FLAG.to_owned(),
        part,
        start: octets(secret.span.start),
        end: octets(secret.span.end),
        excerpt: secret.masked,
        explanation: secret.explanation.to_owned(),
        weight: 0.0,
    }
}

fn unsearched(explanation: &str) -> Reason {
    Reason {
        detector: UNSEARCHED.to_owned(),
        version: injection::VERSION.to_owned(),
        flag: FLAG.to_owned(),
        explanation: explanation.to_owned(),
        ..Reason::default()
    }
}

#[cfg(test)]
mod tests {
    use contract::SendBody;
    use injection::{Kind, Part};

    use super::*;

    fn request(text: &str) -> SendRequest {
        let body = Some(SendBody { text: text.to_owned(), html: String::new() });
        SendRequest { to: vec!["a@x.test".to_owned()], body, ..SendRequest::default() }
    }

    async fn noted(text: &str, budget: Duration) -> Verdict {
        let leaks = Leaks { secrets: Arc::new(Secrets::new()), budget };
        let other = Reason { excerpt: "around".to_owned(), ..Reason::default() };
        let mut verdict = Verdict { score: 0.25, reasons: vec![other], ..Verdict::default() };
        leaks.note(Arc::new(request(text)), None, &mut verdict).await.expect("note");
        verdict
    }

    #[tokio::test]
    async fn a_secret_is_a_reason_and_nobody_repeats_it() {
        let verdict = noted("password: Tr0ub4dor&3x", Duration::from_secs(60)).await;
        assert_eq!((verdict.score, &*verdict.flags), (0.25, &[FLAG.to_owned()][..]));
        assert_eq!(verdict.reasons[0].excerpt, "");
        let reason = &verdict.reasons[1];
        assert_eq!((&*reason.detector, &*reason.part), ("secret/password", "text"));
        assert_eq!((reason.start, reason.end), (10, 22));
        assert!(!reason.excerpt.contains("Tr0u"), "{}", reason.excerpt);
    }

    #[tokio::test]
    async fn an_ordinary_mail_is_left_as_it_is() {
        let verdict = noted("Lunch at noon?", Duration::from_secs(60)).await;
        assert_eq!((verdict.flags.len(), verdict.reasons.len()), (0, 1));
        assert_eq!(verdict.reasons[0].excerpt, "around");
    }

    #[test]
    fn what_was_read_is_searched_once_and_documents_with_it() {
        let part = |text: &str| Part { kind: Kind::Attached, text: text.to_owned() };
        let read = Read {
            parts: vec![part("passphrase: Str0ng&Secret9"), part("password: Tr0ub4dor&3x")],
            names: vec!["text".to_owned(), "attached:plan.pdf".to_owned()],
            own: 1,
            truncated: false,
        };
        let of = |read| -> Vec<(String, String)> {
            let reasons = search(&Secrets::new(), &request("Lunch?"), Some(read), MAX_TEXT);
            reasons.into_iter().map(|it| (it.detector, it.part)).collect()
        };
        let in_document = ("secret/password".to_owned(), "attached:plan.pdf".to_owned());
        assert_eq!(of(read.clone()).last(), Some(&in_document));
        // What was read is not all there is, so the request is read.
        assert_eq!(of(Read { truncated: true, ..read }), [in_document]);
    }

    #[tokio::test]
    async fn what_was_not_searched_is_told() {
        let long = "Nothing to see. ".repeat(60_000);
        let reasons = search(&Secrets::new(), &request(&long), None, 1_000);
        assert_eq!(reasons.last().map(|it| &*it.detector), Some(UNSEARCHED));
        let verdict = noted(&long, Duration::ZERO).await;
        assert_eq!(verdict.reasons[1].detector, UNSEARCHED);
    }
}
