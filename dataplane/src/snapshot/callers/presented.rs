//! The certificate of a connection, with what came of it: checked once, and again when the authorities of the document
//! are others or its time is over. A connection that stays open outlives neither.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;

use super::Identity;
use crate::{
    client_certificate::{Authorities, Name, Refusal},
    metrics::{CallerLabels, Metrics},
};

/// A certificate, with the chain that came along.
#[derive(Debug)]
pub struct Presented {
    chain: Vec<CertificateDer<'static>>,
    /// One worker has the connection: nobody else asks for the lock.
    checked: Mutex<Option<Checked>>,
}

#[derive(Clone, Debug)]
struct Checked {
    /// By which authorities.
    by: [u8; 32],
    /// In seconds since 1970.
    until: u64,
    outcome: Result<Arc<Identity>, Refusal>,
}

impl Presented {
    /// `None` where none was.
    pub fn of(chain: Option<&[CertificateDer<'static>]>) -> Option<Arc<Self>> {
        let chain = chain.filter(|chain| !chain.is_empty())?.to_vec();
        Some(Arc::new(Self { chain, checked: Mutex::default() }))
    }

    /// Who has presented it; `now` is in seconds since 1970.
    pub fn identity(
        &self,
        authorities: &Authorities,
        metrics: &Metrics,
        now: u64,
    ) -> Result<Arc<Identity>, Refusal> {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(checked) = checked.as_ref()
            && checked.by == *authorities.digest()
            && now <= checked.until
        {
            return checked.outcome.clone();
        }
        let (outcome, until) = match authorities.subject(&self.chain, now) {
            Ok(subject) => {
                let labels = match subject.name {
                    Name::ServiceAccount { namespace, name } => CallerLabels::account(&namespace, &name),
                    Name::Other(name) => CallerLabels { caller_certificate: name, ..CallerLabels::default() },
                };
                (Ok(Arc::new(Identity::new(metrics, labels))), subject.expires)
            }
            // It may become valid yet.
            Err(refusal) => (Err(refusal), now),
        };
        *checked = Some(Checked { by: *authorities.digest(), until, outcome: outcome.clone() });
        outcome
    }
}
