//! DKIM signatures (RFC 6376, RFC 8463).

use std::path::Path;

use anyhow::{Context as _, anyhow};
use mail_auth::{
    common::{
        crypto::{Ed25519Key, RsaKey, Sha256, SigningKey},
        headers::HeaderWriter as _,
    },
    dkim::{Canonicalization, DkimSigner, Done, Signature},
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use store::SigningKeys;

use crate::config::{DkimAlgorithm, DkimKey};

/// The fields that are signed where they are present. From stands twice: a second one added on the way
/// breaks the signature (RFC 6376 section 8.15).
///
/// One-click unsubscription counts only where both its fields are signed (RFC 8058 section 4), and
/// CFBL-Address likewise (RFC 9477 section 3.1).
const FIELDS: [&str; 19] = [
    "From",
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Auto-Submitted",
    "Posthouse-Author",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "CFBL-Address",
];

#[derive(Default)]
pub(crate) struct Keys {
    signers: Vec<(String, Signer)>,
    /// Whose keys sign as well what is of another domain.
    service: Option<String>,
}

enum Signer {
    Rsa(DkimSigner<RsaKey<Sha256>, Done>),
    Ed25519(DkimSigner<Ed25519Key, Done>),
}

impl Keys {
    /// Reads the key files; an error says which.
    pub(crate) fn load(keys: &[DkimKey], service: Option<&str>) -> anyhow::Result<Keys> {
        let load = |key: &DkimKey| {
            let signer = Signer::load(key).with_context(|| {
                format!("DKIM key of {} in {}", key.domain, key.private_key_file.display())
            })?;
            Ok((key.domain.to_ascii_lowercase(), signer))
        };
        let signers = keys.iter().map(load).collect::<anyhow::Result<_>>()?;
        Ok(Keys { signers, service: service.map(str::to_ascii_lowercase) })
    }

    /// The keys of a customer's domain.
    pub(crate) fn of_domain(keys: &SigningKeys) -> anyhow::Result<Keys> {
        let der = PrivatePkcs8KeyDer::from(keys.rsa_pkcs8.as_slice());
        let rsa = RsaKey::from_key_der(PrivateKeyDer::Pkcs8(der))
            .map_err(|err| anyhow!("not an RSA key: {err}"))?;
        let ed25519 = Ed25519Key::from_pkcs8_maybe_unchecked_der(&keys.ed25519_pkcs8)
            .map_err(|err| anyhow!("not an Ed25519 key: {err}"))?;
        let rsa = Signer::Rsa(signer(&keys.domain, &keys.rsa_selector, rsa));
        let ed25519 = Signer::Ed25519(signer(&keys.domain, &keys.ed25519_selector, ed25519));
        let signers = [rsa, ed25519].map(|it| (keys.domain.clone(), it)).into();
        Ok(Keys { signers, service: None })
    }

    /// The signature fields to put on top of a content whose From field has this domain, and below
    /// them the service's own: empty if there is no key for either.
    pub(crate) fn sign(&self, domain: &str, content: &[u8]) -> anyhow::Result<String> {
        let authors = self.nearest(domain);
        let service = self.service.as_deref().filter(|it| authors != Some(it));
        let signs = |it: &str| authors == Some(it) || service == Some(it);
        let mut signers: Vec<_> = self.signers.iter().filter(|(it, _)| signs(it)).collect();
        signers.sort_by_key(|(it, _)| authors != Some(it));
        signers.iter().map(|(_, signer)| signer.sign(content)).collect()
    }

    /// The domain itself, or the first above it, that has a key.
    fn nearest<'a>(&self, domain: &'a str) -> Option<&'a str> {
        let above = |it: &&'a str| it.split_once('.').map(|(_, parent)| parent);
        std::iter::successors(Some(domain), above)
            .find(|name| self.signers.iter().any(|(it, _)| it == name))
    }
}

impl Signer {
    fn load(key: &DkimKey) -> anyhow::Result<Signer> {
        Ok(match key.algorithm {
            DkimAlgorithm::RsaSha256 => {
                Signer::Rsa(signer(&key.domain, &key.selector, rsa(&key.private_key_file)?))
            }
            DkimAlgorithm::Ed25519Sha256 => {
                Signer::Ed25519(signer(&key.domain, &key.selector, ed25519(&key.private_key_file)?))
            }
        })
    }

    fn sign(&self, content: &[u8]) -> anyhow::Result<String> {
        let signature: mail_auth::Result<Signature> = match self {
            Signer::Rsa(signer) => signer.sign(content),
            Signer::Ed25519(signer) => signer.sign(content),
        };
        Ok(signature.map_err(|err| anyhow!("sign: {err}"))?.to_header())
    }
}

fn rsa(file: &Path) -> anyhow::Result<RsaKey<Sha256>> {
    let der = PrivateKeyDer::from_pem_file(file).context("read PEM")?;
    RsaKey::from_key_der(der).map_err(|err| anyhow!("not an RSA key: {err}"))
}

