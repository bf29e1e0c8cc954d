use super::*;

/// An office document of these parts.
fn office(parts: &[(&str, &str)]) -> Vec<u8> {
    let types = [("[Content_Types].xml", "<Types/>")];
    let parts: Vec<(&str, &[u8])> =
        types.iter().chain(parts).map(|(name, xml)| (*name, xml.as_bytes())).collect();
    archive(&parts)
}

#[test]
fn a_letter() {
    let octets = office(&[
        (
            "word/document.xml",
            "<?xml version='1.0'?><w:document><w:body><w:p><w:r><w:t>Dear </w:t></w:r>\
             <w:r><w:t>Anna</w:t></w:r></w:p><w:p><w:r><w:rPr><w:vanish/></w:rPr>\
             <w:t>unseen</w:t></w:r></w:p></w:body></w:document>",
        ),
        ("word/header1.xml", "<w:hdr><w:p><w:r><w:t>Page top</w:t></w:r></w:p></w:hdr>"),
        ("word/comments.xml", "<w:comments><w:p><w:r><w:t>Really?</w:t></w:r></w:p></w:comments>"),
        ("word/styles.xml", "<w:styles><w:t>no text</w:t></w:styles>"),
        ("docProps/core.xml", "<cp><dc:title>A title</dc:title><dc:creator>Bo</dc:creator></cp>"),
        (
            "word/_rels/document.xml.rels",
            "<R><Relationship Target='https://x.test/' TargetMode='External'/></R>",
        ),
    ]);
    check(
        &octets,
        &[
            (Kind::Text, "Dear Anna\nPage top"),
            (Kind::Hidden, "unseen"),
            (Kind::Metadata, "A title\nBo"),
            (Kind::Comment, "Really?"),
            (Kind::Link, "https://x.test/"),
        ],
    );
}

#[test]
fn a_workbook() {
    let octets = office(&[
        ("xl/workbook.xml", "<workbook><sheets><sheet name='Prices'/></sheets></workbook>"),
        (
            "xl/sharedStrings.xml",
            "<sst><si><t>Bread</t></si><si><r><t>Ca</t></r><r><t>ke</t></r></si></sst>",
        ),
        (
            "xl/worksheets/sheet1.xml",
            "<sheetData><c t='inlineStr'><is><t>Inline</t></is></c><c><f>WEBSERVICE(\"https://x.test\")</f>\
             <v>1</v></c></sheetData>",
        ),
        ("xl/comments1.xml", "<comments><comment><text><t>Check</t></text></comment></comments>"),
    ]);
    check(
        &octets,
        &[
            (Kind::Text, "Bread\nCake\nInline"),
            (Kind::Metadata, "Prices"),
            (Kind::Comment, "Check"),
            (Kind::Link, "WEBSERVICE(\"https://x.test\")"),
        ],
    );
}

#[test]
fn slides() {
    let octets = office(&[
        (
            "ppt/slides/slide1.xml",
            "<p:sld><p:cNvPr id='1' descr='A cat'/><a:p><a:r><a:t>Hello</a:t></a:r></a:p></p:sld>",
        ),
        (
            "ppt/slides/slide2.xml",
            "<p:sld show='0'><a:p><a:r><a:t>Left out</a:t></a:r></a:p></p:sld>",
        ),
        (
            "ppt/notesSlides/notesSlide1.xml",
            "<p:notes><a:p><a:r><a:t>Say hi</a:t></a:r></a:p></p:notes>",
        ),
    ]);
    check(
        &octets,
        &[
            (Kind::Text, "Hello"),
            (Kind::Hidden, "Left out"),
            (Kind::Metadata, "A cat"),
            (Kind::Comment, "Say hi"),
        ],
    );
}

#[test]
fn opendocument() {
    let octets = archive(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        (
            "content.xml",
            b"<office:document-content><office:body><text:h>Head</text:h><text:p>Body</text:p>\
              </office:body></office:document-content>",
        ),
        ("meta.xml", b"<office:meta><dc:title>A title</dc:title></office:meta>"),
    ]);
    check(&octets, &[(Kind::Text, "Head\nBody"), (Kind::Metadata, "A title")]);
}

#[test]
fn a_broken_part_costs_that_part() {
    let octets = office(&[
        ("word/document.xml", "<w:p><w:r><w:t>Before</w:t></w:r></w:p><w:p <"),
        ("docProps/core.xml", "<dc:title>A title</dc:title>"),
    ]);
    let found = read(&octets, &Limits::default()).expect("read");
    assert_eq!(found.gap, Some(Unreadable::Broken));
    assert_eq!(found.pieces[0].text, "Before");
    assert_eq!(found.pieces[1].text, "A title");
}
