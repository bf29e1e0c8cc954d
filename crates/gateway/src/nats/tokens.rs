//! Tokens, as NATS needs to know them.

use nats_login::{Access, LoginName, Reach};
use store::Reader;

use crate::token;

/// What somebody is let in with.
pub(super) struct Admission {
    pub(super) access: Access,
    /// In microseconds since 1970.
    pub(super) expires_at: Option<i64>,
}

/// `None` if the token is worth nothing.
pub(super) async fn admission(reader: &Reader, secret: &str) -> anyhow::Result<Option<Admission>> {
    if secret.len() > token::MAX_LENGTH {
        return Ok(None);
    }
    let hash = token::hash(secret);
    let Some(account) = reader.account_by_token(&hash).await? else { return Ok(None) };
    let access = Access::new(&account.id, token_id(&hash), Reach::All, Reach::All)?;
    Ok(Some(Admission { access, expires_at: None }))
}

/// The hash of the token of that name, if it is worth something.
pub(super) async fn hash(reader: &Reader, name: &LoginName) -> anyhow::Result<Option<String>> {
    let tokens = reader.tokens(&name.account_id).await?;
    let mut found = tokens.into_iter().filter(|it| token_id(&it.hash) == name.token_id);
    Ok(found.next().map(|it| it.hash))
}

/// Those that were revoked since then, in microseconds since 1970.
pub(super) async fn revoked(reader: &Reader, since: i64) -> anyhow::Result<Vec<LoginName>> {
    const PAGE: i64 = 500;

    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = reader.token_changes(since, after.as_deref(), PAGE).await?;
        for token in page.iter().filter(|it| it.revoked_at.is_some()) {
            names.push(LoginName::new(&token.account_id, token_id(&token.hash))?);
        }
        let Some(last) = page.into_iter().last() else { return Ok(names) };
        after = Some(last.hash);
    }
}

fn token_id(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
