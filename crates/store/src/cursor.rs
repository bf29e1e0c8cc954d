//! Where a page ends: the moment and the identifier of its last item, unreadable on purpose.

use data_encoding::BASE64URL_NOPAD;

use crate::Error;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) at: i64,
    pub(crate) id: String,
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(format!("{} {}", self.at, self.id).as_bytes())
    }

    pub(crate) fn decode(text: &str) -> Result<Cursor, Error> {
        BASE64URL_NOPAD
            .decode(text.as_bytes())
            .ok()
            .and_then(|it| String::from_utf8(it).ok())
            .and_then(|it| {
                let (at, id) = it.split_once(' ')?;
                Some(Cursor { at: at.parse().ok()?, id: id.to_owned() })
            })
            // NUL is what PostgreSQL cannot take in a text.
            .filter(|it| !it.id.contains('\0'))
            .ok_or_else(|| Error::Cursor(text.to_owned()))
    }

    /// Before the first item of a list that begins with the newest.
    pub(crate) fn start() -> Cursor {
        Cursor { at: i64::MAX, id: String::new() }
    }

    pub(crate) fn from_option(text: Option<&str>) -> Result<Cursor, Error> {
        text.map_or_else(|| Ok(Cursor::start()), Cursor::decode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back() {
        let cursor = Cursor { at: 1_795_498_872_123_000, id: "eml_1".to_owned() };
        assert_eq!(Cursor::decode(&cursor.encode()).expect("decode"), cursor);
    }

    #[test]
    fn refuses_what_is_not_one() {
        for text in ["", "x", "not base64!", "eA", &BASE64URL_NOPAD.encode(b"1 \0")] {
            Cursor::decode(text).expect_err(text);
        }
    }
}
