//! `outbound.scanned` → ledger and outbox → `email.queued` or `email.rejected`; and `outbound.accepted`
//! for what need not wait, `email.held` for what has to

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use bus::{BatchStage, Claims, Failure, Traced, Uploads};
use contract::{Emit as _, Event, Record, Rejection, SendRequest, SubmissionScanned, Trace};
use mail::ReturnPathKeys;
use store::{Entered, LimitPolicy, Manner, Outcome, Scrutiny, Store, Submitted, request_digest};
use tokio::sync::Notify;

use crate::{
    events, failure, grants,
    guard::Guard,
    leases::{self, LeaseMetrics},
    lists::Lists,
    metrics::{Metrics, OutboxMetrics},
    portions::portions,
    request::{self, Circumstances},
    return_paths::{self, ReturnPaths},
};

const STAGE: &str = "ledger";

/// A key is part of a database index.
const LONGEST_KEY: usize = 1_000;

pub(crate) struct Ledger {
    pub(crate) claims: Claims,
    pub(crate) uploads: Uploads,
    pub(crate) lists: Arc<Lists>,
    pub(crate) store: Store,
    /// Those of the operator.
    pub(crate) domains: Vec<String>,
    pub(crate) guard: Guard,
    pub(crate) return_paths: ReturnPaths,
    /// What dry runs are judged by; the store judges the others.
    pub(crate) limits: LimitPolicy,
    pub(crate) metrics: Metrics,
    pub(crate) outbox: OutboxMetrics,
    pub(crate) leases: LeaseMetrics,
    /// Tells the release that something waits.
    pub(crate) wake: Arc<Notify>,
}

impl BatchStage for Ledger {
    const DURABLE: &'static str = STAGE;
    type In = SubmissionScanned;
    type Out = Vec<Record>;

    async fn handle(
        &self,
        submissions: Vec<Traced<SubmissionScanned>>,
    ) -> Result<Vec<Vec<Record>>, Failure> {
        let mut outs = Vec::new();
        // What is handed over may wait, in the database, and goes on from here.
        let submissions = submissions
            .into_iter()
            .map(|it| SubmissionScanned { trace: it.step.context().map(Trace::of), ..it.event });
        let submissions: Vec<SubmissionScanned> = submissions.collect();
        for portion in portions(submissions, |it| it.request.as_ref()) {
            outs.extend(self.enter(portion).await?);
        }
        Ok(outs)
    }
}

/// What is to be done with a request.
enum Step {
    Enter {
        digest: String,
    },
    /// It is in the ledger already. Without a digest, what was asked is gone.
    Known {
        first: Box<Entered>,
        digest: Option<String>,
    },
    /// There is no inbox to keep it in, or it was a dry run.
    Answer(Box<Event>),
}

impl Ledger {
    async fn enter(
        &self,
        submissions: Vec<SubmissionScanned>,
    ) -> Result<Vec<Vec<Record>>, Failure> {
        let mut steps = Vec::new();
        let mut submitted = Vec::new();
        for submission in &submissions {
            steps.push(self.prepare(submission, &mut submitted).await?);
        }
        let work = self.store.writer.enter(&submitted);
        let entered = self.metrics.transaction(STAGE, submitted.len(), work).await;
        let entered = entered.map_err(failure)?;
        if entered.iter().any(|it| !it.to_send) {
            self.wake.notify_one();
        }
        let mut entered = entered.into_iter();
        let keys = self.return_paths.keys().await?;
        let mut outs = Vec::new();
        for (submission, step) in submissions.iter().zip(steps) {
            let (known, digest) = match step {
                Step::Enter { digest } => {
                    (entered.next().context("the ledger gave no answer")?, Some(digest))
                }
                Step::Known { first, digest } => (*first, digest),
                Step::Answer(event) => {
                    outs.push(event.records());
                    self.forget(submission).await;
                    continue;
                }
            };
            outs.push(self.announce(submission, known, digest.as_deref(), &keys)?);
            self.forget(submission).await;
        }
        Ok(outs)
    }

