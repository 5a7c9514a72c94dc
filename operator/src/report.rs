//! What came of a change, to where a person looks: conditions and columns in `status`, written by the
//! leader alone and only when they differ, and an Event where something turned.

mod programmed;

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter as EventReporter},
};
use llm_crds::{
    Condition, LLMRoute, LLMRouteStatus, LLMRouteSummary, ProviderPool, ProviderPoolStatus,
    ProviderPoolSummary, Verdict,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::{
    FIELD_MANAGER,
    compile::{Compiled, PoolOutcome, RouteOutcome},
    metrics::Metrics,
    observe::{ObjectName, Observed},
    publish::{Targets, attached::Attached},
    replicas::{Replicas, Summaries},
};

/// What happens within this is one write: proxies answer within a few milliseconds of each other.
const GATHER: Duration = Duration::from_millis(50);
/// Statuses written at once.
const WRITES: usize = 16;
/// After a write that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Replicas that are gone are noticed at this pace though nothing changes.
const REVIEW: Duration = Duration::from_secs(5);
/// The API server takes notes of up to 1 kB.
const LONGEST_NOTE: usize = 1000;

/// One compile with what it saw.
#[derive(Debug)]
pub struct Outcome {
    pub observed: Observed,
    pub compiled: Compiled,
    pub targets: Targets,
}

/// Writes.
pub struct Reporter {
    client: Client,
    recorder: Recorder,
    attached: Arc<Attached>,
    replicas: Replicas,
    metrics: Arc<Metrics>,
    routes: HashMap<ObjectName, LLMRouteStatus>,
    pools: HashMap<ObjectName, ProviderPoolStatus>,
}

/// A status to write.
struct Write<K, S> {
    object: Arc<K>,
    status: S,
    events: Vec<Event>,
}

impl Reporter {
    pub fn new(
        client: Client,
        attached: Arc<Attached>,
        replicas: Replicas,
        identity: &str,
        metrics: Arc<Metrics>,
    ) -> Self {
        let reporter =
            EventReporter { controller: "llm-operator".to_owned(), instance: Some(identity.to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, recorder, attached, replicas, metrics, routes: HashMap::new(), pools: HashMap::new() }
    }

    /// Reports for as long as the operator runs and leads.
    pub async fn run(
        mut self,
        mut outcomes: watch::Receiver<Option<Arc<Outcome>>>,
        mut leading: watch::Receiver<bool>,
        replicas_changed: Arc<Notify>,
    ) {
        let mut attached = self.attached.subscribe();
        loop {
            let outcome = outcomes.borrow_and_update().clone();
            attached.mark_unchanged();
            let mut pause = REVIEW;
            if *leading.borrow_and_update() {
                if let Some(outcome) = outcome
                    && !self.report(&outcome).await
                {
                    pause = RETRY;
                }
            } else {
                // What others write meanwhile is to be read again.
                self.routes.clear();
                self.pools.clear();
            }
            tokio::select! {
                changed = outcomes.changed() => if changed.is_err() { return },
                _ = attached.changed() => {}
                _ = leading.changed() => {}
                () = replicas_changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Whether all that had to be written is.
    async fn report(&mut self, outcome: &Outcome) -> bool {
        let mut summaries: Vec<Summaries> = self.replicas.summaries();
        summaries.push(self.attached.summaries());
        let proxies = programmed::Proxies { targets: &outcome.targets, summaries: &summaries };
        let now = Time(Timestamp::now());

        let routes = changes(&outcome.observed.routes, &mut self.routes, |name, route, before| {
            let before = before.or(route.status.as_ref());
            route_status(outcome.compiled.routes.get(name)?, name, route, before, &proxies, &now)
        });
        let pools = changes(&outcome.observed.pools, &mut self.pools, |name, pool, before| {
            let before = before.or(pool.status.as_ref());
            pool_status(outcome.compiled.pools.get(name)?, name, pool, before, &proxies, &now)
        });
        let routes_written = self.write_all(routes, |reporter, name, status| {
            reporter.routes.insert(name, status);
        });
        let routes_written = routes_written.await;
        let pools_written = self.write_all(pools, |reporter, name, status| {
            reporter.pools.insert(name, status);
        });
        routes_written & pools_written.await
    }

    async fn write_all<K, S>(
        &mut self,
        writes: Vec<Write<K, S>>,
        written: impl Fn(&mut Self, ObjectName, S),
    ) -> bool
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
        S: Serialize,
    {
        let mut all = true;
        let results: Vec<_> = futures::stream::iter(writes)
            .map(|write| {
                let (client, recorder, metrics) = (self.client.clone(), &self.recorder, &self.metrics);
                async move { (write_one(client, recorder, metrics, &write).await, write) }
            })
            .buffer_unordered(WRITES)
            .collect()
            .await;
        for (result, write) in results {
            let name = ObjectName::of(write.object.as_ref());
            match result {
                Ok(()) => written(self, name, write.status),
                Err(error) => {
                    self.metrics.status_errors.inc();
                    tracing::warn!(object = %name, kind = %K::kind(&()), %error, "can't write a status; it will be tried again");
                    all = false;
                }
            }
        }
        all
    }
}

/// The statuses that differ from what was last written.
fn changes<K, S>(
    objects: &[Arc<K>],
    written: &mut HashMap<ObjectName, S>,
    status: impl Fn(&ObjectName, &K, Option<&S>) -> Option<(S, Vec<Event>, bool)>,
) -> Vec<Write<K, S>>
where
    K: Resource,
{
    let names: BTreeSet<ObjectName> = objects.iter().map(|object| ObjectName::of(object.as_ref())).collect();
    written.retain(|name, _| names.contains(name));
    objects
        .iter()
        .filter_map(|object| {
            let name = ObjectName::of(object.as_ref());
            let (status, events, differs) = status(&name, object, written.get(&name))?;
            differs.then(|| Write { object: object.clone(), status, events })
        })
        .collect()
}

async fn write_one<K, S>(
    client: Client,
    recorder: &Recorder,
    metrics: &Metrics,
    write: &Write<K, S>,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
    S: Serialize,
{
    let ObjectName { namespace, name } = ObjectName::of(write.object.as_ref());
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name},
        "status": write.status,
    });
    let api = Api::<K>::namespaced(client, &namespace);
    match api.patch_status(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&patch)).await {
        Ok(_) => {}
        // Deleted meanwhile: there is nobody to tell.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(error),
    }
    metrics.status_writes.inc();
    for event in &write.events {
        match recorder.publish(event, &write.object.object_ref(&())).await {
            Ok(()) => {
                metrics.events.inc();
            }
            Err(error) => {
                tracing::warn!(object = %format!("{namespace}/{name}"), %error, "can't raise an Event");
            }
        }
    }
    Ok(())
}

fn route_status(
    outcome: &RouteOutcome,
    name: &ObjectName,
    route: &LLMRoute,
    before: Option<&LLMRouteStatus>,
    proxies: &programmed::Proxies<'_>,
    now: &Time,
) -> Option<(LLMRouteStatus, Vec<Event>, bool)> {
    let mut sections = vec![format!("route/{name}")];
    sections.extend(outcome.pools.iter().map(|pool| format!("pool/{pool}")));
    let (verdict, share) = proxies.programmed(&outcome.gateways, &sections, programmed::Absent::NotShipped);
    let summary =
        LLMRouteSummary { models: join(&outcome.models), pools: join(&outcome.pools), programmed: share };
    let (conditions, events) = judged(
        &outcome.verdicts,
        &verdict,
        before.map_or(&[], |b| &b.conditions),
        route.metadata.generation,
        now,
    );
    let status =
        LLMRouteStatus { observed_generation: route.metadata.generation, conditions, summary: Some(summary) };
    let differs = before != Some(&status);
    Some((status, events, differs))
}

fn pool_status(
    outcome: &PoolOutcome,
    name: &ObjectName,
    pool: &ProviderPool,
    before: Option<&ProviderPoolStatus>,
    proxies: &programmed::Proxies<'_>,
    now: &Time,
) -> Option<(ProviderPoolStatus, Vec<Event>, bool)> {
    let (verdict, share) =
        proxies.programmed(&outcome.gateways, &[format!("pool/{name}")], programmed::Absent::Unused);
    let summary = ProviderPoolSummary {
        providers: outcome.providers.join(","),
        models: join(&outcome.models),
        ready: format!("{}/{}", outcome.ready, outcome.providers.len()),
        programmed: share,
    };
    let (conditions, events) = judged(
        &outcome.verdicts,
        &verdict,
        before.map_or(&[], |b| &b.conditions),
        pool.metadata.generation,
        now,
    );
    let status = ProviderPoolStatus {
        observed_generation: pool.metadata.generation,
        conditions,
        summary: Some(summary),
    };
    let differs = before != Some(&status);
    Some((status, events, differs))
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// Conditions with their times, and an Event for each that turned.
fn judged(
    verdicts: &[Verdict],
    programmed: &Verdict,
    before: &[Condition],
    generation: Option<i64>,
    now: &Time,
) -> (Vec<Condition>, Vec<Event>) {
    let mut conditions = Vec::new();
    let mut events = Vec::new();
    for verdict in verdicts.iter().chain([programmed]) {
        let condition = verdict.stamped(before, generation, now);
        let old = before.iter().find(|old| old.type_ == condition.type_);
        if let Some(kind) = event_type(verdict, old) {
            events.push(Event {
                type_: kind,
                reason: condition.reason.clone(),
                note: Some(condition.message.chars().take(LONGEST_NOTE).collect()),
                action: condition.type_.clone(),
                secondary: None,
            });
        }
        conditions.push(condition);
    }
    (conditions, events)
}

/// Whether a verdict is news: bad news that differs from the last, or its end. That some proxies have
/// not answered yet is none.
fn event_type(verdict: &Verdict, old: Option<&Condition>) -> Option<EventType> {
    use llm_crds::{ConditionType, Reason};
    if matches!(verdict.reason, Reason::Pending | Reason::NotShipped | Reason::Unused) {
        return None;
    }
    let bad = !verdict.status || verdict.condition == ConditionType::PartiallyInvalid;
    let told = old.is_some_and(|old| old.reason == verdict.reason.as_str() && old.message == verdict.message);
    if bad {
        return (!told).then_some(EventType::Warning);
    }
    let turned = match old {
        None => verdict.condition == ConditionType::Accepted,
        Some(old) if verdict.condition == ConditionType::Programmed => {
            old.status != "True" && old.reason != Reason::Pending.as_str()
        }
        Some(old) => old.status != "True",
    };
    turned.then_some(EventType::Normal)
}
