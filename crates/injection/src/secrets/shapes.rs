//! Tokens that begin in a way of their own, as their makers publish it.

use aho_corasick::{AhoCorasick, MatchKind};

use super::{
    Hit,
    entropy::{entropy, is_placeholder},
};

/// A token: what it begins with, and what follows.
struct Shape {
    prefix: &'static str,
    kind: &'static str,
    explanation: &'static str,
    follows: fn(u8) -> bool,
    /// Octets after the prefix.
    least: usize,
    most: usize,
    /// Whether what follows can be one.
    holds: fn(&str) -> bool,
}

const fn shape(
    prefix: &'static str,
    kind: &'static str,
    explanation: &'static str,
    follows: fn(u8) -> bool,
    (least, most): (usize, usize),
    holds: fn(&str) -> bool,
) -> Shape {
    Shape { prefix, kind, explanation, follows, least, most, holds }
}

const OURS: &str =
    "This is a token of this service: whoever has it reads and sends the account's mail.";
const AWS: &str = "This has the form of an access key of Amazon Web Services.";
const GITHUB: &str = "This has the form of a token of GitHub.";
const GITLAB: &str = "This has the form of a token of GitLab.";
const SLACK: &str = "This has the form of a token or webhook of Slack.";
const STRIPE: &str = "This has the form of a live key of Stripe.";
const ANTHROPIC: &str = "This has the form of a key of Anthropic.";
const OPENAI: &str = "This has the form of a key of OpenAI.";
const GOOGLE: &str = "This has the form of a key or token of Google.";
const NPM: &str = "This has the form of a token of npm.";
const PYPI: &str = "This has the form of a token of PyPI.";
const TWILIO: &str = "This has the form of a key of Twilio.";
const SENDGRID: &str = "This has the form of a key of SendGrid.";
const MAILGUN: &str = "This has the form of a key of Mailgun.";
const AZURE: &str = "This is the key of a connection string of Azure.";
const HUGGING_FACE: &str = "This has the form of a token of Hugging Face.";
const DOCKER: &str = "This has the form of a token of Docker Hub.";
const DIGITAL_OCEAN: &str = "This has the form of a token of DigitalOcean.";
const SHOPIFY: &str = "This has the form of a token of Shopify.";

static SHAPES: &[Shape] = &[
    shape("lm_sk_live_", "posthouse_token", OURS, base64url, (43, 200), any),
    shape("AKIA", "aws_access_key_id", AWS, base32, (16, 16), any),
    shape("ASIA", "aws_access_key_id", AWS, base32, (16, 16), any),
    shape("ghp_", "github_token", GITHUB, alphanumeric, (36, 36), checked),
    shape("gho_", "github_token", GITHUB, alphanumeric, (36, 36), checked),
    shape("ghu_", "github_token", GITHUB, alphanumeric, (36, 36), checked),
    shape("ghs_", "github_token", GITHUB, alphanumeric, (36, 36), checked),
    shape("ghr_", "github_token", GITHUB, alphanumeric, (36, 76), chance),
    shape("github_pat_", "github_token", GITHUB, word, (60, 243), chance),
    shape("glpat-", "gitlab_token", GITLAB, base64url, (20, 64), chance),
    shape("xoxb-", "slack_token", SLACK, dashed, (20, 250), numbered),
    shape("xoxp-", "slack_token", SLACK, dashed, (20, 250), numbered),
    shape("xoxa-", "slack_token", SLACK, dashed, (20, 250), numbered),
    shape("xoxr-", "slack_token", SLACK, dashed, (20, 250), numbered),
    shape("xoxs-", "slack_token", SLACK, dashed, (20, 250), numbered),
    shape("xapp-", "slack_token", SLACK, dashed, (20, 250), numbered),
    shape("hooks.slack.com/services/", "slack_webhook", SLACK, path, (30, 120), numbered),
    shape("sk_live_", "stripe_live_key", STRIPE, alphanumeric, (16, 247), chance),
    shape("rk_live_", "stripe_live_key", STRIPE, alphanumeric, (16, 247), chance),
    shape("whsec_", "stripe_live_key", STRIPE, base64, (32, 100), chance),
    shape("sk-ant-", "anthropic_key", ANTHROPIC, base64url, (32, 200), chance),
    shape("sk-proj-", "openai_key", OPENAI, base64url, (40, 250), chance),
    shape("sk-svcacct-", "openai_key", OPENAI, base64url, (40, 250), chance),
    shape("sk-admin-", "openai_key", OPENAI, base64url, (40, 250), chance),
    shape("sk-", "openai_key", OPENAI, alphanumeric, (40, 64), chance),
    shape("AIza", "google_key", GOOGLE, base64url, (35, 35), chance),
    shape("GOCSPX-", "google_key", GOOGLE, base64url, (28, 28), chance),
    shape("ya29.", "google_key", GOOGLE, base64url, (50, 2048), chance),
    shape("npm_", "npm_token", NPM, alphanumeric, (36, 36), checked),
    shape("pypi-AgEIcHlwaS5vcmc", "pypi_token", PYPI, base64url, (50, 1000), chance),
    shape("SK", "twilio_key", TWILIO, lower_hex, (32, 32), numbered),
    shape("SG.", "sendgrid_key", SENDGRID, dotted, (66, 66), sendgrid),
    shape("key-", "mailgun_key", MAILGUN, lower_hex, (32, 32), numbered),
    shape("AccountKey=", "azure_key", AZURE, base64, (40, 100), chance),
    shape("SharedAccessKey=", "azure_key", AZURE, base64, (40, 100), chance),
    shape("hf_", "hugging_face_token", HUGGING_FACE, alphanumeric, (34, 40), chance),
    shape("dckr_pat_", "docker_token", DOCKER, base64url, (27, 60), chance),
    shape("dop_v1_", "digitalocean_token", DIGITAL_OCEAN, lower_hex, (64, 64), numbered),
    shape("shpat_", "shopify_token", SHOPIFY, lower_hex, (32, 32), numbered),
];

