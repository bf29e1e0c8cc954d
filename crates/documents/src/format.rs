//! What kind of document some octets are. The octets say; what the mail calls them counts only where
//! they do not.

use memchr::memmem;
use serde::{Deserialize, Serialize};

/// PDF readers look this far for the header.
const PDF_HEADER: usize = 1024;
/// What is text here is taken to be text.
const TEXT_PROBE: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Pdf,
    /// An archive, or an office document in one.
    Zip,
    Rtf,
    /// A workbook in the format before OOXML.
    Sheet,
    /// A calendar or visiting cards (RFC 5545, RFC 6350).
    Card,
    Text,
    /// A document or archive that is not opened.
    Locked(Locked),
    /// Pictures, sound, programs and what nobody knows: nothing to read.
    Other,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Locked {
    Encrypted,
    Unsupported,
}

impl Format {
    /// `content_type` and `filename` are the mail's words.
    pub fn of(octets: &[u8], content_type: &str, filename: &str) -> Format {
        // Sealed or opaquely signed mail (RFC 8551): octets that only this name tells apart.
        if matches!(content_type, "application/pkcs7-mime" | "application/x-pkcs7-mime") {
            return Format::Locked(Locked::Unsupported);
        }
        Format::by_octets(octets).unwrap_or_else(|| Format::by_name(content_type, filename))
    }

    fn by_octets(octets: &[u8]) -> Option<Format> {
        let head = &octets[..octets.len().min(PDF_HEADER)];
        if memmem::find(head, b"%PDF-").is_some() {
            return Some(Format::Pdf);
        }
        if octets.starts_with(b"PK\x03\x04") || octets.starts_with(b"PK\x05\x06") {
            return Some(Format::Zip);
        }
        if octets.starts_with(b"{\\rtf") {
            return Some(Format::Rtf);
        }
        if octets.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
            return Some(Format::compound(octets));
        }
        // Outlook's container (MS-OXTNEF), "winmail.dat".
        if octets.starts_with(b"\x78\x9f\x3e\x22") {
            return Some(Format::Locked(Locked::Unsupported));
        }
        // RFC 9580 section 6.2.
        if octets.trim_ascii_start().starts_with(b"-----BEGIN PGP MESSAGE-----") {
            return Some(Format::Locked(Locked::Encrypted));
        }
        if is_card(octets) {
            return Some(Format::Card);
        }
        if is_text(octets) {
            return Some(Format::Text);
        }
        let found = infer::get(octets)?;
        Some(match found.matcher_type() {
            infer::MatcherType::Archive if is_archive(found.mime_type()) => {
                Format::Locked(Locked::Unsupported)
            }
            infer::MatcherType::Doc | infer::MatcherType::Book => {
                Format::Locked(Locked::Unsupported)
            }
            _ => Format::Other,
        })
    }

    /// A compound file: an old office document, or a new one within a lock (MS-OFFCRYPTO).
    fn compound(octets: &[u8]) -> Format {
        let holds = |name: &str| {
            let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            memmem::find(octets, &name).is_some()
        };
        if holds("EncryptedPackage") {
            Format::Locked(Locked::Encrypted)
        } else if holds("Workbook") {
            Format::Sheet
        } else {
            Format::Locked(Locked::Unsupported)
        }
    }

    /// Octets that say nothing. What they were called is believed as far as trying it goes.
    fn by_name(content_type: &str, filename: &str) -> Format {
        let extension = filename.rsplit_once('.').map(|it| it.1.to_ascii_lowercase());
        match (content_type, extension.as_deref().unwrap_or_default()) {
            ("application/pdf", _) | (_, "pdf") => Format::Pdf,
            ("application/zip", _)
            | (_, "zip" | "docx" | "xlsx" | "pptx" | "odt" | "ods" | "odp") => Format::Zip,
            ("application/rtf" | "text/rtf", _) | (_, "rtf") => Format::Rtf,
            _ => Format::Other,
        }
    }
}

