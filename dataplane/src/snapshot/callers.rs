//! Who calls, by the credential that a call shows. A token's signature is checked once for each worker and
//! then known by its hash, for as long as the token is valid and the configuration stays.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use llm_config::{self as config, CallerMatch};
use ring::digest::{SHA256, digest};

use crate::{
    error::Error,
    jwt::{Keys, Refusal},
    metrics::{CallerLabels, CallerSeries, Metrics},
};

/// Credentials that a worker knows by their hash, at most.
const KNOWN: usize = 4096;

type Hash = [u8; 32];

/// Who calls.
#[derive(Debug, Default)]
pub struct Identity {
    pub namespace: Option<Box<str>>,
    pub service_account: Option<Box<str>>,
    pub pod: Option<Box<str>>,
    pub labels: BTreeMap<String, String>,
    /// The name of the static key that was shown.
    pub key: Option<Box<str>>,
    pub series: Arc<CallerSeries>,
}

/// As a person writes it: `namespace/serviceaccount`, or the name of the key.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespace, &self.service_account, &self.key) {
            (Some(namespace), Some(account), _) => write!(f, "{namespace}/{account}"),
            (.., Some(key)) => write!(f, "key {key}"),
            _ => f.write_str("-"),
        }
    }
}

impl Identity {
    /// Whether this is a caller that a rule takes.
    pub fn is(&self, wanted: &CallerMatch) -> bool {
        let CallerMatch { namespaces, service_accounts, labels, keys } = wanted;
        let one_of = |wanted: &[String], found: &Option<Box<str>>| {
            wanted.is_empty() || found.as_ref().is_some_and(|found| wanted.iter().any(|one| **one == **found))
        };
        one_of(namespaces, &self.namespace)
            && one_of(service_accounts, &self.service_account)
            && one_of(keys, &self.key)
            && labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// How callers are known.
#[derive(Debug)]
pub enum Callers {
    /// Nobody is known, and anyone may call.
    Anyone,
    One(Arc<Identity>),
    Shown(Box<Shown>),
}

/// Credentials that may be shown.
#[derive(Debug)]
pub struct Shown {
    anonymous: bool,
    tokens: Option<Keys>,
    keys: HashMap<Hash, Arc<Identity>>,
    /// For each worker, what it has checked already. No other asks for its lock.
    known: Box<[Mutex<HashMap<Hash, Known>>]>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Known {
    identity: Arc<Identity>,
    /// In seconds since 1970.
    until: u64,
}

impl Callers {
    /// `workers` is how many may ask.
    pub fn new(callers: Option<&config::Callers>, workers: usize, metrics: &Arc<Metrics>) -> Self {
        match callers {
            None => Self::Anyone,
            Some(config::Callers::Pod(workload)) => {
                let config::Workload { namespace, service_account, pod, labels } = workload;
                let mut identity = known(metrics, Some(namespace), Some(service_account), None);
                identity.pod = Some(pod.as_str().into());
                identity.labels.clone_from(labels);
                Self::One(Arc::new(identity))
            }
            Some(config::Callers::Shown(credentials)) => {
                let keys = credentials.keys.iter().filter_map(|key| {
                    Some((hash_of_hex(&key.sha256)?, Arc::new(known(metrics, None, None, Some(&key.name)))))
                });
                Self::Shown(Box::new(Shown {
                    anonymous: credentials.anonymous,
                    tokens: credentials.tokens.as_ref().map(Keys::new),
                    keys: keys.collect(),
                    known: (0..workers).map(|_| Mutex::default()).collect(),
                    metrics: metrics.clone(),
                }))
            }
        }
    }

    /// The pod whose calls all are, as `namespace/name`.
    pub fn pod(&self) -> Option<String> {
        let Self::One(identity) = self else { return None };
        Some(format!("{}/{}", identity.namespace.as_deref()?, identity.pod.as_deref()?))
    }

    /// Who shows a credential to a worker; `None` is nobody known, where such may call.
    ///
    /// # Errors
    /// When nobody may call who is not known.
    pub fn identify<'a>(
        &self,
        worker: usize,
        credential: impl FnOnce() -> Option<&'a str>,
    ) -> Result<Option<Arc<Identity>>, Error> {
        match self {
            Self::Anyone => Ok(None),
            Self::One(identity) => Ok(Some(identity.clone())),
            Self::Shown(shown) => match credential() {
                Some(credential) => shown.identify(worker, credential),
                None if shown.anonymous => Ok(None),
                None => Err(Error::NoCredential { wanted: shown.wanted() }),
            },
        }
    }
}

impl Shown {
    fn identify(&self, worker: usize, credential: &str) -> Result<Option<Arc<Identity>>, Error> {
        let hash = hash(credential);
        // What is looked for is a hash: how long that takes tells nothing of a key.
        if let Some(identity) = self.keys.get(&hash) {
            return Ok(Some(identity.clone()));
        }
        let now = now();
        let own = self.known.get(worker).map(|known| known.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(known) = own.as_ref().and_then(|own| own.get(&hash))
            && now < known.until
        {
            return Ok(Some(known.identity.clone()));
        }
        let subject =
            match self.tokens.as_ref().map_or(Err(Refusal::Foreign), |keys| keys.subject(credential)) {
                Ok(subject) => subject,
                // SDKs that want a key are given anything where none is needed.
                Err(Refusal::Foreign) if self.anonymous => return Ok(None),
                Err(Refusal::Foreign) => return Err(Error::UnknownCredential { wanted: self.wanted() }),
                Err(refusal) => return Err(Error::InvalidCredential { reason: refusal.to_string() }),
            };
        let mut identity =
            known(&self.metrics, Some(&subject.namespace), Some(&subject.service_account), None);
        identity.pod = subject.pod.map(Into::into);
        let identity = Arc::new(identity);
        if let Some(mut own) = own {
            if own.len() >= KNOWN {
                own.retain(|_, known| now < known.until);
            }
            if own.len() >= KNOWN {
                own.clear();
            }
            own.insert(hash, Known { identity: identity.clone(), until: subject.expires });
        }
        Ok(Some(identity))
    }

    /// What a caller may show.
    fn wanted(&self) -> String {
        let token = self
            .tokens
            .as_ref()
            .map(|keys| format!("a Kubernetes ServiceAccount token for the audience '{}'", keys.audience()));
        let key = (!self.keys.is_empty()).then(|| "a key of this gateway".to_owned());
        let wanted: Vec<String> = token.into_iter().chain(key).collect();
        if wanted.is_empty() { "nothing: it knows no caller".to_owned() } else { wanted.join(" or ") }
    }
}

fn known(
    metrics: &Metrics,
    namespace: Option<&str>,
    service_account: Option<&str>,
    key: Option<&str>,
) -> Identity {
    let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
    let labels = CallerLabels {
        caller_namespace: text(namespace),
        caller_service_account: text(service_account),
        caller_key: text(key),
    };
    Identity {
        namespace: namespace.map(Into::into),
        service_account: service_account.map(Into::into),
        key: key.map(Into::into),
        series: metrics.caller(labels),
        ..Identity::default()
    }
}

fn hash(credential: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, credential.as_bytes()).as_ref());
    hash
}

fn hash_of_hex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use serde_json::{Value, json};

