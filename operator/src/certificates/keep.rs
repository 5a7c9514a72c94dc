//! The Secret that all replicas share, and the ConfigMap with the bundle for proxies to mount.

use std::{collections::BTreeMap, sync::Arc};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    core::ObjectMeta,
    runtime::{WatchStreamExt as _, watcher::watch_object},
};
use tokio::sync::watch;

use super::{Authorities, Authority, CertificateError, Lifetimes, make_authority, pace, serving, validity};
use crate::{FIELD_MANAGER, publish::server::ServingCertificate};

/// The Secret.
const SECRET: &str = "llm-operator-ca";
/// The ConfigMap with the bundle.
pub const CONFIG_MAP: &str = "llm-operator-ca";
/// The key of the PEM bundle.
pub const BUNDLE: &str = "ca.crt";

/// Why the authority can't be kept now.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Keeps the serving certificate fresh for as long as the operator runs; the leader rotates.
pub async fn keep(
    client: Client,
    namespace: String,
    names: Vec<String>,
    lifetimes: Lifetimes,
    serving: Arc<ServingCertificate>,
    trusted: watch::Sender<Option<String>>,
    mut leading: watch::Receiver<bool>,
) {
    let mut keeper = Keeper {
        secrets: Api::namespaced(client.clone(), &namespace),
        config_maps: Api::namespaced(client, &namespace),
        names,
        lifetimes,
        serving,
        trusted,
        signing: None,
        published: None,
    };
    let events = watch_object(keeper.secrets.clone(), SECRET).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut tick = tokio::time::interval(pace(lifetimes));
    let mut seen: Option<Secret> = None;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(secret)) => seen = secret,
                Some(Err(error)) => { tracing::warn!(%error, "can't watch the authority's Secret"); continue }
                None => return,
            },
            changed = leading.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
        let leads = *leading.borrow_and_update();
        if let Err(error) = keeper.step(seen.as_ref(), leads).await {
            tracing::warn!(%error, "can't keep the authority; it will be tried again");
        }
    }
}

struct Keeper {
    secrets: Api<Secret>,
    config_maps: Api<ConfigMap>,
    names: Vec<String>,
    lifetimes: Lifetimes,
    serving: Arc<ServingCertificate>,
    /// The bundle, for those who need it elsewhere than in the ConfigMap.
    trusted: watch::Sender<Option<String>>,
    /// What signed the certificate that is served.
    signing: Option<Authority>,
    /// The bundle that this replica wrote last.
    published: Option<String>,
}

impl Keeper {
    async fn step(&mut self, secret: Option<&Secret>, leads: bool) -> Result<(), KeepError> {
        let Some(secret) = secret else {
            return self.create().await;
        };
        let now = Timestamp::now();
        let held = from_secret(secret)?;
        if self.signing.as_ref() != Some(&held.active) {
            self.serving.0.store(Some(serving(&held.active, &self.names, now)?));
            tracing::info!(not_after = %held.active.not_after, "a serving certificate is in force");
            self.signing = Some(held.active.clone());
        }
        self.trust(held.bundle());
        if !leads {
            // Another may write the bundle until this replica leads.
            self.published = None;
            return Ok(());
        }
        self.publish(held.bundle()).await?;
        let make = || make_authority(now, self.lifetimes.authority);
        if let Some(rotated) = held.rotated(now, self.lifetimes, make)? {
            // The bundle goes first: what signs must be trusted before.
            self.publish(rotated.bundle()).await?;
            self.trust(rotated.bundle());
            let mut replacement = to_secret(&rotated);
            replacement.metadata.resource_version = secret.resource_version();
            match self.secrets.replace(SECRET, &PostParams::default(), &replacement).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                replaced => {
                    replaced?;
                    tracing::info!(staged = rotated.next.is_some(), "the authority has rotated a step");
                }
            }
        }
        Ok(())
    }

    /// Makes the Secret; when the watch has not spoken yet there may be one, and the API server says so.
    async fn create(&self) -> Result<(), KeepError> {
        let active = make_authority(Timestamp::now(), self.lifetimes.authority)?;
        let first = Authorities { active, next: None, previous: None };
        match self.secrets.create(&PostParams::default(), &to_secret(&first)).await {
            // Another replica was faster: the watch brings what it made.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            created => Ok(created.map(drop)?),
        }
    }

    /// Wakes those who wait for a bundle only when it is another.
    fn trust(&self, bundle: String) {
        self.trusted.send_if_modified(|trusted| {
            let changed = trusted.as_ref() != Some(&bundle);
            *trusted = Some(bundle);
            changed
        });
    }

    async fn publish(&mut self, bundle: String) -> Result<(), kube::Error> {
        if self.published.as_ref() == Some(&bundle) {
            return Ok(());
        }
        let config_map = ConfigMap {
            metadata: ObjectMeta { name: Some(CONFIG_MAP.to_owned()), ..ObjectMeta::default() },
            data: Some(BTreeMap::from([(BUNDLE.to_owned(), bundle.clone())])),
            ..ConfigMap::default()
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.config_maps.patch(CONFIG_MAP, &params, &Patch::Apply(typed(&config_map))).await?;
        self.published = Some(bundle);
        Ok(())
    }
}

/// Server-side apply wants kind and version in the body.
fn typed(config_map: &ConfigMap) -> serde_json::Value {
    let mut value = serde_json::to_value(config_map).unwrap_or_default();
    value["apiVersion"] = ConfigMap::api_version(&()).into();
    value["kind"] = ConfigMap::kind(&()).into();
    value
}

fn to_secret(authorities: &Authorities) -> Secret {
    let Authorities { active, next, previous } = authorities;
    let mut data = BTreeMap::from([
        (BUNDLE.to_owned(), authorities.bundle()),
        ("active.crt".to_owned(), active.certificate.clone()),
        ("active.key".to_owned(), active.key.clone()),
    ]);
    if let Some(next) = next {
        data.insert("next.crt".to_owned(), next.certificate.clone());
        data.insert("next.key".to_owned(), next.key.clone());
    }
    if let Some((certificate, _)) = previous {
        data.insert("previous.crt".to_owned(), certificate.clone());
    }
    Secret {
        metadata: ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() },
        data: Some(data.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))).collect()),
        ..Secret::default()
    }
}

fn from_secret(secret: &Secret) -> Result<Authorities, CertificateError> {
    let text = |key: &str| {
        let value = secret.data.as_ref().and_then(|data| data.get(key));
        value.map(|value| String::from_utf8_lossy(&value.0).into_owned())
    };
    let authority = |name: &str| {
        let (Some(certificate), Some(key)) = (text(&format!("{name}.crt")), text(&format!("{name}.key")))
        else {
            return Ok(None);
        };
        let (not_before, not_after) = validity(&certificate)?;
        Ok::<_, CertificateError>(Some(Authority { certificate, key, not_before, not_after }))
    };
    let missing = || CertificateError::Parse(format!("Secret {SECRET} has no active.crt and active.key"));
    let previous =
        text("previous.crt").map(|pem| validity(&pem).map(|(_, not_after)| (pem, not_after))).transpose()?;
    Ok(Authorities { active: authority("active")?.ok_or_else(missing)?, next: authority("next")?, previous })
}
