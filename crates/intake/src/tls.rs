//! The certificate, and what STARTTLS is done with.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use rustls::{ProtocolVersion, ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

use crate::Config;

/// TLS 1.2 and newer (RFC 8996), with the configured certificate or one made now: most senders take
/// any, because without DANE or MTA-STS they have nothing to verify it with (RFC 7435). Says also when the
/// certificate ceases to be valid, in seconds since 1970.
pub(crate) fn acceptor(config: &Config) -> anyhow::Result<(TlsAcceptor, i64)> {
    let (chain, key) = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => read(certificate, key)?,
        _ => self_signed(&config.hostname)?,
    };
    let ends_at = not_after(&chain)?;
    // The provider is named, so that nothing depends on what the process has set up.
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("use `tls_certificate` with `tls_key`")?;
    Ok((TlsAcceptor::from(Arc::new(tls)), ends_at))
}

/// Of the first, which is the server's own (RFC 8446 section 4.4.2).
fn not_after(chain: &[CertificateDer<'_>]) -> anyhow::Result<i64> {
    let own = chain.first().context("find the server's own certificate")?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(own).context("read `tls_certificate`")?;
    Ok(certificate.validity().not_after.timestamp())
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(certificate: &Path, key: &Path) -> anyhow::Result<Identity> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("read `tls_certificate` {}", certificate.display()))?;
    if chain.is_empty() {
        bail!("`tls_certificate` {} holds no certificate", certificate.display());
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("read `tls_key` {}", key.display()))?;
    Ok((chain, key))
}

fn self_signed(hostname: &str) -> anyhow::Result<Identity> {
    let made = rcgen::generate_simple_self_signed([hostname.to_owned()])
        .with_context(|| format!("make a certificate for `hostname` {hostname}"))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|why| anyhow::anyhow!("encode the key of a made certificate: {why}"))?;
    Ok((vec![made.cert.der().clone()], key))
}

/// As the contract writes it.
pub(crate) fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        // Not offered above; a version unknown today is still TLS.
        _ => "TLS",
    }
}

#[cfg(test)]
mod tests {
    use time::{OffsetDateTime, macros::datetime};

    use super::*;

    #[test]
    fn takes_a_certificate_from_files_or_makes_one() {
        let dir = tempfile::tempdir().expect("directory");
        let key_pair = rcgen::KeyPair::generate().expect("key");
        let mut wanted = rcgen::CertificateParams::new(["mx.example".to_owned()]).expect("wanted");
        wanted.not_after = rcgen::date_time_ymd(2031, 5, 1);
        let made = wanted.self_signed(&key_pair).expect("made");
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&certificate, made.pem()).expect("write");
        std::fs::write(&key, key_pair.serialize_pem()).expect("write");

        let (_, ends_at) = acceptor(&Config::default()).expect("made at start");
        assert!(ends_at > OffsetDateTime::now_utc().unix_timestamp(), "{ends_at}");
        let mut config = Config {
            tls_certificate: Some(certificate.clone()),
            tls_key: Some(key),
            ..Config::default()
        };
        let (_, ends_at) = acceptor(&config).expect("from files");
        assert_eq!(ends_at, datetime!(2031-05-01 00:00 UTC).unix_timestamp());

        config.tls_key = Some(certificate.clone());
        let err = acceptor(&config).err().expect("a certificate is no key");
        assert!(format!("{err:#}").contains("tls_key"), "{err:#}");
        std::fs::write(&certificate, "").expect("write");
        let err = acceptor(&config).err().expect("an empty file is no certificate");
        assert!(format!("{err:#}").contains("tls_certificate"), "{err:#}");
    }
}
