//! What came of a change, to where a person looks: conditions and columns in `status`, written by the
//! leader alone and only when they differ, and an Event where something turned.

mod budget;
mod health;
mod known;
mod pace;
mod programmed;
mod shared;
mod write;

pub use write::takes_nothing_new;

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    iter,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Client, Resource,
    core::object::HasStatus,
    runtime::events::{Event, EventType, Recorder, Reporter as EventReporter},
};
use llm_config::section::Key;
use llm_crds::{
    BudgetStatus, Condition, LLMRouteStatus, LLMRouteSummary, ProviderPool, ProviderPoolStatus,
    ProviderPoolSummary, Verdict,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use crate::{
    compile::{Compiled, PoolOutcome, RouteOutcome},
    metrics::Metrics,
    observe::{ObjectName, Observed},
    publish::{
        Targets,
        attached::{Attached, Summaries},
    },
    replicas::Replicas,
};
use health::{Health, Pace};
use known::{Basis, Known};
use pace::{Allowance, Look};
use write::{Write, Writer};

/// Proxies answer within a few milliseconds of each other: when none has for so long, or some go on for so much longer,
/// what they said is one write.
const GATHER: Duration = Duration::from_millis(50);
const LONGEST_GATHER: Duration = Duration::from_millis(500);
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
    pub compiled: Arc<Compiled>,
    pub targets: Arc<Targets>,
}

/// Writes.
pub struct Reporter {
    client: Client,
    recorder: Recorder,
    attached: Arc<Attached>,
    replicas: Arc<Replicas>,
    /// What is in force for the proxies, and who shares limits.
    targets: watch::Receiver<Option<Arc<Targets>>>,
    metrics: Arc<Metrics>,
    known: Known,
    routes: Written<LLMRouteStatus>,
    pools: Written<ProviderPoolStatus>,
    budgets: Written<BudgetStatus>,
    healths: Pace,
    /// When it began to lead.
    began: Instant,
    allowance: Allowance,
}

/// What was last written of each object.
type Written<S> = HashMap<ObjectName, Last<S>>;

struct Last<S> {
    /// One of the same name that takes its place has none of it.
    uid: Option<String>,
    status: S,
    at: Instant,
}

