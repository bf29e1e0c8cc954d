//! Who wrote a mail, as far as his domain stands for it.

use mail_auth::{DkimOutput, DkimResult, DmarcOutput, DmarcResult};

use crate::results::Answer;

/// The address in From, if there is exactly one and its domain stands for it: DMARC (RFC 9989) passes, or
/// where the domain says nothing of DMARC, one of its signatures does. SPF alone is not enough there: hosts
/// that many share are in many domains' records. Nothing that was late counts.
pub(crate) fn author(
    from: &[String],
    dkim: &Answer<Vec<DkimOutput<'_>>>,
    dmarc: &Answer<DmarcOutput>,
) -> Option<String> {
    let ([address], Answer::Is(dmarc)) = (from, dmarc) else { return None };
    let domain = mail::registrable(address.rsplit_once('@')?.1);
    let is_signed = || {
        let signatures = dkim.known().into_iter().flatten();
        let passed = signatures.filter(|it| *it.result() == DkimResult::Pass);
        let mut domains = passed.filter_map(|it| Some(it.signature()?.d.as_str()));
        domains.any(|it| domain.is_some() && mail::registrable(it) == domain)
    };
    let is_proven = match dmarc.result() {
        DmarcResult::Pass => true,
        DmarcResult::None => dmarc.dmarc_record().is_none() && is_signed(),
        _ => false,
    };
    is_proven.then(|| address.clone())
}
