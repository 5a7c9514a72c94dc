//! Client certificates: whom one speaks of, by the authorities of the document. That the client holds the key of its
//! certificate TLS has checked already; what is checked here can be checked again when the authorities change.

use std::{sync::Arc, time::Duration};

use llm_config as config;
use ring::digest::{Context, SHA256};
use rustls::{
    CertificateError,
    pki_types::{CertificateDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, time::ASN1Time,
};

use crate::{stage::identify::excerpt, tls};

/// Of what a name may be made, at most: SPIFFE's own bound.
const LONGEST_NAME: usize = 2048;

const SPIFFE: &str = "spiffe://";

/// Whom a certificate speaks of, and until when, in seconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub struct Subject {
    pub name: Name,
    pub expires: u64,
}

/// As whom.
#[derive(Debug, PartialEq, Eq)]
pub enum Name {
    ServiceAccount {
        namespace: String,
        name: String,
    },
    /// Another SPIFFE ID, or a common name.
    Other(String),
}

/// Why a certificate is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no authority of this gateway has signed it; its issuer is '{issuer}'")]
    Foreign { issuer: String },
    #[error("it has expired, at {0}")]
    Expired(jiff::Timestamp),
    /// Its own time is not over: another's of its chain is.
    #[error("a certificate between it and the authority has expired")]
    ChainExpired,
    #[error("it is not valid before {0}")]
    NotYet(jiff::Timestamp),
    #[error("it is not made for clients: its extended key usage must have clientAuth")]
    Purpose,
    #[error(
        "its SPIFFE ID '{id}' is not of {}",
        domain.as_ref().map_or_else(
            || "any trust domain of this gateway: set trustDomain beside the authority that has signed it".to_owned(),
            |domain| format!("the trust domain '{domain}', for which its authority signs")
        )
    )]
    TrustDomain { id: String, domain: Option<String> },
    #[error("it has several URIs for names: a SPIFFE ID must be the only one")]
    ManyUris,
    #[error(
        "it names nobody: it needs a SPIFFE ID or a common name of 1 to {LONGEST_NAME} printable characters"
    )]
    Nameless,
    #[error("it can't be checked: {0}")]
    Other(String),
}

/// Whose certificates are taken.
#[derive(Debug)]
pub struct Authorities {
    sets: Vec<Signers>,
    digest: [u8; 32],
}

/// Authorities that sign for one trust domain, or none.
#[derive(Debug)]
struct Signers {
    verifier: Arc<dyn ClientCertVerifier>,
    trust_domain: Option<String>,
    foreign: bool,
}

