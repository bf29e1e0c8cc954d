//! A place in the stream of events, as clients hold it: which stream, and the sequence of the last event
//! they have. Opaque to them.

use data_encoding::BASE64URL_NOPAD;

const VERSION: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// When the stream was made: a place in one that is gone leads nowhere in the next.
    pub(crate) stream: i64,
    /// Everything up to this one is known.
    pub(crate) sequence: u64,
}

impl Place {
    pub(crate) fn encode(self) -> String {
        let mut octets = vec![VERSION];
        octets.extend(self.stream.to_be_bytes());
        octets.extend(self.sequence.to_be_bytes());
        BASE64URL_NOPAD.encode(&octets)
    }

    /// `None` for what this service never gave out.
    pub(crate) fn decode(text: &str) -> Option<Place> {
        let octets = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (version, octets) = octets.split_first()?;
        let (stream, sequence) = octets.split_first_chunk::<8>()?;
        let sequence: [u8; 8] = sequence.try_into().ok()?;
        (*version == VERSION).then(|| Place {
            stream: i64::from_be_bytes(*stream),
            sequence: u64::from_be_bytes(sequence),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_nothing_else_does() {
        let place = Place { stream: 1_795_498_872_123_456, sequence: 7 };
        let text = place.encode();
        assert_eq!(Place::decode(&text), Some(place));
        let other = BASE64URL_NOPAD.encode(&[2; 17]);
        for text in ["", "7", "oldest", &text[1..], &format!("{text}AA"), "a b", &other] {
            assert_eq!(Place::decode(text), None, "{text}");
        }
    }
}
