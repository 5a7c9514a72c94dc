//! Who may call, and how a proxy knows who does.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::Credential;

/// The audience that a caller's ServiceAccount token must be made for.
pub const AUDIENCE: &str = "llmgateway.dev";

/// How a proxy knows who calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Callers {
    /// Every call is made by the pod that the proxy stands in, whatever it says of itself.
    Pod(Workload),
    /// Each call shows a credential, where its SDK puts the API key, or its connection a certificate.
    Shown(Credentials),
}

/// A pod, as the API server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    pub namespace: String,
    pub service_account: String,
    pub pod: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What counts as a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    /// A call that shows none is answered too.
    #[serde(default)]
    pub anonymous: bool,
    /// Tokens of ServiceAccounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// Keys for callers who have no such token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<StaticKey>,
    /// Client certificates, for callers that connect by TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Authorities>,
}

/// ServiceAccount tokens of one cluster, made for one audience.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tokens {
    pub issuer: String,
    pub audience: String,
    /// The public keys that the cluster signs with now, and those that it did lately.
    pub keys: Vec<TokenKey>,
}

/// A public key, in the words of RFC 7517: RSA has `n` and `e`, an elliptic curve `crv`, `x` and `y`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKey {
    pub kid: String,
    pub kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
}

/// A key that a caller may show; the proxy holds no more than its hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaticKey {
    /// Whose it is.
    pub name: String,
    /// SHA-256 of the key, as 64 hexadecimal digits in lower case.
    pub sha256: Credential,
}

/// Authorities whose client certificates are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorities {
    /// Their certificates, as PEM text.
    pub ca: String,
    /// The SPIFFE trust domain for which they sign: they may say who is a ServiceAccount of it, and no others may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<String>,
    /// That domain is another cluster's: its ServiceAccounts are none of this one's, whatever they are called, and
    /// their IDs are names as others are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
}

/// Whether this can be a trust domain, by the SPIFFE standard.
#[must_use]
pub fn is_trust_domain(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(letter)
}

/// Callers that a rule takes: of each list that is given, one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallerMatch {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<String>,
    /// Labels of the pod, all of them. Those of a caller at a gateway are not known, and match nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Names of static keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Names that client certificates give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
}

impl fmt::Display for CallerMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("namespace", &self.namespaces),
            ("serviceAccount", &self.service_accounts),
            ("key", &self.keys),
            ("certificate", &self.certificates),
        ];
        let lists = lists.into_iter().filter(|(_, values)| !values.is_empty());
        let lists = lists.map(|(name, values)| format!("{name} {}", values.join("|")));
        let labels = self.labels.iter().map(|(name, value)| format!("label {name}={value}"));
        f.write_str(&lists.chain(labels).collect::<Vec<_>>().join(" and "))
    }
}
