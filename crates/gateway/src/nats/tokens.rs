//! Tokens, as NATS needs to know them.

use contract::{Grant, Right, token_id};
use nats_login::{Access, LoginName, Reach};
use store::{Bearer, Reader};

use crate::{time::now_micros, token};

/// What somebody is let in with.
pub(super) struct Admission {
    pub(super) access: Access,
    pub(super) bearer: Bearer,
}

/// `None` if the token is worth nothing.
pub(super) async fn admission(reader: &Reader, secret: &str) -> anyhow::Result<Option<Admission>> {
    if secret.len() > token::MAX_LENGTH {
        return Ok(None);
    }
    let Some(bearer) = reader.bearer(&token::hash(secret)).await? else { return Ok(None) };
    let (send, events) = reach(&bearer.token.grant);
    let access = Access::new(&bearer.account.id, bearer.token.id(), send, events)?;
    Ok(Some(Admission { access, bearer }))
}

/// For what inboxes a token may publish requests to send, and whose events it may hear.
///
/// A request on NATS does not say which token it comes with: what the ledger would have to ask about the
/// token goes through the API, which says so. Subjects of events name no thread.
fn reach(grant: &Grant) -> (Reach, Reach) {
    let inboxes = || grant.inbox_ids.clone().map_or(Reach::All, Reach::Inboxes);
    let send = if grant.sends_freely() { inboxes() } else { Reach::None };
    let hears = grant.allows(Right::Read) && grant.thread_ids.is_none();
    (send, if hears { inboxes() } else { Reach::None })
}

/// The hash of the token of that name, if it is worth something.
pub(super) async fn hash(reader: &Reader, name: &LoginName) -> anyhow::Result<Option<String>> {
    let token = reader.token(&name.account_id, &name.token_id).await?;
    Ok(token.filter(|it| it.is_good_at(now_micros())).map(|it| it.hash))
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

#[cfg(test)]
mod tests {
    use contract::{Rights, SendLimits};

    use super::*;

    fn check(rights: &[Right], change: impl FnOnce(&mut Grant), send: Reach, events: Reach) {
        let mut grant =
            Grant { rights: rights.iter().copied().collect::<Rights>(), ..Grant::default() };
        change(&mut grant);
        assert_eq!(reach(&grant), (send, events), "{grant:?}");
    }

    #[test]
    fn what_may_be_said_and_heard_without_the_api() {
        use Right::{Admin, Read, Reply, Send};

        let inboxes = || vec!["ibx_1".to_owned()];
        let narrow = |it: &mut Grant| it.inbox_ids = Some(inboxes());
        check(&Right::ALL, |_| (), Reach::All, Reach::All);
        check(&[Read], |_| (), Reach::None, Reach::All);
        check(&[Send], |_| (), Reach::All, Reach::None);
        check(&[Reply], |_| (), Reach::None, Reach::None);
        check(&[Admin], |_| (), Reach::None, Reach::None);
        check(&Right::ALL, narrow, Reach::Inboxes(inboxes()), Reach::Inboxes(inboxes()));
        let threads = |it: &mut Grant| {
            narrow(it);
            it.thread_ids = Some(vec!["thd_1".to_owned()]);
        };
        check(&Right::ALL, threads, Reach::None, Reach::None);
        let limited =
            |it: &mut Grant| it.limits = SendLimits { mails: Some(2), ..Default::default() };
        check(&[Read, Send], limited, Reach::None, Reach::All);
        let counted = |it: &mut Grant| it.counted_for = vec!["0f".to_owned()];
        check(&[Read, Send], counted, Reach::None, Reach::All);
    }
}
