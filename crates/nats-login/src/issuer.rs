use nkeys::{KeyPair, KeyPairType};
use serde::Serialize;

use crate::{
    Access, Error, Request,
    access::{AGENTS, Permissions},
    jwt,
};

/// The key that answers are signed with. The public half stands in the server's configuration.
pub struct Issuer {
    keys: KeyPair,
    public: String,
}

impl Issuer {
    pub fn generate() -> Issuer {
        Issuer::from(KeyPair::new_account())
    }

    /// Takes an account's seed, `SA…`.
    pub fn from_seed(seed: &str) -> Result<Issuer, Error> {
        let keys = KeyPair::from_seed(seed.trim()).map_err(Error::Seed)?;
        match keys.key_pair_type() {
            KeyPairType::Account => Ok(Issuer::from(keys)),
            _ => Err(Error::SeedKind),
        }
    }

    fn from(keys: KeyPair) -> Issuer {
        let public = keys.public_key();
        Issuer { keys, public }
    }

    /// `A…`, for `issuer` in the server's configuration.
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// The secret that `from_seed` takes.
    pub fn seed(&self) -> Result<String, Error> {
        self.keys.seed().map_err(Error::Seed)
    }

    /// Lets the client in with the rights of `access`, until then. Times are in seconds since 1970.
    pub fn admit(
        &self,
        request: &Request,
        access: &Access,
        now: i64,
        expires: i64,
    ) -> Result<String, Error> {
        let user = Claims {
            iss: &self.public,
            sub: &request.user,
            aud: AGENTS,
            name: Some(access.name().to_string()),
            iat: now,
            exp: Some(expires),
            nats: User {
                permissions: access.permissions(),
                subs: MAX_SUBSCRIPTIONS,
                data: -1,
                payload: -1,
                kind: "user",
                version: 2,
            },
        };
        let jwt = jwt::encode(&user, &self.keys)?;
        self.answer(request, now, Outcome::Jwt(jwt))
    }

    /// Keeps the client out. It hears of an authorization violation; why is for the server's log.
    pub fn refuse(&self, request: &Request, why: &str, now: i64) -> Result<String, Error> {
        self.answer(request, now, Outcome::Error(why.to_owned()))
    }

    fn answer(&self, request: &Request, now: i64, outcome: Outcome) -> Result<String, Error> {
        let response = Claims {
            iss: &self.public,
            sub: &request.user,
            aud: &request.server,
            name: None,
            iat: now,
            exp: None,
            nats: Response { outcome, kind: "authorization_response", version: 2 },
        };
        jwt::encode(&response, &self.keys)
    }
}

/// Of one connection: an agent follows its events and awaits its answers.
const MAX_SUBSCRIPTIONS: i64 = 1_000;

#[derive(Serialize)]
struct Claims<'a, T> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    nats: T,
}

/// A number of -1 is no limit.
#[derive(Serialize)]
struct User {
    #[serde(flatten)]
    permissions: Permissions,
    subs: i64,
    data: i64,
    payload: i64,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

#[derive(Serialize)]
struct Response {
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Jwt(String),
    Error(String),
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Reach;

    fn request() -> Request {
        Request { server: "NSERVER".to_owned(), user: "UUSER".to_owned(), secret: None }
    }

    #[test]
    fn an_answer_is_signed_and_about_this_connection() {
        let issuer = Issuer::generate();
        let access = Access::new("acct_1", "0123abcd", Reach::All, Reach::None).expect("access");
        let answer = issuer.admit(&request(), &access, 100, 200).expect("answer");
        let (answer, signer): (Value, String) = jwt::decode(&answer).expect("decode");
        assert_eq!(signer, issuer.public_key());
        assert_eq!((&answer["aud"], &answer["sub"]), (&json!("NSERVER"), &json!("UUSER")));

        let user = answer["nats"]["jwt"].as_str().expect("a user");
        let (user, signer): (Value, String) = jwt::decode(user).expect("decode");
        assert_eq!(signer, issuer.public_key());
        assert_eq!((&user["aud"], &user["sub"]), (&json!("AGENTS"), &json!("UUSER")));
        assert_eq!((&user["name"], &user["exp"]), (&json!("acct_1.0123abcd"), &json!(200)));
        assert!(user["nats"]["pub"]["allow"].is_array());
    }

    #[test]
    fn a_refusal_has_no_user() {
        let answer = Issuer::generate().refuse(&request(), "no such token", 100).expect("answer");
        let (answer, _): (Value, String) = jwt::decode(&answer).expect("decode");
        assert_eq!(answer["nats"]["error"], "no such token");
        assert!(answer["nats"]["jwt"].is_null());
    }

    #[test]
    fn only_an_accounts_seed_is_taken() {
        let issuer = Issuer::generate();
        let seed = issuer.seed().expect("seed");
        let again = Issuer::from_seed(&format!("{seed}\n")).expect("take");
        assert_eq!(again.public_key(), issuer.public_key());
        let user = KeyPair::new_user().seed().expect("seed");
        assert!(matches!(Issuer::from_seed(&user), Err(Error::SeedKind)));
        assert!(matches!(Issuer::from_seed("SAX"), Err(Error::Seed(_))));
    }
}
