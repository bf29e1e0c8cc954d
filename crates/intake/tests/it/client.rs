//! An SMTP client that says exactly what it is told to.

use std::{net::SocketAddr, sync::Arc};

use data_encoding::BASE64;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::PATIENCE;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

/// What a client reads after the server has closed.
pub(crate) const CLOSED: &str = "closed";

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Client { stream: BufReader::new(Box::new(stream)) }
    }

    /// That the server has closed shows in the next reply.
    pub(crate) async fn send(&mut self, octets: impl AsRef<[u8]>) {
        drop(self.stream.write_all(octets.as_ref()).await);
    }

    /// The next reply, all its lines; or CLOSED.
    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line_at = reply.len();
            let read = timeout(PATIENCE, self.stream.read_line(&mut reply)).await;
            match read.expect("no reply came") {
                Ok(0) | Err(_) => return CLOSED.to_owned(),
                Ok(_) => (),
            }
            let line = &reply[line_at..];
            assert!(line.ends_with("\r\n") && line.len() <= 512, "{line:?}");
            if line.as_bytes()[3] == b' ' {
                return reply;
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, begins: &str) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            let reply = self.reply().await;
            assert!(reply.starts_with(begins), "{reply:?} instead of {begins:?} at {caller}");
            reply
        }
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, octets: &str, begins: &str) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            self.send(octets).await;
            let reply = self.reply().await;
            let start: String = octets.chars().take(80).collect();
            assert!(
                reply.starts_with(begins),
                "{reply:?} instead of {begins:?} to {start:?} at {caller}"
            );
            reply
        }
    }

    /// Up to the point where the content is awaited.
    pub(crate) async fn begin(&mut self, reverse_path: &str) {
        self.ask(&format!("MAIL FROM:<{reverse_path}>\r\n"), "250 2.1.0").await;
        self.ask("RCPT TO:<user@local.example>\r\n", "250 2.1.5").await;
        self.ask("DATA\r\n", "354 ").await;
    }

    pub(crate) async fn send_mail(&mut self, reverse_path: &str, content: &str) -> String {
        self.begin(reverse_path).await;
        self.ask(&format!("{content}.\r\n"), "250 2.0.0").await
    }

    /// Greeted on a submission port, with TLS, not yet logged in.
    pub(crate) async fn submitting(address: SocketAddr) -> Client {
        let mut client = Client::connect(address).await;
        client.expect("220").await;
        client.ask("EHLO client.example\r\n", "250").await;
        client.ask("STARTTLS\r\n", "220").await;
        let mut client = client.start_tls(rustls::ALL_VERSIONS).await;
        client.ask("EHLO client.example\r\n", "250").await;
        client
    }

    /// AUTH PLAIN with an initial response.
    #[track_caller]
    pub(crate) fn log_in(
        &mut self,
        username: &str,
        password: &str,
        begins: &str,
    ) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        let response = BASE64.encode(format!("\0{username}\0{password}").as_bytes());
        async move {
            self.send(format!("AUTH PLAIN {response}\r\n")).await;
            let reply = self.reply().await;
            assert!(reply.starts_with(begins), "{reply:?} instead of {begins:?} at {caller}");
            reply
        }
    }

    pub(crate) async fn start_tls(self, versions: &[&'static SupportedProtocolVersion]) -> Client {
        assert!(self.stream.buffer().is_empty(), "something came before the handshake");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        let name = ServerName::try_from("mx.local.example").expect("name");
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, self.stream.into_inner()).await.expect("handshake");
        Client { stream: BufReader::new(Box::new(stream)) }
    }
}

/// Takes any certificate, as senders without DANE or MTA-STS do.
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
