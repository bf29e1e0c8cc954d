//! The certificate, and what STARTTLS is done with.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use rustls::{ProtocolVersion, ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

use crate::Config;

/// TLS 1.2 and newer (RFC 8996), with the configured certificate or one made now: most senders take
/// any, because without DANE or MTA-STS they have nothing to verify it with (RFC 7435).
pub(crate) fn acceptor(config: &Config) -> anyhow::Result<TlsAcceptor> {
    let (chain, key) = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => read(certificate, key)?,
        _ => self_signed(&config.hostname)?,
    };
    // The provider is named, so that nothing depends on what the process has set up.
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("use `tls_certificate` with `tls_key`")?;
    Ok(TlsAcceptor::from(Arc::new(tls)))
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
    use super::*;

    #[test]
    fn takes_a_certificate_from_files_or_makes_one() {
        let dir = tempfile::tempdir().expect("directory");
        let made = rcgen::generate_simple_self_signed(["mx.example".to_owned()]).expect("made");
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).expect("write");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("write");

        acceptor(&Config::default()).expect("made at start");
        let mut config = Config {
            tls_certificate: Some(certificate.clone()),
            tls_key: Some(key),
            ..Config::default()
        };
        acceptor(&config).expect("from files");

        config.tls_key = Some(certificate.clone());
        let err = acceptor(&config).err().expect("a certificate is no key");
        assert!(format!("{err:#}").contains("tls_key"), "{err:#}");
        std::fs::write(&certificate, "").expect("write");
        let err = acceptor(&config).err().expect("an empty file is no certificate");
        assert!(format!("{err:#}").contains("tls_certificate"), "{err:#}");
    }
}
