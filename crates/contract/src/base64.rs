//! `bytes` fields in the proto3 JSON mapping: standard base64.

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

pub(crate) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(octets))
}

/// Line breaks are tolerated: MIME tools put them in.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let mut text = String::deserialize(deserializer)?;
    text.retain(|it| !it.is_ascii_whitespace());
    BASE64.decode(text.as_bytes()).map_err(|err| D::Error::custom(format!("not base64: {err}")))
}