    async fn prepare(
        &self,
        submission: &SubmissionScanned,
        submitted: &mut Vec<Submitted>,
    ) -> Result<Step, Failure> {
        let (inbox_id, key) = (&submission.inbox_id, &submission.idempotency_key);
        if key.len() > LONGEST_KEY {
            let message = format!("idempotency key: longer than {LONGEST_KEY} octets");
            return Ok(refuse(submission, rejection("invalid_request", message)));
        }
        let Some(around) = self.circumstances(submission).await? else {
            let message = format!("the account has no inbox {inbox_id:?}");
            return Ok(refuse(submission, rejection("inbox_not_found", message)));
        };
        let requested_at = submission.requested_at_micros;
        let known = self.store.reader.entered(inbox_id, key, requested_at).await;
        let read = self.read(submission).await?;
        if let Some(known) = known.map_err(failure)? {
            let lease_id = read.as_ref().map_or("", |(request, _)| &request.lease_id);
            let reader = &self.store.reader;
            let lost = leases::lost_to_another(reader, submission, &known, lease_id).await?;
            if let Some(rejection) = lost {
                return Ok(refuse(submission, rejection));
            }
            let digest = read.map(|(_, digest)| digest);
            return Ok(Step::Known { first: Box::new(known), digest });
        }
        let (mut request, digest) = read.ok_or_else(|| {
            Failure::Permanent(anyhow!("the request of {} is gone", submission.mail_id))
        })?;
        let is_dry_run = request.validate_only;
        let lease_id = Some(request.lease_id.clone()).filter(|it| !it.is_empty());
        let around = self.with_request(around, &request).await?;
        let mut judged = submission.clone();
        if judged.rejection.is_none() {
            // The scanner has seen what was uploaded; it may have expired since.
            let account_id = &submission.account_id;
            let resolved = self.uploads.resolve(account_id, &mut request, requested_at).await?;
            judged.rejection = resolved.err();
        }
        let of_token =
            grants::judge(&self.store.reader, submission, &request, &around.inbox).await?;
        self.note_use(&submission.account_id, of_token.used.as_deref()).await;
        judged.rejection = judged.rejection.or(of_token.refusal);
        let (manner, outcome, scrutiny) = self.decide(judged, request, around).await?;
        let new = Submitted {
            mail_id: submission.mail_id.clone(),
            account_id: submission.account_id.clone(),
            inbox_id: inbox_id.clone(),
            idempotency_key: key.clone(),
            request_digest: digest.clone(),
            requested_at,
            manner,
            outcome,
            scrutiny,
            counted_for: of_token.counted_for,
            lease_id,
        };
        if is_dry_run {
            return self.rehearse(submission, &new).await;
        }
        submitted.push(new);
        Ok(Step::Enter { digest })
    }

    /// That a token was used, at doors that have no database. No mail fails because of that.
    async fn note_use(&self, account_id: &str, token_hash: Option<&str>) {
        let Some(token_hash) = token_hash else { return };
        if let Err(err) = self.store.writer.touch(account_id, token_hash).await {
            tracing::warn!("note that a token was used: {:#}", anyhow::Error::from(err));
        }
    }

    /// What a request becomes, and whether somebody has to look at it first.
    async fn decide(
        &self,
        judged: SubmissionScanned,
        request: SendRequest,
        around: Circumstances,
    ) -> Result<(Manner, Outcome, Scrutiny), Failure> {
        let documents = self.documents(&judged).await?;
        let lists = Arc::clone(&self.lists);
        let (request, around) = (Arc::new(request), Arc::new(around));
        let shared = (Arc::clone(&request), Arc::clone(&around));
        let decide = move || {
            let (request, around) = shared;
            (Manner::of(&request), request::decide(&judged, &request, &around, &lists))
        };
        let decided = tokio::task::spawn_blocking(decide).await;
        let (manner, mut outcome) = decided.context("compose a mail")?;
        let scrutiny = match &mut outcome {
            Outcome::Composed(mail) => self.guard.look(&request, documents, &around, mail).await?,
            Outcome::Rejected(_) => Scrutiny::default(),
        };
        Ok((manner, outcome, scrutiny))
    }