pub(super) struct Shapes(AhoCorasick);

impl Shapes {
    pub(super) fn new() -> Shapes {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(SHAPES.iter().map(|it| it.prefix));
        Shapes(automaton.expect("the prefixes are few and short"))
    }

    pub(super) fn find(&self, text: &str) -> Vec<Hit> {
        let octets = text.as_bytes();
        let mut hits: Vec<Hit> = Vec::new();
        for found in self.0.find_iter(text) {
            let shape = &SHAPES[found.pattern().as_usize()];
            let is_within = hits.last().is_some_and(|it| found.start() < it.span.end);
            let before = found.start().checked_sub(1).map(|it| octets[it]);
            if is_within || before.is_some_and(|it| it.is_ascii_alphanumeric() || it == b'_') {
                continue;
            }
            // One octet more tells a longer word from a token.
            let rest = octets[found.end()..].iter().take(shape.most + 1);
            let length = rest.take_while(|it| (shape.follows)(**it)).count();
            if length < shape.least || length > shape.most {
                continue;
            }
            let end = found.end() + length;
            if (shape.holds)(&text[found.end()..end]) {
                hits.push(Hit {
                    kind: shape.kind,
                    explanation: shape.explanation,
                    span: found.start()..end,
                });
            }
        }
        hits
    }
}

fn alphanumeric(it: u8) -> bool {
    it.is_ascii_alphanumeric()
}

fn word(it: u8) -> bool {
    it.is_ascii_alphanumeric() || it == b'_'
}

fn dashed(it: u8) -> bool {
    it.is_ascii_alphanumeric() || it == b'-'
}

fn dotted(it: u8) -> bool {
    base64url(it) || it == b'.'
}

fn path(it: u8) -> bool {
    it.is_ascii_alphanumeric() || it == b'/'
}

fn base64url(it: u8) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_')
}

fn base64(it: u8) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/' | b'=')
}

fn base32(it: u8) -> bool {
    it.is_ascii_uppercase() || it.is_ascii_digit()
}

fn lower_hex(it: u8) -> bool {
    it.is_ascii_digit() || (b'a'..=b'f').contains(&it)
}

fn any(_: &str) -> bool {
    true
}

fn chance(rest: &str) -> bool {
    entropy(rest) >= 3.0 && !is_placeholder(rest)
}

fn numbered(rest: &str) -> bool {
    rest.bytes().any(|it| it.is_ascii_digit()) && entropy(rest) >= 2.5 && !is_placeholder(rest)
}

/// A name of 22 characters and a secret of 43.
fn sendgrid(rest: &str) -> bool {
    rest.split_once('.').is_some_and(|(name, key)| name.len() == 22 && key.len() == 43)
}

/// The last six characters are the CRC-32 of those before, in base 62. A token that was copied wrong or
/// made up is still held if it looks made by chance: who sends it took it for one.
fn checked(rest: &str) -> bool {
    has_checksum(rest) || chance(rest)
}

