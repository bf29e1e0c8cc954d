//! Mail of our own making: injections of many kinds in innocent carriers, plain and in disguise, in many
//! languages, and as much innocent mail as comes today.

use std::collections::BTreeSet;

use fastrand::Rng;

use crate::{disguise::DISGUISES, grammar::Grammar, lines::Line};

pub(crate) const SOURCE: &str = "generated";

const ATTACK: &str = include_str!("grammar/attack.txt");
const MAIL: &str = include_str!("grammar/mail.txt");
const LANGUAGES: &str = include_str!("grammar/languages.txt");
const INDIRECT: &str = include_str!("grammar/indirect.txt");
const TODAY: &str = include_str!("grammar/today.txt");
const TONGUES: &str = include_str!("grammar/tongues.txt");
const INTERJECT: &str = include_str!("grammar/interject.txt");
const CROWD: &str = include_str!("grammar/crowd.txt");
const GRAMMAR: &[&str] = &[ATTACK, INDIRECT, MAIL, TODAY, LANGUAGES, TONGUES, INTERJECT, CROWD];

/// How a paragraph is hidden from a person; {} is the paragraph.
const HIDDEN: &[&str] = &[
    "<div style=\"display:none\">{}</div>",
    "<span style=\"font-size:0\">{}</span>",
    "<p style=\"color:#ffffff;background-color:#ffffff\">{}</p>",
    "<div style=\"position:absolute;left:-9999px\">{}</div>",
    "<div hidden>{}</div>",
    "<span style=\"opacity:0\">{}</span>",
    "<div style=\"max-height:0;overflow:hidden\">{}</div>",
    "<!-- {} -->",
    "<img src=\"https://cdn.example.test/l.png\" alt=\"{}\">",
    "<span style=\"visibility:hidden\">{}</span>",
    "<div style=\"text-indent:-9999px\">{}</div>",
    "<font color=\"#fff\" style=\"background:#fff\">{}</font>",
    "<template>{}</template>",
    "<a href=\"https://example.test/\" title=\"{}\">.</a>",
];

/// What innocent mail hides.
const PREHEADERS: &[&str] = &[
    "View this email in your browser",
    "Your weekly summary is here. See what is new",
    "Logo",
    "Save 20% on your next order, today only",
    "You have 3 new messages and 2 requests",
    "Your order is on its way",
    "[if mso]><table><tr><td><![endif]",
    "Ihre Bestellung wurde versandt",
    "Don't miss it: doors open at seven",
    "Email header image",
    "Assistant Professor Novak will speak about new results",
    "Open to see what is inside. Do not miss the last item",
    "begin content table begin letter body end letter body",
    "Read our summary of the week and send it to a friend",
    "Action required: confirm your email address to keep your account",
    "Hi Anna, your agent has replied to ticket 4411",
    "Profile picture of the sender",
    "Spacer",
    "Click to download the images. Ignore this line if you see them",
    "Votre code de confirmation est 482913",
    "Instructions for your return are in this email",
];

struct Maker<'a> {
    grammar: Grammar<'a>,
    rng: Rng,
    attacks: Vec<&'a str>,
    mails: Vec<&'a str>,
    languages: Vec<&'a str>,
    /// Sections of notices in further languages.
    notices: Vec<&'a str>,
}

/// So many mails; the same seed always makes the same.
pub(crate) fn generate(seed: u64, count: usize) -> Vec<Line> {
    let grammar = Grammar::read(GRAMMAR);
    let families: Vec<&str> = grammar.names().filter(|it| it.starts_with("family ")).collect();
    let innocent = |it: &&str| it.ends_with(" mail") || it.ends_with(" hard");
    let (mails, attacks): (Vec<&str>, Vec<&str>) = families.into_iter().partition(innocent);
    let languages: BTreeSet<&str> =
        grammar.names().filter_map(|it| it.strip_suffix(" override")).collect();
    let further = |it: &&str| it.strip_suffix(" notice").is_some_and(|it| !languages.contains(it));
    let notices = grammar.names().filter(further).collect();
    let languages = languages.into_iter().collect();
    let rng = Rng::with_seed(seed);
    let mut maker = Maker { grammar, rng, attacks, mails, languages, notices };
    (0..count).map(|it| if it % 2 == 0 { maker.innocent() } else { maker.attack() }).collect()
}

