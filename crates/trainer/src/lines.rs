//! Files of labelled mail: a JSON object a line.

use std::path::Path;

use anyhow::Context as _;
use contract::Mailbox;
use injection::{Kind, Part, Sample};
use mail::SurfaceKind;
use serde::Deserialize;

/// The octets of text that are read of a mail, as the scanner does.
const MAX_TEXT: usize = 4 * 1024 * 1024;

/// A labelled mail.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Line {
    /// 1 for an injection.
    pub(crate) label: u8,
    pub(crate) source: String,
    pub(crate) family: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: Option<String>,
    /// Of an innocent one: "mail" for real mail, "hard" for look-alikes.
    pub(crate) tier: Option<String>,
    /// What is injected, before any encoding.
    pub(crate) payload: Option<String>,
}

pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let file = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let parsed = file.lines().enumerate().map(|(at, it)| {
        serde_json::from_str(it).with_context(|| format!("{}:{}", path.display(), at + 1))
    });
    parsed.collect()
}

impl Line {
    pub(crate) fn is_attack(&self) -> bool {
        self.label == 1
    }

    pub(crate) fn is_mail(&self) -> bool {
        self.label == 0 && self.tier.as_deref() == Some("mail")
    }

    /// The octets of a mail that says this.
    pub(crate) fn content(&self) -> anyhow::Result<Vec<u8>> {
        let one_line = |text: &str| text.replace(|it: char| it.is_control(), " ");
        let draft = mail::Draft {
            from: Mailbox { address: "a@x.test".to_owned(), ..Mailbox::default() },
            to: vec!["b@x.test".to_owned()],
            subject: one_line(&self.subject),
            text: Some(self.text.clone()),
            html: self.html.clone(),
            message_id: "1@x.test".to_owned(),
            ..mail::Draft::default()
        };
        mail::compose(&draft).context("compose")
    }
}

/// What the scanner would have assessed of a content.
pub(crate) fn sample(content: &[u8]) -> Sample {
    let surfaces = mail::surfaces(content, MAX_TEXT).list;
    let parts = surfaces.into_iter().map(|it| Part { kind: kind(it.kind), text: it.text });
    Sample { parts: parts.collect() }
}

fn kind(kind: SurfaceKind) -> Kind {
    match kind {
        SurfaceKind::Subject => Kind::Subject,
        SurfaceKind::Name => Kind::Name,
        SurfaceKind::Text => Kind::Text,
        SurfaceKind::Html => Kind::Html,
        SurfaceKind::Hidden => Kind::Hidden,
        SurfaceKind::Attribute => Kind::Attribute,
        SurfaceKind::Comment => Kind::Comment,
        SurfaceKind::Link => Kind::Link,
        SurfaceKind::Filename => Kind::Filename,
        SurfaceKind::Attached => Kind::Attached,
        SurfaceKind::Divergent => Kind::Divergent,
    }
}
