//! Who calls, by the credential that a call shows, or the certificate of its connection. A token's signature is checked
//! once for each worker and then known by its hash, for as long as the token is valid and the configuration stays.

pub mod presented;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use llm_config::{self as config, CallerMatch};
use ring::digest::{SHA256, digest};

use crate::{
    client_certificate::{Authorities, Refusal as CertificateRefusal},
    error::Error,
    jwt::{Keys, Refusal},
    metrics::{CallerLabels, CallerSeries, Metrics},
};

use presented::Presented;

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
    /// The name that the client certificate gives, where that is no ServiceAccount.
    pub certificate: Option<Box<str>>,
    pub series: Arc<CallerSeries>,
}

/// As a person writes it: `namespace/serviceaccount`, or the name of the key or of the certificate.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, service_account, key, certificate, .. } = self;
        match (namespace, service_account, key, certificate) {
            (Some(namespace), Some(account), ..) => write!(f, "{namespace}/{account}"),
            (.., Some(key), _) => write!(f, "key {key}"),
            (.., Some(certificate)) => write!(f, "cert {certificate}"),
            _ => f.write_str("-"),
        }
    }
}

impl Identity {
    fn new(metrics: &Metrics, labels: CallerLabels) -> Self {
        let part = |text: &String| (!text.is_empty()).then(|| text.as_str().into());
        Self {
            namespace: part(&labels.caller_namespace),
            service_account: part(&labels.caller_service_account),
            key: part(&labels.caller_key),
            certificate: part(&labels.caller_certificate),
            series: metrics.caller(labels),
            ..Self::default()
        }
    }

    /// Whether this is a caller that a rule takes.
    pub fn is(&self, wanted: &CallerMatch) -> bool {
        let CallerMatch { namespaces, service_accounts, labels, keys, certificates } = wanted;
        let one_of = |wanted: &[String], found: &Option<Box<str>>| {
            wanted.is_empty() || found.as_ref().is_some_and(|found| wanted.iter().any(|one| **one == **found))
        };
        one_of(namespaces, &self.namespace)
            && one_of(service_accounts, &self.service_account)
            && one_of(keys, &self.key)
            && one_of(certificates, &self.certificate)
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
    authorities: Option<Authorities>,
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
    ///
    /// # Errors
    /// What is wrong with the authorities of client certificates.
    pub fn new(
        callers: Option<&config::Callers>,
        workers: usize,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, String> {
        Ok(match callers {
            None => Self::Anyone,
            Some(config::Callers::Pod(workload)) => {
                let config::Workload { namespace, service_account, pod, labels } = workload;
                let mut identity = Identity::new(metrics, CallerLabels::account(namespace, service_account));
                identity.pod = Some(pod.as_str().into());
                identity.labels.clone_from(labels);
                Self::One(Arc::new(identity))
            }
            Some(config::Callers::Shown(credentials)) => {
                let keys = credentials.keys.iter().filter_map(|key| {
                    let labels = CallerLabels { caller_key: key.name.clone(), ..CallerLabels::default() };
                    Some((hash_of_hex(key.sha256.expose())?, Arc::new(Identity::new(metrics, labels))))
                });
                let sets = &credentials.certificates;
                let authorities = if sets.is_empty() { None } else { Some(Authorities::new(sets)?) };
                Self::Shown(Box::new(Shown {
                    anonymous: credentials.anonymous,
                    tokens: credentials.tokens.as_ref().map(Keys::new),
                    keys: keys.collect(),
                    authorities,
                    known: (0..workers).map(|_| Mutex::default()).collect(),
                    metrics: metrics.clone(),
                }))
            }
        })
    }

    /// Whether who connects by TLS is asked for a certificate.
    pub fn take_certificates(&self) -> bool {
        matches!(self, Self::Shown(shown) if shown.authorities.is_some())
    }

    /// The pod whose calls all are, as `namespace/name`.
    pub fn pod(&self) -> Option<String> {
        let Self::One(identity) = self else { return None };
        Some(format!("{}/{}", identity.namespace.as_deref()?, identity.pod.as_deref()?))
    }

    /// Who shows a credential to a worker, or has presented a certificate before; `None` is nobody known, where such
    /// may call. A credential goes first: it is the call's own, and the certificate that of all on its connection.
    ///
    /// # Errors
    /// When nobody may call who is not known.
    pub fn identify<'a>(
        &self,
        worker: usize,
        credential: impl FnOnce() -> Option<&'a str>,
        certificate: Option<&Presented>,
    ) -> Result<Option<Arc<Identity>>, Error> {
        match self {
            Self::Anyone => Ok(None),
            Self::One(identity) => Ok(Some(identity.clone())),
            Self::Shown(shown) => shown.identify(worker, credential(), certificate),
        }
    }
}

impl Shown {
    fn identify(
        &self,
        worker: usize,
        credential: Option<&str>,
        certificate: Option<&Presented>,
    ) -> Result<Option<Arc<Identity>>, Error> {
        if let Some(credential) = credential
            && let Some(identity) = self.shows(worker, credential)?
        {
            return Ok(Some(identity));
        }
        if let (Some(certificate), Some(authorities)) = (certificate, &self.authorities) {
            match certificate.identity(authorities, &self.metrics, now()) {
                Ok(identity) => return Ok(Some(identity)),
                // As a key that is not known.
                Err(CertificateRefusal::Foreign { .. }) if self.anonymous => {}
                Err(refusal) => return Err(Error::InvalidCertificate { reason: refusal.to_string() }),
            }
        }
        match credential {
            // SDKs that want a key are given anything where none is needed.
            _ if self.anonymous => Ok(None),
            Some(_) => Err(Error::UnknownCredential { wanted: self.wanted() }),
            None => Err(Error::NoCredential { wanted: self.wanted() }),
        }
    }

    /// Who shows this credential; `None` where it is nothing that is known here.
    fn shows(&self, worker: usize, credential: &str) -> Result<Option<Arc<Identity>>, Error> {
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
                Err(Refusal::Foreign) => return Ok(None),
                Err(refusal) => return Err(Error::InvalidCredential { reason: refusal.to_string() }),
            };
        let labels = CallerLabels::account(&subject.namespace, &subject.service_account);
        let mut identity = Identity::new(&self.metrics, labels);
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
        let call = "call by https with a client certificate of one of its authorities";
        match (wanted.is_empty(), self.authorities.is_some()) {
            (true, true) => format!("To be known, {call}"),
            (true, false) => "So far it knows no caller".to_owned(),
            (false, true) => format!("Send as the API key: {}. Or {call}", wanted.join(" or ")),
            (false, false) => format!("Send as the API key: {}", wanted.join(" or ")),
        }
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
        Callers::new(Some(&callers), 1, &Arc::default()).unwrap()
    }

    fn sha256(key: &str) -> String {
        hash(key).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_key_is_known_by_its_hash_and_nothing_else_is() {
        let keys =
            json!([{"name": "a", "sha256": sha256("key-a")}, {"name": "b", "sha256": sha256("key-b")}]);
        let callers = callers(&json!({"keys": keys}));
        let shown = |credential: Option<&'static str>| callers.identify(0, || credential, None);
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
            assert!(anyone.identify(0, || credential, None).unwrap().is_none());
        }
        let nobody = callers(&json!({}));
        assert!(nobody.identify(0, || None, None).unwrap_err().to_string().contains("it knows no caller"));
        let unsaid = Callers::new(None, 1, &Arc::default()).unwrap();
        assert!(unsaid.identify(0, || None, None).unwrap().is_none());
    }
}
