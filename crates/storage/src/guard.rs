//! Whether somebody has to look at a mail before it goes: secrets, canaries, the flow of information,
//! injections, what could not be searched, and whatever an account wants to approve.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Context as _;
use bus::Failure;
use contract::{HoldReason, Reason, SendRequest, Verdict};
use injection::secrets::Secrets;
use mail::{Mention, MentionKind, canonical, host_owner};
use store::{Allowance, Canary, Composed, Measure, NewHold, OutboundPolicy, Reader, Scrutiny};

use crate::{
    failure,
    flow::{self, Flow, Recipient},
    redaction::redact,
    request::Circumstances,
    words::words,
};

const SECRET: &str = "secret";
const CANARY: &str = "canary";
const INJECTION: &str = "injection";
/// A kind, and the flag of what the scanner could not search.
const NOT_SCANNED: &str = "not_scanned";
const APPROVAL: &str = "approval";

/// Of reasons to hold a mail.
pub(crate) const KINDS: [&str; 6] = [SECRET, CANARY, INJECTION, NOT_SCANNED, APPROVAL, flow::KIND];

/// The flag of secrets and canaries.
const LEAK: &str = "outbound_secret";

pub(crate) struct Guard {
    pub(crate) reader: Reader,
    pub(crate) secrets: Arc<Secrets>,
    /// Those of the operator.
    pub(crate) domains: Vec<String>,
}

impl Guard {
    /// What speaks against a mail. Warnings are added to its verdict, and of one that is held is shown what
    /// may be. `documents` is what was read of those that are attached.
    pub(crate) async fn look(
        &self,
        request: &Arc<SendRequest>,
        documents: String,
        around: &Circumstances,
        mail: &mut Composed,
    ) -> Result<Scrutiny, Failure> {
        let (account_id, inbox_id) = (&around.account.id, &around.inbox.id);
        let policy = self.reader.outbound_policy(account_id, inbox_id).await.map_err(failure)?;
        let canaries = self.reader.canaries(account_id).await.map_err(failure)?;
        let shared = Arc::clone(request);
        let read = tokio::task::spawn_blocking(move || words(&shared, &documents, &canaries));
        let words = read.await.context("read what a mail says")?;
        let mut flow = Vec::new();
        if policy.information_flow != Measure::Off {
            flow = self.flow(request, around, mail, &words.named).await?;
        }
        warn(&policy, &words.canaries, &flow, &mut mail.verdict);
        let mut reasons = reasons(&policy, &words.canaries, flow, &mail.verdict);
        if !reasons.is_empty() {
            let allowed = self.reader.allowances(account_id, Some(inbox_id)).await;
            let allowed = allowed.map_err(failure)?;
            reasons.retain(|it| !is_allowed(it, &mail.forward_paths, &allowed));
        }
        if !reasons.is_empty() {
            self.conceal(request, &words.canaries, mail).await?;
        }
        let hold = (!reasons.is_empty()).then(|| NewHold {
            reasons,
            expires_after: policy.expires_after(),
            canary_ids: words.canaries.into_iter().map(|it| it.id).collect(),
        });
        let written = words.named.iter().filter(|it| it.kind != MentionKind::Address);
        Ok(Scrutiny { hold, items: written.map(Mention::item).collect() })
    }

    /// Has what is shown of a held mail besides itself say nothing of secrets.
    async fn conceal(
        &self,
        request: &Arc<SendRequest>,
        canaries: &[Canary],
        mail: &mut Composed,
    ) -> Result<(), Failure> {
        if !mail.verdict.flags.iter().any(|it| it == LEAK) {
            return Ok(());
        }
        let (secrets, request) = (Arc::clone(&self.secrets), Arc::clone(request));
        let (canaries, mut message) = (canaries.to_vec(), std::mem::take(&mut mail.message));
        let redacted = tokio::task::spawn_blocking(move || {
            redact(&secrets, &request, &canaries, &mut message);
            message
        });
        mail.message = redacted.await.context("take secrets out of what is shown")?;
        Ok(())
    }

    async fn flow(
        &self,
        request: &SendRequest,
        around: &Circumstances,
        mail: &Composed,
        named: &BTreeSet<Mention>,
    ) -> Result<Vec<HoldReason>, Failure> {
        let (reader, inbox) = (&self.reader, &around.inbox);
        let named: Vec<Mention> = named.iter().cloned().collect();
        let items = Flow::items(&mail.forward_paths, &named);
        let mentioned = reader.mentioned(&inbox.id, &items).await.map_err(failure)?;
        if mentioned.iter().all(|it| it.trusted) {
            return Ok(Vec::new());
        }
        let message = &mail.message;
        let ids: Vec<String> =
            message.in_reply_to.iter().chain(&message.references).cloned().collect();
        let threads = reader.threads_of_messages(&inbox.id, &ids).await.map_err(failure)?;
        let people = reader.people_of_threads(&threads).await.map_err(failure)?;
        let mut asked = threads;
        if !request.forwards.is_empty() {
            let thread = reader.thread_of_email(&inbox.id, &request.forwards).await;
            asked.extend(thread.map_err(failure)?);
        }
        let recipients = self.recipients(around, &mail.forward_paths, &people).await?;
        let own_domains = self.domains.iter().chain([&inbox.domain]);
        let own_domains = own_domains.filter_map(|it| host_owner(it)).collect();
        Ok(Flow { recipients, named, mentioned, threads: asked, own_domains }.reasons())
    }