fn has_checksum(rest: &str) -> bool {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some((body, check)) = rest.split_at_checked(rest.len().saturating_sub(6)) else {
        return false;
    };
    let mut sum = crc32fast::hash(body.as_bytes());
    let mut expected = [b'0'; 6];
    for it in expected.iter_mut().rev() {
        *it = DIGITS[(sum % 62) as usize];
        sum /= 62;
    }
    check.as_bytes() == expected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<&'static str> {
        Shapes::new().find(text).into_iter().map(|it| it.kind).collect()
    }

    #[track_caller]
    fn check(attack: &str, kind: &str, innocent: &str) {
        assert_eq!(kinds(attack), [kind], "{attack}");
        assert_eq!(kinds(&format!("Use \"{attack}\", it works")), [kind], "{attack}");
        assert_eq!(kinds(innocent), [""; 0], "{innocent}");
    }

    // Put together here, so that no scanner of repositories takes this file for a leak.
    fn of(prefix: &str, length: usize) -> String {
        let chance = "q2Jx8Zp0Vb7nTf4Yk1Rw9Hs6Lc3Md5Ge".repeat(8);
        format!("{prefix}{}", &chance[..length])
    }

    fn hex(prefix: &str, length: usize) -> String {
        format!("{prefix}{}", &"3f9a0c7be21d4586".repeat(8)[..length])
    }

    #[test]
    fn our_own_tokens() {
        check(&of("lm_sk_live_", 43), "posthouse_token", "lm_sk_live_ is how tokens begin");
    }

    #[test]
    fn amazon() {
        check(concat!("AKIA", "Z7Q3XW2M5NBT4KLP"), "aws_access_key_id", "AKIAZ7Q3XW2M5NBT4KLPQQ");
        assert_eq!(kinds("the SLAVAKIAZ7Q3XW2M5NBT4KLP"), [""; 0]);
    }

    #[test]
    fn github() {
        check(&of("ghp_", 36), "github_token", &format!("ghp_{}", "x".repeat(36)));
        check(&of("github_pat_", 82), "github_token", "github_pat_ begins a token");
        check(&of("gho_", 36), "github_token", &of("gho_", 12));
    }

    #[test]
    fn checksums_are_computed() {
        let body = "1".repeat(30);
        // Too regular to be made by chance; the checksum says that it is one.
        let sum = crc32fast::hash(body.as_bytes());
        let digits: Vec<char> =
            "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".chars().collect();
        let mut left = sum;
        let mut check = String::new();
        for _ in 0..6 {
            check.insert(0, digits[(left % 62) as usize]);
            left /= 62;
        }
        assert_eq!(kinds(&format!("ghp_{body}{check}")), ["github_token"]);
        assert_eq!(kinds(&format!("ghp_{body}000000")), [""; 0]);
    }

    #[test]
    fn slack() {
        check(
            "xoxb-2147483648-2147483649-q2Jx8Zp0Vb7nTf4Yk1Rw",
            "slack_token",
            "xoxb-your-token-here",
        );
        let hook = "hooks.slack.com/services/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";
        check(hook, "slack_webhook", "see https://hooks.slack.com/services/ for webhooks");
    }

    #[test]
    fn stripe() {
        check(&of("sk_live_", 24), "stripe_live_key", &of("sk_test_", 24));
    }

    #[test]
    fn models() {
        check(&of("sk-ant-api03-", 90), "anthropic_key", "sk-ant-s are insects");
        check(&of("sk-proj-", 120), "openai_key", "sk-proj-<your key>");
        check(&of("sk-", 48), "openai_key", "the sk-learn-documentation-of-many-words");
    }

    #[test]
    fn google() {
        check(&of("AIza", 35), "google_key", "AIza is a prefix");
    }

    #[test]
    fn registries() {
        check(&of("npm_", 36), "npm_token", "npm_config_registry=https://r.test");
        check(&of("pypi-AgEIcHlwaS5vcmc", 100), "pypi_token", "pypi-server-2.0");
    }

    #[test]
    fn mail_and_telephone() {
        check(&hex("SK", 32), "twilio_key", "SKU 12345, SKfoo");
        let key = format!("{}.{}", of("SG.", 22), of("", 43));
        check(&key, "sendgrid_key", "SG. is short for Singapore");
        check(&hex("key-", 32), "mailgun_key", "key-value, key-0123");
    }

    #[test]
    fn azure() {
        let key = format!("AccountKey={}==", of("", 86));
        check(&key, "azure_key", "AccountKey=<key>;EndpointSuffix=core.windows.net");
    }

    #[test]
    fn others() {
        check(&of("hf_", 34), "hugging_face_token", "hf_hub_download(repo)");
        check(&of("glpat-", 20), "gitlab_token", "glpat-xxxxxxxxxxxxxxxxxxxx");
        check(&of("dckr_pat_", 27), "docker_token", "dckr_pat_");
        check(&hex("shpat_", 32), "shopify_token", "shpat_x");
        check(&hex("dop_v1_", 64), "digitalocean_token", "dop_v1_0");
    }
}
