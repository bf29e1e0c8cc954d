//! `inbound.received` → read, authenticate, score → `inbound.scanned`

use std::sync::Arc;

use anyhow::Context as _;
use bus::{Claims, Failure, Stage};
use contract::{Authentication, MailReceived, MailScanned, Reason, Verdict};
use tokio::task::spawn_blocking;

use crate::{
    attachments,
    authenticate::Authenticator,
    judge::{Judge, Judged},
};

/// Text beyond this stays in the content; storage reads the whole from there.
const TEXT_LIMIT: usize = 256 * 1024;

pub(crate) struct MailScanner {
    pub(crate) claims: Claims,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) judge: Judge,
}

impl Stage for MailScanner {
    const DURABLE: &'static str = "scanner";
    type In = MailReceived;
    type Out = MailScanned;

    async fn handle(&self, mail: MailReceived) -> Result<MailScanned, Failure> {
        let content = mail.content.as_ref().context("no content").map_err(Failure::Permanent)?;
        let octets = self
            .claims
            .get(content)
            .await?
            .context("the content's claim is gone")
            .map_err(Failure::Permanent)?;
        let parsed = spawn_blocking({
            let octets = octets.clone();
            move || (mail::parse(&octets, TEXT_LIMIT), mail::link_hosts(&octets))
        });
        let judged = self.judge.judged({
            let octets = octets.clone();
            move |limit| mail::surfaces(&octets, limit)
        });
        let envelope = mail.envelope.as_ref();
        let authentication = self.authenticator.authenticate(
            mail.peer.clone().unwrap_or_default(),
            envelope.map(|it| it.reverse_path.clone()).unwrap_or_default(),
            octets,
        );
        let (parsed, judged, authentication) = tokio::join!(parsed, judged, authentication);
        let (mut message, link_hosts) = parsed.context("read the message")?;
        let Judged { mut verdict, texts } = judged?;
        attachments::tell(texts, &mut message.attachments);
        if authentication.spoofed {
            flag_spoofed(&mut verdict, &authentication.results);
        }
        Ok(MailScanned {
            message: Some(message),
            link_hosts,
            verdict: Some(verdict),
            authentication: Some(authentication.results),
            mail_id: mail.mail_id,
            envelope: mail.envelope,
            peer: mail.peer,
            content: mail.content,
            received_at_micros: mail.received_at_micros,
        })
    }
}

/// That the From domain disowns the mail says nothing of injections, so the score stays.
fn flag_spoofed(verdict: &mut Verdict, results: &Authentication) {
    const FLAG: &str = "spoofed_sender";
    verdict.flags.push(FLAG.to_owned());
    verdict.reasons.push(Reason {
        detector: "dmarc".to_owned(),
        version: "1".to_owned(),
        flag: FLAG.to_owned(),
        part: "from".to_owned(),
        excerpt: results.from_domain.clone(),
        explanation: "The domain in From asks that mail like this, which it did not authorise, is \
                      not believed (DMARC)."
            .to_owned(),
        ..Reason::default()
    });
}