impl Reporter {
    pub fn new(
        client: Client,
        attached: Arc<Attached>,
        replicas: Arc<Replicas>,
        targets: watch::Receiver<Option<Arc<Targets>>>,
        identity: &str,
        metrics: Arc<Metrics>,
    ) -> Self {
        let reporter =
            EventReporter { controller: "llm-operator".to_owned(), instance: Some(identity.to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter);
        let (known, routes, pools, budgets, healths) = Default::default();
        let began = Instant::now();
        Self {
            client,
            recorder,
            attached,
            replicas,
            targets,
            metrics,
            known,
            routes,
            pools,
            budgets,
            healths,
            began,
            allowance: Allowance::new(began),
        }
    }

    /// Reports for as long as the operator runs and leads.
    pub async fn run(
        mut self,
        mut outcomes: watch::Receiver<Option<Arc<Outcome>>>,
        mut leading: watch::Receiver<bool>,
        replicas_changed: Arc<Notify>,
    ) {
        let mut attached = self.attached.subscribe();
        let mut breakers = self.attached.subscribe_to_breakers();
        leading.mark_changed();
        loop {
            let outcome = outcomes.borrow_and_update().clone();
            attached.mark_unchanged();
            breakers.mark_unchanged();
            let mut next = Instant::now() + REVIEW;
            // Another may have led between two looks.
            let turned = leading.has_changed().unwrap_or(true);
            let leads = *leading.borrow_and_update();
            if turned || !leads {
                self.begin();
            }
            if !leads {
                self.replicas.look();
            } else if let Some(outcome) = outcome {
                next = next.min(self.report(&outcome).await);
            }
            tokio::select! {
                changed = outcomes.changed() => if changed.is_err() { return },
                _ = attached.changed() => {}
                _ = breakers.changed() => {}
                _ = leading.changed() => {}
                () = replicas_changed.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            quiet(&mut attached).await;
        }
    }

    /// What others have written is to be read again.
    fn begin(&mut self) {
        self.began = Instant::now();
        self.known.clear();
        self.routes.clear();
        self.pools.clear();
        self.budgets.clear();
        self.healths.clear();
    }

    /// Writes what is to be written now, and tells when to look again though nothing happens.
    async fn report(&mut self, outcome: &Outcome) -> Instant {
        let mut summaries: Vec<Summaries> = self.replicas.summaries();
        summaries.push(self.attached.summaries());
        let proxies = programmed::Proxies::new(&outcome.targets, &summaries);
        let now = Time(Timestamp::now());
        let Outcome { observed, compiled, .. } = outcome;
        let objects = observed.routes.len() + observed.pools.len() + observed.budgets.len();
        let mut look = Look::new(Instant::now(), self.began, objects, self.allowance);
        let roster = self.targets.borrow().as_ref().and_then(|targets| targets.roster.clone());
        let healths = &mut self.healths;
        healths.retain(|name| compiled.pools.contains_key(name));

        let known = &mut self.known;
        known.retain(compiled);
        let routes = changes(&observed.routes, &mut self.routes, &mut look, |name, route, before| {
            let outcome = compiled.routes.get(name)?.clone();
            let standing = proxies.standing(&outcome.fleets, &route_sections(&outcome, name));
            let basis = Basis { route: route.clone(), outcome, standing };
            if known.is_told(name, &basis) {
                return None;
            }
            let (status, events) = route_status(&basis, before, &now);
            known.note(name, basis, before == Some(&status));
            Some((status, events))
        });
        let pools = changes(&observed.pools, &mut self.pools, &mut look, |name, pool, before| {
            let outcome = compiled.pools.get(name)?;
            let health = Health::of(name, &pool.spec, &outcome.fleets, &summaries);
            let health = healths.paced(name, health, Instant::now());
            let sharing = roster.as_ref().map_or(0, |roster| roster.proxies(&name.to_string()));
            let verdicts = shared::warned(&outcome.verdicts, pool, sharing);
            let outcome = PoolOutcome { verdicts, ..outcome.clone() };
            Some(pool_status(&outcome, (name, pool), before, &proxies, health, &now))
        });
        let budgets = changes(&observed.budgets, &mut self.budgets, &mut look, |name, budget, before| {
            let outcome = compiled.budgets.get(name)?;
            Some(budget::status(outcome, (name, budget), before, &proxies, &now))
        });
        self.allowance = look.left();
        let writer = Writer { client: &self.client, recorder: &self.recorder, metrics: &self.metrics };
        let written = [
            writer.write_all(routes, &mut self.routes).await,
            writer.write_all(pools, &mut self.pools).await,
            writer.write_all(budgets, &mut self.budgets).await,
        ];
        self.replicas.sweep().await;
        let retry = (written != [true; 3]).then(|| Instant::now() + RETRY);
        let due = [look.due(), self.healths.due(), retry].into_iter().flatten().min();
        due.unwrap_or_else(|| Instant::now() + REVIEW)
    }
}

/// Waits until the proxies have said what they have to say.
async fn quiet(attached: &mut watch::Receiver<()>) {
    let longest = Instant::now() + LONGEST_GATHER;
    while Instant::now() < longest {
        let end = longest.min(Instant::now() + GATHER);
        if !matches!(timeout_at(end, attached.changed()).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The statuses to write now, of those that differ from what was last written, or, before this replica wrote, from what
/// is there.
fn changes<K>(
    objects: &[Arc<K>],
    written: &mut Written<K::Status>,
    look: &mut Look,
    mut judge: impl FnMut(&ObjectName, &Arc<K>, Option<&K::Status>) -> Option<(K::Status, Vec<Event>)>,
) -> Vec<Write<K>>
where
    K: Resource + HasStatus,
    K::Status: pace::Status,
{
    // What is left of some that are gone does no harm: whoever takes their place has another uid.
    if written.len() > objects.len() {
        let names: BTreeSet<ObjectName> =
            objects.iter().map(|object| ObjectName::of(object.as_ref())).collect();
        written.retain(|name, _| names.contains(name));
    }
    objects
        .iter()
        .filter_map(|object| {
            let name = ObjectName::of(object.as_ref());
            let own = written.get(&name).filter(|last| last.uid == object.meta().uid);
            let before = own
                .map(|last| Cow::Borrowed(&last.status))
                .or_else(|| object.status().map(pace::Status::reported));
            let before = before.as_deref();
            let (status, events) = judge(&name, object, before)?;
            let write = before != Some(&status) && look.takes(&status, before, own.map(|last| last.at));
            write.then(|| Write { object: object.clone(), status, events })
        })
        .collect()
}

fn route_sections(outcome: &RouteOutcome, name: &ObjectName) -> Vec<Key> {
    let pools = outcome.pools.iter().map(|pool| format!("pool/{pool}"));
    iter::once(format!("route/{name}")).chain(pools).collect()
}

fn route_status(basis: &Basis, before: Option<&LLMRouteStatus>, now: &Time) -> (LLMRouteStatus, Vec<Event>) {
    let Basis { route, outcome, standing } = basis;
    let absent =
        if outcome.shipped { programmed::Absent::NoSidecars } else { programmed::Absent::NotShipped };
    let (verdict, share) = standing.programmed(&outcome.fleets, absent);
    let summary =
        LLMRouteSummary { models: join(&outcome.models), pools: join(&outcome.pools), programmed: share };
    let (conditions, events) = judged(
        outcome.verdicts.iter().chain([&verdict]),
        before.map_or(&[], |b| &b.conditions),
        route.metadata.generation,
        now,
    );
    let status =
        LLMRouteStatus { observed_generation: route.metadata.generation, conditions, summary: Some(summary) };
    (status, events)
}

fn pool_status(
    outcome: &PoolOutcome,
    (name, pool): (&ObjectName, &ProviderPool),
    before: Option<&ProviderPoolStatus>,
    proxies: &programmed::Proxies<'_>,
    health: Option<Health>,
    now: &Time,
) -> (ProviderPoolStatus, Vec<Event>) {
    let (verdict, share) = proxies
        .standing(&outcome.fleets, &[format!("pool/{name}")])
        .programmed(&outcome.fleets, programmed::Absent::Unused);
    let summary = ProviderPoolSummary {
        providers: outcome.providers.join(","),
        models: join(&outcome.models),
        ready: format!("{}/{}", outcome.ready, outcome.providers.len()),
        programmed: share,
    };
    let (conditions, events) = judged(
        outcome.verdicts.iter().chain([&verdict]).chain(health.as_ref().map(|health| &health.verdict)),
        before.map_or(&[], |b| &b.conditions),
        pool.metadata.generation,
        now,
    );
    let status = ProviderPoolStatus {
        observed_generation: pool.metadata.generation,
        conditions,
        providers: health.map(|health| health.providers).unwrap_or_default(),
        summary: Some(summary),
    };
    (status, events)
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// Conditions with their times, and an Event for each that turned.
fn judged<'a>(
    verdicts: impl Iterator<Item = &'a Verdict>,
    before: &[Condition],
    generation: Option<i64>,
    now: &Time,
) -> (Vec<Condition>, Vec<Event>) {
    let mut conditions = Vec::new();
    let mut events = Vec::new();
    for verdict in verdicts {
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
/// not answered yet is none, nor on how many of them a breaker is open.
fn event_type(verdict: &Verdict, old: Option<&Condition>) -> Option<EventType> {
    use llm_crds::{ConditionType, Reason};
    if matches!(verdict.reason, Reason::Pending | Reason::NotShipped | Reason::Unused) {
        return None;
    }
    if verdict.condition == ConditionType::Healthy {
        let was_bad = old.is_some_and(|old| old.status == "False");
        let kind = if verdict.status { EventType::Normal } else { EventType::Warning };
        return (verdict.status == was_bad).then_some(kind);
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
