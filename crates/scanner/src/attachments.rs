//! The text of what is attached to a mail, read by processes that may die.

mod pool;
mod process;

use std::{path::PathBuf, sync::Arc, time::Duration};

use contract::{Attachment, Reason};
use documents::{Call, Extracted, Format, Kind as Channel, Limits, Unreadable};
use injection::{Kind, Part};
use mail::{Attached, Surfaces};
use tokio::time::{Instant, timeout_at};

use self::pool::{Failed, Pool};
pub use self::process::{EXTRACT, extract};
use crate::{Config, judge::NOT_SCANNED, metrics::Metrics};

/// Documents of one mail that are read.
const MAX_DOCUMENTS: usize = 32;
/// How many times the time of one document those of a mail may take together, waiting included.
const PATIENCE: u32 = 3;
/// Octets of text that are kept of an attachment, and of all of a mail: with its body and its content
/// they have to fit into one event.
const MAX_TEXT: usize = 64 * 1024;
const MAX_TEXTS: usize = 192 * 1024;
/// A reason that says only that something is not known.
const UNKNOWN: f64 = 0.1;
const MAX_NAME: usize = 100;
/// Attachments that are named as not read; a mail may have a thousand.
const MAX_GAPS: usize = 20;

/// Reads documents.
#[derive(Clone)]
pub(crate) struct Opener {
    pool: Arc<Pool>,
    limits: Limits,
    memory_bytes: u64,
    budget: Duration,
    metrics: Metrics,
}

/// A part of a mail and the attachment it stands in.
pub(crate) struct Source {
    pub(crate) part: Part,
    pub(crate) attachment: Option<usize>,
}

/// All that a mail says.
#[derive(Default)]
pub(crate) struct Opened {
    pub(crate) sources: Vec<Source>,
    /// So many of them stand in the mail itself; documents follow.
    pub(crate) own: usize,
    /// What they are called in reasons, one for each attachment.
    pub(crate) names: Vec<String>,
    /// What could not be read.
    pub(crate) gaps: Vec<Reason>,
    /// There is more text than is read.
    pub(crate) truncated: bool,
    /// A document was not read because the machine was busy, or could not.
    pub(crate) is_pressed: bool,
    /// By their place among the message's attachments.
    pub(crate) texts: Vec<(usize, String)>,
}

impl Opener {
    /// `program` reads documents when it is called with `EXTRACT`.
    pub(crate) fn new(config: &Config, program: Option<PathBuf>, metrics: Metrics) -> Opener {
        Opener {
            pool: Arc::new(Pool::new(program, config.document_readers)),
            limits: Limits::default(),
            memory_bytes: config.document_memory_mib * 1024 * 1024,
            budget: Duration::from_secs(config.document_seconds),
            metrics,
        }
    }

    /// Opens what is attached. `left` octets of text may come of it.
    pub(crate) async fn open(&self, mut surfaces: Surfaces, mut left: usize) -> Opened {
        let attachments = std::mem::take(&mut surfaces.attachments);
        let mut opened = Opened::unread(surfaces);
        let until = Instant::now() + self.budget * PATIENCE;
        let mut count = 0;
        for (at, mut attached) in attachments.into_iter().enumerate() {
            let name = name(&attached);
            let octets = std::mem::take(&mut attached.octets);
            let format = Format::of(&octets, &attached.content_type, &attached.filename);
            let read = match format {
                _ if octets.is_empty() => None,
                Format::Other => None,
                _ if count == MAX_DOCUMENTS => Some(Err(Failed::Unreadable(Unreadable::TooLarge))),
                _ => {
                    count += 1;
                    Some(self.read(format, &octets, until).await)
                }
            };
            if let Some(read) = &read {
                self.metrics.documents.with_label_values(&[outcome(read)]).inc();
            }
            let failed = read.as_ref().and_then(|it| it.as_ref().err());
            opened.is_pressed |= matches!(failed, Some(Failed::Slow | Failed::Unavailable));
            let gap = match read {
                Some(Ok(extracted)) => {
                    let why = extracted.gap.map(|it| it.to_string());
                    opened.take(at, attached.place, extracted, &mut left);
                    why
                }
                Some(Err(why)) => Some(why.to_string()),
                None => None,
            };
            opened.keep_text(at, attached.place);
            if let Some(why) = gap.filter(|_| opened.gaps.len() < MAX_GAPS) {
                opened.gaps.push(self::gap(&name, &why));
            }
            opened.names.push(name);
        }
        opened
    }

