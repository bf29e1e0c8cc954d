//! What storage judges senders by. A writer without a policy, such as that of the operator's commands,
//! counts nothing and refuses nobody.

use contract::RecipientReport;

use crate::{Brakes, Breakers, standing::Failing};

#[derive(Clone, Debug)]
pub struct Policy {
    pub breakers: Breakers,
    pub brakes: Brakes,
    /// Whether a failed recipient is at fault himself: unknown, moved, full.
    pub is_bounce: fn(&RecipientReport) -> bool,
}

impl Policy {
    pub(crate) fn failing(&self, report: &RecipientReport) -> Failing {
        if report.suppressed {
            Failing::Suppressed
        } else if (self.is_bounce)(report) {
            Failing::Bounced
        } else {
            Failing::Refused
        }
    }
}