/// What people pack files into; others, such as fonts and databases, hold no files to read.
fn is_archive(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.rar"
            | "application/x-7z-compressed"
            | "application/gzip"
            | "application/x-bzip2"
            | "application/x-xz"
            | "application/x-tar"
            | "application/zstd"
            | "application/x-lzip"
            | "application/vnd.ms-cab-compressed"
            | "application/x-ole-storage"
            | "application/postscript"
    )
}

fn is_card(octets: &[u8]) -> bool {
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets).trim_ascii_start();
    [&b"BEGIN:VCALENDAR"[..], b"BEGIN:VCARD", b"BEGIN:VEVENT"]
        .iter()
        .any(|it| octets.get(..it.len()).is_some_and(|begun| begun.eq_ignore_ascii_case(it)))
}

fn is_text(octets: &[u8]) -> bool {
    let probe = &octets[..octets.len().min(TEXT_PROBE)];
    let text = match std::str::from_utf8(probe) {
        Ok(text) => text,
        // A character that the probe cuts in two.
        Err(err) if err.error_len().is_none() && probe.len() < octets.len() => {
            std::str::from_utf8(&probe[..err.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty()
        && !text.bytes().any(|it| it < 0x20 && !matches!(it, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: &[u8], content_type: &str, filename: &str, expected: Format) {
        assert_eq!(Format::of(octets, content_type, filename), expected);
    }

    #[test]
    fn octets_count_more_than_names() {
        check(b"%PDF-1.7\n", "image/png", "a.png", Format::Pdf);
        check(b"junk\n%PDF-1.7\n", "", "", Format::Pdf);
        check(b"PK\x03\x04\0", "application/octet-stream", "a.bin", Format::Zip);
        check(b"{\\rtf1 a}", "application/msword", "a.doc", Format::Rtf);
        check(b"\r\nbegin:vcalendar\r\n", "application/octet-stream", "", Format::Card);
        check(b"\xff\xd8\xff\xe0\0\x10JFIF", "application/pdf", "a.pdf", Format::Other);
        check("caf\u{e9}\n".as_bytes(), "application/json", "a", Format::Text);
    }

    #[test]
    fn names_count_where_octets_say_nothing() {
        check(b"\0\x01\x02", "application/pdf", "", Format::Pdf);
        check(b"\0\x01\x02", "", "Report.DOCX", Format::Zip);
        check(b"\0\x01\x02", "application/octet-stream", "a.bin", Format::Other);
        check(b"", "application/pdf", "empty.pdf", Format::Pdf);
    }

    #[test]
    fn what_is_not_opened_is_known() {
        let old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
        let with = |name: &str| {
            let name = name.encode_utf16().flat_map(u16::to_le_bytes);
            old.iter().copied().chain(name).collect::<Vec<u8>>()
        };
        check(&with("WordDocument"), "", "", Format::Locked(Locked::Unsupported));
        check(&with("EncryptedPackage"), "", "", Format::Locked(Locked::Encrypted));
        check(&with("Workbook"), "", "", Format::Sheet);
        check(b"7z\xbc\xaf\x27\x1c\0\x04", "", "", Format::Locked(Locked::Unsupported));
        check(b"Rar!\x1a\x07\x01\0", "", "", Format::Locked(Locked::Unsupported));
        let sealed = b"-----BEGIN PGP MESSAGE-----\n\nhQ==\n";
        check(sealed, "application/octet-stream", "", Format::Locked(Locked::Encrypted));
        let sealed = b"0\x82\x01\x00";
        check(sealed, "application/pkcs7-mime", "", Format::Locked(Locked::Unsupported));
        check(b"\x78\x9f\x3e\x22\0\0", "", "winmail.dat", Format::Locked(Locked::Unsupported));
    }

    #[test]
    fn a_character_that_is_cut_is_still_text() {
        let text = "é".repeat(TEXT_PROBE);
        check(format!("x{text}").as_bytes(), "", "", Format::Text);
        check(b"\xe9t\xe9 \x00", "", "", Format::Other);
    }
}