    async fn read(
        &self,
        format: Format,
        octets: &[u8],
        until: Instant,
    ) -> Result<Extracted, Failed> {
        // Needs no library that could fail.
        if matches!(format, Format::Text | Format::Locked(_)) {
            return Ok(documents::extract(format, octets, &self.limits)?);
        }
        if octets.len() > self.limits.input {
            return Err(Unreadable::TooLarge.into());
        }
        let call = Call {
            format,
            limits: self.limits,
            memory_bytes: self.memory_bytes,
            cpu_seconds: self.budget.as_secs(),
        };
        let read = self.pool.read(&call, octets, self.budget);
        timeout_at(until, read).await.unwrap_or(Err(Failed::Slow))
    }
}

impl Opened {
    /// Without what is in its documents.
    pub(crate) fn unread(surfaces: Surfaces) -> Opened {
        let Surfaces { list, attachments, truncated } = surfaces;
        let sources = list.into_iter().map(|it| Source {
            part: Part { kind: it.kind.into(), text: it.text },
            attachment: it.attachment,
        });
        let sources: Vec<Source> = sources.collect();
        Opened {
            own: sources.len(),
            sources,
            names: attachments.iter().map(name).collect(),
            truncated,
            ..Opened::default()
        }
    }

    fn take(
        &mut self,
        attachment: usize,
        place: Option<usize>,
        extracted: Extracted,
        left: &mut usize,
    ) {
        let mut shown = String::new();
        for piece in extracted.pieces {
            let kind = match piece.kind {
                Channel::Text | Channel::Comment => Kind::Attached,
                Channel::Hidden => Kind::Hidden,
                Channel::Metadata => Kind::Attribute,
                Channel::Link => Kind::Link,
                Channel::Member => Kind::Filename,
            };
            let mut text = piece.text;
            if text.len() > *left {
                text.truncate(text.floor_char_boundary(*left));
                self.truncated = true;
            }
            *left -= text.len();
            if matches!(piece.kind, Channel::Text | Channel::Comment | Channel::Member) {
                shown.push_str(&text);
                shown.push('\n');
            }
            self.sources.push(Source { part: Part { kind, text }, attachment: Some(attachment) });
        }
        if let Some(place) = place.filter(|_| !shown.is_empty()) {
            self.texts.push((place, shown));
        }
    }

    /// What a person would read in an attachment that is a text, if it was not taken apart.
    fn keep_text(&mut self, attachment: usize, place: Option<usize>) {
        let shown = |it: &&Source| {
            let own = it.attachment == Some(attachment);
            own && matches!(it.part.kind, Kind::Attached | Kind::Html)
        };
        let Some(place) = place else { return };
        if self.texts.last().is_some_and(|it| it.0 == place) {
            return;
        }
        if let Some(source) = self.sources.iter().find(shown) {
            self.texts.push((place, source.part.text.clone()));
        }
    }
}

/// Puts the texts into what is said of the attachments, as far as they fit.
pub(crate) fn tell(texts: Vec<(usize, String)>, attachments: &mut [Attachment]) {
    let mut left = MAX_TEXTS;
    for (place, mut text) in texts {
        let Some(attachment) = attachments.get_mut(place) else { continue };
        let most = MAX_TEXT.min(left);
        attachment.text_truncated = text.len() > most;
        text.truncate(text.floor_char_boundary(most));
        left -= text.len();
        attachment.text = text;
    }
}

/// Not clean: nobody knows what stands there. But it is no sign of an attack either.
fn gap(name: &str, why: &str) -> Reason {
    Reason {
        detector: "documents".to_owned(),
        version: "1".to_owned(),
        flag: NOT_SCANNED.to_owned(),
        part: part(Kind::Attached, name),
        explanation: format!("This attachment was not read, or not all of it: {why}."),
        weight: UNKNOWN,
        ..Reason::default()
    }
}

/// What a reason calls a part that stands in an attachment.
pub(crate) fn part(kind: Kind, name: &str) -> String {
    format!("{}:{name}", kind.name())
}

fn name(attached: &Attached) -> String {
    let name = if attached.filename.trim().is_empty() {
        &attached.content_type
    } else {
        &attached.filename
    };
    name.chars().map(|it| if it.is_control() { ' ' } else { it }).take(MAX_NAME).collect()
}

fn outcome(read: &Result<Extracted, Failed>) -> &'static str {
    match read {
        Ok(Extracted { gap: None, .. }) => "read",
        Ok(_) => "partly_read",
        Err(Failed::Unreadable(Unreadable::Encrypted)) => "encrypted",
        Err(Failed::Unreadable(Unreadable::Broken)) => "broken",
        Err(Failed::Unreadable(Unreadable::TooLarge)) => "too_large",
        Err(Failed::Unreadable(Unreadable::Unsupported)) => "unsupported",
        Err(Failed::Slow) => "slow",
        Err(Failed::Died) => "died",
        Err(Failed::Unavailable) => "unavailable",
    }
}
