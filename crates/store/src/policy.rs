//! What storage judges senders by. A writer without a policy, such as that of the operator's commands,
//! counts nothing and refuses nobody.

use contract::RecipientReport;

use crate::{Brakes, Breakers, standing::Failing};

#[derive(Clone, Debug)]
pub struct Policy {
    pub breakers: Breakers,
    pub brakes: Brakes,
    /// Whether a status (RFC 3463) and a diagnostic say that the recipient himself is at fault: unknown,
    /// moved, full.
    pub is_bounce: fn(&str, &str) -> bool,
}

impl Policy {
    /// Why a recipient of ours failed, if he did.
    pub(crate) fn failing(&self, report: &RecipientReport) -> Failing {
        if report.suppressed {
            Failing::Suppressed
        } else {
            self.failing_later(&report.status, &report.diagnostic)
        }
    }

    /// Why a mail came back.
    pub(crate) fn failing_later(&self, status: &str, diagnostic: &str) -> Failing {
        if (self.is_bounce)(status, diagnostic) { Failing::Bounced } else { Failing::Refused }
    }
}
