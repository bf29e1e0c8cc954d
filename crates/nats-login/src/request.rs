use serde::Deserialize;

use crate::jwt::{self, Error};

const AUDIENCE: &str = "nats-authorization-request";

/// A login that a NATS server asks about.
#[derive(Clone)]
pub struct Request {
    /// The server that asks (`N…`).
    pub server: String,
    /// What the server calls the connection's user (`U…`); the answer has to be about it.
    pub user: String,
    /// What the client proves itself with: its password, or the token of those that send only that.
    pub secret: Option<String>,
}

impl Request {
    /// Reads what came on `CALLOUT`. The server's signature is verified; that it is one of ours rests on
    /// who may publish there.
    pub fn read(payload: &[u8]) -> Result<Request, Error> {
        #[derive(Deserialize)]
        struct Claims {
            aud: String,
            nats: Nats,
        }

        #[derive(Deserialize)]
        struct Nats {
            #[serde(rename = "type")]
            kind: String,
            server_id: Server,
            user_nkey: String,
            #[serde(default)]
            connect_opts: Options,
        }

        #[derive(Deserialize)]
        struct Server {
            id: String,
        }

        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Options {
            pass: String,
            auth_token: String,
        }

        let text = std::str::from_utf8(payload).map_err(|_| Error::Form)?;
        let (Claims { aud, nats }, issuer) = jwt::decode(text)?;
        if aud != AUDIENCE || nats.kind != "authorization_request" {
            return Err(Error::Purpose);
        }
        if issuer != nats.server_id.id || !issuer.starts_with('N') {
            return Err(Error::Issuer(issuer));
        }
        let Options { pass, auth_token } = nats.connect_opts;
        let secret = [pass, auth_token].into_iter().find(|it| !it.is_empty());
        Ok(Request { server: nats.server_id.id, user: nats.user_nkey, secret })
    }
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;
    use serde_json::{Value, json};

    use super::*;

    fn request(options: Value) -> (Value, KeyPair) {
        let keys = KeyPair::new_server();
        let claims = json!({
            "aud": AUDIENCE, "iss": keys.public_key(), "sub": "AISSUER", "exp": 1, "iat": 1, "jti": "X",
            "nats": {
                "server_id": { "name": "n1", "host": "::1", "id": keys.public_key(), "version": "2.15.1" },
                "user_nkey": "UUSER", "client_info": { "host": "::1", "id": 15, "kind": "Client" },
                "connect_opts": options, "type": "authorization_request", "version": 2
            }
        });
        (claims, keys)
    }

    fn read(claims: &Value, keys: &KeyPair) -> Result<Request, Error> {
        Request::read(jwt::encode(claims, keys).expect("encode").as_bytes())
    }

    #[test]
    fn a_token_comes_as_password_or_alone() {
        let check = |options: Value, expected: Option<&str>| {
            let (claims, keys) = request(options);
            let request = read(&claims, &keys).expect("read");
            assert_eq!(request.secret.as_deref(), expected);
            assert_eq!((request.server, &*request.user), (keys.public_key(), "UUSER"));
        };
        check(json!({ "user": "me", "pass": "lm_1", "protocol": 1 }), Some("lm_1"));
        check(json!({ "auth_token": "lm_2" }), Some("lm_2"));
        check(json!({ "user": "lm_3", "pass": "" }), None);
        check(json!({}), None);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let (claims, keys) = request(json!({}));
        let jwt = jwt::encode(&claims, &keys).expect("encode");
        let (signed, _) = jwt.rsplit_once('.').expect("three parts");
        let foreign = KeyPair::new_server().sign(signed.as_bytes()).expect("sign");
        let foreign = format!("{signed}.{}", data_encoding::BASE64URL_NOPAD.encode(&foreign));
        let refused = |text: &str| Request::read(text.as_bytes()).err().expect("refuse");
        assert!(matches!(refused(&foreign), Error::Signature { .. }));
        assert!(matches!(refused("a.b"), Error::Form));
        assert!(matches!(refused("?.b.c"), Error::Encoding(_)));
        assert!(matches!(refused("e30.e30.AA"), Error::Json(_)));

        let changed = |pointer: &str, value: Value| {
            let mut claims = claims.clone();
            *claims.pointer_mut(pointer).expect("there") = value;
            read(&claims, &keys).err().expect("refuse")
        };
        assert!(matches!(changed("/aud", json!("elsewhere")), Error::Purpose));
        assert!(matches!(changed("/nats/type", json!("user")), Error::Purpose));
        assert!(matches!(changed("/nats/server_id/id", json!("NOTHER")), Error::Issuer(_)));
    }
}
