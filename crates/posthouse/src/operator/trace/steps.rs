//! What happened to a mail, each as one step: when, at which stage, what. Pure.

use bus::Dead;
use contract::EmailSecurity;
use serde_json::{Value, json};
use store::{
    AuditEntry, Delivery, Life, TracedCall, TracedHold, TracedMail, TracedRequest, TracedTurn,
    VerdictAt, rfc3339,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

#[derive(Debug)]
pub(super) struct Step {
    /// Microseconds since 1970.
    pub(super) at: i64,
    pub(super) stage: &'static str,
    /// One word, or two: what programs go by.
    pub(super) what: String,
    /// For people.
    pub(super) text: String,
    /// For programs.
    more: Value,
}

impl Step {
    fn new(at: i64, stage: &'static str, what: &str, text: impl Into<String>) -> Step {
        Step { at, stage, what: what.to_owned(), text: text.into(), more: Value::Null }
    }

    fn with(self, more: Value) -> Step {
        Step { more, ..self }
    }

    pub(super) fn json(&self) -> Value {
        let mut json = json!({ "at": rfc3339(self.at), "stage": self.stage, "what": self.what, "text": self.text });
        if !self.more.is_null() {
            json["details"] = self.more.clone();
        }
        json
    }
}

/// What the rows of the mail itself tell.
pub(super) fn of_life(life: &Life) -> Vec<Step> {
    let mail = &life.mail;
    let mut steps = match &mail.request {
        Some(request) => of_request(mail, request),
        None => of_arrival(mail),
    };
    steps.extend(life.hold.iter().flat_map(of_hold));
    steps.extend(life.turn.iter().filter_map(|it| of_turn(mail, it)));
    steps
}

fn of_request(mail: &TracedMail, request: &TracedRequest) -> Vec<Step> {
    let TracedRequest { idempotency_key, requested_at, entered_at, send_at, rejection } = request;
    let asked =
        Step::new(*requested_at, "submission", "accepted", format!("key {idempotency_key}"))
            .with(json!({ "idempotencyKey": idempotency_key }));
    let scanned = scanned(*entered_at, &mail.security);
    let entered = match rejection {
        Some((code, message)) => {
            Step::new(*entered_at, "ledger", "rejected", format!("{code}: {message}"))
                .with(json!({ "code": code, "message": message }))
        }
        None => {
            let later = send_at.map(|it| format!(", to be sent at {}", rfc3339(it)));
            Step::new(
                *entered_at,
                "ledger",
                "entered",
                format!("in the ledger{}", later.unwrap_or_default()),
            )
        }
    };
    vec![asked, scanned, entered]
}

fn of_arrival(mail: &TracedMail) -> Vec<Step> {
    let path = format!("reverse-path <{}>, From {}", mail.reverse_path, mail.from);
    let at = mail.received_at.unwrap_or(mail.created_at);
    let screening: Value =
        mail.screening.as_deref().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
    let action = screening["action"].as_str().unwrap_or("delivered");
    let what = if action == "quarantined" { "held" } else { "stored" };
    vec![
        Step::new(at, "intake", "accepted", path),
        scanned(mail.created_at, &mail.security),
        Step::new(mail.created_at, "storage", what, format!("by the inbox's policy: {action}"))
            .with(screening),
    ]
}

/// A mail is judged before it is stored; when exactly nobody notes.
fn scanned(by: i64, security: &str) -> Step {
    let Ok(security) = serde_json::from_str::<EmailSecurity>(security) else {
        return Step::new(by, "scanner", "scanned", "the verdict cannot be read");
    };
    Step::new(by, "scanner", "scanned", verdict(&security)).with(json!({
        "score": security.injection_risk_score, "flags": security.flags, "spf": security.spf,
        "dkim": security.dkim, "dmarc": security.dmarc, "version": security.version,
    }))
}

fn verdict(security: &EmailSecurity) -> String {
    let mut text = format!("score {:.2}", security.injection_risk_score);
    if !security.flags.is_empty() {
        text += &format!(", flags {}", security.flags.join(" "));
    }
    for (name, result) in
        [("spf", &security.spf), ("dkim", &security.dkim), ("dmarc", &security.dmarc)]
    {
        if let Some(result) = result {
            text += &format!(", {name} {result}");
        }
    }
    text
}

fn of_hold(hold: &TracedHold) -> Vec<Step> {
    let reasons: Value = serde_json::from_str(&hold.reasons).unwrap_or_default();
    let kinds = reasons.as_array().into_iter().flatten().filter_map(|it| it["kind"].as_str());
    let kinds: Vec<&str> = kinds.collect();
    let held =
        format!("for somebody's approval until {}: {}", rfc3339(hold.expires_at), kinds.join(", "));
    let held = Step::new(hold.created_at, "ledger", "held", held).with(json!({ "kinds": kinds }));
    let decided = hold.decided_at.map(|at| {
        let what = if hold.state == "approved" { "released" } else { &hold.state };
        let by = hold.decided_by.as_deref().unwrap_or("nobody");
        let note = hold.note.as_deref().unwrap_or_default();
        Step::new(at, "ledger", what, format!("{} by {by} {note}", hold.state).trim_end())
            .with(json!({ "state": hold.state, "decidedBy": by, "note": hold.note }))
    });
    std::iter::once(held).chain(decided).collect()
}

fn of_turn(mail: &TracedMail, turn: &TracedTurn) -> Option<Step> {
    let TracedTurn { state, due_at, held_reason, held_until, released_at } = turn;
    match (state.as_str(), released_at) {
        ("waiting", _) => {
            let why = held_reason.as_deref().unwrap_or("its inbox's turn");
            let until = held_until.map(|it| format!(" until {}", rfc3339(it))).unwrap_or_default();
            let text = format!("due {}, waits for {why}{until}", rfc3339(*due_at));
            Some(Step::new(mail.created_at, "outbox", "waiting", text))
        }
        (_, Some(at)) => Some(Step::new(*at, "outbox", "sending", "handed over to the sender")),
        _ => None,
    }
}

pub(super) fn of_delivery(delivery: &Delivery) -> Step {
    let Delivery {
        recipient, attempt, source, action, status, diagnostic, remote_host, tls, ..
    } = delivery;
    let is_session = source == "session";
    // The words say it where the codes do not (RFC 6647).
    let words = diagnostic.to_lowercase();
    let is_greylisted =
        action == "delayed" && ["greylist", "graylist"].iter().any(|it| words.contains(it));
    let what = match (is_session, action.as_str()) {
        (true, "delayed") if is_greylisted => "greylisted",
        (true, "failed") => "bounced",
        _ => action,
    };
    let mut text = match is_session {
        true => format!("attempt {attempt} to {recipient}: {action} {status}"),
        false => format!("a {source} reports of {recipient}: {action} {status}"),
    };
    if !remote_host.is_empty() {
        text += &format!(", {remote_host}");
    }
    if !tls.is_empty() {
        text += &format!(" ({tls})");
    }
    text += &format!(": {diagnostic}");
    let next = delivery.next_attempt_at.map(rfc3339);
    if let Some(next) = &next {
        text += &format!("; again at {next}");
    }
    let stage = if is_session { "sender" } else { "reports" };
    Step::new(delivery.attempted_at, stage, what, text).with(json!({
        "recipient": recipient, "attempt": attempt, "source": source, "action": action,
        "status": status, "reply": diagnostic, "remoteHost": remote_host, "tls": tls,
        "nextAttemptAt": next,
    }))
}

/// One that was replaced; the present one is with the mail.
pub(super) fn of_verdict(replaced: &VerdictAt) -> Option<Step> {
    let at = replaced.replaced_at?;
    let text = format!("until then it was: {}", verdict(&replaced.security));
    Some(Step::new(at, "scanner", "rejudged", text))
}

pub(super) fn of_decision(entry: &AuditEntry) -> Step {
    let what = entry.action.strip_prefix("email.").unwrap_or(&entry.action);
    let text = format!("by {} {}", entry.actor.id, entry.actor.reason);
    Step::new(entry.at, "review", what, text.trim_end())
        .with(json!({ "actor": entry.actor.id, "reason": entry.actor.reason }))
}

pub(super) fn of_event(event: &Value) -> Step {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let at = OffsetDateTime::parse(text("timestamp"), &Rfc3339).ok();
    let at = at.and_then(|it| i64::try_from(it.unix_timestamp_nanos() / 1_000).ok());
    Step::new(at.unwrap_or_default(), "events", text("event"), text("eventId"))
        .with(json!({ "eventId": text("eventId") }))
}

pub(super) fn of_call(call: &TracedCall) -> Step {
    let TracedCall { webhook_id, event, attempt, outcome, status, error, .. } = call;
    let mut text = format!("{webhook_id} told of {event}, attempt {attempt}: {outcome}");
    if *status > 0 {
        text += &format!(", HTTP {status}");
    }
    if !error.is_empty() {
        text += &format!(", {error}");
    }
    if let Some(next) = call.next_attempt_at {
        text += &format!("; again at {}", rfc3339(next));
    }
    Step::new(call.attempted_at, "webhooks", outcome, text).with(json!({
        "webhookId": webhook_id, "eventId": call.event_id, "event": event, "attempt": attempt,
        "httpStatus": status, "error": error,
    }))
}

pub(super) fn of_parked(dead: &Dead) -> Step {
    let Dead { sequence, stage, failure, parked_at, .. } = dead;
    let text = format!("message {sequence} of stage {stage}: {failure}");
    Step::new(*parked_at, "dead", "parked", text)
        .with(json!({ "sequence": sequence, "stage": stage, "failure": failure }))
}

/// What is known of each recipient now.
pub(super) fn recipients(life: &Life) -> Vec<Value> {
    let recipient = |it: &store::TracedRecipient| {
        json!({
            "address": it.address, "action": it.action, "status": it.status,
            "diagnostic": it.diagnostic, "remoteHost": it.remote_host, "attempt": it.attempt,
            "reported": it.reported,
        })
    };
    life.recipients.iter().map(recipient).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(action: &str, said: &str, source: &str) -> Delivery {
        Delivery {
            recipient: "bob@b.test".to_owned(),
            domain: "b.test".to_owned(),
            attempt: 1,
            attempted_at: 1_000_000,
            source: source.to_owned(),
            action: action.to_owned(),
            status: "4.7.1".to_owned(),
            diagnostic: said.to_owned(),
            remote_host: "mx.b.test".to_owned(),
            tls: String::new(),
            next_attempt_at: None,
        }
    }

    #[test]
    fn an_attempt_is_called_by_what_came_of_it() {
        let check = |action: &str, said: &str, source: &str, expected: &str| {
            assert_eq!(of_delivery(&delivery(action, said, source)).what, expected, "{said}");
        };
        check("delayed", "451 4.7.1 Greylisted, try later", "session", "greylisted");
        check("delayed", "421 too busy", "session", "delayed");
        check("failed", "550 no such user", "session", "bounced");
        check("failed", "greylisted for days", "dsn", "failed");
        check("delivered", "250 ok", "session", "delivered");
    }

    #[test]
    fn a_step_says_the_reply_and_where_it_came_from() {
        let step = of_delivery(&delivery("delayed", "451 later", "session"));
        assert_eq!(step.text, "attempt 1 to bob@b.test: delayed 4.7.1, mx.b.test: 451 later");
        let json = step.json();
        assert_eq!(json["at"], "1970-01-01T00:00:01.000Z");
        assert_eq!(json["details"]["reply"], "451 later");
    }

    #[test]
    fn a_verdict_that_cannot_be_read_is_no_reason_to_fail() {
        assert_eq!(scanned(0, "{").text, "the verdict cannot be read");
    }
}
