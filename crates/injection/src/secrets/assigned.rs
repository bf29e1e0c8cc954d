//! `password: …` and the like: a word that announces a secret, and something that can be one.

use aho_corasick::{AhoCorasick, MatchKind};

use super::{
    Hit,
    entropy::{Classes, entropy, is_placeholder},
};

/// Between the word and its colon, as in "password for the database:".
const MAX_BETWEEN: usize = 32;
const MAX_VALUE: usize = 256;

const MIN_PASSWORD: usize = 8;
/// Short keys would be mixed up with references.
const MIN_KEY: usize = 20;
const MIN_KEY_BITS: f64 = 3.3;

const PASSWORD: [&str; 22] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "kennwort",
    "mot de passe",
    "contraseña",
    "contrasena",
    "senha",
    "wachtwoord",
    "hasło",
    "haslo",
    "parola",
    "şifre",
    "пароль",
    "Пароль",
    "密码",
    "密碼",
    "パスワード",
    "비밀번호",
    "سر",
    "סיסמה",
];

const KEY: [&str; 18] = [
    "api key",
    "api_key",
    "apikey",
    "api-key",
    "secret key",
    "secret_key",
    "secret-key",
    "secretkey",
    "secret access key",
    "secret_access_key",
    "access token",
    "access_token",
    "auth token",
    "auth_token",
    "client secret",
    "client_secret",
    "signing_secret",
    "private_token",
];

const PASSWORD_WHY: &str = "The words before it say that this is a password.";
const KEY_WHY: &str = "The words before it say that this is a key, and it looks made by chance.";

pub(super) struct Assigned(AhoCorasick);

impl Assigned {
    pub(super) fn new() -> Assigned {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(PASSWORD.into_iter().chain(KEY));
        Assigned(automaton.expect("the words are few and short"))
    }

    pub(super) fn find(&self, text: &str) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        for found in self.0.find_iter(text) {
            if hits.last().is_some_and(|it| found.start() < it.span.end) {
                continue;
            }
            let Some(value) = value(text, found.end()) else { continue };
            let word = &text[value.clone()];
            let is_password = found.pattern().as_usize() < PASSWORD.len();
            let (kind, explanation) =
                if is_password { ("password", PASSWORD_WHY) } else { ("api_key", KEY_WHY) };
            if if is_password { can_be_password(word) } else { can_be_key(word) } {
                hits.push(Hit { kind, explanation, span: value });
            }
        }
        hits
    }
}

/// What is assigned to the word that ends there.
fn value(text: &str, end: usize) -> Option<std::ops::Range<usize>> {
    let line = &text[end..text.floor_char_boundary((end + MAX_BETWEEN).min(text.len()))];
    let line = line.split(['\r', '\n']).next().unwrap_or_default();
    let after = line
        .find([':', '=', '：'])
        .map(|it| it + line[it..].chars().next().map_or(0, char::len_utf8));
    let is = || {
        let line = line.to_ascii_lowercase();
        [" is ", " ist ", " est ", " es "]
            .iter()
            .find_map(|it| line.find(it).map(|at| at + it.len()))
    };
    let start = end + after.or_else(is)?;
    let rest = &text[start..text.floor_char_boundary((start + MAX_VALUE).min(text.len()))];
    let is_around =
        |it: char| it == ' ' || it == '\t' || matches!(it, '"' | '\'' | '`' | '*' | '=' | '>');
    let value = rest.trim_start_matches(is_around);
    let start = start + rest.len() - value.len();
    let is_end = |it: char| it.is_whitespace() || matches!(it, '"' | '\'' | '`' | '<' | ',' | ';');
    let value = &value[..value.find(is_end).unwrap_or(value.len())];
    let value = value.trim_end_matches(['.', ')', ']', '*']);
    (!value.is_empty()).then(|| start..start + value.len())
}

/// A letter, a digit and something else: words, numbers, dates and addresses have less.
fn can_be_password(word: &str) -> bool {
    let classes = Classes::of(word);
    let has_letter = classes.lower || classes.upper;
    word.chars().count() >= MIN_PASSWORD
        && has_letter
        && classes.digit
        && classes.count() >= 3
        && !is_address(word)
        && !is_placeholder(word)
}

fn can_be_key(word: &str) -> bool {
    let classes = Classes::of(word);
    word.len() >= MIN_KEY
        && classes.digit
        && (classes.lower || classes.upper)
        && entropy(word) >= MIN_KEY_BITS
        && !is_address(word)
        && !is_placeholder(word)
}

/// A link, a mail address, a path.
fn is_address(word: &str) -> bool {
    let is_mail = word.split_once('@').is_some_and(|(local, domain)| {
        let plain = |it: char| it.is_alphanumeric() || matches!(it, '.' | '-' | '_' | '+');
        !local.is_empty() && domain.contains('.') && local.chars().chain(domain.chars()).all(plain)
    });
    is_mail || word.contains("://") || word.starts_with("www.") || word.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = Assigned::new().find(text);
        let found: Vec<&str> = found.iter().map(|it| &text[it.span.clone()]).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn passwords() {
        check("Password: Summer2024!", &["Summer2024!"]);
        check("The password for the database is Tr0ub4dor&3.", &["Tr0ub4dor&3"]);
        check("DB_PASSWORD=\"q2Jx8Zp0Vb7n\"", &["q2Jx8Zp0Vb7n"]);
        check("password:\n\nSummer2024!", &[]);
        check("Passwort: Sommer-2024 / Benutzer: ada", &["Sommer-2024"]);
        check("Пароль: Zima-2024", &["Zima-2024"]);
        check("密码：Winter#2024", &["Winter#2024"]);
    }

    #[test]
    fn talk_of_passwords_is_left_alone() {
        for text in [
            "Your password was changed on 2026-11-24.",
            "Password: please choose a new one",
            "To reset your password: https://x.test/reset?id=17",
            "password: <your password>",
            "Password: ********",
            "The password is at least 12 characters long.",
            "Password reset for: ada17@Example.com",
            "password = os.environ[\"X\"]",
            "password is required",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn keys() {
        check("api_key = 'q2Jx8Zp0Vb7nTf4Yk1Rw9Hs6'", &["q2Jx8Zp0Vb7nTf4Yk1Rw9Hs6"]);
        check(
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYzQ2Jx8Zp0V",
            &["wJalrXUtnFEMI/K7MDENG/bPxRfiCYzQ2Jx8Zp0V"],
        );
        check(
            r#"{"client_secret": "3f9a0c7be21d45863f9a0c7be21d4586"}"#,
            &["3f9a0c7be21d45863f9a0c7be21d4586"],
        );
        for text in [
            "The API key: see https://x.test/keys",
            "api_key = YOUR_API_KEY_GOES_HERE_1",
            "access token: 482913",
            "api key is in the documentation",
        ] {
            check(text, &[]);
        }
    }
}
