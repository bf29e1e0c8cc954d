//! The words by which mail programs mark what is answered, in the languages they speak.
//!
//! All in lower case. Where a shape says it all (a date, an address in brackets, a colon), no word is
//! needed; these are for when it does not.

mod around;
mod headings;

pub(crate) use self::{
    around::{DISCLAIMERS, OPENERS, SENT_FROM, WROTE},
    headings::{FORWARDED, FROM, ORIGINAL, SENT, SUBJECT, TO},
};
