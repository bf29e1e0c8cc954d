//! Whether somebody has to look at a mail before it goes: secrets, canaries, the flow of information,
//! injections, and whatever an account wants to approve.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Context as _;
use bus::Failure;
use contract::{HoldReason, Reason, SendRequest, Verdict};
use store::{Allowance, Canary, Composed, Measure, NewHold, OutboundPolicy, Reader, Scrutiny};

use crate::{
    canaries, failure,
    flow::{self, Flow, Recipient},
    mentions::{Kind, MAX_TEXT, Mention, canonical, mentions, registrable},
    request::Circumstances,
};

const SECRET: &str = "secret";
const CANARY: &str = "canary";
const INJECTION: &str = "injection";
const APPROVAL: &str = "approval";

/// The flag of secrets and canaries.
const LEAK: &str = "outbound_secret";

pub(crate) struct Guard {
    pub(crate) reader: Reader,
    /// Those of the operator.
    pub(crate) domains: Vec<String>,
}

/// What the words of a request say by themselves.
struct Words {
    named: BTreeSet<Mention>,
    canaries: Vec<Canary>,
}

impl Guard {
    /// What speaks against a mail. Warnings are added to its verdict.
    pub(crate) async fn look(
        &self,
        request: &Arc<SendRequest>,
        around: &Circumstances,
        mail: &mut Composed,
    ) -> Result<Scrutiny, Failure> {
        let (account_id, inbox_id) = (&around.account.id, &around.inbox.id);
        let policy = self.reader.outbound_policy(account_id, inbox_id).await.map_err(failure)?;
        let canaries = self.reader.canaries(account_id).await.map_err(failure)?;
        let shared = Arc::clone(request);
        let read = tokio::task::spawn_blocking(move || words(&shared, &canaries));
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
        let hold = (!reasons.is_empty()).then(|| NewHold {
            reasons,
            expires_after: policy.expires_after(),
            canary_ids: words.canaries.into_iter().map(|it| it.id).collect(),
        });
        let written = words.named.iter().filter(|it| it.kind != Kind::Address);
        Ok(Scrutiny { hold, items: written.map(Mention::item).collect() })
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
        let own_domains = own_domains.filter_map(|it| registrable(it)).collect();
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

fn words(request: &SendRequest, canaries: &[Canary]) -> Words {
    let surfaces = mail::request_surfaces(request, MAX_TEXT);
    Words { named: mentions(&surfaces.list, true), canaries: canaries::found(canaries, request) }
}

/// What is found is told with the mail, held or not; what nobody wants to know is taken out.
fn warn(policy: &OutboundPolicy, canaries: &[Canary], flow: &[HoldReason], verdict: &mut Verdict) {
    if policy.secrets == Measure::Off {
        verdict.flags.retain(|it| it != LEAK);
        verdict.reasons.retain(|it| it.flag != LEAK);
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
        flow::KIND if reason.detail == Kind::Address.as_str() => covered(&reason.excerpt),
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
            flags: vec![LEAK.to_owned()],
            reasons: vec![leak("password"), Reason::default()],
            ..Verdict::default()
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
        check(OutboundPolicy { injection_threshold: 0.95, ..strict }, &["canary", "approval"]);
    }

    #[test]
    fn warnings_are_told_and_what_is_off_is_not() {
        let mut told = verdict();
        warn(&OutboundPolicy::default(), &[a_canary()], &[steered()], &mut told);
        assert_eq!(told.flags, [LEAK, flow::KIND]);
        assert_eq!(told.reasons.len(), 4);
        let off = OutboundPolicy { secrets: Measure::Off, ..OutboundPolicy::default() };
        let mut untold = verdict();
        warn(&off, &[], &[], &mut untold);
        assert_eq!((untold.flags.len(), untold.reasons.len()), (0, 1));
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