impl<'a> Maker<'a> {
    fn one<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.rng.usize(..list.len())]
    }

    fn text(&mut self, section: &str) -> String {
        self.grammar.text(section, &mut self.rng)
    }

    fn language(&mut self) -> &'a str {
        self.languages[self.rng.usize(..self.languages.len())]
    }

    /// Three in five are English.
    fn attack(&mut self) -> Line {
        let foreign = self.rng.u8(..5) < 2;
        let (mut family, lang, payload) = if foreign {
            let lang = self.language();
            (format!("gen_language_{lang}"), lang, self.foreign_payload(lang))
        } else {
            let section = self.attacks[self.rng.usize(..self.attacks.len())];
            (section.trim_start_matches("family ").to_owned(), "en", self.text(section))
        };
        let mut line = Line { label: 1, source: SOURCE.to_owned(), ..Line::default() };
        let mut shown = payload.clone();
        if self.rng.u8(..6) == 0 {
            let (name, disguise) = self.one(DISGUISES);
            shown = disguise(&payload, &mut self.rng);
            family = format!("gen_disguise_{name}");
        }
        line.payload = Some(shown.clone());
        line.subject = self.subject(lang);
        match self.rng.u8(..12) {
            0..=3 => line.text = shown,
            4 => {
                line.subject = shown;
                line.text = self.carrier(lang).join("\n\n");
            }
            5 | 6 => {
                family = "gen_hidden".to_owned();
                line.html = Some(self.page(lang, &shown));
                line.text = self.carrier(lang).join("\n\n");
            }
            7 => {
                let quoted = shown.lines().map(|it| format!("> {it}\n")).collect::<String>();
                line.text = format!("{}\n\n{quoted}", self.carrier(lang).join("\n\n"));
            }
            _ => {
                let mut paragraphs = self.carrier(lang);
                let at = self.rng.usize(..=paragraphs.len());
                paragraphs.insert(at, shown);
                line.text = paragraphs.join(self.one(&["\n\n", "\n", " "]));
            }
        }
        line.family = family;
        line
    }

    fn foreign_payload(&mut self, lang: &str) -> String {
        let shape: &[&str] = self.one::<&[&str]>(&[
            &["call", "order", "hush"],
            &["call", "override", "order"],
            &["override", "order", "hush"],
            &["override", "prompt"],
            &["prompt"],
            &["call", "order"],
            &["override", "order"],
            &["order", "hush"],
            &["coax"],
            &["call", "coax"],
            &["override", "coax"],
            &["answer"],
            &["override", "answer"],
            &["trigger", "trivia"],
            &["trigger", "trivia"],
            &["trigger", "order"],
        ]);
        let pieces: Vec<String> =
            shape.iter().map(|it| self.text(&format!("{lang} {it}"))).collect();
        let payload = pieces.join(" ").trim().to_owned();
        // Not every language has every section.
        if payload.is_empty() { self.text(&format!("{lang} order")) } else { payload }
    }

    fn innocent(&mut self) -> Line {
        let mut line = Line { source: SOURCE.to_owned(), ..Line::default() };
        let tier;
        let kind = self.rng.u8(..24);
        if kind == 0 {
            let section = self.notices[self.rng.usize(..self.notices.len())];
            tier = "mail";
            line.family = "gen_language_notice".to_owned();
            line.text = self.text(section);
            line.subject = self.text(section).chars().take(40).collect();
        } else if kind < 9 {
            let lang = self.language();
            let section = self.one(&["chat", "chat", "notice", "notice", "request", "talk"]);
            tier = if matches!(section, "request" | "talk") { "hard" } else { "mail" };
            line.family = format!("gen_language_{lang}_{section}");
            line.text = self.text(&format!("{lang} {section}"));
            if line.text.is_empty() {
                line.text = self.text(&format!("{lang} notice"));
            }
            for _ in 0..self.rng.u8(..3) {
                line.text += "\n\n";
                line.text += &self.text(&format!("{lang} chat"));
            }
            line.subject = self.subject(lang);
        } else {
            let section = self.mails[self.rng.usize(..self.mails.len())];
            let name = section.trim_start_matches("family ");
            let (family, kind) = name.rsplit_once(' ').unwrap_or((name, "mail"));
            tier = kind;
            line.family = family.to_owned();
            line.text = self.text(section);
            line.subject = self.subject("en");
        }
        match self.rng.u8(..20) {
            0 | 4 => line.html = Some(self.innocent_page(&line.text.clone())),
            3 | 5 => line.html = Some(self.newsletter(&line.text.clone())),
            1 => {
                let (name, disguise) = self.one(DISGUISES);
                line.family = format!("gen_innocent_{name}");
                line.text = disguise(&line.text, &mut self.rng);
            }
            2 | 6 => {
                let more = self.carrier("en").join("\n\n");
                line.text = format!("{}\n\n{more}", line.text);
            }
            _ => (),
        }
        let odd = line.family.starts_with("gen_innocent_");
        line.tier = Some(if odd { "hard" } else { tier }.to_owned());
        line
    }

    fn subject(&mut self, lang: &str) -> String {
        if lang == "en" || self.rng.bool() {
            self.text("chat").chars().take(60).collect()
        } else {
            self.text(&format!("{lang} chat")).chars().take(60).collect()
        }
    }

    /// Some paragraphs of an innocent mail.
    fn carrier(&mut self, lang: &str) -> Vec<String> {
        let count = self.rng.usize(1..4);
        (0..count)
            .map(|_| {
                if lang == "en" || self.rng.u8(..3) == 0 {
                    let kind = self.mails[self.rng.usize(..self.mails.len())];
                    self.text(kind)
                } else {
                    let section = self.one(&["chat", "notice"]);
                    self.text(&format!("{lang} {section}"))
                }
            })
            .collect()
    }

    fn page(&mut self, lang: &str, hidden: &str) -> String {
        let shown = self.carrier(lang);
        let paragraphs: String = shown.iter().map(|it| format!("<p>{}</p>", escaped(it))).collect();
        let hidden = self.one(HIDDEN).replace("{}", &escaped(hidden));
        if self.rng.bool() {
            format!("<html><body>{hidden}{paragraphs}</body></html>")
        } else {
            format!("<html><body>{paragraphs}{hidden}</body></html>")
        }
    }

    fn innocent_page(&mut self, text: &str) -> String {
        let preheader = self.one(HIDDEN).replace("{}", &escaped(self.one(PREHEADERS)));
        format!("<html><body>{preheader}<p>{}</p></body></html>", escaped(text))
    }

    /// A page in blocks, as shops and papers send it.
    fn newsletter(&mut self, text: &str) -> String {
        let preheader = self.one(HIDDEN).replace("{}", &escaped(self.one(PREHEADERS)));
        let mut page = format!("<html><head><style>.a{{margin:0}}</style></head><body>{preheader}");
        for _ in 0..self.rng.u8(2..6) {
            let section = self
                .one(&["news", "tip", "promo", "news", "work", "boast", "club", "tale", "press"]);
            let block = escaped(&self.text(section));
            let link = escaped(&self.text("link"));
            page += &self.one(&[
                "<table><tr><td><h2>{company}</h2><p>{}</p><a href=\"{link}\">Read more</a></td></tr></table>",
                "<p><img src=\"{link}\" alt=\"{company}\">{}</p>",
                "<ul><li>{}</li><li><a href=\"{link}\">Details</a></li></ul>",
                "<!-- begin block --><div>{} <a href=\"{link}\" title=\"Open in browser\">here</a></div>",
            ]).replace("{}", &block).replace("{link}", &link).replace("{company}", &self.text("company"));
        }
        format!(
            "{page}<p>{}</p><p>{}</p></body></html>",
            escaped(text),
            escaped(&self.text("footer"))
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace("--", "- -")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_mail() {
        let texts = |seed| -> Vec<String> {
            generate(seed, 200).into_iter().map(|it| it.subject + &it.text).collect()
        };
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
    }

    #[test]
    fn there_are_many_families_and_languages() {
        let lines = generate(3, 3000);
        let families: BTreeSet<&str> = lines.iter().map(|it| it.family.as_str()).collect();
        assert!(families.len() > 50, "{families:?}");
        let grammar = Grammar::read(GRAMMAR);
        assert_eq!(grammar.names().filter(|it| it.ends_with(" override")).count(), 27);
        assert!(lines.iter().all(|it| it.is_attack() == it.payload.is_some()));
    }

    /// A name in braces that is no section would stand in the mail as it is.
    #[test]
    fn every_section_exists() {
        let lines = generate(4, 5000);
        let known = ["{data}", "{model}"];
        for line in lines {
            for word in line.text.split(['{']).skip(1).filter_map(|it| it.split_once('}')) {
                let name = word.0;
                let plain = !name.is_empty() && name.chars().all(|it| it.is_ascii_lowercase());
                let braced = format!("{{{name}}}");
                assert!(!plain || known.contains(&braced.as_str()), "{name}: {}", line.text);
            }
        }
    }
}
