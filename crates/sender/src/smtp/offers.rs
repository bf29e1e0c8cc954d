//! What a server offers in its answer to EHLO (RFC 5321 section 4.1.1.1). Pure.

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Offers {
    pub(crate) starttls: bool,
    pub(crate) pipelining: bool,
    pub(crate) eight_bit_mime: bool,
    pub(crate) smtputf8: bool,
    /// SIZE is offered (RFC 1870).
    pub(crate) size: bool,
    /// The largest content it takes, in octets; `None` if it names no limit.
    pub(crate) size_limit: Option<u64>,
}

impl Offers {
    /// From everything a server said up to the end of its answer.
    pub(crate) fn read(heard: &[u8]) -> Offers {
        let mut offers = Offers::default();
        let text = String::from_utf8_lossy(heard);
        let lines = text.lines().filter_map(|it| it.strip_prefix("250"));
        // The first line names the server.
        for line in lines.skip(1) {
            let mut words = line.trim_start_matches(['-', ' ']).split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "STARTTLS" => offers.starttls = true,
                "PIPELINING" => offers.pipelining = true,
                "8BITMIME" => offers.eight_bit_mime = true,
                "SMTPUTF8" => offers.smtputf8 = true,
                "SIZE" => {
                    offers.size = true;
                    let limit = words.next().and_then(|it| it.parse().ok());
                    offers.size_limit = limit.filter(|it| *it > 0);
                }
                _ => (),
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_in_any_case() {
        let heard = b"220 starttls.example ESMTP\r\n250-pipelining.example\r\n250-8bitmime\r\n\
            250-STARTTLS\r\n250-SMTPUTF8\r\n250 SIZE 1000\r\n";
        let expected = Offers {
            starttls: true,
            pipelining: false,
            eight_bit_mime: true,
            smtputf8: true,
            size: true,
            size_limit: Some(1000),
        };
        assert_eq!(Offers::read(heard), expected);
    }

    #[test]
    fn no_size_limit_is_none() {
        for line in ["SIZE", "SIZE 0", "SIZE lots"] {
            let offers = Offers::read(format!("250-a\r\n250 {line}\r\n").as_bytes());
            assert_eq!((offers.size, offers.size_limit), (true, None), "{line}");
        }
    }

    #[test]
    fn a_lone_answer_offers_nothing() {
        assert_eq!(Offers::read(b"220 a\r\n250 STARTTLS\r\n"), Offers::default());
    }
}
