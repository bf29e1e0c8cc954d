//! Office documents: OOXML (ECMA-376) and OpenDocument (ISO 26300), both archives of XML.

use crate::{
    Kind, Unreadable,
    collect::Collected,
    markup::{self, Grammar},
    package::{self, Archive},
};

/// What an office document has and another archive does not.
pub(crate) fn marks_office(name: &str) -> bool {
    matches!(name, "[Content_Types].xml" | "META-INF/manifest.xml")
}

pub(crate) fn is_office(names: &[String]) -> bool {
    let opendocument =
        || names.iter().any(|it| it == "content.xml") && names.iter().any(|it| it == "mimetype");
    names.iter().any(|it| it == "[Content_Types].xml") || opendocument()
}

pub(crate) fn read(
    archive: &mut Archive<'_>,
    names: &[String],
    collected: &mut Collected,
) -> Result<(), Unreadable> {
    for (at, name) in names.iter().enumerate() {
        let Some((grammar, kind)) = part(name) else { continue };
        let mut walk = markup::Walk::new(grammar, kind);
        // The walk takes the collection, of which `open` needs the bounds.
        let mut found = Collected::new(&collected.limits);
        let read = package::open(archive, at, collected, |reader| {
            walk.read(reader, &mut found).map_err(std::io::Error::other)
        });
        collected.merge(found);
        if let Err(why) = read {
            collected.missed(why);
        }
        if collected.is_full() {
            break;
        }
    }
    Ok(())
}

/// How a member is read and what its text is, if it has any for people.
fn part(name: &str) -> Option<(Grammar, Kind)> {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    if file.ends_with(".rels") {
        return Some((Grammar::Relations, Kind::Link));
    }
    if folder == "docProps" || name == "meta.xml" {
        return Some((Grammar::Everything, Kind::Metadata));
    }
    if matches!(name, "content.xml" | "styles.xml") {
        return Some((Grammar::OpenDocument, Kind::Text));
    }
    let wanted = match folder {
        "word" => !matches!(
            file,
            "settings.xml" | "styles.xml" | "fontTable.xml" | "webSettings.xml" | "numbering.xml"
        ),
        "xl" => matches!(file, "sharedStrings.xml" | "workbook.xml") || file.contains("omments"),
        "xl/threadedComments" | "xl/worksheets" | "xl/drawings" | "xl/charts" => true,
        "ppt/slides" | "ppt/notesSlides" | "ppt/comments" | "ppt/charts" | "ppt/diagrams"
        | "word/charts" | "word/diagrams" => true,
        _ => false,
    };
    if !wanted || !file.ends_with(".xml") {
        return None;
    }
    let aside = file.to_ascii_lowercase().contains("comment") || folder == "ppt/notesSlides";
    Some((Grammar::Ooxml, if aside { Kind::Comment } else { Kind::Text }))
}
