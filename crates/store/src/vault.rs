//! Private keys at rest: sealed with AES-256-GCM under a key that every service of the installation has.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use data_encoding::HEXLOWER_PERMISSIVE;

use crate::Error;

/// Seals and opens private keys. What is sealed can be opened only under the name it was sealed under,
/// so that nobody who can write to the database gives one domain another's key.
pub struct Vault(RandomizedNonceKey);

impl Vault {
    /// `key`: 32 octets, such as those of `Writer::secret`.
    pub fn new(key: &[u8]) -> Result<Vault, Error> {
        RandomizedNonceKey::new(&AES_256_GCM, key).map(Vault).map_err(|_| Error::VaultKey)
    }

    /// `key`: 64 hexadecimal digits, as operators keep it in a file.
    pub fn from_hex(key: &str) -> Result<Vault, Error> {
        let key = HEXLOWER_PERMISSIVE.decode(key.trim().as_bytes()).map_err(|_| Error::VaultKey)?;
        Vault::new(&key)
    }

    /// The nonce, then what is sealed, then its tag.
    pub(crate) fn seal(&self, name: &str, octets: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = octets.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut sealed)
            .map_err(|_| Error::Random)?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(Error::Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Sealed)?;
        let mut octets = sealed.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut octets);
        opened.map(|it| it.to_vec()).map_err(|_| Error::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_under_the_same_name_only() {
        let vault = Vault::new(&[7; 32]).expect("vault");
        let sealed = vault.seal("dom_1/rsa", b"key").expect("seal");
        assert_ne!(sealed, vault.seal("dom_1/rsa", b"key").expect("seal"), "a nonce of its own");
        assert_eq!(vault.open("dom_1/rsa", &sealed).expect("open"), b"key");
        assert!(matches!(vault.open("dom_2/rsa", &sealed), Err(Error::Sealed)));
        assert!(matches!(vault.open("dom_1/rsa", &sealed[..5]), Err(Error::Sealed)));
        let other = Vault::from_hex(&"08".repeat(32)).expect("vault");
        assert!(matches!(other.open("dom_1/rsa", &sealed), Err(Error::Sealed)));
    }

    #[test]
    fn takes_keys_of_the_right_length_only() {
        Vault::from_hex(&format!("{}\n", "0A".repeat(32))).expect("a line of a file");
        for key in ["", "xyz", &"0a".repeat(16)] {
            assert!(matches!(Vault::from_hex(key), Err(Error::VaultKey)), "{key}");
        }
    }
}
