//! Tokens of Kubernetes ServiceAccounts: who one speaks of, by the cluster's own keys and without a hop. The
//! cryptography is ring's, which TLS has linked already.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, Validation,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    decode, decode_header,
    errors::{Error, ErrorKind},
    signature::{self, Verifier},
};
use llm_config::{TokenKey, Tokens};
use ring::signature as ring_signature;
use serde::Deserialize;

/// What the clocks of the cluster and of this machine may differ by.
const CLOCK_SKEW_SECONDS: u64 = 60;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Ring { algorithm: *algorithm, key: key.clone() }) as Box<dyn JwtVerifier>)
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Checks one signature.
struct Ring {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let rsa = match self.algorithm {
            Algorithm::RS256 => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &ring_signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &ring_signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::ES256 => {
                return self.elliptic(&ring_signature::ECDSA_P256_SHA256_FIXED, message, signature);
            }
            Algorithm::ES384 => {
                return self.elliptic(&ring_signature::ECDSA_P384_SHA384_FIXED, message, signature);
            }
            _ => return Err(signature::Error::new()),
        };
        let DecodingKeyKind::RsaModulusExponent { n, e } = self.key.kind() else {
            return Err(signature::Error::new());
        };
        let key = ring_signature::RsaPublicKeyComponents { n, e };
        key.verify(rsa, message, signature).map_err(|_| signature::Error::new())
    }
}

