//! How a receiver knows that a request is ours: Standard Webhooks, and the contract's older way. Pure.

use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXLOWER};

/// `webhook-signature` of Standard Webhooks: one for each secret that counts, in base64, separated by
/// spaces. `timestamp` is in seconds since 1970.
pub(crate) fn standard(secrets: &[String], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures = secrets.iter().map(|secret| {
        let key = secret.strip_prefix("whsec_").unwrap_or(secret);
        let key = BASE64.decode(key.as_bytes()).unwrap_or_else(|_| key.as_bytes().to_vec());
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64.encode(context.sign().as_ref()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

/// `X-LobsterMail-Signature`: of the body alone, with the secret as it is written.
pub(crate) fn of_the_contract(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    HEXLOWER.encode(hmac::sign(&key, body).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signs_as_the_specification_does() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let body = br#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(standard(std::slice::from_ref(&secret), id, 1_614_265_330, body), expected);
        let two = standard(&[secret.clone(), secret], id, 1_614_265_330, body);
        assert_eq!(two, format!("{expected} {expected}"));
    }

    #[test]
    fn signs_as_the_contract_does() {
        // printf body | openssl dgst -sha256 -hmac whsec_x
        let expected = "fdaea1526e14d5680596b9407c0918e9c492ff2ddbbb3c4c58b5597b4ca3924f";
        assert_eq!(of_the_contract("whsec_x", b"body"), expected);
    }
}
