//! From a text to the windows of tokens that a model reads one by one.

use std::ops::Range;

use tokenizers::{Encoding, Tokenizer};

use crate::{
    Error,
    config::Config,
    folder::{Folder, TOKENIZER},
};

/// Attention costs the square of this; and classifiers of prompts learnt from short texts.
const MAX_TOKENS: usize = 512;

/// What begins in one window and ends in the next is whole in one of them, if it is not longer than this
/// part of a window.
const OVERLAP: usize = 4;

pub(crate) struct Windows {
    tokenizer: Tokenizer,
    /// The model's own tokens in front of a text and behind it.
    before: Vec<u32>,
    behind: Vec<u32>,
    /// Tokens of the text in a window.
    room: usize,
}

pub(crate) struct Window {
    pub(crate) tokens: Vec<u32>,
    /// Octets into the text.
    pub(crate) span: Range<usize>,
}

impl Windows {
    pub(crate) fn read(folder: &Folder, config: &Config) -> Result<Windows, Error> {
        let unusable = |what: String| Error::Tokenizer { path: folder.file(TOKENIZER), what };
        let failed = |err: tokenizers::Error| unusable(err.to_string());
        let mut tokenizer = Tokenizer::from_bytes(folder.tokenizer()?).map_err(failed)?;
        let words = tokenizer.get_vocab_size(true);
        if words > config.vocabulary {
            return Err(unusable(format!(
                "it has {words} words and config.json {}: they are of different models",
                config.vocabulary
            )));
        }
        // Windows are cut here, all of one kind.
        tokenizer.with_padding(None).with_truncation(None).map_err(failed)?;
        let (before, behind) = framing(&tokenizer.encode("a", true).map_err(failed)?);
        if before.is_empty() {
            // The head reads what stands on the first token.
            return Err(unusable("it puts no token of its own in front of a text".to_owned()));
        }
        let own = before.len() + behind.len();
        let room = config.positions.min(MAX_TOKENS).saturating_sub(own);
        if room < OVERLAP {
            let what = format!("config.json has room for {} tokens only", config.positions);
            return Err(unusable(what));
        }
        Ok(Windows { tokenizer, before, behind, room })
    }

    /// None if the text has no words.
    pub(crate) fn of(&self, text: &str) -> Result<Vec<Window>, Error> {
        let encoding =
            self.tokenizer.encode(text, false).map_err(|err| Error::Cut(err.to_string()))?;
        let (tokens, spans) = (encoding.get_ids(), encoding.get_offsets());
        let mut windows = Vec::new();
        for part in parts(tokens.len(), self.room) {
            let spans = &spans[part.clone()];
            let start = spans.iter().map(|it| it.0).min().unwrap_or_default();
            let end = spans.iter().map(|it| it.1).max().unwrap_or_default();
            let tokens = [&self.before, &tokens[part], &self.behind].concat();
            windows.push(Window { tokens, span: start..end });
        }
        Ok(windows)
    }
}

/// The tokens that a tokenizer puts around a text.
fn framing(encoding: &Encoding) -> (Vec<u32>, Vec<u32>) {
    let own = || encoding.get_ids().iter().zip(encoding.get_special_tokens_mask());
    let before = own().take_while(|it| *it.1 == 1).map(|it| *it.0).collect();
    let mut behind: Vec<u32> = own().rev().take_while(|it| *it.1 == 1).map(|it| *it.0).collect();
    behind.reverse();
    (before, behind)
}

/// Runs of `room` that overlap; the last one reaches back from the end, so that it is no shorter.
fn parts(count: usize, room: usize) -> Vec<Range<usize>> {
    let step = room - room / OVERLAP;
    let mut parts = Vec::new();
    let mut start = 0;
    while start + room < count {
        parts.push(start..start + room);
        start += step;
    }
    if count > 0 {
        parts.push(count.saturating_sub(room)..count);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_and_overlap() {
        let check = |count, expected: &[(usize, usize)]| {
            let parts: Vec<_> = parts(count, 8).iter().map(|it| (it.start, it.end)).collect();
            assert_eq!(parts, expected);
        };
        check(0, &[]);
        check(1, &[(0, 1)]);
        check(8, &[(0, 8)]);
        check(9, &[(0, 8), (1, 9)]);
        check(22, &[(0, 8), (6, 14), (12, 20), (14, 22)]);
    }
}
