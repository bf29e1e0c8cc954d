//! Any octets are read as a mail: within the limits, twice the same, and every attachment can be had.

#![no_main]

use injection::Sample;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4_096;

fuzz_target!(|octets: &[u8]| {
    let message = mail::parse(octets, LIMIT);
    assert!(message.text.len() <= LIMIT);
    assert!(message.preview.chars().count() <= 200);
    assert_eq!(mail::parse(octets, LIMIT), message);
    for (at, told) in message.attachments.iter().enumerate().take(4) {
        let part = mail::part(octets, at).expect("what is told is there");
        assert_eq!((&part.filename, &part.content_type), (&told.filename, &told.content_type));
        assert_eq!(part.octets.len() as u64, told.size_bytes);
    }
    let surfaces = mail::surfaces(octets, LIMIT);
    assert!(surfaces.list.iter().map(|it| it.text.len()).sum::<usize>() <= LIMIT);
    for it in &surfaces.list {
        assert!(it.attachment.is_none_or(|at| at < surfaces.attachments.len()));
    }
    for it in &surfaces.attachments {
        assert!(it.place.is_none_or(|at| at < message.attachments.len()));
    }
    let parts = Sample::from(surfaces).parts;
    mail::link_hosts(&parts);
    mail::named_items(&message, &parts, true);
    mail::bodies(octets, LIMIT);
    mail::auto_reply_refusal(octets, "a@x.test", "b@y.test");
});