    async fn recipients(
        &self,
        around: &Circumstances,
        paths: &[String],
        people: &[String],
    ) -> Result<Vec<Recipient>, Failure> {
        let known = self.reader.correspondents(&around.inbox.id, paths).await.map_err(failure)?;
        let canonicals: Vec<String> = paths.iter().filter_map(|it| canonical(it)).collect();
        let own = self.reader.own_addresses(&around.account.id, &canonicals).await;
        let own = own.map_err(failure)?;
        let recipient = |path: &String| {
            let address = path.to_lowercase();
            Recipient {
                known_since: known.iter().find(|it| it.0 == address).map(|it| it.1),
                is_own: canonical(path).is_some_and(|it| own.contains(&it)),
                is_in_thread: people.contains(&address),
                address,
            }
        };
        Ok(paths.iter().map(recipient).collect())
    }
}

/// What is found is told with the mail, held or not; what nobody wants to know is taken out.
fn warn(policy: &OutboundPolicy, canaries: &[Canary], flow: &[HoldReason], verdict: &mut Verdict) {
    if policy.secrets == Measure::Off {
        verdict.flags.retain(|it| it != LEAK);
        verdict.reasons.retain(|it| it.flag != LEAK);
    }
    if policy.not_scanned == Measure::Off {
        verdict.flags.retain(|it| it != NOT_SCANNED);
        verdict.reasons.retain(|it| it.flag != NOT_SCANNED);
    }
    if !canaries.is_empty() {
        // They show what stands around a passage, which may be the canary.
        verdict.reasons.iter_mut().filter(|it| it.flag != LEAK).for_each(|it| it.excerpt.clear());
    }
    let said = |reason: &HoldReason, flag: &str| Reason {
        detector: format!("{}/{}", reason.kind, reason.detail),
        version: injection::VERSION.to_owned(),
        flag: flag.to_owned(),
        excerpt: reason.excerpt.clone(),
        explanation: reason.explanation.clone(),
        ..Reason::default()
    };
    let of_canaries: Vec<HoldReason> = canaries.iter().map(canary).collect();
    let found =
        of_canaries.iter().map(|it| (it, LEAK)).chain(flow.iter().map(|it| (it, flow::KIND)));
    for (reason, flag) in found {
        if !verdict.flags.iter().any(|it| it == flag) {
            verdict.flags.push(flag.to_owned());
        }
        verdict.reasons.push(said(reason, flag));
    }
}

fn reasons(
    policy: &OutboundPolicy,
    canaries: &[Canary],
    flow: Vec<HoldReason>,
    verdict: &Verdict,
) -> Vec<HoldReason> {
    let mut reasons: Vec<HoldReason> = canaries.iter().map(canary).collect();
    if policy.secrets == Measure::Hold {
        reasons.extend(verdict.reasons.iter().filter_map(secret));
    }
    if policy.information_flow == Measure::Hold {
        reasons.extend(flow);
    }
    if policy.injection == Measure::Hold && verdict.score >= policy.injection_threshold {
        let explanation = "The mail looks like one that gives orders to an assistant who reads it.";
        reasons.push(plain(INJECTION, explanation));
    }
    if policy.not_scanned == Measure::Hold {
        reasons.extend(verdict.reasons.iter().filter(|it| it.flag == NOT_SCANNED).map(unread));
    }
    if policy.approval {
        reasons.push(plain(APPROVAL, "Every mail of this inbox is to be approved."));
    }
    reasons
}

fn secret(reason: &Reason) -> Option<HoldReason> {
    let (_, detail) = reason.detector.split_once('/').filter(|it| it.0 == SECRET)?;
    Some(HoldReason {
        kind: SECRET.to_owned(),
        detail: detail.to_owned(),
        part: reason.part.clone(),
        excerpt: reason.excerpt.clone(),
        explanation: reason.explanation.clone(),
        email_id: None,
    })
}

fn unread(reason: &Reason) -> HoldReason {
    HoldReason { part: reason.part.clone(), ..plain(NOT_SCANNED, &reason.explanation) }
}

fn canary(canary: &Canary) -> HoldReason {
    let explanation = "This is a canary: it is nowhere but where it was put to be noticed, so whoever \
                       wrote this mail has read that.";
    HoldReason { detail: canary.label.clone(), ..plain(CANARY, explanation) }
}

fn plain(kind: &str, explanation: &str) -> HoldReason {
    HoldReason {
        kind: kind.to_owned(),
        explanation: explanation.to_owned(),
        ..HoldReason::default()
    }
}