impl Ring {
    fn elliptic(
        &self,
        algorithm: &'static dyn ring_signature::VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), signature::Error> {
        let point = self.key.try_get_as_bytes().map_err(|_| signature::Error::new())?;
        let key = ring_signature::UnparsedPublicKey::new(algorithm, point);
        key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Whom a token speaks of, and until when, in seconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub struct Subject {
    pub namespace: String,
    pub service_account: String,
    /// The pod that it was made for, where it was made for one.
    pub pod: Option<String>,
    pub expires: u64,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no token of this cluster: what it is instead is not known.
    #[error("it is no ServiceAccount token of this cluster")]
    Foreign,
    #[error("it has expired")]
    Expired,
    #[error("it is not made for the audience '{0}'")]
    Audience(String),
    #[error("its signature does not fit the cluster's keys")]
    Signature,
    #[error("it is not valid yet")]
    NotYet,
    #[error("it is damaged, or lacks something that every such token has")]
    Damaged,
}

#[derive(Deserialize)]
struct Claims {
    exp: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Bound>,
}

#[derive(Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: Named,
    pod: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Checks the tokens of one cluster for one audience.
#[derive(Debug)]
pub struct Keys {
    audience: String,
    keys: Vec<(String, DecodingKey, Validation)>,
}

impl Keys {
    /// Keys of a kind that this proxy does not know are left out: a token that needs one is not taken.
    pub fn new(tokens: &Tokens) -> Self {
        // A second call finds the first one's, which is the same.
        let _installed = PROVIDER.install_default();
        let keys = tokens.keys.iter().filter_map(|key| {
            let (decoding, algorithms) = decoding(key)?;
            let mut validation = Validation::new(algorithms[0]);
            validation.algorithms = algorithms;
            validation.leeway = CLOCK_SKEW_SECONDS;
            validation.validate_nbf = true;
            validation.set_issuer(&[&tokens.issuer]);
            validation.set_audience(&[&tokens.audience]);
            validation.set_required_spec_claims(&["exp", "iss", "aud"]);
            Some((key.kid.clone(), decoding, validation))
        });
        Self { audience: tokens.audience.clone(), keys: keys.collect() }
    }

    /// What a token must be made for.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Whom a token speaks of.
    pub fn subject(&self, token: &str) -> Result<Subject, Refusal> {
        let header = decode_header(token).map_err(|_| Refusal::Foreign)?;
        let kid = header.kid.as_deref().unwrap_or_default();
        let Some((_, key, validation)) = self.keys.iter().find(|(known, ..)| known == kid) else {
            return Err(Refusal::Foreign);
        };
        let claims = decode::<Claims>(token, key, validation).map_err(|error| self.refusal(&error))?.claims;
        let bound = claims.kubernetes.ok_or(Refusal::Foreign)?;
        Ok(Subject {
            namespace: bound.namespace,
            service_account: bound.serviceaccount.name,
            pod: bound.pod.map(|pod| pod.name),
            expires: claims.exp.saturating_add(CLOCK_SKEW_SECONDS),
        })
    }

    fn refusal(&self, error: &Error) -> Refusal {
        match error.kind() {
            ErrorKind::ExpiredSignature => Refusal::Expired,
            ErrorKind::ImmatureSignature => Refusal::NotYet,
            ErrorKind::InvalidAudience => Refusal::Audience(self.audience.clone()),
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => Refusal::Signature,
            ErrorKind::InvalidIssuer | ErrorKind::InvalidToken => Refusal::Foreign,
            _ => Refusal::Damaged,
        }
    }
}

fn decoding(key: &TokenKey) -> Option<(DecodingKey, Vec<Algorithm>)> {
    match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => {
            let decoding = DecodingKey::from_rsa_components(key.n.as_deref()?, key.e.as_deref()?).ok()?;
            Some((decoding, vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512]))
        }
        ("EC", Some(curve)) => {
            let algorithm = match curve {
                "P-256" => Algorithm::ES256,
                "P-384" => Algorithm::ES384,
                _ => return None,
            };
            let decoding = DecodingKey::from_ec_components(key.x.as_deref()?, key.y.as_deref()?).ok()?;
            Some((decoding, vec![algorithm]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    use serde_json::{Value, json};

    use super::*;

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
            let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
        }

        fn tokens(&self) -> Tokens {
            let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
            let text = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
            let key = TokenKey {
                kid: "k".to_owned(),
                kty: "EC".to_owned(),
                crv: Some("P-256".to_owned()),
                x: text(x),
                y: text(y),
                ..TokenKey::default()
            };
            Tokens { issuer: "https://issuer".to_owned(), audience: "us".to_owned(), keys: vec![key] }
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", part(header), part(claims));
            let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn now() -> u64 {
        jsonwebtoken::get_current_timestamp()
    }

    fn claims(change: impl FnOnce(&mut Value)) -> Value {
        let mut claims = json!({
            "iss": "https://issuer", "aud": ["us"], "exp": now() + 600, "nbf": now() - 1,
            "sub": "system:serviceaccount:shop:web",
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "u"}, "pod": {"name": "web-1", "uid": "u"}},
        });
        change(&mut claims);
        claims
    }

    #[test]
    fn a_token_says_whose_it_is_by_the_clusters_keys_alone() {
        let signer = Signer::new();
        let keys = Keys::new(&signer.tokens());
        let header = json!({"alg": "ES256", "kid": "k"});
        let read = |claims: &Value| keys.subject(&signer.sign(&header, claims));
        let subject = read(&claims(|_| {})).unwrap();
        assert_eq!(
            (subject.namespace.as_str(), subject.service_account.as_str(), subject.pod.as_deref()),
            ("shop", "web", Some("web-1"))
        );
        let unbound =
            read(&claims(|claims| drop(claims["kubernetes.io"].as_object_mut().unwrap().remove("pod"))));
        assert_eq!(unbound.unwrap().pod, None);

        // A minute's difference of the clocks is none.
        assert!(read(&claims(|claims| claims["exp"] = json!(now() - 30))).is_ok());
        assert_eq!(read(&claims(|claims| claims["exp"] = json!(now() - 90))), Err(Refusal::Expired));
        assert_eq!(read(&claims(|claims| claims["nbf"] = json!(now() + 90))), Err(Refusal::NotYet));
        assert_eq!(
            read(&claims(|claims| claims["aud"] = json!(["others"]))),
            Err(Refusal::Audience("us".to_owned()))
        );
        assert_eq!(read(&claims(|claims| claims["iss"] = json!("https://other"))), Err(Refusal::Foreign));
        for claim in ["exp", "aud", "iss", "kubernetes.io"] {
            let without = claims(|claims| drop(claims.as_object_mut().unwrap().remove(claim)));
            assert!(read(&without).is_err(), "without {claim}");
        }
    }

    #[test]
    fn another_signature_another_key_and_none_are_refused() {
        let (signer, other) = (Signer::new(), Signer::new());
        let keys = Keys::new(&signer.tokens());
        let claims = claims(|_| {});
        let header = json!({"alg": "ES256", "kid": "k"});
        assert_eq!(keys.subject(&other.sign(&header, &claims)), Err(Refusal::Signature));
        for header in
            [json!({"alg": "none", "kid": "k"}), json!({"alg": "ES256", "kid": "x"}), json!({"alg": "ES256"})]
        {
            assert_eq!(keys.subject(&signer.sign(&header, &claims)), Err(Refusal::Foreign), "{header}");
        }
        // By an algorithm that the key is not for: the point of a public key must not serve as a shared secret.
        assert_eq!(
            keys.subject(&signer.sign(&json!({"alg": "HS256", "kid": "k"}), &claims)),
            Err(Refusal::Signature)
        );
        let good = signer.sign(&header, &claims);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let (head, _) = message.split_once('.').unwrap();
        let forged = URL_SAFE_NO_PAD
            .encode(json!({"iss": "https://issuer", "aud": "us", "exp": now() + 9}).to_string());
        assert_eq!(keys.subject(&format!("{head}.{forged}.{signature}")), Err(Refusal::Signature));
        for text in ["", "sk-1234", "a.b", "a.b.c", "..", &"x".repeat(1 << 16)] {
            assert_eq!(keys.subject(text), Err(Refusal::Foreign));
        }
    }
}
