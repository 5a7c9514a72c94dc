//! The gateways and who may call at each, as the platform team sets them in one file.

use std::{collections::BTreeMap, fs, path::Path};

use llm_config::caller::is_trust_domain;
use serde::Deserialize;

use super::{AuthoritySettings, CallerSettings, Holder, ObjectName};

/// The ServiceAccount that runs the proxies of gateway `default`, where no file says otherwise.
const SERVICE_ACCOUNT: &str = "llm-gateway";

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Who runs its proxies.
    pub service_account: ObjectName,
    pub callers: CallerSettings,
}

/// Gateways by name.
pub type Gateways = BTreeMap<String, Gateway>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    gateways: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    service_account: Account,
    #[serde(default)]
    callers: Callers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    namespace: Option<String>,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Callers {
    #[serde(default = "yes")]
    service_account_tokens: bool,
    #[serde(default)]
    anonymous: bool,
    #[serde(default)]
    keys: Vec<Keys>,
    #[serde(default)]
    certificates: Vec<Certificates>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Keys {
    secret_ref: Account,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Certificates {
    config_map_ref: Option<Entries>,
    secret_ref: Option<Entries>,
    trust_domain: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    namespace: Option<String>,
    name: String,
    /// By the name that cert-manager and trust-manager give it.
    #[serde(default = "ca_crt")]
    key: String,
}

fn ca_crt() -> String {
    "ca.crt".to_owned()
}

fn yes() -> bool {
    true
}

impl Default for Callers {
    fn default() -> Self {
        Self { service_account_tokens: true, anonymous: false, keys: Vec::new(), certificates: Vec::new() }
    }
}

/// One gateway, `default`, for callers that show a ServiceAccount token.
#[must_use]
pub fn alone(namespace: &str) -> Gateways {
    let gateway = Gateway {
        service_account: ObjectName::new(namespace, SERVICE_ACCOUNT),
        callers: CallerSettings { service_account_tokens: true, ..CallerSettings::default() },
    };
    BTreeMap::from([("default".to_owned(), gateway)])
}

/// Reads the file; names without a namespace are in the operator's own.
///
/// # Errors
/// What to change in the file.
pub fn read(file: &Path, namespace: &str) -> Result<Gateways, String> {
    let wrong = |problem: String| format!("{}: {problem}", file.display());
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let File { gateways } = serde_saphyr::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let mut found = Gateways::new();
    for Entry { name, service_account, callers } in gateways {
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        if !is_name {
            return Err(wrong(format!("gateways: `{name}` is no name: use letters, digits, `-` and `.`")));
        }
        let gateway = Gateway {
            service_account: service_account.name_in(namespace),
            callers: callers
                .settings(namespace)
                .map_err(|problem| wrong(format!("gateways: `{name}`: callers.certificates: {problem}")))?,
        };
        if found.insert(name.clone(), gateway).is_some() {
            return Err(wrong(format!("gateways: `{name}` is there twice")));
        }
    }
    if found.is_empty() {
        return Err(wrong("gateways: at least one is needed".to_owned()));
    }
    Ok(found)
}

impl Account {
    fn name_in(self, namespace: &str) -> ObjectName {
        ObjectName::new(self.namespace.unwrap_or_else(|| namespace.to_owned()), self.name)
    }
}

impl Callers {
    fn settings(self, namespace: &str) -> Result<CallerSettings, String> {
        // A cluster has one trust domain. Two of them may both have a ServiceAccount shop/web, which are not the same.
        let own = self.certificates.iter().find_map(|one| one.trust_domain.clone());
        let certificates = self.certificates.into_iter().map(|one| one.settings(namespace, own.as_deref()));
        Ok(CallerSettings {
            service_account_tokens: self.service_account_tokens,
            anonymous: self.anonymous,
            keys: self.keys.into_iter().map(|keys| keys.secret_ref.name_in(namespace)).collect(),
            certificates: certificates.collect::<Result<_, _>>()?,
        })
    }
}

impl Certificates {
    /// `own`: this cluster's trust domain.
    fn settings(self, namespace: &str, own: Option<&str>) -> Result<AuthoritySettings, String> {
        let foreign = self.trust_domain.is_some() && self.trust_domain.as_deref() != own;
        let (holder, Entries { namespace: named, name, key }) = match (self.config_map_ref, self.secret_ref) {
            (Some(entries), None) => (Holder::ConfigMap, entries),
            (None, Some(entries)) => (Holder::Secret, entries),
            _ => return Err("give each one of configMapRef and secretRef".to_owned()),
        };
        if let Some(domain) = self.trust_domain.as_deref().filter(|domain| !is_trust_domain(domain)) {
            return Err(format!(
                "trustDomain `{domain}` is none: use letters in lower case, digits, `.`, `-` and `_`, without spiffe://"
            ));
        }
        let name = Account { namespace: named, name }.name_in(namespace);
        Ok(AuthoritySettings { holder, name, key, trust_domain: self.trust_domain, foreign })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn the_first_trust_domain_is_this_clusters_and_no_other_is() {
        let callers: Callers = serde_saphyr::from_str(
            "certificates:\n\
             - {secretRef: {name: partner}}\n\
             - {configMapRef: {name: mesh}, trustDomain: cluster.local}\n\
             - {configMapRef: {name: theirs}, trustDomain: their.cluster}\n\
             - {configMapRef: {name: next-mesh}, trustDomain: cluster.local}\n",
        )
        .unwrap();
        let settings = callers.settings("llm-gateway").unwrap();
        let foreign: Vec<(&str, bool)> =
            settings.certificates.iter().map(|one| (one.name.name.as_str(), one.foreign)).collect();
        assert_eq!(foreign, [("partner", false), ("mesh", false), ("theirs", true), ("next-mesh", false)]);
    }
}
