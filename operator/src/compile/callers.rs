//! Who may call at a gateway: its settings, the cluster's keys and the keys in Secrets, to what a proxy checks by.

use llm_config::{Callers, Credentials, StaticKey, caller::AUDIENCE};
use sha2::{Digest as _, Sha256};

use crate::observe::{CallerSettings, Observed, SecretState};

/// What the gateway's proxies go by. What of it can't be had is added to `problems`.
pub fn compile(
    gateway: &str,
    settings: &CallerSettings,
    observed: &Observed,
    problems: &mut Vec<String>,
) -> Callers {
    let mut credentials = Credentials { anonymous: settings.anonymous, ..Credentials::default() };
    if settings.service_account_tokens {
        if observed.issuer.is_none() {
            problems.push(format!(
                "gateway {gateway}: the API server does not show the keys of its ServiceAccount tokens, so that none is taken"
            ));
        }
        credentials.tokens = observed.issuer.as_ref().map(|issuer| llm_config::Tokens {
            issuer: issuer.name.clone(),
            audience: AUDIENCE.to_owned(),
            keys: issuer.keys.clone(),
        });
    }
    for secret in &settings.keys {
        match observed.secrets.get(secret) {
            Some(SecretState::Present(data)) => {
                for (name, key) in data {
                    let key = key.trim_ascii();
                    if key.is_empty() {
                        problems.push(format!("gateway {gateway}: key `{name}` of Secret {secret} is empty"));
                        continue;
                    }
                    let sha256: String =
                        Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
                    let taken = |known: &StaticKey| known.name == *name || known.sha256 == sha256;
                    if let Some(known) = credentials.keys.iter().find(|known| taken(known)) {
                        problems.push(format!(
                            "gateway {gateway}: key `{name}` of Secret {secret} is left out: `{}` has its name or its value already",
                            known.name
                        ));
                        continue;
                    }
                    credentials.keys.push(StaticKey { name: name.clone(), sha256 });
                }
            }
            Some(SecretState::Unreadable(why)) => {
                problems.push(format!("gateway {gateway}: Secret {secret} can't be read: {why}"));
            }
            Some(SecretState::Absent) | None => {
                problems.push(format!("gateway {gateway}: there is no Secret {secret}"));
            }
        }
    }
    Callers::Shown(credentials)
}
