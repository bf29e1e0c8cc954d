//! The results of authentication, in the words of RFC 8601.

use std::net::IpAddr;

use contract::Authentication;
use mail_auth::{
    AuthenticationResults, DkimOutput, DkimResult, DmarcOutput, DmarcResult, Error, SpfOutput,
    SpfResult, dkim::DkimError,
};

const NONE: &str = "none";
const TEMPERROR: &str = "temperror";

/// What came of a question.
#[derive(Debug, Default)]
pub(crate) enum Answer<T> {
    Is(T),
    /// No answer in time.
    Late,
    /// There was nothing to ask.
    #[default]
    Unasked,
}

impl<T> Answer<T> {
    pub(crate) fn known(&self) -> Option<&T> {
        match self {
            Answer::Is(it) => Some(it),
            Answer::Late | Answer::Unasked => None,
        }
    }

    pub(crate) fn is_late(&self) -> bool {
        matches!(self, Answer::Late)
    }

    fn word(&self, of: impl FnOnce(&T) -> &'static str) -> &'static str {
        match self {
            Answer::Is(it) => of(it),
            Answer::Late => TEMPERROR,
            Answer::Unasked => NONE,
        }
    }
}

#[derive(Default)]
pub(crate) struct Results<'a> {
    pub(crate) hostname: &'a str,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) helo: &'a str,
    pub(crate) reverse_path: &'a str,
    /// The address of the From field.
    pub(crate) from: &'a str,
    pub(crate) spf: Answer<SpfOutput>,
    pub(crate) dkim: Answer<Vec<DkimOutput<'a>>>,
    pub(crate) dmarc: Answer<DmarcOutput>,
}

impl Results<'_> {
    pub(crate) fn told(&self) -> Authentication {
        let from_domain = match self.dmarc.known().map(DmarcOutput::domain) {
            Some(domain) if !domain.is_empty() => domain,
            _ => self.from.rsplit_once('@').map(|it| it.1).unwrap_or_default(),
        };
        Authentication {
            spf: self.spf.word(|it| spf_word(it.result())).to_owned(),
            dkim: self.dkim.word(|it| dkim_word(it)).to_owned(),
            dmarc: self.dmarc.word(|it| dmarc_word(&it.result())).to_owned(),
            from_domain: from_domain.to_owned(),
            results: self.field(),
            ..Authentication::default()
        }
    }

    /// The value of an Authentication-Results field.
    fn field(&self) -> String {
        let mut results = AuthenticationResults::new(self.hostname);
        let mut unknown = String::new();
        match (&self.spf, self.ip, self.reverse_path) {
            (Answer::Is(spf), Some(ip), "") => {
                results = results.with_spf_ehlo_result(spf, ip, self.helo);
            }
            (Answer::Is(spf), Some(ip), path) => {
                results = results.with_spf_mailfrom_result(spf, ip, path, self.helo);
            }
            (spf, ..) => unknown += &format!(";\r\n\tspf={}", spf.word(|_| NONE)),
        }
        match &self.dkim {
            Answer::Is(dkim) if !dkim.is_empty() => {
                results = results.with_dkim_results(dkim, self.from);
            }
            dkim => unknown += &format!(";\r\n\tdkim={}", dkim.word(|_| NONE)),
        }
        match &self.dmarc {
            Answer::Is(dmarc) => results = results.with_dmarc_result(dmarc),
            dmarc => unknown += &format!(";\r\n\tdmarc={}", dmarc.word(|_| NONE)),
        }
        results.to_string() + &unknown
    }
}

fn spf_word(result: SpfResult) -> &'static str {
    match result {
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::Neutral => "neutral",
        SpfResult::TempError => TEMPERROR,
        SpfResult::PermError => "permerror",
        SpfResult::None => NONE,
    }
}

/// One good signature is enough; failing that, the most telling of the others.
fn dkim_word(outputs: &[DkimOutput<'_>]) -> &'static str {
    const BY_RANK: [&str; 5] = ["pass", TEMPERROR, "fail", "permerror", "neutral"];
    let words: Vec<&str> = outputs.iter().map(|it| signature_word(it.result())).collect();
    BY_RANK.into_iter().find(|it| words.contains(it)).unwrap_or(NONE)
}

fn signature_word(result: &DkimResult) -> &'static str {
    match result {
        DkimResult::Pass => "pass",
        // The content or the time is not what was signed: mail-auth calls it neutral.
        DkimResult::Neutral(Error::Dkim(
            DkimError::FailedBodyHashMatch | DkimError::SignatureExpired,
        )) => "fail",
        DkimResult::Neutral(_) => "neutral",
        DkimResult::Fail(_) => "fail",
        DkimResult::PermError(_) => "permerror",
        DkimResult::TempError(_) => TEMPERROR,
        DkimResult::None => NONE,
    }
}

fn dmarc_word(result: &DmarcResult) -> &'static str {
    match result {
        DmarcResult::Pass => "pass",
        DmarcResult::Fail(_) => "fail",
        DmarcResult::TempError(_) => TEMPERROR,
        DmarcResult::PermError(_) => "permerror",
        DmarcResult::None => NONE,
    }
}
