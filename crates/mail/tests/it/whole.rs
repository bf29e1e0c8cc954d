//! Whole messages that others wrote, as if they were handed in to be sent.

use mail::{Flaw, Whole};

use crate::corpus;

/// The body, behind the first empty line.
fn body(content: &[u8]) -> &[u8] {
    let end = content.windows(4).position(|it| it == b"\r\n\r\n");
    end.map_or(&[], |it| &content[it + 4..])
}

/// What goes out is read again as the same, by us and by the parser that everything else here uses.
fn check(name: &str, content: &[u8]) -> Result<(), Flaw> {
    let whole = Whole::read(content)?;
    let finished = whole.finish("made@x.test", 1_795_498_872);
    let again = Whole::read(&finished).unwrap_or_else(|err| panic!("{name}: {err}"));
    assert_eq!(again.finish("other@x.test", 0), finished, "{name}: nothing is lacking any more");
    let id = again.message_id().unwrap_or_default();
    assert_eq!(id, whole.message_id().unwrap_or("made@x.test"), "{name}");

    let sent = mail::parse(&finished, usize::MAX);
    assert_eq!(sent.message_id, id, "{name}");
    assert!(sent.date_micros != 0, "{name}");
    assert_eq!(sent.from.len(), 1, "{name}");
    let from: mail::Address = sent.from[0].address.parse().expect(name);
    again.check_author(&from.canonical()).or_else(|flaw| match flaw {
        Flaw::Foreign("Sender") => Ok(()),
        flaw => Err(flaw),
    })?;
    if content.windows(2).any(|it| it == b"\r\n") {
        let (before, after) = (body(content), body(&finished));
        assert!(after.starts_with(before) && after.len() <= before.len() + 2, "{name}");
    }
    Ok(())
}

#[test]
fn what_is_taken_of_the_corpora_goes_out_whole() {
    let (mut taken, mut refused) = (0, 0);
    for name in ["mime-mail-parser", "mime-mime4j", "mime-consensus", "threading", "dkim"] {
        let Some(corpus) = corpus::open(name) else { return };
        for (file, content, _) in corpus.files() {
            let damaged: Vec<u8> = content
                .iter()
                .enumerate()
                .map(|(n, it)| if n % 97 == 96 { b'\n' } else { *it })
                .collect();
            for content in [&content[..], &content[..content.len() / 2], &damaged] {
                match check(&file, content) {
                    Ok(()) => taken += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    eprintln!("{taken} taken, {refused} refused");
    assert!(taken > 100, "{taken} taken");
}
