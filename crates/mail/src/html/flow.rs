//! Text as it flows on a page: white space collapses, blocks begin on lines of their own.

/// Collects text (CSS 2.1 section 16.6.1, as far as reading needs it).
#[derive(Debug, Default)]
pub(crate) struct Flow {
    text: String,
    /// White space was seen since the last character.
    space: bool,
    /// Line ends owed before the next character.
    breaks: usize,
}

impl Flow {
    /// Adds text, its white space collapsed.
    pub(crate) fn push(&mut self, text: &str) {
        for piece in text.split_inclusive(is_space) {
            let word = piece.trim_end_matches(is_space);
            if !word.is_empty() {
                self.settle();
                self.text.push_str(word);
            }
            self.space |= word.len() < piece.len();
        }
    }

    /// Adds text as it is.
    pub(crate) fn push_verbatim(&mut self, text: &str) {
        if !text.is_empty() {
            self.settle();
            self.text.push_str(text);
        }
    }

    /// What follows stands apart from what went before, on the same line.
    pub(crate) fn gap(&mut self) {
        self.space = true;
    }

    /// What follows begins a line, with `lines - 1` empty ones above it.
    pub(crate) fn break_lines(&mut self, lines: usize) {
        self.breaks = self.breaks.max(lines);
    }

    /// One more line end, as `<br>` asks for.
    pub(crate) fn line_end(&mut self) {
        // Endless empty lines help nobody.
        self.breaks = (self.breaks + 1).min(3);
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn settle(&mut self) {
        if !self.text.is_empty() {
            let ended = self.text.bytes().rev().take_while(|it| *it == b'\n').count();
            for _ in ended..self.breaks {
                self.text.push('\n');
            }
            if self.space && !self.text.ends_with(['\n', ' ']) {
                self.text.push(' ');
            }
        }
        self.space = false;
        self.breaks = 0;
    }
}

/// Not the no-break space: it does not collapse.
fn is_space(it: char) -> bool {
    matches!(it, ' ' | '\t' | '\n' | '\r' | '\x0c')
}
