//! The JWTs of NATS: Ed25519 by NKeys, which name the signer (`alg` is "ed25519-nkey").

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const ALGORITHM: &str = "ed25519-nkey";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it is not a JWT of three parts")]
    Form,
    #[error("the JWT's algorithm is not {ALGORITHM}")]
    Algorithm,
    #[error("a part of the JWT is not base64url")]
    Encoding(#[from] data_encoding::DecodeError),
    #[error("a part of the JWT is not the JSON expected")]
    Json(#[from] serde_json::Error),
    #[error("the JWT's signature is not that of {issuer}")]
    Signature {
        issuer: String,
        #[source]
        cause: nkeys::error::Error,
    },
    #[error("the JWT is signed by {0}, which is no server")]
    Issuer(String),
    #[error("the JWT is no authorization request")]
    Purpose,
    #[error("it is no seed of an account's NKey (SA…)")]
    Seed(#[source] nkeys::error::Error),
    #[error("it is the seed of another kind of NKey, not of an account's (SA…)")]
    SeedKind,
    #[error("sign with the issuer's key")]
    Sign(#[source] nkeys::error::Error),
    #[error("{0:?} cannot stand in a subject")]
    Token(String),
}

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(rename = "typ")]
    kind: String,
    #[serde(rename = "alg")]
    algorithm: String,
}

pub(crate) fn encode(claims: &impl Serialize, keys: &KeyPair) -> Result<String, Error> {
    let header = Header { kind: "JWT".to_owned(), algorithm: ALGORITHM.to_owned() };
    let header = BASE64URL_NOPAD.encode(&serde_json::to_vec(&header)?);
    let claims = BASE64URL_NOPAD.encode(&serde_json::to_vec(claims)?);
    let signed = format!("{header}.{claims}");
    let signature = keys.sign(signed.as_bytes()).map_err(Error::Sign)?;
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// Whoever signed it says so in it: what it is worth depends on who that is.
pub(crate) fn decode<T: DeserializeOwned>(jwt: &str) -> Result<(T, String), Error> {
    #[derive(Deserialize)]
    struct Signed {
        iss: String,
    }

    let (signed, signature) = jwt.rsplit_once('.').ok_or(Error::Form)?;
    let (header, claims) = signed.split_once('.').ok_or(Error::Form)?;
    let header: Header = serde_json::from_slice(&BASE64URL_NOPAD.decode(header.as_bytes())?)?;
    if header.algorithm != ALGORITHM {
        return Err(Error::Algorithm);
    }
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes())?;
    let Signed { iss: issuer } = serde_json::from_slice(&claims)?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes())?;
    let verified = KeyPair::from_public_key(&issuer)
        .and_then(|keys| keys.verify(signed.as_bytes(), &signature));
    match verified {
        Ok(()) => Ok((serde_json::from_slice(&claims)?, issuer)),
        Err(cause) => Err(Error::Signature { issuer, cause }),
    }
}
