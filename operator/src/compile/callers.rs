//! Who may call at a gateway: its settings, the cluster's keys, and the keys and authorities in Secrets and ConfigMaps,
//! to what a proxy checks by.

use std::collections::BTreeMap;

use llm_config::{Authorities, Callers, Credential, Credentials, StaticKey, caller::AUDIENCE};
use sha2::{Digest as _, Sha256};

use super::pool::certificates;
use crate::observe::{AuthoritySettings, CallerSettings, Holder, ObjectName, Observed, SecretState};

/// What the gateway's proxies go by. What of it can't be had is added to `problems`.
pub fn compile(
    gateway: &str,
    settings: &CallerSettings,
    observed: &Observed,
    problems: &mut Vec<String>,
) -> Callers {
    let mut problem = |what: String| problems.push(format!("gateway {gateway}: {what}"));
    let mut credentials = Credentials { anonymous: settings.anonymous, ..Credentials::default() };
    if settings.service_account_tokens {
        if observed.issuer.is_none() {
            problem(
                "the API server does not show the keys of its ServiceAccount tokens, so that none is taken"
                    .to_owned(),
            );
        }
        credentials.tokens = observed.issuer.as_ref().map(|issuer| llm_config::Tokens {
            issuer: issuer.name.clone(),
            audience: AUDIENCE.to_owned(),
            keys: issuer.keys.clone(),
        });
    }
    for secret in &settings.keys {
        match entries(Holder::Secret, secret, observed) {
            Ok(entries) => add_keys(secret, entries, &mut credentials.keys, &mut problem),
            Err(why) => problem(why),
        }
    }
    for settings in &settings.certificates {
        match authorities(settings, observed) {
            Ok(authorities) => credentials.certificates.push(authorities),
            Err(why) => problem(format!("{why}; client certificates of these authorities are not taken")),
        }
    }
    Callers::Shown(credentials)
}

fn add_keys(
    secret: &ObjectName,
    entries: &BTreeMap<String, Vec<u8>>,
    keys: &mut Vec<StaticKey>,
    problem: &mut impl FnMut(String),
) {
    for (name, key) in entries {
        let key = key.trim_ascii();
        if key.is_empty() {
            problem(format!("key `{name}` of Secret {secret} is empty"));
            continue;
        }
        let sha256 = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
        let sha256 = Credential::new(sha256);
        let taken = |known: &StaticKey| known.name == *name || known.sha256 == sha256;
        if let Some(known) = keys.iter().find(|known| taken(known)) {
            problem(format!(
                "key `{name}` of Secret {secret} is left out: `{}` has its name or its value already",
                known.name
            ));
            continue;
        }
        keys.push(StaticKey { name: name.clone(), sha256 });
    }
}

fn authorities(settings: &AuthoritySettings, observed: &Observed) -> Result<Authorities, String> {
    let AuthoritySettings { holder, name, key, trust_domain, foreign } = settings;
    let entries = entries(*holder, name, observed)?;
    let Some(pem) = entries.get(key) else {
        let keys = entries.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(format!("{holder} {name} has no entry `{key}`; its entries are: {keys}"));
    };
    let broken = |why: String| format!("entry `{key}` of {holder} {name}: {why}");
    let ca = std::str::from_utf8(pem).map_err(|_| broken("is no text".to_owned()))?;
    certificates(ca).map_err(broken)?;
    Ok(Authorities { ca: ca.to_owned(), trust_domain: trust_domain.clone(), foreign: *foreign })
}

fn entries<'a>(
    holder: Holder,
    name: &ObjectName,
    observed: &'a Observed,
) -> Result<&'a BTreeMap<String, Vec<u8>>, String> {
    let known = match holder {
        Holder::ConfigMap => &observed.config_maps,
        Holder::Secret => &observed.secrets,
    };
    match known.get(name) {
        Some(SecretState::Present(entries)) => Ok(entries),
        Some(SecretState::Unreadable(why)) => Err(format!("{holder} {name} can't be read: {why}")),
        Some(SecretState::Absent) | None => Err(format!("there is no {holder} {name}")),
    }
}
