use lopdf::{
    Dictionary, Document, Object, Stream, StringFormat,
    content::{Content, Operation},
    dictionary,
    encryption::{EncryptionState, EncryptionVersion, Permissions},
};

use super::*;

/// A line of text: its size in points, and how far up the page.
type Line<'a> = (&'a str, i64, i64);

fn document(pages: &[&[Line<'_>]]) -> Document {
    let mut document = Document::with_version("1.5");
    let tree = document.new_object_id();
    let font = document.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica",
    });
    let resources = document.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
    let kids: Vec<Object> = pages
        .iter()
        .map(|lines| {
            let operations = lines.iter().flat_map(|(text, size, up)| {
                [
                    Operation::new("BT", vec![]),
                    Operation::new("Tf", vec!["F1".into(), (*size).into()]),
                    Operation::new("Td", vec![50.into(), (*up).into()]),
                    Operation::new("Tj", vec![Object::string_literal(*text)]),
                    Operation::new("ET", vec![]),
                ]
            });
            let operations: Vec<Operation> = operations.collect();
            let content = Content { operations };
            let stream = Stream::new(dictionary! {}, content.encode().expect("encode"));
            let content = document.add_object(stream);
            let page = dictionary! { "Type" => "Page", "Parent" => tree, "Contents" => content };
            document.add_object(page).into()
        })
        .collect();
    let count = kids.len() as i64;
    document.objects.insert(
        tree,
        Object::Dictionary(dictionary! {
            "Type" => "Pages", "Kids" => kids, "Count" => count, "Resources" => resources,
            "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
        }),
    );
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    document.trailer.set("Root", catalog);
    document
}

fn saved(mut document: Document) -> Vec<u8> {
    document.compress();
    let mut octets = Vec::new();
    document.save_to(&mut octets).expect("save");
    octets
}

fn with_info(mut document: Document, info: Dictionary) -> Document {
    let info = document.add_object(info);
    document.trailer.set("Info", info);
    document
}

#[test]
fn pages_and_properties() {
    let document = document(&[
        &[("Invoice 2041", 20, 700), ("Please pay by June.", 12, 650)],
        &[("Second page", 12, 700)],
    ]);
    let info = dictionary! { "Title" => Object::string_literal("A title") };
    check(
        &saved(with_info(document, info)),
        &[
            (Kind::Text, "Invoice 2041\n\nPlease pay by June.\nSecond page"),
            (Kind::Metadata, "A title"),
        ],
    );
}

#[test]
fn what_nobody_can_see_is_told_apart() {
    let octets = saved(document(&[&[
        ("Shown", 12, 700),
        ("Too small", 1, 600),
        ("Off the page", 12, 2000),
    ]]));
    let found = read(&octets, &Limits::default()).expect("read");
    assert_eq!(found.pieces[0].text, "Shown");
    assert_eq!(found.pieces[1].kind, Kind::Hidden);
    let hidden = &found.pieces[1].text;
    assert!(hidden.contains("Too small") && hidden.contains("Off the page"), "{hidden}");
    let visible = saved(document(&[&[("Small print", 6, 20)]]));
    check(&visible, &[(Kind::Text, "Small print")]);
}

#[test]
fn notes_links_and_fields() {
    let mut document = document(&[&[("Page", 12, 700)]]);
    let rect = || Object::from(vec![0.into(), 0.into(), 9.into(), 9.into()]);
    document.add_object(dictionary! {
        "Type" => "Annot", "Subtype" => "Text", "Rect" => rect(),
        "Contents" => Object::string_literal("A note"),
    });
    document.add_object(dictionary! {
        "Type" => "Annot", "Subtype" => "Link", "Rect" => rect(),
        "A" => dictionary! { "S" => "URI", "URI" => Object::string_literal("https://x.test/") },
    });
    document.add_object(dictionary! {
        "FT" => "Tx", "T" => Object::string_literal("Name"), "V" => Object::string_literal("Anna"),
    });
    document.add_object(dictionary! {
        "Type" => "Filespec", "F" => Object::string_literal("data.bin"),
    });
    // What a signature holds is no text.
    document.add_object(dictionary! {
        "Type" => "Sig", "Contents" => Object::String(vec![0x30; 40], StringFormat::Hexadecimal),
    });
    check(
        &saved(document),
        &[
            (Kind::Text, "Page\nAnna"),
            (Kind::Metadata, "Name"),
            (Kind::Comment, "A note"),
            (Kind::Link, "https://x.test/"),
            (Kind::Member, "data.bin"),
        ],
    );
}

fn locked(user_password: &str) -> Vec<u8> {
    let mut document = document(&[&[("Secret plans", 12, 700)]]);
    let id = Object::string_literal("0123456789abcdef");
    document.trailer.set("ID", vec![id.clone(), id]);
    let state = EncryptionState::try_from(EncryptionVersion::V2 {
        document: &document,
        owner_password: "owner",
        user_password,
        key_length: 128,
        permissions: Permissions::all(),
    })
    .expect("state");
    document.encrypt(&state).expect("encrypt");
    let mut octets = Vec::new();
    document.save_to(&mut octets).expect("save");
    octets
}

#[test]
fn a_password_keeps_it_shut_unless_it_is_empty() {
    assert_eq!(read(&locked("user"), &Limits::default()), Err(Unreadable::Encrypted));
    check(&locked(""), &[(Kind::Text, "Secret plans")]);
}

#[test]
fn pages_and_text_are_bounded() {
    let lines: Vec<String> = (0..20).map(|it| format!("This is page {it}")).collect();
    let pages: Vec<[Line<'_>; 1]> = lines.iter().map(|it| [(it.as_str(), 12, 700)]).collect();
    let pages: Vec<&[Line<'_>]> = pages.iter().map(|it| &it[..]).collect();
    let octets = saved(document(&pages));
    let found = read(&octets, &Limits { pages: 2, ..Limits::default() }).expect("read");
    assert_eq!(found.pieces[0].text, "This is page 0\nThis is page 1");
    assert_eq!(found.gap, Some(Unreadable::TooLarge));
    let found = read(&octets, &Limits { text: 40, ..Limits::default() }).expect("read");
    assert!(found.pieces[0].text.starts_with("This is page 0\nThis is page 1"));
    assert!(found.pieces[0].text.len() <= 40);
    assert_eq!(found.gap, Some(Unreadable::TooLarge));
}

#[test]
fn a_page_that_the_better_reader_panics_at_is_read_by_the_simpler_one() {
    let mut document = document(&[&[("Still read", 12, 700)]]);
    // Without a media box, which is required.
    for object in document.objects.values_mut() {
        if let Object::Dictionary(dictionary) = object {
            dictionary.remove(b"MediaBox");
        }
    }
    check(&saved(document), &[(Kind::Text, "Still read")]);
}

#[test]
fn what_is_no_pdf_is_broken() {
    assert_eq!(read(b"%PDF-1.7\nno more", &Limits::default()), Err(Unreadable::Broken));
    let half = saved(document(&[&[("Half", 12, 700)]]));
    let found = read(&half[..half.len() / 2], &Limits::default());
    assert_eq!(found, Err(Unreadable::Broken));
}
