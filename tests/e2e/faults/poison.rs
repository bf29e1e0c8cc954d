//! What no stage can do anything with, or what kills whoever reads it.

use anyhow::{Context as _, ensure};
use async_nats::{HeaderMap, jetstream};
use contract::{Content, Envelope, ForwardPath, MailReceived, content::Place};
use data_encoding::BASE64;
use e2e::{Cluster, Inbox};
use lopdf::{Dictionary, Document, Object, Stream, dictionary};
use prost::Message as _;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Poison {
    /// Octets that are no event, where scanners read.
    Received,
    /// The same where storage reads.
    Scanned,
    /// An event whose content is in no bucket.
    Contentless,
    /// A mail with a document that takes more memory than a reader may have.
    Document,
}

impl Poison {
    pub(crate) const ALL: [Poison; 4] =
        [Poison::Received, Poison::Scanned, Poison::Contentless, Poison::Document];

    /// How many messages it leaves in DEAD in the end; the mail with the document is stored.
    pub(crate) fn parked(self) -> usize {
        match self {
            Poison::Received | Poison::Scanned | Poison::Contentless => 1,
            Poison::Document => 0,
        }
    }

    pub(crate) async fn give(
        self,
        cluster: &Cluster,
        inbox: &Inbox,
        n: usize,
    ) -> anyhow::Result<()> {
        let id = format!("poison-{n}");
        match self {
            Poison::Received => {
                publish(cluster, "inbound.received", &id, b"\xff poison".into()).await
            }
            Poison::Scanned => {
                publish(cluster, "inbound.scanned", &id, b"\xff poison".into()).await
            }
            Poison::Contentless => {
                let place = Some(Place::Claim(format!("mail/{id}")));
                let content = Some(Content { size_bytes: 1, place });
                let path = ForwardPath {
                    address: inbox.address.clone(),
                    inbox_id: inbox.id.clone(),
                    email_id: format!("eml_{id}"),
                    ..Default::default()
                };
                let envelope = Envelope { forward_paths: vec![path], ..Default::default() };
                let (mail_id, envelope) = (id.clone(), Some(envelope));
                let mail = MailReceived { mail_id, envelope, content, ..Default::default() };
                publish(cluster, "inbound.received", &id, mail.encode_to_vec()).await
            }
            Poison::Document => deliver(cluster, inbox, &id).await,
        }
    }
}

async fn publish(
    cluster: &Cluster,
    subject: &str,
    id: &str,
    payload: Vec<u8>,
) -> anyhow::Result<()> {
    let addresses = cluster.nats_urls();
    let addresses: Vec<&str> = addresses.split(',').collect();
    let client = async_nats::connect(addresses).await.context("connect to NATS")?;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", id);
    let ack = jetstream::new(client)
        .publish_with_headers(subject.to_owned(), headers, payload.into())
        .await
        .context("publish poison")?;
    ack.await.context("wait for the ack of poison")?;
    Ok(())
}

async fn deliver(cluster: &Cluster, inbox: &Inbox, id: &str) -> anyhow::Result<()> {
    let hog = hog()?;
    ensure!(hog.len() < 1_000_000, "{} octets", hog.len());
    let content = format!(
        "From: poison@example.com\r\nSubject: {id}\r\nContent-Type: multipart/mixed; boundary=b\r\n\
         \r\n--b\r\n\r\nSee the file.\r\n--b\r\nContent-Type: application/pdf\r\n\
         Content-Disposition: attachment; filename=hog.pdf\r\nContent-Transfer-Encoding: base64\r\n\
         \r\n{}\r\n--b--\r\n",
        lines_of(&BASE64.encode(&hog))
    );
    let mut smtp = cluster.connect().await?;
    let reply = smtp.send("poison@example.com", &[&inbox.address], content.as_bytes()).await?;
    ensure!(reply.code == 250, "poison was answered with {reply:?}");
    Ok(())
}

fn lines_of(text: &str) -> String {
    let lines = text.as_bytes().chunks(76).map(String::from_utf8_lossy);
    lines.collect::<Vec<_>>().join("\r\n")
}

/// A PDF, small as it comes, whose page is 4 GB when it is put together.
fn hog() -> anyhow::Result<Vec<u8>> {
    let mut document = Document::with_version("1.5");
    let tree = document.new_object_id();
    let content = document.add_object(Stream::new(dictionary! {}, vec![b' '; 20_000_000]));
    let contents: Vec<Object> = vec![content.into(); 200];
    let page = document.add_object(dictionary! {
        "Type" => "Page", "Parent" => tree, "Contents" => contents,
        "Resources" => Dictionary::new(),
        "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
    });
    let pages = dictionary! { "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1 };
    document.objects.insert(tree, Object::Dictionary(pages));
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    document.trailer.set("Root", catalog);
    document.compress();
    let mut octets = Vec::new();
    document.save_to(&mut octets).context("save a PDF")?;
    Ok(octets)
}
