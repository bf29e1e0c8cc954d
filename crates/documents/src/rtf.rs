use rtf_parser_tt::RtfDocument;

use crate::{Kind, Unreadable, collect::Collected};

pub(crate) fn read(octets: &[u8], collected: &mut Collected) -> Result<(), Unreadable> {
    let document = RtfDocument::from_bytes(octets).map_err(|_| Unreadable::Broken)?;
    for block in &document.body {
        let hidden = block.painter.hidden;
        collected.add(if hidden { Kind::Hidden } else { Kind::Text }, &block.text);
    }
    let info = document.info;
    let told = [
        info.title,
        info.subject,
        info.author,
        info.manager,
        info.company,
        info.operator,
        info.category,
        info.keywords,
        info.comment,
    ];
    for value in told.into_iter().flatten() {
        collected.line(Kind::Metadata, &value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Limits, Piece, extract};

    #[test]
    fn text_hidden_text_and_properties() {
        let rtf = br"{\rtf1\ansi\ansicpg1252{\info{\title A title}}Caf\'e9 opens{\v not shown} today\par}";
        let found = extract(Format::Rtf, rtf, &Limits::default()).expect("read");
        let piece = |kind, text: &str| Piece { kind, text: text.to_owned() };
        let expected = [
            piece(Kind::Text, "Caf\u{e9} opens today"),
            piece(Kind::Hidden, "not shown"),
            piece(Kind::Metadata, "A title"),
        ];
        assert_eq!(found.pieces, expected);
        assert_eq!(extract(Format::Rtf, b"{\\rtf1", &Limits::default()), Err(Unreadable::Broken));
    }
}