/// Whoever it is about may be sent to all the same: one recipient, or else all of them.
fn is_allowed(reason: &HoldReason, recipients: &[String], allowed: &[Allowance]) -> bool {
    let covered = |address: &str| allowed.iter().any(|it| it.covers(&reason.kind, address));
    match &*reason.kind {
        CANARY => false,
        flow::KIND if reason.detail == MentionKind::Address.as_str() => covered(&reason.excerpt),
        _ => recipients.iter().all(|it| covered(it)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leak(kind: &str) -> Reason {
        Reason { detector: format!("secret/{kind}"), flag: LEAK.to_owned(), ..Reason::default() }
    }

    fn verdict() -> Verdict {
        Verdict {
            score: 0.9,
            flags: vec![LEAK.to_owned(), NOT_SCANNED.to_owned()],
            reasons: vec![leak("password"), locked(), Reason::default()],
            ..Verdict::default()
        }
    }

    fn locked() -> Reason {
        Reason {
            detector: "documents".to_owned(),
            flag: NOT_SCANNED.to_owned(),
            part: "attached:plan.pdf".to_owned(),
            ..Reason::default()
        }
    }

    fn steered() -> HoldReason {
        HoldReason {
            detail: "recipient".to_owned(),
            excerpt: "evil@x.test".to_owned(),
            ..plain(flow::KIND, "")
        }
    }

    fn a_canary() -> Canary {
        Canary {
            id: "cny_1".to_owned(),
            kind: "api_key".to_owned(),
            label: "wiki".to_owned(),
            token: String::new(),
            created_at: 0,
            hits: 0,
            last_hit_at: None,
        }
    }

    #[track_caller]
    fn check(policy: OutboundPolicy, expected: &[&str]) {
        let reasons = reasons(&policy, &[a_canary()], vec![steered()], &verdict());
        assert_eq!(reasons.iter().map(|it| &*it.kind).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_policy_says_what_holds() {
        let default = OutboundPolicy::default();
        check(default.clone(), &["canary", "secret", "information_flow"]);
        let lax = OutboundPolicy {
            secrets: Measure::Warn,
            information_flow: Measure::Off,
            ..default.clone()
        };
        check(lax.clone(), &["canary"]);
        let strict = OutboundPolicy { injection: Measure::Hold, approval: true, ..lax };
        check(strict.clone(), &["canary", "injection", "approval"]);
        let careful = OutboundPolicy { not_scanned: Measure::Hold, ..strict.clone() };
        check(careful, &["canary", "injection", "not_scanned", "approval"]);
        check(OutboundPolicy { injection_threshold: 0.95, ..strict }, &["canary", "approval"]);
    }

    #[test]
    fn warnings_are_told_and_what_is_off_is_not() {
        let mut told = verdict();
        warn(&OutboundPolicy::default(), &[a_canary()], &[steered()], &mut told);
        assert_eq!(told.flags, [LEAK, NOT_SCANNED, flow::KIND]);
        assert_eq!(told.reasons.len(), 5);
        let off = OutboundPolicy { secrets: Measure::Off, ..OutboundPolicy::default() };
        let mut untold = verdict();
        warn(&off, &[], &[], &mut untold);
        assert_eq!((&*untold.flags, untold.reasons.len()), (&[NOT_SCANNED.to_owned()][..], 2));
        let off = OutboundPolicy { not_scanned: Measure::Off, ..off };
        warn(&off, &[], &[], &mut untold);
        assert_eq!((untold.flags.len(), untold.reasons.len()), (0, 1));
    }

    #[test]
    fn around_a_canary_nothing_is_shown() {
        let mut told = verdict();
        told.reasons.iter_mut().for_each(|it| it.excerpt = "around".to_owned());
        warn(&OutboundPolicy::default(), &[a_canary()], &[steered()], &mut told);
        let excerpts: Vec<&str> = told.reasons.iter().map(|it| &*it.excerpt).collect();
        assert_eq!(excerpts, ["around", "", "", "", "evil@x.test"], "secrets are masked");
    }

    #[test]
    fn allowances_are_for_recipients_and_never_for_canaries() {
        let allowed = [Allowance {
            id: String::new(),
            inbox_id: None,
            recipient: "x.test".to_owned(),
            kind: None,
            note: String::new(),
            created_at: 0,
            created_by: String::new(),
        }];
        let check = |reason: &HoldReason, recipients: &[&str], expected: bool| {
            let recipients: Vec<String> = recipients.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(is_allowed(reason, &recipients, &allowed), expected, "{reason:?}");
        };
        let secret = secret(&leak("password")).expect("a reason");
        check(&secret, &["a@x.test"], true);
        check(&secret, &["a@x.test", "b@y.test"], false);
        check(&steered(), &["evil@x.test", "b@y.test"], true);
        check(&canary(&a_canary()), &["a@x.test"], false);
    }
}
