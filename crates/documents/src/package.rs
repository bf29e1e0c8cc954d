//! ZIP archives: the names of what is in them, texts and documents one level deep; and the office
//! documents that are such archives.

use std::io::{BufReader, Cursor, Read};

use zip::{ZipArchive, result::ZipError};

use crate::{Format, Kind, Unreadable, collect::Collected, office};

/// A member that grows more than this when it is unpacked is there to do harm; XML does not. Deflate
/// ends at about 1,030.
const MAX_RATIO: usize = 300;
/// Small members may: a page of blanks is no bomb.
const FREE: usize = 1024 * 1024;

pub(crate) type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

pub(crate) fn read(octets: &[u8], collected: &mut Collected) -> Result<(), Unreadable> {
    let mut archive = ZipArchive::new(Cursor::new(octets)).map_err(|_| Unreadable::Broken)?;
    let names = names(&mut archive, collected);
    if office::is_office(&names) {
        return office::read(&mut archive, &names, collected);
    }
    for (at, name) in names.iter().enumerate() {
        collected.line(Kind::Member, name);
        if !name.ends_with('/') {
            member(&mut archive, at, name, collected);
        }
        if collected.is_full() {
            break;
        }
    }
    Ok(())
}

fn names(archive: &mut Archive<'_>, collected: &mut Collected) -> Vec<String> {
    let count = archive.len().min(collected.limits.members);
    if count < archive.len() {
        collected.missed(Unreadable::TooLarge);
    }
    (0..count)
        .map(|at| archive.name_for_index(at).and_then(Result::ok).unwrap_or_default().into_owned())
        .collect()
}

/// A file in an archive that is no office document.
fn member(archive: &mut Archive<'_>, at: usize, name: &str, collected: &mut Collected) {
    let octets = match open(archive, at, collected, |reader| {
        let mut octets = Vec::new();
        reader.read_to_end(&mut octets).map(|_| octets)
    }) {
        Ok(octets) => octets,
        Err(why) => return collected.missed(why),
    };
    let read = match Format::of(&octets, "", name) {
        // One level deep: archives within archives are where bombs are.
        Format::Zip if !office_within(&octets) => Err(Unreadable::Unsupported),
        Format::Other => Ok(()),
        format => crate::read(format, &octets, collected),
    };
    if let Err(why) = read {
        collected.missed(why);
    }
    for kind in [Kind::Text, Kind::Hidden, Kind::Metadata, Kind::Comment] {
        collected.end_line(kind);
    }
}

fn office_within(octets: &[u8]) -> bool {
    ZipArchive::new(Cursor::new(octets))
        .is_ok_and(|archive| archive.file_names().flatten().any(|it| office::marks_office(&it)))
}

/// Hands out a member's octets as they are unpacked, until they are too many.
pub(crate) fn open<T>(
    archive: &mut Archive<'_>,
    at: usize,
    collected: &mut Collected,
    take: impl FnOnce(&mut BufReader<Inflated<'_>>) -> std::io::Result<T>,
) -> Result<T, Unreadable> {
    let why = |err| match err {
        ZipError::UnsupportedArchive(_) => Unreadable::Unsupported,
        _ => Unreadable::Broken,
    };
    if archive.by_index_raw(at).map_err(why)?.encrypted() {
        return Err(Unreadable::Encrypted);
    }
    let file = archive.by_index(at).map_err(why)?;
    let packed = usize::try_from(file.compressed_size()).unwrap_or(usize::MAX);
    let most = packed.saturating_mul(MAX_RATIO).max(FREE);
    let mut reader = BufReader::new(Inflated {
        reader: Box::new(file),
        left: most.min(collected.inflatable),
        bounded: collected.inflatable.min(most),
        burst: false,
    });
    let taken = take(&mut reader);
    let inflated = reader.into_inner();
    collected.inflatable -= inflated.bounded - inflated.left;
    match taken {
        _ if inflated.burst => Err(Unreadable::TooLarge),
        Ok(taken) => Ok(taken),
        Err(_) => Err(Unreadable::Broken),
    }
}

/// Octets as they come out of a compressed member.
pub(crate) struct Inflated<'a> {
    reader: Box<dyn Read + 'a>,
    left: usize,
    bounded: usize,
    /// There was more than allowed.
    burst: bool,
}

impl Read for Inflated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            // Whether that was all.
            self.burst = self.reader.read(&mut [0])? > 0;
            return if self.burst { Err(std::io::Error::other("too much")) } else { Ok(0) };
        }
        let room = buffer.len().min(self.left);
        let count = self.reader.read(&mut buffer[..room])?;
        self.left -= count;
        Ok(count)
    }
}
