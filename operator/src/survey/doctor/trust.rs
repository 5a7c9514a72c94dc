//! Certificates, and who trusts them: proxies by the published bundle, the API server by what the webhooks'
//! configurations hold.

use jiff::{SignedDuration, Timestamp};
use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::{Check, Findings, number};
use crate::survey::{
    facts::{Depths, Facts},
    webhooks::Webhook,
};

pub fn certificates(facts: &Facts, depths: &Depths) -> Check {
    let mut found = Findings::of("certificates");
    let logs = format!("kubectl -n {} logs deployment/llm-operator --all-pods", facts.namespace);
    let bundle = found.seen("the bundle that proxies trust", &depths.bundle).cloned();
    let mut runs_out = None;
    match bundle.as_ref().map(Option::as_deref) {
        Some(Some(pem)) => {
            runs_out = authority(pem, facts.now, &logs, &mut found);
            for replica in &facts.listing.replicas {
                let Some(certificate) = &replica.certificate else {
                    found.error(format!("operator {} has no certificate yet", replica.name), &logs);
                    continue;
                };
                let serving = served(certificate, pem, facts);
                if let Err(why) = serving {
                    found.error(
                        format!("operator {} shows a certificate that proxies refuse: {why}", replica.name),
                        &logs,
                    );
                }
            }
        }
        Some(None) => {
            found.error("ConfigMap llm-operator-ca is not there: no proxy can start", &logs);
        }
        None => {}
    }
    found.done(|| {
        let until = runs_out.map(|at: Timestamp| at.strftime("%Y-%m-%d").to_string());
        format!("the authority is good until {}, and is replaced before", until.unwrap_or_default())
    })
}

/// Looks at the authorities of the bundle, and gives when the last runs out.
fn authority(pem: &str, now: Timestamp, logs: &str, found: &mut Findings) -> Option<Timestamp> {
    let mut latest: Option<(Timestamp, Timestamp)> = None;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let validity = certificate.ok().and_then(|der| {
            let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
            let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
            Some((at(parsed.validity().not_before)?, at(parsed.validity().not_after)?))
        });
        match validity {
            Some(validity) => latest = latest.into_iter().chain([validity]).max_by_key(|(_, until)| *until),
            None => found.error("ConfigMap llm-operator-ca holds what is no certificate", logs),
        }
    }
    let (from, until) = latest?;
    let left = until.duration_since(now);
    if left <= SignedDuration::ZERO {
        found.error("the authority has run out: no proxy can connect", logs);
    } else if left < until.duration_since(from) / 6 {
        // It is replaced when a third is left.
        found.error(format!("the authority runs out at {until} and has not been replaced"), logs);
    }
    Some(until)
}

/// Checks what a replica shows as a proxy does that calls it by its Service.
fn served(certificate: &[u8], pem: &str, facts: &Facts) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
    let provider = ring::default_provider().into();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
    let verifier = verifier.map_err(|error| error.to_string())?;
    let name = format!("llm-operator.{}.svc", facts.namespace);
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    let now = u64::try_from(facts.now.as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
    match verifier.verify_server_cert(&CertificateDer::from(certificate), &[], &name, &[], now) {
        Ok(_) => Ok(()),
        // The operator may be told to have other names, and proxies to call it by those.
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

pub fn webhooks(facts: &Facts, depths: &Depths) -> Check {
    let mut found = Findings::of("webhooks");
    let registered = found.seen("webhook configurations", &depths.webhooks).map(Vec::as_slice);
    let bundle = depths.bundle.as_ref().ok().and_then(Option::as_deref);
    for webhook in registered.unwrap_or_default() {
        look(webhook, bundle, facts, &mut found);
    }
    let asked = found.seen("namespaces that ask for sidecars", &depths.asked_for_sidecars).copied();
    let injects = |webhook: &Webhook| webhook.configuration.starts_with("mutating");
    if registered.is_some_and(|all| !all.iter().any(injects)) && asked == Some(true) {
        found.error(
            "namespaces ask for sidecars, and no webhook is there to make any",
            "helm upgrade --reuse-values --set sidecars.enabled=true RELEASE charts/llm-gateway",
        );
    }
    found.done(|| match registered.map_or(0, <[Webhook]>::len) {
        0 => "there are none: no pod gets a sidecar".to_owned(),
        count => format!("{} trusted and answered", number(count, "webhook is", "webhooks are")),
    })
}

fn look(webhook: &Webhook, bundle: Option<&str>, facts: &Facts, found: &mut Findings) {
    let Webhook { configuration, name, trusts, service, fails_closed } = webhook;
    let namespace = &facts.namespace;
    let meanwhile = if *fails_closed {
        "what it looks at is refused (failurePolicy Fail)"
    } else {
        "what it looks at passes unchanged (failurePolicy Ignore)"
    };
    let restart = format!("kubectl -n {namespace} rollout restart deployment/llm-operator");
    if trusts.is_empty() {
        found.error(
            format!("{name} of {configuration} trusts nobody, for its caBundle is empty: {meanwhile}"),
            &restart,
        );
    } else if bundle.is_some_and(|bundle| bundle.as_bytes() != trusts) {
        found.error(
            format!("{name} of {configuration} trusts another authority than the operator's: {meanwhile}"),
            &restart,
        );
    }
    let Some((service, endpoints)) = service else { return };
    if *endpoints == 0 {
        let message = format!("{name} of {configuration}: nobody answers at Service {service}: {meanwhile}");
        let remedy = format!(
            "kubectl -n {} get pods,endpointslices -l app.kubernetes.io/component=operator",
            service.namespace
        );
        if *fails_closed { found.error(message, remedy) } else { found.warning(message, remedy) }
    }
}
