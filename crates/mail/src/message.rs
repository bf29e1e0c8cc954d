use contract::Message;

/// Reads a content. Whatever is wrong with it, there is a message: at worst an empty one. `text` is
/// cut at `text_limit` octets, at a character.
pub fn parse(_content: &[u8], _text_limit: usize) -> Message {
    unimplemented!()
}

/// A decoded attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub filename: String,
    pub content_type: String,
    pub octets: Vec<u8>,
}

/// The attachment at this place of `Message::attachments`.
pub fn part(_content: &[u8], _index: usize) -> Option<Part> {
    unimplemented!()
}
