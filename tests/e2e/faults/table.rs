//! What a campaign says in the end.

use std::{collections::BTreeMap, fmt};

use crate::faults::verify::{Ends, Places};

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// How often each fault was survived.
    pub(crate) faults: BTreeMap<String, usize>,
    pub(crate) places: Places,
    pub(crate) ends: Ends,
    pub(crate) events: usize,
    /// Posted webhooks, and those that were posted again.
    pub(crate) posted: usize,
    pub(crate) posted_again: usize,
    /// Messages in DEAD, poison all of it.
    pub(crate) dead: usize,
    /// What storage met again and left alone.
    pub(crate) repeats: u64,
    /// Octets before the first fault and after the last, by process.
    pub(crate) memory: BTreeMap<String, (u64, u64)>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Places { accepted, delivered, quarantined, parked, unanswered, .. } = &self.places;
        let total: usize = self.faults.values().sum();
        writeln!(f, "faults: {}: {total} survived, seed {}", self.name, self.seed)?;
        for (fault, times) in &self.faults {
            writeln!(f, "  {times:>4}  {fault}")?;
        }
        writeln!(
            f,
            "  {accepted} mails got their 250: {delivered} delivered, {quarantined} in quarantine, \
             {parked} in DEAD ({unanswered} of them without their 250); 0 lost, 0 twice"
        )?;
        let Ends { accepted, again, unknown } = &self.ends;
        writeln!(
            f,
            "  {accepted} sends accepted: 0 lost, {again} further copies, {unknown} unknown and held"
        )?;
        writeln!(f, "  {} events by cursor: 0 missing, 0 twice", self.events)?;
        let (posted, again) = (self.posted, self.posted_again);
        writeln!(f, "  {posted} webhooks: 0 missing, {again} posted again under the same id")?;
        writeln!(f, "  {} parked; storage absorbed {} repeats", self.dead, self.repeats)?;
        for (process, (before, after)) in &self.memory {
            let mib = |octets: &u64| octets / (1 << 20);
            writeln!(f, "  {process:<12} {:>4} MiB before, {:>4} after", mib(before), mib(after))?;
        }
        Ok(())
    }
}
