//! The return paths of mail that goes out. Their key is in the database, so that every replica knows
//! it; it is read for each batch, because an operator may replace it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use bus::Failure;
use contract::SubmissionAccepted;
use mail::ReturnPathKeys;
use store::Writer;

use crate::failure;

/// The name of the secret that return paths are made with.
pub const RETURN_PATHS: &str = "return-paths";

#[derive(Clone)]
pub(crate) struct ReturnPaths(pub(crate) Writer);

impl ReturnPaths {
    pub(crate) async fn keys(&self) -> Result<ReturnPathKeys, Failure> {
        let secrets = self.0.secrets(RETURN_PATHS).await.map_err(failure)?;
        Ok(ReturnPathKeys::new(&secrets.current, secrets.previous.as_deref()))
    }
}

/// Gives a mail whose reverse path is the inbox's address return paths at the same domain: one that
/// names the mail, and one for each recipient.
pub(crate) fn give(
    keys: &ReturnPathKeys,
    mut accepted: SubmissionAccepted,
) -> Result<SubmissionAccepted, Failure> {
    let domain = accepted.reverse_path.rsplit_once('@').map_or("", |(_, domain)| domain).to_owned();
    let goes_at = now();
    let make = |position| {
        keys.make(&accepted.mail_id, position, &domain, goes_at).ok_or_else(|| {
            let err = anyhow!("mail {:?} can be given no return path", accepted.mail_id);
            Failure::Permanent(err)
        })
    };
    let own = (0..accepted.forward_paths.len()).map(|it| make(Some(it)));
    let own: Vec<String> = own.collect::<Result<_, _>>()?;
    accepted.reverse_path = match &own[..] {
        [only] => only.clone(),
        _ => make(None)?,
    };
    accepted.reverse_paths = own;
    Ok(accepted)
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipient_has_a_return_path_and_the_mail_one() {
        let keys = ReturnPathKeys::new(&[1; 32], None);
        let accepted = |count: usize| SubmissionAccepted {
            mail_id: format!("eml_{}", "0a".repeat(16)),
            reverse_path: "agent@posthouse.localhost".to_owned(),
            forward_paths: vec!["bob@example.net".to_owned(); count],
            ..SubmissionAccepted::default()
        };
        let position = |path: &str| {
            let address: mail::Address = path.parse().expect("an address");
            assert_eq!(address.domain(), "posthouse.localhost");
            keys.check(&address, now()).expect("ours").position
        };
        let two = give(&keys, accepted(2)).expect("return paths");
        assert_eq!(position(&two.reverse_path), None);
        let own: Vec<_> = two.reverse_paths.iter().map(|it| position(it)).collect();
        assert_eq!(own, [Some(0), Some(1)]);
        let one = give(&keys, accepted(1)).expect("return paths");
        assert_eq!(position(&one.reverse_path), Some(0));
        let odd = SubmissionAccepted { mail_id: "eml_1".to_owned(), ..accepted(1) };
        give(&keys, odd).expect_err("no identifier of the ledger");
    }
}