    use super::*;

    fn callers(shown: &Value) -> Callers {
        let callers = serde_json::from_value(json!({"shown": shown})).unwrap();
        Callers::new(Some(&callers), 1, &Arc::default())
    }

    fn sha256(key: &str) -> String {
        hash(key).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_key_is_known_by_its_hash_and_nothing_else_is() {
        let keys =
            json!([{"name": "a", "sha256": sha256("key-a")}, {"name": "b", "sha256": sha256("key-b")}]);
        let callers = callers(&json!({"keys": keys}));
        let shown = |credential: Option<&'static str>| callers.identify(0, || credential);
        for (credential, name) in [("key-a", "a"), ("key-b", "b")] {
            let identity = shown(Some(credential)).unwrap().unwrap();
            assert_eq!(identity.key.as_deref(), Some(name));
            let keys = |keys: &[&str]| CallerMatch {
                keys: keys.iter().map(ToString::to_string).collect(),
                ..CallerMatch::default()
            };
            assert!(identity.is(&keys(&["c", name])));
            assert!(!identity.is(&keys(&["c"])));
            assert!(!identity.is(&CallerMatch { namespaces: vec![String::new()], ..CallerMatch::default() }));
        }
        assert_eq!(shown(Some("key-c")).unwrap_err().code(), "invalid_api_key");
        assert_eq!(
            shown(None).unwrap_err().to_string(),
            "This gateway answers only callers that it knows. Send as the API key: a key of this gateway."
        );
        assert!(!format!("{callers:?}").contains("key-a"));
    }

    #[test]
    fn anyone_may_call_where_it_is_said_and_is_nobody_known() {
        let anyone = callers(&json!({"anonymous": true}));
        for credential in [None, Some("sk-none")] {
            assert!(anyone.identify(0, || credential).unwrap().is_none());
        }
        let nobody = callers(&json!({}));
        assert!(nobody.identify(0, || None).unwrap_err().to_string().contains("it knows no caller"));
        assert!(Callers::new(None, 1, &Arc::default()).identify(0, || None).unwrap().is_none());
    }
}
