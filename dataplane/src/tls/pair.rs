//! The certificate that the proxy serves by, with its key: two files, read again when they change. A Secret that is
//! mounted changes under a running proxy, when cert-manager renews it say.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::{metrics::Tls as Metrics, tls};

/// How often the files are looked at: the kubelet itself takes a minute or so.
const PERIOD: Duration = Duration::from_secs(2);

/// Where a certificate and its key are, both PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, and behind it those between it and its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The pair in force.
#[derive(Debug)]
pub struct Pair {
    files: Files,
    in_force: ArcSwap<CertifiedKey>,
}

/// What the files held.
type Read = Result<[Vec<u8>; 2], String>;

impl Files {
    fn read(&self) -> Read {
        let read = |file: &PathBuf| {
            fs::read(file).map_err(|error| format!("can't read {}: {error}", file.display()))
        };
        Ok([read(&self.certificate)?, read(&self.key)?])
    }

    fn parse(&self, [certificate, key]: &[Vec<u8>; 2]) -> Result<CertifiedKey, String> {
        let (certificate_file, key_file) = (self.certificate.display(), self.key.display());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| format!("{certificate_file} is no PEM text, or is cut off"))?;
        if chain.is_empty() {
            return Err(format!("{certificate_file} holds no PEM certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| format!("{key_file} holds no PEM key, or is cut off"))?;
        CertifiedKey::from_der(chain, key, &tls::provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("{key_file} is not the key of the certificate in {certificate_file}")
            }
            error => format!("{certificate_file} and {key_file}: {error}"),
        })
    }
}

impl Pair {
    /// # Errors
    /// What is wrong with the files.
    pub fn read(files: Files) -> Result<Self, String> {
        let in_force = files.read().and_then(|read| files.parse(&read))?;
        Ok(Self { files, in_force: ArcSwap::from_pointee(in_force) })
    }

    /// Reads the files again for as long as the proxy runs. What can't be used is told once, and the last good pair
    /// stays.
    pub async fn keep(self: Arc<Self>, metrics: Metrics) {
        self.tell(&metrics);
        let mut seen: Option<Read> = None;
        loop {
            let read = self.files.read();
            if seen.as_ref() != Some(&read) {
                self.take(&read, &metrics);
                seen = Some(read);
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    fn take(&self, read: &Read, metrics: &Metrics) {
        match read.as_ref().map_err(Clone::clone).and_then(|read| self.files.parse(read)) {
            Ok(pair) if pair.cert == self.in_force.load().cert => {}
            Ok(pair) => {
                self.in_force.store(Arc::new(pair));
                self.tell(metrics);
                tracing::info!("new connections are served by the new certificate");
            }
            Err(error) => {
                metrics.pair_refused();
                tracing::error!(error, "the new certificate can't be used: the last good one stays");
            }
        }
    }

    fn tell(&self, metrics: &Metrics) {
        let pair = self.in_force.load();
        if let Some(Ok((_, certificate))) = pair.cert.first().map(|der| X509Certificate::from_der(der)) {
            let validity = certificate.validity();
            metrics.serving((validity.not_before.timestamp(), validity.not_after.timestamp()));
        }
    }
}

impl ResolvesServerCert for Pair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_force.load_full())
    }
}
