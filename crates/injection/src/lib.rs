//! Finds text in a mail that tries to give orders to the agent that reads it.
//!
//! Pure: text and structure in, findings out. No I/O, no clock, no configuration; the same sample
//! always gets the same assessment, in time linear in its size. Rules find the evident and say why; a
//! model that the crate `trainer` made weighs words and meanings together. What neither knows is not
//! seen, and neither is text in pictures.

mod assess;
mod decode;
mod detector;
mod extract;
mod features;
mod forest;
mod grams;
mod lexicon;
mod model;
mod phishing;
pub mod secrets;
mod talk;
mod view;
mod window;

use std::ops::Range;

pub use assess::Assessor;
pub use extract::{Extract, Extractor, Passage};
pub use features::{CONCEPT_BITS, Features, Window, combinations};
pub use forest::{Forest, TREE_DEPTH, Tree};
pub use grams::GRAM_BITS;
pub use model::{Heard, Model, SIGNALS, Signals, TOLD, Table};
pub use view::fold;

/// The version of detectors and model as a whole; it changes whenever an assessment may.
pub const VERSION: &str = "5";

/// What to assess.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub parts: Vec<Part>,
}

/// One piece of a mail.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub kind: Kind,
    pub text: String,
}

/// Where a piece of text stands, which says who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Subject,
    /// A display name.
    Name,
    /// A plain text body.
    Text,
    /// What a person sees of an HTML body.
    Html,
    /// What an HTML body hides from a person.
    Hidden,
    /// `alt`, `title` and the like.
    Attribute,
    /// A comment in HTML.
    Comment,
    /// Where links and images in HTML point, one a line.
    Link,
    Filename,
    /// An attached text, such as a calendar entry.
    Attached,
    /// What only one of the plain text and the HTML says. It is read as part of that one too, so only
    /// the difference is judged here.
    Divergent,
}

/// What a mail is suspected of, by its stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    PromptInjection,
    SocialEngineering,
    HiddenText,
    DivergentParts,
    UnicodeSmuggling,
    EncodedPayload,
    FenceEscape,
    ExfiltrationLink,
    PhishingUrl,
}

/// A passage that a detector noticed.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    pub detector: &'static str,
    pub version: &'static str,
    pub flag: Flag,
    /// Which of the sample's parts.
    pub part: usize,
    pub kind: Kind,
    /// Octets into the part's text.
    pub span: Range<usize>,
    /// What stands there, invisible characters made visible, cut at a limit.
    pub excerpt: String,
    /// Why this counts, in plain words.
    pub explanation: &'static str,
    /// 0 to 1: the score this reason alone would give.
    pub weight: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessment {
    /// 0 to 1. From 0.5 on a mail counts as an injection risk.
    pub score: f64,
    /// Sorted, each once; those of reasons that count.
    pub flags: Vec<Flag>,
    /// The weightiest first.
    pub reasons: Vec<Reason>,
    pub version: &'static str,
    /// The sample was larger than what is read: the middle of its longest parts was left out.
    pub truncated: bool,
}

impl Kind {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Subject => "subject",
            Kind::Name => "from",
            Kind::Text => "text",
            Kind::Html => "html",
            Kind::Hidden => "hidden",
            Kind::Attribute => "attribute",
            Kind::Comment => "comment",
            Kind::Link => "link",
            Kind::Filename => "filename",
            Kind::Attached => "attached",
            Kind::Divergent => "divergent",
        }
    }

    /// A machine reads it and a person does not.
    pub(crate) fn is_unseen(self) -> bool {
        matches!(self, Kind::Hidden | Kind::Attribute | Kind::Comment)
    }
}

impl Flag {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Flag::PromptInjection => "prompt_injection",
            Flag::SocialEngineering => "social_engineering",
            Flag::HiddenText => "hidden_text",
            Flag::DivergentParts => "divergent_parts",
            Flag::UnicodeSmuggling => "unicode_smuggling",
            Flag::EncodedPayload => "encoded_payload",
            Flag::FenceEscape => "fence_escape",
            Flag::ExfiltrationLink => "exfiltration_link",
            Flag::PhishingUrl => "phishing_url",
        }
    }
}