impl Authorities {
    /// # Errors
    /// What is wrong with a PEM text.
    pub fn new(sets: &[config::Authorities]) -> Result<Self, String> {
        let mut digest = Context::new(&SHA256);
        let mut signers = Vec::with_capacity(sets.len());
        for config::Authorities { ca, trust_domain, foreign } in sets {
            let roots = Arc::new(tls::roots(ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, tls::provider())
                .build()
                .map_err(|error| error.to_string())?;
            for part in [ca.as_str(), trust_domain.as_deref().unwrap_or_default()] {
                // Neither holds a zero.
                digest.update(part.as_bytes());
                digest.update(&[0]);
            }
            digest.update(&[u8::from(*foreign)]);
            signers.push(Signers { verifier, trust_domain: trust_domain.clone(), foreign: *foreign });
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.finish().as_ref());
        Ok(Self { sets: signers, digest: bytes })
    }

    /// The same for the same authorities, in whatever document.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whom a chain, the caller's own certificate first, speaks of; `now` is in seconds since 1970.
    pub fn subject(&self, chain: &[CertificateDer<'_>], now: u64) -> Result<Subject, Refusal> {
        let Some((own, others)) = chain.split_first() else { return Err(Refusal::Nameless) };
        let (_, certificate) =
            X509Certificate::from_der(own).map_err(|error| Refusal::Other(error.to_string()))?;
        let mut refused = Refusal::Foreign { issuer: excerpt(&certificate.issuer().to_string()) };
        for signers in &self.sets {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
            let named = match signers.verifier.verify_client_cert(own, others, time) {
                Ok(_) => signers.name(&certificate),
                Err(error) => Err(refusal(&error, &certificate, now)),
            };
            match named {
                Ok(name) => return Ok(Subject { name, expires: next_end(chain, now) }),
                // What the authority that has signed it says is more than what others do.
                Err(refusal) if matches!(refused, Refusal::Foreign { .. }) => refused = refusal,
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

/// When the first of those that are not over ends. One that is over was not needed; one that ends may not be either:
/// the next look will tell.
fn next_end(chain: &[CertificateDer<'_>], now: u64) -> u64 {
    let ends = chain.iter().filter_map(|der| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        u64::try_from(certificate.validity().not_after.timestamp()).ok()
    });
    ends.filter(|end| *end >= now).min().unwrap_or(now)
}

fn refusal(error: &rustls::Error, certificate: &X509Certificate<'_>, now: u64) -> Refusal {
    let rustls::Error::InvalidCertificate(error) = error else { return Refusal::Other(error.to_string()) };
    match error {
        // The second is what an authority of the same name with another key gives.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Refusal::Foreign { issuer: excerpt(&certificate.issuer().to_string()) }
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let not_after = certificate.validity().not_after;
            if u64::try_from(not_after.timestamp()).unwrap_or_default() < now {
                Refusal::Expired(timestamp(not_after))
            } else {
                Refusal::ChainExpired
            }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Refusal::NotYet(timestamp(certificate.validity().not_before))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Refusal::Purpose,
        other => Refusal::Other(other.to_string()),
    }
}

fn timestamp(time: ASN1Time) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.timestamp()).unwrap_or_default()
}

impl Signers {
    /// A SPIFFE ID goes before the common name: who has one has it to be known by.
    fn name(&self, certificate: &X509Certificate<'_>) -> Result<Name, Refusal> {
        let alternatives =
            certificate.subject_alternative_name().map_err(|error| Refusal::Other(error.to_string()))?;
        let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
        let uris: Vec<&str> = names
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect();
        let name = match uris.as_slice() {
            [id] if id.starts_with(SPIFFE) => self.spiffe(id)?,
            several if several.iter().any(|uri| uri.starts_with(SPIFFE)) => {
                return Err(Refusal::ManyUris);
            }
            _ => {
                let name = certificate.subject().iter_common_name().next();
                let name = name.and_then(|name| name.as_str().ok()).unwrap_or_default();
                // It looks like the ID of a trust domain for which its authority need not sign.
                if name.get(..SPIFFE.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SPIFFE)) {
                    return Err(Refusal::TrustDomain {
                        id: excerpt(name),
                        domain: self.trust_domain.clone(),
                    });
                }
                Name::Other(name.to_owned())
            }
        };
        match &name {
            Name::Other(text)
                if text.is_empty() || text.len() > LONGEST_NAME || text.contains(char::is_control) =>
            {
                Err(Refusal::Nameless)
            }
            _ => Ok(name),
        }
    }

    fn spiffe(&self, id: &str) -> Result<Name, Refusal> {
        let rest = id.strip_prefix(SPIFFE).unwrap_or_default();
        let (domain, path) = rest.split_once('/').unwrap_or((rest, ""));
        if self.trust_domain.as_deref() != Some(domain) {
            return Err(Refusal::TrustDomain { id: excerpt(id), domain: self.trust_domain.clone() });
        }
        let parts: Vec<&str> = path.split('/').collect();
        Ok(match parts.as_slice() {
            ["ns", namespace, "sa", name] if !self.foreign && !namespace.is_empty() && !name.is_empty() => {
                Name::ServiceAccount { namespace: (*namespace).to_owned(), name: (*name).to_owned() }
            }
            _ => Name::Other(id.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests;
