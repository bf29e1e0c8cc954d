//! Real mail of all kinds, octet for octet.

use std::collections::BTreeMap;

use anyhow::Context as _;
use e2e::{Agent, Cluster, Inbox, SOON, corpora, crlf, emails_of, eventually};

/// Those whose files are whole mails.
const CORPORA: [&str; 11] = [
    "arc",
    "bounces-sisimai",
    "calendar-imip",
    "dkim",
    "mime-consensus",
    "mime-mail-parser",
    "mime-mime4j",
    "otp-verification",
    "reports-dmarc-tlsrpt",
    "reports-misc",
    "threading",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_mail_comes_out_as_it_went_in() -> anyhow::Result<()> {
    let Some(folder) = corpora() else { return Ok(()) };
    let cluster = Cluster::start().await?;
    let agent = cluster.api()?.sign_up().await?;
    for corpus in CORPORA {
        let inbox = agent.inbox().await?;
        let mails: Vec<_> = emails_of(&folder.join(corpus))?
            .into_iter()
            .map(|(path, octets)| (path, crlf(&octets)))
            .collect();
        let mut smtp = cluster.connect().await?;
        for (path, octets) in &mails {
            let reply = smtp.send("corpus@example.com", &[&inbox.address], octets).await?;
            assert_eq!(reply.code, 250, "{}: {reply:?}", path.display());
        }
        let stored = originals(&agent, &inbox, mails.len()).await.context(corpus)?;
        for (path, octets) in &mails {
            let is_there = stored.keys().any(|it| it.ends_with(octets));
            assert!(is_there, "{} came out changed", path.display());
        }
        assert!(stored.values().all(|count| *count == 1), "{corpus}: stored twice");
    }
    cluster.stop().await
}

/// The originals of all mails of an inbox, once it has as many as expected, with how often each is
/// there. Trace header lines make every one different.
async fn originals(
    agent: &Agent,
    inbox: &Inbox,
    count: usize,
) -> anyhow::Result<BTreeMap<Vec<u8>, usize>> {
    let emails = eventually(SOON, "every mail to be stored", async || {
        let emails = agent.emails(inbox).await?;
        Ok((emails.len() >= count).then_some(emails))
    })
    .await?;
    assert_eq!(emails.len(), count);
    let mut originals = BTreeMap::new();
    for email in &emails {
        *originals.entry(agent.raw(inbox, email).await?).or_default() += 1;
    }
    Ok(originals)
}
