//! What an assessment costs, by the size of the mail. Processor's time, so that a busy machine does not
//! matter much.

use std::time::Duration;

use injection::{Assessment, Assessor};
use rustix::time::{ClockId, clock_gettime};

use crate::lines::{Line, sample};

/// Octets of text, and how many mails of that size are measured at most.
const SIZES: [(usize, usize); 3] = [(4_000, 1000), (100_000, 60), (20_000_000, 1)];

/// The time for mails of several sizes, made of the texts of a file one after the other.
pub(crate) fn by_size(assessor: &Assessor, lines: &[Line]) -> anyhow::Result<String> {
    let mut told = String::new();
    if lines.iter().all(|it| it.text.is_empty()) {
        return Ok(told);
    }
    for (size, count) in SIZES {
        let mut spent = Vec::new();
        let mut texts = lines.iter().cycle();
        for _ in 0..count {
            let mut mail = Line::default();
            while mail.text.len() < size {
                mail.text.extend(texts.next().map(|it| format!("{}\n\n", it.text)));
            }
            mail.text.truncate(mail.text.floor_char_boundary(size));
            spent.push(assess(assessor, &mail.content()?).1);
        }
        told += &format!("{} of {size} octets: {}\n", spent.len(), self::told(&mut spent));
    }
    Ok(told)
}

/// The assessment of a content, reading included, and the processor's time it took.
pub(crate) fn assess(assessor: &Assessor, content: &[u8]) -> (Assessment, Duration) {
    let begun = clock_gettime(ClockId::ThreadCPUTime);
    let assessment = assessor.assess(&sample(content));
    let spent = clock_gettime(ClockId::ThreadCPUTime) - begun;
    (assessment, spent.try_into().unwrap_or_default())
}

pub(crate) fn told(spent: &mut [Duration]) -> String {
    spent.sort_unstable();
    let mean = spent.iter().sum::<Duration>() / u32::try_from(spent.len().max(1)).unwrap_or(1);
    let late = spent.get(spent.len() * 99 / 100).copied().unwrap_or_default();
    format!("{} µs on average, 99% within {} µs", mean.as_micros(), late.as_micros())
}
