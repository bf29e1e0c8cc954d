//! Verdicts on received mail, and what replaces them when it is judged anew.

use std::collections::BTreeSet;

use contract::{EmailSecurity, SecurityReason, Verdict};

use crate::{Stored, email};

/// What DNS said of the sender when the mail came. A replay asks nobody, so it stays.
const SENDER_DETECTORS: [&str; 1] = ["dmarc"];

/// Scores nearer than this are one: JSON may change the last digit.
const SAME_SCORE: f64 = 1e-6;

/// Which mails are judged anew; empty texts and `None` mean any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplayFilter {
    pub account_id: String,
    pub inbox_id: String,
    /// Stored at this moment or later, in microseconds since 1970 …
    pub since: Option<i64>,
    /// … and before this one.
    pub until: Option<i64>,
}

/// A received mail with the verdict it has.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedMail {
    pub mail_id: String,
    /// Of its first copy.
    pub email_id: String,
    pub stored_at: i64,
    pub security: EmailSecurity,
}

/// A verdict, and the time it stood.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictAt {
    pub security: EmailSecurity,
    pub judged_at: i64,
    /// `None` of the present one.
    pub replaced_at: Option<i64>,
}

/// What became of a new verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejudged {
    /// The copies whose readers should hear of it: all, if score or flags are others now; none, if not.
    pub copies: Vec<Stored>,
    /// It stands now, for the first time.
    pub is_new: bool,
}

/// A verdict in place of the stored one; what is known of the sender stays.
pub fn rejudged(stored: &EmailSecurity, verdict: &Verdict) -> EmailSecurity {
    let new = email::security(verdict, None);
    let is_kept = |it: &&SecurityReason| SENDER_DETECTORS.contains(&it.detector.as_str());
    let kept: Vec<SecurityReason> = stored.reasons.iter().filter(is_kept).cloned().collect();
    let mut flags = new.flags;
    for reason in &kept {
        if !flags.contains(&reason.flag) {
            flags.push(reason.flag.clone());
        }
    }
    EmailSecurity {
        injection_risk_score: new.injection_risk_score,
        flags,
        reasons: [new.reasons, kept].concat(),
        version: new.version,
        ..stored.clone()
    }
}

/// Whether an agent would be told the same: score and flags.
pub fn is_same_verdict(a: &EmailSecurity, b: &EmailSecurity) -> bool {
    let flags = |it: &'_ EmailSecurity| it.flags.iter().cloned().collect::<BTreeSet<String>>();
    (a.injection_risk_score - b.injection_risk_score).abs() < SAME_SCORE && flags(a) == flags(b)
}

/// Whether, besides, the same version says it.
pub fn is_same_judgement(a: &EmailSecurity, b: &EmailSecurity) -> bool {
    a.version == b.version && is_same_verdict(a, b)
}

#[cfg(test)]
mod tests {
    use contract::Reason;

    use super::*;

    fn verdict(score: f64, flag: &str, version: &str) -> Verdict {
        let reason = Reason { detector: "role".into(), flag: flag.into(), ..Reason::default() };
        Verdict {
            score,
            flags: vec![flag.into()],
            reasons: vec![reason],
            version: version.into(),
            ..Verdict::default()
        }
    }

    fn stored() -> EmailSecurity {
        let mut verdict = verdict(0.3, "prompt_injection", "1");
        verdict.flags.push("spoofed_sender".into());
        verdict.reasons.push(Reason {
            detector: "dmarc".into(),
            flag: "spoofed_sender".into(),
            ..Reason::default()
        });
        EmailSecurity { spf: Some("fail".into()), ..email::security(&verdict, None) }
    }

    #[test]
    fn what_is_known_of_the_sender_stays() {
        let new = rejudged(&stored(), &verdict(0.9, "fence_escape", "2"));
        assert_eq!(new.injection_risk_score, 0.9);
        assert_eq!(new.flags, ["fence_escape", "spoofed_sender"]);
        let detectors: Vec<&str> = new.reasons.iter().map(|it| it.detector.as_str()).collect();
        assert_eq!(detectors, ["role", "dmarc"]);
        assert_eq!((new.spf.as_deref(), new.version.as_str()), (Some("fail"), "2"));
    }

    #[test]
    fn the_same_judgement_is_no_change() {
        let again = rejudged(&stored(), &verdict(0.3, "prompt_injection", "1"));
        assert!(is_same_judgement(&stored(), &again) && is_same_verdict(&stored(), &again));
        let newer = rejudged(&stored(), &verdict(0.3, "prompt_injection", "2"));
        assert!(!is_same_judgement(&stored(), &newer) && is_same_verdict(&stored(), &newer));
        for other in [verdict(0.31, "prompt_injection", "1"), verdict(0.3, "fence_escape", "1")] {
            assert!(!is_same_verdict(&stored(), &rejudged(&stored(), &other)));
        }
    }
}