    /// What the scanner read of the documents that are attached.
    async fn documents(&self, judged: &SubmissionScanned) -> Result<String, Failure> {
        let Some(content) = judged.verdict.as_ref().and_then(|it| it.documents.as_ref()) else {
            return Ok(String::new());
        };
        let octets = self.claims.get(content).await?.ok_or_else(|| {
            Failure::Permanent(anyhow!("what {} has attached is gone", judged.mail_id))
        })?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    /// Says what would become of a request.
    async fn rehearse(
        &self,
        submission: &SubmissionScanned,
        new: &Submitted,
    ) -> Result<Step, Failure> {
        let mail = match &new.outcome {
            Outcome::Composed(mail) => mail,
            Outcome::Rejected(it) => return Ok(refuse(submission, it.rejection.clone())),
        };
        let (reader, account_id) = (&self.store.reader, &submission.account_id);
        let account = reader.account(account_id).await.map_err(failure)?;
        let accepted = reader.accepted_today(account_id).await.map_err(failure)?;
        let tier = account.map_or(0, |it| it.tier);
        if let Err(rejection) = self.limits.admit_to_day(tier, accepted) {
            return Ok(refuse(submission, rejection));
        }
        let lease_id = new.lease_id.as_deref().unwrap_or_default();
        let lost = leases::lost(reader, submission, lease_id).await?;
        let objection = self.store.writer.objection(new).await.map_err(failure)?;
        Ok(match lost.or(objection) {
            Some(rejection) => refuse(submission, rejection),
            None => Step::Answer(Box::new(events::validated(submission, mail, &new.scrutiny))),
        })
    }

    /// `None` if its claim is gone, as it is when a request comes again that was entered before.
    ///
    /// What the scanner could not read it has rejected; then this is as much as can be shown.
    async fn read(
        &self,
        submission: &SubmissionScanned,
    ) -> Result<Option<(SendRequest, String)>, Failure> {
        let content = submission.request.as_ref().context("the submission has no request");
        let octets = self.claims.get(content.map_err(Failure::Permanent)?).await?;
        let Some(octets) = octets else { return Ok(None) };
        let read = move || {
            let request = serde_json::from_slice::<SendRequest>(&octets).ok();
            let digest = request_digest(request.as_ref(), &octets);
            (request.unwrap_or_default(), digest)
        };
        let read = tokio::task::spawn_blocking(read).await;
        Ok(Some(read.context("read a request")?))
    }

    /// `None` if the account has no such inbox.
    async fn circumstances(
        &self,
        submission: &SubmissionScanned,
    ) -> Result<Option<Circumstances>, Failure> {
        let reader = &self.store.reader;
        let account = reader.account(&submission.account_id).await.map_err(failure)?;
        let inbox = reader.inbox(&submission.account_id, &submission.inbox_id).await;
        let (Some(account), Some(inbox)) = (account, inbox.map_err(failure)?) else {
            return Ok(None);
        };
        let is_domain_ours = self.domains.contains(&inbox.domain)
            || reader.verified_domain(&account.id, &inbox.domain).await.map_err(failure)?.is_some();
        Ok(Some(Circumstances {
            account,
            inbox,
            is_domain_ours,
            thread: None,
            answered: None,
            answer_refused: None,
            suppressed: Vec::new(),
        }))
    }

    /// Adds what depends on the request: what it answers, and who must not get it.
    async fn with_request(
        &self,
        around: Circumstances,
        request: &SendRequest,
    ) -> Result<Circumstances, Failure> {
        let (reader, inbox_id) = (&self.store.reader, &around.inbox.id);
        let thread = match request.thread_id.as_str() {
            "" => None,
            thread_id => reader.ancestry(inbox_id, thread_id).await.map_err(failure)?,
        };
        let answered = match mail::bare_id(&request.in_reply_to) {
            "" => None,
            id => reader.ancestry_of_message(inbox_id, id).await.map_err(failure)?,
        };
        let answer_refused = match mail::bare_id(&request.in_reply_to) {
            "" => None,
            id => reader.auto_reply_refusal(inbox_id, id).await.map_err(failure)?,
        };
        // Addresses that are none are refused below.
        let paths = mail::forward_paths(request).unwrap_or_default();
        let account_id = &around.account.id;
        let mut suppressed = reader.suppressed(account_id, &paths).await.map_err(failure)?;
        if let Some(list) = &request.list {
            let left = reader.unsubscribed(account_id, &list.id, &paths).await;
            suppressed.extend(left.map_err(failure)?);
        }
        Ok(Circumstances { thread, answered, answer_refused, suppressed, ..around })
    }

    fn announce(
        &self,
        submission: &SubmissionScanned,
        entered: Entered,
        digest: Option<&str>,
        keys: &ReturnPathKeys,
    ) -> Result<Vec<Record>, Failure> {
        self.leases.note_entered(&entered);
        if let (false, Some(rejection)) = (entered.is_kept, &entered.entry.rejection) {
            self.metrics.note_rejection(&rejection.code);
            return Ok(events::refused(submission, rejection.clone()).records());
        }
        match &entered.entry.rejection {
            _ if entered.repeated => self.metrics.note_repeats(STAGE, 1),
            Some(rejection) => self.metrics.note_rejection(&rejection.code),
            None => (),
        }
        if let (false, Some(hold)) = (entered.repeated, &entered.email.hold) {
            self.outbox.hold(hold);
        }
        if let Some(limit) = entered.held {
            self.outbox.held(limit);
        }
        let accepted = entered.to_send.then(|| {
            let recipients = entered.email.recipients.iter().map(|it| it.address.clone());
            request::handover(submission, entered.email.from.clone(), recipients.collect())
        });
        let accepted = accepted.map(|it| return_paths::give(keys, it)).transpose()?;
        let mut records = accepted.records();
        let differs = digest.is_some_and(|it| it != entered.entry.request_digest);
        records.extend(events::entered(&entered, submission, differs).records());
        records.extend(events::held(&entered).records());
        Ok(records)
    }

    async fn forget(&self, submission: &SubmissionScanned) {
        let documents = submission.verdict.as_ref().and_then(|it| it.documents.as_ref());
        for content in submission.request.iter().chain(documents) {
            if let Err(err) = self.claims.remove(content).await {
                // The bucket lets go of it in time.
                tracing::debug!(mail.id = submission.mail_id, "leave a claim behind: {err:#}");
            }
        }
    }
}

fn refuse(submission: &SubmissionScanned, rejection: Rejection) -> Step {
    Step::Answer(Box::new(events::refused(submission, rejection)))
}

fn rejection(code: &str, message: String) -> Rejection {
    Rejection { code: code.to_owned(), message }
}
