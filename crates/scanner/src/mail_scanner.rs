//! `inbound.received` → read, authenticate, score → `inbound.scanned`

use std::sync::Arc;

use anyhow::Context as _;
use bus::{Claims, Failure, Stage};
use contract::{Authentication, MailReceived, MailScanned, Mentions, Reason, Verdict};
use injection::{Part, Sample};
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
        let Some(octets) = self.claims.get(content).await? else {
            return Ok(unread(mail));
        };
        let parsed = spawn_blocking({
            let octets = octets.clone();
            move || mail::parse(&octets, TEXT_LIMIT)
        });
        let judged = self.judge.mail(octets.clone());
        let envelope = mail.envelope.as_ref();
        let authentication = self.authenticator.authenticate(
            mail.peer.clone().unwrap_or_default(),
            envelope.map(|it| it.reverse_path.clone()).unwrap_or_default(),
            octets.clone(),
        );
        let (parsed, judged, authentication) = tokio::join!(parsed, judged, authentication);
        let message = parsed.context("read the message")?;
        let Judged { mut verdict, texts, read, .. } = judged?;
        let is_suspicious = mail::is_suspicious(&verdict);
        let naming = spawn_blocking(move || {
            let parts = read.map_or_else(|| beginning(&octets), |it| it.parts);
            let items = mail::named_items(&message, &parts, is_suspicious);
            (message, mail::link_hosts(&parts), items)
        });
        let (mut message, link_hosts, items) = naming.await.context("read what the mail names")?;
        attachments::tell(texts, &mut message.attachments);
        if authentication.spoofed {
            flag_spoofed(&mut verdict, &authentication.results);
        }
        Ok(MailScanned {
            message: Some(message),
            link_hosts,
            mentions: Some(Mentions { items }),
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

/// A mail whose content is gone. Storage removes that once it has the mail, so this one has come again; if
/// not, storage parks it.
fn unread(mail: MailReceived) -> MailScanned {
    MailScanned {
        mail_id: mail.mail_id,
        envelope: mail.envelope,
        peer: mail.peer,
        content: mail.content,
        received_at_micros: mail.received_at_micros,
        ..MailScanned::default()
    }
}

/// What it says, of a mail that took too long to be searched.
fn beginning(octets: &[u8]) -> Vec<Part> {
    Sample::from(mail::surfaces(octets, TEXT_LIMIT)).parts
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
