use zip::unstable::write::FileOptionsExt as _;

use super::*;

#[test]
fn names_and_texts_of_an_archive() {
    let octets = archive(&[
        ("notes/read me.txt", b"Open at ten."),
        ("logo.png", b"\x89PNG\r\n\x1a\n\0\0"),
        ("list.csv", b"a,b\n"),
    ]);
    check(
        &octets,
        &[
            (Kind::Text, "Open at ten.\na,b"),
            (Kind::Member, "notes/read me.txt\nlogo.png\nlist.csv"),
        ],
    );
}

#[test]
fn documents_in_an_archive_are_read_and_archives_are_not() {
    let document = archive(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("word/document.xml", b"<w:t>Inside</w:t>"),
    ]);
    let inner = archive(&[("deep.txt", b"Too deep.")]);
    let octets = archive(&[("a.docx", &document), ("b.zip", &inner)]);
    let found = read(&octets, &Limits::default()).expect("read");
    assert_eq!(found.pieces[0].text, "Inside");
    assert_eq!(found.pieces[1].text, "a.docx\nb.zip");
    assert_eq!(found.gap, Some(Unreadable::Unsupported));
}

#[test]
fn a_bomb_is_left_alone() {
    let octets = archive(&[("bomb.txt", &vec![b'a'; 40 * 1024 * 1024]), ("b.txt", b"After.")]);
    assert!(octets.len() < 1024 * 1024);
    let found = read(&octets, &Limits::default()).expect("read");
    assert_eq!(found.gap, Some(Unreadable::TooLarge));
    assert_eq!(found.pieces[0].text, "After.");
}

#[test]
fn what_many_members_unpack_to_is_bounded_together() {
    // Letters in no order that repeats, so that no member is a bomb by itself.
    let mut state = 1u32;
    let text: Vec<u8> = (0..100_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (state >> 24) as u8 % 26
        })
        .collect();
    let names: Vec<String> = (0..20).map(|it| format!("{it}.bin")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|it| (it.as_str(), &text[..])).collect();
    let limits = Limits { inflated: 1_000_000, ..Limits::default() };
    let found = read(&archive(&members), &limits).expect("read");
    assert_eq!(found.gap, Some(Unreadable::TooLarge));
    assert!(found.pieces[0].text.len() <= 1_000_020, "{}", found.pieces[0].text.len());
    let limits = Limits { members: 3, ..Limits::default() };
    let found = read(&archive(&members), &limits).expect("read");
    assert_eq!(found.pieces[1].text, "0.bin\n1.bin\n2.bin");
    assert_eq!(found.gap, Some(Unreadable::TooLarge));
}

#[test]
fn a_locked_archive_shows_its_names() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().with_deprecated_encryption(b"secret").expect("lock");
    writer.start_file("plans.txt", options).expect("start");
    writer.write_all(b"hidden").expect("write");
    let octets = writer.finish().expect("finish").into_inner();
    let found = read(&octets, &Limits::default()).expect("read");
    assert_eq!(found.gap, Some(Unreadable::Encrypted));
    assert_eq!(found.pieces.len(), 1);
    assert_eq!((found.pieces[0].kind, found.pieces[0].text.as_str()), (Kind::Member, "plans.txt"));
}

#[test]
fn what_is_broken_or_too_large_is_said_to_be() {
    assert_eq!(read(b"PK\x03\x04 no archive", &Limits::default()), Err(Unreadable::Broken));
    let limits = Limits { input: 10, ..Limits::default() };
    assert_eq!(read(&archive(&[]), &limits), Err(Unreadable::TooLarge));
}
