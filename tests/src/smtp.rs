//! An SMTP client that does as it is told, so that tests can tell it wrong things too.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use data_encoding::BASE64;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Longer than the server takes to answer 451 when NATS is away.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Reply {
    pub code: u16,
    /// The lines without their code, joined by "\n".
    pub text: String,
}

impl Reply {
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub struct Smtp {
    stream: BufStream<Box<dyn Stream>>,
}

/// When TLS begins on a submission port.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tls {
    /// After STARTTLS.
    Start,
    /// With the first octet.
    Implicit,
}

impl Smtp {
    /// Connects, reads the greeting and says EHLO.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Smtp> {
        let mut smtp = Smtp::open(address).await?;
        smtp.greet().await?;
        smtp.hello().await?;
        Ok(smtp)
    }

    /// Connects to a submission port, up to the EHLO within TLS.
    pub async fn submit(address: SocketAddr, tls: Tls) -> anyhow::Result<Smtp> {
        let mut smtp = Smtp::open(address).await?;
        if tls == Tls::Start {
            smtp.greet().await?;
            smtp.hello().await?;
            let reply = smtp.command("STARTTLS").await?;
            ensure!(reply.code == 220, "STARTTLS answered with {reply:?}");
        }
        let mut smtp = smtp.secured().await?;
        if tls == Tls::Implicit {
            smtp.greet().await?;
        }
        smtp.hello().await?;
        Ok(smtp)
    }

    pub async fn log_in(&mut self, username: &str, password: &str) -> anyhow::Result<Reply> {
        let response = BASE64.encode(format!("\0{username}\0{password}").as_bytes());
        self.command(&format!("AUTH PLAIN {response}")).await
    }

    async fn open(address: SocketAddr) -> anyhow::Result<Smtp> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.context("connect")??;
        stream.set_nodelay(true)?;
        Ok(Smtp { stream: BufStream::new(Box::new(stream)) })
    }

    async fn greet(&mut self) -> anyhow::Result<()> {
        let greeting = self.reply().await.context("read greeting")?;
        ensure!(greeting.code == 220, "greeted with {greeting:?}");
        Ok(())
    }

    async fn hello(&mut self) -> anyhow::Result<()> {
        let hello = self.command("EHLO client.example").await?;
        ensure!(hello.code == 250, "EHLO answered with {hello:?}");
        Ok(())
    }

    /// Whatever the certificate: it is made at every start.
    async fn secured(self) -> anyhow::Result<Smtp> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let connecting =
            connector.connect(ServerName::try_from("mx.test")?, self.stream.into_inner());
        let stream = timeout(PATIENCE, connecting).await.context("shake hands in time")??;
        Ok(Smtp { stream: BufStream::new(Box::new(stream)) })
    }

    pub async fn command(&mut self, line: &str) -> anyhow::Result<Reply> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await.with_context(|| format!("read reply to {line:?}"))
    }

    /// One whole transaction; the reply that decided it.
    pub async fn send(
        &mut self,
        reverse_path: &str,
        forward_paths: &[&str],
        content: &[u8],
    ) -> anyhow::Result<Reply> {
        let reply = self.command(&format!("MAIL FROM:<{reverse_path}>")).await?;
        if !reply.is_positive() {
            return Ok(reply);
        }
        for forward_path in forward_paths {
            let reply = self.command(&format!("RCPT TO:<{forward_path}>")).await?;
            if !reply.is_positive() {
                self.command("RSET").await?;
                return Ok(reply);
            }
        }
        let reply = self.command("DATA").await?;
        if !reply.is_positive() {
            self.command("RSET").await?;
            return Ok(reply);
        }
        self.content(content).await
    }

    /// What comes after DATA, and the reply to it.
    pub async fn content(&mut self, content: &[u8]) -> anyhow::Result<Reply> {
        self.write(&stuffed(content)).await?;
        self.reply().await.context("read reply to the end of data")
    }

    async fn write(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        timeout(PATIENCE, async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        })
        .await
        .context("write in time")?
        .context("write")
    }

    pub async fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut text = Vec::new();
        loop {
            let mut line = String::new();
            timeout(PATIENCE, self.stream.read_line(&mut line)).await.context("read in time")??;
            let line = line.strip_suffix("\r\n").context("the connection ended")?;
            let (Some(code), Some(separator)) =
                (line.get(..3), line.get(3..).map(|it| it.chars().next()))
            else {
                bail!("{line:?} is no reply line");
            };
            text.push(line.get(4..).unwrap_or_default().to_owned());
            if separator != Some('-') {
                let code = code.parse().with_context(|| format!("read reply line {line:?}"))?;
                return Ok(Reply { code, text: text.join("\n") });
            }
        }
    }
}

/// Dots doubled at line starts, a CRLF at the end, and the final dot (RFC 5321 section 4.5.2).
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len() + 16);
    let mut before = [b'\r', b'\n'];
    for octet in content {
        if *octet == b'.' && before == *b"\r\n" {
            stuffed.push(b'.');
        }
        stuffed.push(*octet);
        before = [before[1], *octet];
    }
    if !stuffed.is_empty() && before != *b"\r\n" {
        stuffed.extend(b"\r\n");
    }
    stuffed.extend(b".\r\n");
    stuffed
}

/// Text with LF line ends as SMTP wants it. A CR that stands alone becomes a line end too.
pub fn crlf(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b'\r' => {
                octets.extend(b"\r\n");
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            b'\n' => octets.extend(b"\r\n"),
            octet => octets.push(*octet),
        }
    }
    if !octets.is_empty() && !octets.ends_with(b"\r\n") {
        octets.extend(b"\r\n");
    }
    octets
}

/// Takes any certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
