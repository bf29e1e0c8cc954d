//! Links to attachments that need no token: whoever has one may download, for a time.
//!
//! A link carries what it names, expiry included, and a signature over it (HMAC-SHA256). The key is
//! in the database, so that every gateway knows it and a restart changes nothing.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;

/// Makes links, and tells its own from others. Cloning shares the key.
#[derive(Clone)]
pub(crate) struct Links {
    key: hmac::Key,
    valid_for: i64,
}

/// What a link gives access to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) account_id: String,
    pub(crate) inbox_id: String,
    pub(crate) email_id: String,
    pub(crate) index: usize,
}

/// Why a link does not work.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    Expired,
    Forged,
}

impl Links {
    pub(crate) fn new(secret: &[u8], valid_for_seconds: u32) -> Links {
        Links {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            valid_for: valid_for_seconds.into(),
        }
    }

    /// The link's only part that is not the same for all, safe in a path. `now` is in seconds since
    /// 1970.
    pub(crate) fn sign(&self, target: &Target, now: i64) -> String {
        let payload = write(target, now + self.valid_for);
        let signature = hmac::sign(&self.key, payload.as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        format!("{payload}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// Compares in constant time, and reads nothing that is not signed.
    pub(crate) fn verify(&self, link: &str, now: i64) -> Result<Target, Refused> {
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let (payload, signature) = link.split_once('.').ok_or(Refused::Forged)?;
        let payload = decode(payload).ok_or(Refused::Forged)?;
        let signature = decode(signature).ok_or(Refused::Forged)?;
        hmac::verify(&self.key, &payload, &signature).map_err(|_| Refused::Forged)?;
        let payload = std::str::from_utf8(&payload).map_err(|_| Refused::Forged)?;
        let (target, expires) = read(payload).ok_or(Refused::Forged)?;
        if expires <= now { Err(Refused::Expired) } else { Ok(target) }
    }
}

/// No identifier contains a "/", so no two targets read the same.
fn write(target: &Target, expires: i64) -> String {
    let Target { account_id, inbox_id, email_id, index } = target;
    format!("{account_id}/{inbox_id}/{email_id}/{index}/{expires}")
}

fn read(payload: &str) -> Option<(Target, i64)> {
    let mut parts = payload.split('/');
    let mut next = || parts.next().map(str::to_owned);
    let target = Target {
        account_id: next()?,
        inbox_id: next()?,
        email_id: next()?,
        index: next()?.parse().ok()?,
    };
    Some((target, next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            account_id: "acct_1".to_owned(),
            inbox_id: "ibx_1".to_owned(),
            email_id: "eml_1".to_owned(),
            index: 2,
        }
    }

    fn links() -> Links {
        Links::new(&[7; 32], 3600)
    }

    #[test]
    fn a_link_works_until_it_expires() {
        let link = links().sign(&target(), 1000);
        assert_eq!(links().verify(&link, 1000), Ok(target()));
        assert_eq!(links().verify(&link, 4599), Ok(target()));
        assert_eq!(links().verify(&link, 4600), Err(Refused::Expired));
    }

    #[test]
    fn nothing_in_a_link_can_be_changed() {
        let link = links().sign(&target(), 1000);
        let (_, signature) = link.split_once('.').expect("signature");
        for (changed, expires) in [
            (target(), 4601),
            (Target { account_id: "acct_2".to_owned(), ..target() }, 4600),
            (Target { inbox_id: "ibx_2".to_owned(), ..target() }, 4600),
            (Target { email_id: "eml_2".to_owned(), ..target() }, 4600),
            (Target { index: 1, ..target() }, 4600),
        ] {
            let payload = BASE64URL_NOPAD.encode(write(&changed, expires).as_bytes());
            let forged = format!("{payload}.{signature}");
            assert_eq!(links().verify(&forged, 1000), Err(Refused::Forged), "{changed:?}");
        }
    }

    #[test]
    fn another_key_or_no_signature_is_refused() {
        let link = Links::new(&[8; 32], 3600).sign(&target(), 1000);
        let (payload, _) = link.split_once('.').expect("signature");
        for forged in [&*link, payload, &format!("{payload}."), "", ".", "not base64!.x"] {
            assert_eq!(links().verify(forged, 1000), Err(Refused::Forged), "{forged}");
        }
    }
}
