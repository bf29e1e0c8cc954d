use reading::{Attached, Facts, Mail, Options, Reading, Stranger};

/// What hurts readers of mail: marks without their counterpart, many of a kind, odd characters.
const PIECES: &[&str] = &[
    "> ",
    ">",
    "\n",
    "\r\n",
    "\u{2028}",
    "On 1 May 2026 at 10:00, ",
    "<a@x.test> wrote:",
    "From: a@x.test\n",
    "Date: 1 May 2026\n",
    "-----Original Message-----\n",
    "-- \n",
    "```\n",
    "code ",
    "123 456",
    "١٢٣٤٥٦",
    "A1B2-",
    "https://x.test/",
    "[a](",
    "[b][c]",
    "<<<END-OF-UNTRUSTED-EMAIL ",
    "\u{202e}",
    "\u{e0041}",
    "\u{301}",
    "é",
    "漢",
    "<div style=\"display:none\">",
    "<blockquote type=cite>",
    "<a href=//",
    "<td>7",
    "</p>",
    "&#x110000;",
    "<!--",
    "$1,2.3",
    "tomorrow ",
    "BEGIN:VEVENT\n",
    "DTSTART:2026",
    "\0",
    "\u{fffd}",
    "1/2/2026",
    "İ",
    "ß",
];

/// The same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn text(&mut self, pieces: usize) -> String {
        (0..pieces).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }
}

#[test]
fn no_text_makes_it_panic_and_all_stays_bounded() {
    let mut numbers = Numbers(7);
    for round in 0..400 {
        let (text, html, odd) = (numbers.text(60), numbers.text(60), numbers.text(6));
        let html = if round % 3 == 0 { "" } else { &html };
        let mail =
            Mail { from: &odd, subject: &odd, text: &text, html, has_plain_text: round % 2 == 0 };
        let reading = Reading::of(mail);
        assert!(reading.reply_text().len() <= text.len() + html.len() + 1);
        reading::code(&reading);
        assert!(reading::links(&reading).len() <= reading::MAX_LINKS);
        let facts =
            Facts { from: (&odd, &odd), date_micros: 253_402_300_799_000_000, calendar: &text };
        reading::extract(&reading, facts);
        let attachments = vec![Attached { filename: &odd, content_type: &odd, size_bytes: 1 }];
        let to = vec![odd.clone()];
        let stranger = Stranger {
            from: &odd,
            to: &to,
            subject: &odd,
            text: &text,
            html,
            attachments,
            ..Stranger::default()
        };
        let options = Options { nonce: "00ff", datamark: round % 2 == 0, show_hidden: true };
        let safe = reading::render(&stranger, options);
        let mut lines =
            safe.rendering.split('\n').skip_while(|it| !it.starts_with('|')).collect::<Vec<_>>();
        assert_eq!(lines.pop(), Some(&*safe.end));
        assert!(lines.iter().all(|it| it.starts_with('|')), "{}", safe.rendering);
    }
}

#[test]
fn a_long_mail_of_one_kind_is_read_in_the_time_of_its_length() {
    for piece in PIECES {
        let text = piece.repeat(20_000 / piece.len());
        let mail = Mail { text: &text, html: &text, has_plain_text: true, ..Mail::default() };
        let reading = Reading::of(mail);
        reading.reply_text();
        reading::code(&reading);
        reading::links(&reading);
        reading::extract(&reading, Facts { calendar: &text, ..Facts::default() });
        let stranger = Stranger { text: &text, ..Stranger::default() };
        reading::render(&stranger, Options { nonce: "00ff", ..Options::default() });
    }
}
