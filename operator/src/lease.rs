//! Leadership by a Lease: followers compute and serve, the leader alone writes.
//!
//! The clocks of replicas are never compared: a holder is taken for gone when its Lease has not
//! changed for the lease's duration *on the clock of the one who watches*, and a leader that could
//! not renew steps down by its own clock before that.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// The name of the Lease.
pub const NAME: &str = "llm-operator";

/// Who this replica is, and how patient.
#[derive(Clone, Debug)]
pub struct Settings {
    pub namespace: String,
    pub identity: String,
    /// Without renewal for so long, a holder is gone.
    pub duration: Duration,
}

impl Settings {
    /// A leader that could not renew for so long steps down: before any other takes over.
    fn deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    fn pace(&self) -> Duration {
        self.duration / 6
    }
}

/// What was last seen of the Lease, on this replica's clock.
struct Seen {
    version: Option<String>,
    at: Instant,
}

/// Campaigns for as long as the operator runs, and gives the Lease back when `stop` turns true.
pub async fn campaign(
    client: Client,
    settings: Settings,
    leading: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let leases = Api::<Lease>::namespaced(client, &settings.namespace);
    let mut seen = Seen { version: None, at: Instant::now() };
    let mut renewed = Instant::now();
    loop {
        // A call that hangs is a call that failed: a leader must step down in time.
        let attempt = timeout(settings.pace(), attempt(&leases, &settings, &mut seen)).await;
        let failure = match attempt {
            Ok(Ok(holds)) => {
                renewed = Instant::now();
                lead(&leading, holds, &settings);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer from the API server".to_owned()),
        };
        if let Some(error) = failure {
            tracing::warn!(error, "can't renew the Lease");
            if renewed.elapsed() >= settings.deadline() {
                lead(&leading, false, &settings);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(settings.pace()) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    if *leading.borrow()
        && let Err(error) = give_back(&leases, &settings).await
    {
        tracing::warn!(%error, "can't give the Lease back; it runs out by itself");
    }
    lead(&leading, false, &settings);
}

/// Wakes those who follow leadership only when it changes.
fn lead(leading: &watch::Sender<bool>, leads: bool, settings: &Settings) {
    let changed = leading.send_if_modified(|led| std::mem::replace(led, leads) != leads);
    if changed {
        let what = if leads { "leading" } else { "not leading any more" };
        tracing::info!(identity = settings.identity, "{what}");
    }
}

/// Takes or renews the Lease; whether this replica holds it now.
async fn attempt(leases: &Api<Lease>, settings: &Settings, seen: &mut Seen) -> Result<bool, kube::Error> {
    let Some(lease) = leases.get_opt(NAME).await? else {
        let lease = Lease { metadata: meta(), spec: Some(held(settings, None)) };
        return taken(leases.create(&PostParams::default(), &lease).await);
    };
    if lease.metadata.resource_version != seen.version {
        *seen = Seen { version: lease.metadata.resource_version.clone(), at: Instant::now() };
    }
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    let gone = seen.at.elapsed() >= settings.duration;
    if holder != settings.identity && !holder.is_empty() && !gone {
        return Ok(false);
    }
    let spec = held(settings, lease.spec.as_ref().filter(|_| holder == settings.identity));
    let replacement = Lease { metadata: lease.metadata, spec: Some(spec) };
    taken(leases.replace(NAME, &PostParams::default(), &replacement).await)
}

/// A conflict means that another replica was faster.
fn taken(result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

async fn give_back(leases: &Api<Lease>, settings: &Settings) -> Result<(), kube::Error> {
    let Some(mut lease) = leases.get_opt(NAME).await? else { return Ok(()) };
    if let Some(spec) = &mut lease.spec
        && spec.holder_identity.as_deref() == Some(&settings.identity)
    {
        spec.holder_identity = Some(String::new());
        leases.replace(NAME, &PostParams::default(), &lease).await?;
    }
    Ok(())
}

fn held(settings: &Settings, mine: Option<&LeaseSpec>) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    LeaseSpec {
        holder_identity: Some(settings.identity.clone()),
        lease_duration_seconds: i32::try_from(settings.duration.as_secs()).ok().map(|seconds| seconds.max(1)),
        acquire_time: mine.and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
        renew_time: Some(now),
        ..LeaseSpec::default()
    }
}

fn meta() -> ObjectMeta {
    ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() }
}