fn ed25519(file: &Path) -> anyhow::Result<Ed25519Key> {
    let der = PrivatePkcs8KeyDer::from_pem_file(file).context("read PEM (PKCS#8)")?;
    // OpenSSL writes the first version of PKCS#8, which has no public key to check against.
    Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_pkcs8_der())
        .map_err(|err| anyhow!("not an Ed25519 key: {err}"))
}

fn signer<K: SigningKey>(domain: &str, selector: &str, private: K) -> DkimSigner<K, Done> {
    DkimSigner::from_key(private)
        .domain(domain.to_ascii_lowercase())
        .selector(selector)
        .headers(FIELDS)
        .header_canonicalization(Canonicalization::Relaxed)
        .body_canonicalization(Canonicalization::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const CONTENT: &[u8] = b"From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n";

    fn key(domain: &str, file: PathBuf) -> DkimKey {
        DkimKey {
            domain: domain.to_owned(),
            selector: "s".to_owned(),
            private_key_file: file,
            algorithm: DkimAlgorithm::Ed25519Sha256,
        }
    }

    fn keys(domains: &[&str]) -> Keys {
        keys_of(domains, None)
    }

    fn keys_of(domains: &[&str], service: Option<&str>) -> Keys {
        let dir = tempfile::tempdir().expect("directory");
        let file = dir.path().join("key.pem");
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("key");
        std::fs::write(&file, pair.serialize_pem()).expect("write");
        let keys: Vec<_> = domains.iter().map(|it| key(it, file.clone())).collect();
        Keys::load(&keys, service).expect("load")
    }

    #[test]
    fn the_nearest_domain_signs() {
        let keys = keys(&["example.org", "b.example.org"]);
        let check = |domain, expected: &str| {
            let fields = keys.sign(domain, CONTENT).expect("sign");
            assert!(fields.contains(&format!("d={expected};")), "{fields}");
        };
        check("example.org", "example.org");
        check("a.example.org", "example.org");
        check("a.b.example.org", "b.example.org");
        assert_eq!(keys.sign("badexample.org", CONTENT).expect("sign"), "");
        assert_eq!(keys.sign("org", CONTENT).expect("sign"), "");
    }

    #[test]
    fn every_key_of_a_domain_signs() {
        let fields = keys(&["example.org", "example.org"]).sign("example.org", CONTENT);
        assert_eq!(fields.expect("sign").matches("DKIM-Signature:").count(), 2);
    }

    #[test]
    fn the_service_signs_what_is_of_others() {
        let keys = keys_of(&["post.example", "example.org"], Some("Post.Example"));
        let signed = |domain: &str| {
            let fields = keys.sign(domain, CONTENT).expect("sign");
            let domains =
                fields.match_indices("d=").map(|(at, _)| fields[at + 2..].split_once(';'));
            domains.map(|it| it.expect("a value").0.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(signed("example.org"), ["example.org", "post.example"]);
        assert_eq!(signed("customer.example"), ["post.example"]);
        assert_eq!(signed("post.example"), ["post.example"]);
        assert_eq!(signed("a.post.example"), ["post.example"]);
    }

    #[test]
    fn what_makes_a_list_leavable_is_signed() {
        let content = "From: a@example.org\r\nAuto-Submitted: auto-generated\r\n\
                       List-Id: <n.example.org>\r\nList-Unsubscribe: <https://x.test/1>\r\n\
                       List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
                       Feedback-ID: a:b:c:d\r\nCFBL-Address: f@example.org; report=arf\r\n\r\nx\r\n";
        let fields = keys(&["example.org"]).sign("example.org", content.as_bytes()).expect("sign");
        let unfolded = fields.replace(['\r', '\n', '\t', ' '], "");
        let (_, signed) = unfolded.split_once("h=").expect("h=");
        let signed: Vec<&str> = signed.split(';').next().expect("a list").split(':').collect();
        for field in ["List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID"] {
            assert!(signed.contains(&field), "{field}: {signed:?}");
        }
        assert!(signed.contains(&"Auto-Submitted") && signed.contains(&"CFBL-Address"));
        assert_eq!(signed.iter().filter(|it| **it == "From").count(), 2, "{signed:?}");
    }

    #[test]
    fn a_wrong_key_file_is_named() {
        let dir = tempfile::tempdir().expect("directory");
        let file = dir.path().join("key.pem");
        let pair = rcgen::KeyPair::generate().expect("key");
        std::fs::write(&file, pair.serialize_pem()).expect("write");
        for file in [file, "/nonexistent/key.pem".into()] {
            let err = Keys::load(&[key("example.org", file.clone())], None).err().expect("refuse");
            assert!(format!("{err:#}").contains(&file.display().to_string()), "{err:#}");
        }
    }
}
