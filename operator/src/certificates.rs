//! The authority of the config stream: made by the operator, kept in a Secret that all replicas
//! share, rotated in steps that no proxy notices.
//!
//! A rotation stages the next authority first: proxies trust it (they read the bundle at each
//! connect) before any certificate is signed by it. Then it becomes the active one, and the one
//! before stays trusted until it has run out.
//!
//! ```text
//!  active ──(a third of its life left)──► active + next ──(overlap)──► active' + previous ──► active'
//! ```
//!
//! An authority that ran out while no operator was there is replaced in one step: what it signs is
//! trusted by nobody, so there is nothing left to be careful of.

mod keep;

pub use keep::{BUNDLE, CONFIG_MAP, keep};

use std::{net::IpAddr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    crypto::ring::sign::any_ecdsa_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

/// Clocks differ: a certificate is valid from a little before it was made.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A hundred years: no date of a certificate lies further off.
const LONGEST: SignedDuration = SignedDuration::from_hours(876_000);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the Secret holds what is no certificate: {0}")]
    Parse(String),
    #[error("the key can't be used: {0}")]
    Key(#[from] rustls::Error),
}

/// How long things live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of an authority.
    pub authority: SignedDuration,
    /// From the staging of the next authority until it signs: less than a third of `authority`.
    pub overlap: SignedDuration,
}

impl Lifetimes {
    /// Lifetimes with which an authority can be replaced before it runs out.
    ///
    /// # Errors
    /// What to change where they are not.
    pub fn new(authority: SignedDuration, overlap: SignedDuration) -> Result<Self, String> {
        if authority > LONGEST {
            return Err(format!("--ca-lifetime {authority:#} must be {LONGEST:#} at most"));
        }
        if overlap.is_negative() {
            return Err(format!("--ca-overlap {overlap:#} must not be negative"));
        }
        let third = authority / 3;
        if overlap >= third {
            return Err(format!(
                "--ca-overlap {overlap:#} must be less than a third of --ca-lifetime, that is less than {third:#}: \
                 an authority is staged when a third of the life of the one before is left, and has to sign before that runs out"
            ));
        }
        Ok(Self { authority, overlap })
    }
}

/// An authority's certificate and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    pub certificate: String,
    pub key: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// What the Secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    pub active: Authority,
    pub next: Option<Authority>,
    /// The certificate alone: its key is not needed any more.
    pub previous: Option<(String, Timestamp)>,
}

impl Authorities {
    /// PEM of all that proxies should trust.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|next| next.certificate.as_str());
        let previous = self.previous.as_ref().map(|(certificate, _)| certificate.as_str());
        [Some(self.active.certificate.as_str()), next, previous].into_iter().flatten().collect()
    }

    /// The next step of the rotation, where it is time for one; `make` makes an authority.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn rotated<E>(
        &self,
        now: Timestamp,
        lifetimes: Lifetimes,
        make: impl FnOnce() -> Result<Authority, E>,
    ) -> Result<Option<Self>, E> {
        let life = self.active.not_after.duration_since(self.active.not_before + SKEW);
        let due = self.active.not_after - life / 3;
        let over = now >= self.active.not_after;
        let mut rotated = self.clone();
        match self.next.as_ref().filter(|next| next.not_after > now) {
            None if over => (rotated.active, rotated.next) = (make()?, None),
            None if now >= due => rotated.next = Some(make()?),
            Some(next) if over || now >= next.not_before + SKEW + lifetimes.overlap => {
                rotated.previous = Some((self.active.certificate.clone(), self.active.not_after));
                rotated.active = next.clone();
                rotated.next = None;
            }
            _ => {}
        }
        rotated.previous = rotated.previous.filter(|(_, not_after)| *not_after > now);
        Ok((rotated != *self).then_some(rotated))
    }
}

/// Makes an authority.
///
/// # Errors
/// When a key or a certificate can't be made.
pub fn make_authority(now: Timestamp, lifetime: SignedDuration) -> Result<Authority, CertificateError> {
    let (not_before, not_after) = (now - SKEW, now + lifetime);
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("llm-operator {}", now.strftime("%Y-%m-%dT%H:%M:%SZ")));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date(not_before);
    params.not_after = date(not_after);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?.pem();
    Ok(Authority { certificate, key: key.serialize_pem(), not_before, not_after })
}

/// A serving certificate for these names, signed by the authority, good for as long as it.
///
/// # Errors
/// When it can't be made.
pub fn serving(
    authority: &Authority,
    names: &[String],
    now: Timestamp,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "llm-operator");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date(now - SKEW);
    params.not_after = date(authority.not_after);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.signed_by(&key, &issuer)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], any_ecdsa_type(&private)?)))
}

/// The validity of a PEM certificate.
fn validity(pem: &str) -> Result<(Timestamp, Timestamp), CertificateError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| CertificateError::Parse(format!("{e:?}")))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der)
        .map_err(|error| CertificateError::Parse(error.to_string()))?;
    let time =
        |seconds| Timestamp::from_second(seconds).map_err(|error| CertificateError::Parse(error.to_string()));
    let validity = parsed.validity();
    Ok((time(validity.not_before.timestamp())?, time(validity.not_after.timestamp())?))
}

fn date(at: Timestamp) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// Names that the serving certificate is for: DNS names and addresses as they are given.
#[must_use]
pub fn serving_names(given: &[String], namespace: &str) -> Vec<String> {
    if !given.is_empty() {
        return given.to_vec();
    }
    let service = format!("llm-operator.{namespace}.svc");
    vec![
        format!("{service}.cluster.local"),
        service,
        IpAddr::from([127, 0, 0, 1]).to_string(),
        "localhost".to_owned(),
    ]
}

/// How often to look whether a step is due.
#[must_use]
pub fn pace(lifetimes: Lifetimes) -> Duration {
    let shortest = lifetimes.overlap.min(lifetimes.authority / 10);
    Duration::try_from(shortest / 4)
        .unwrap_or(Duration::from_secs(1))
        .clamp(Duration::from_millis(200), Duration::from_secs(60))
}

#[cfg(test)]
mod tests;
