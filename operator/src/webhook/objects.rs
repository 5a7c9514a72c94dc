//! The review of an LLMRoute, a ProviderPool or a Budget: refused is what its own spec alone can mend, and only where
//! the spec changes; all else is let pass with a word.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt as _;
use kube::{
    Client,
    core::{
        DynamicObject,
        admission::{AdmissionRequest, AdmissionResponse, Operation},
    },
};
use llm_crds::{Budget, LLMRoute, ProviderPool};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout, timeout_at},
};

use super::review::Decision;
use crate::{
    observe::{ObjectName, Observed, SecretState, entries},
    preview::{Preview, Proposal, Secrets, preview},
    report::Outcome,
};

/// What was applied a moment ago may not be observed yet: nothing is said to be missing before.
const GRACE: Duration = Duration::from_millis(100);
/// How long to look for a Secret that nobody has asked for before.
const LOOK: Duration = Duration::from_millis(500);
/// Such looks at once.
const LOOKS: usize = 8;
/// Reviews that compile at once: the rest of the operator wants to run, too.
const TURNS: usize = 2;

/// Makes a proposal of an object, or says why it can't.
type Read = fn(Value) -> Result<Proposal, String>;

/// Who reviews them.
pub struct Objects {
    client: Client,
    outcomes: watch::Receiver<Option<Arc<Outcome>>>,
    turns: Semaphore,
}

impl Objects {
    /// `outcomes`: what was observed last.
    #[must_use]
    pub fn new(client: Client, outcomes: watch::Receiver<Option<Arc<Outcome>>>) -> Self {
        Self { client, outcomes, turns: Semaphore::new(TURNS) }
    }

    /// `object` and `old` are as they were sent.
    ///
    /// # Errors
    /// When the preview breaks down.
    pub async fn decide(
        &self,
        request: &AdmissionRequest<DynamicObject>,
        object: Value,
        old: &Value,
    ) -> Result<Decision, String> {
        let mut response = AdmissionResponse::from(request);
        let (kind, read): (_, Read) = match &*request.resource.resource {
            "llmroutes" => ("LLMRoute", |route| Ok(Proposal::Route(typed::<LLMRoute>(route)?))),
            "providerpools" => ("ProviderPool", |pool| Ok(Proposal::Pool(typed::<ProviderPool>(pool)?))),
            "budgets" => ("Budget", |budget| Ok(Proposal::Budget(typed::<Budget>(budget)?))),
            _ => return Ok(Decision::uncounted(response)),
        };
        let subresource = request.sub_resource.as_deref().unwrap_or_default();
        let proposal = match request.operation {
            _ if !subresource.is_empty() => return Ok(Decision::uncounted(response)),
            Operation::Update if object.get("spec") == old.get("spec") => {
                return Ok(Decision::counted(kind, "unchanged", response));
            }
            Operation::Create | Operation::Update => read(object),
            Operation::Delete if kind == "ProviderPool" => Ok(Proposal::DeletePool(named(old))),
            Operation::Delete | Operation::Connect => return Ok(Decision::uncounted(response)),
        };
        let warnings = match proposal {
            Err(error) => vec![format!(
                "operator {} can't read this {kind}, and keeps to what it could read of it before: {error}; upgrade the operator",
                env!("CARGO_PKG_VERSION")
            )],
            Ok(proposal) => match self.preview(&proposal).await? {
                None => vec![format!(
                    "nothing of {proposal} was checked, for the operator has not read the cluster yet: see its status"
                )],
                Some(Preview { invalid: Some(invalid), .. }) => {
                    tracing::info!(object = %proposal, invalid, "refused");
                    return Ok(Decision::counted(kind, "refused", response.deny(invalid)));
                }
                Some(Preview { warnings, .. }) => warnings,
            },
        };
        let outcome = if warnings.is_empty() { "admitted" } else { "warned" };
        response.warnings = (!warnings.is_empty()).then_some(warnings);
        Ok(Decision::counted(kind, outcome, response))
    }

    /// None before the operator has observed anything.
    async fn preview(&self, proposal: &Proposal) -> Result<Option<Preview>, String> {
        let mut outcomes = self.outcomes.clone();
        let until = Instant::now() + GRACE;
        loop {
            let Some(outcome) = outcomes.borrow_and_update().clone() else { return Ok(None) };
            let secrets = self.unobserved(proposal, &outcome.observed).await;
            let seen = self.seen(outcome, proposal.clone(), secrets).await?;
            let settled = seen.invalid.is_some() || seen.warnings.is_empty() || Instant::now() >= until;
            if settled || timeout_at(until, outcomes.changed()).await.is_err() {
                return Ok(Some(seen));
            }
        }
    }

    /// A compile, on a thread that nobody else waits for.
    async fn seen(
        &self,
        outcome: Arc<Outcome>,
        proposal: Proposal,
        secrets: Secrets,
    ) -> Result<Preview, String> {
        // It is never closed.
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        let compiling = move || preview(&outcome.observed, &proposal, &secrets);
        tokio::task::spawn_blocking(compiling).await.map_err(|error| error.to_string())
    }

    /// The Secrets that a pool or a budget would be the first to refer to, and that are not there. Of one that is there nothing is
    /// told: who calls this port has not shown who it is, and could ask for any. That a name is taken such a caller
    /// learns all the same. Who may make the object learns it from its status, too, and could mount the Secret in a pod.
    async fn unobserved(&self, proposal: &Proposal, observed: &Observed) -> Secrets {
        let mut alone = Observed::default();
        match proposal {
            Proposal::Pool(pool) => alone.pools.push(pool.clone()),
            Proposal::Budget(budget) => alone.budgets.push(budget.clone()),
            Proposal::Route(_) | Proposal::DeletePool(_) => return Secrets::new(),
        }
        let mut wanted = alone.wanted_secrets();
        wanted.retain(|name| !observed.secrets.contains_key(name));
        futures::stream::iter(wanted)
            .map(async |name: ObjectName| {
                let state = timeout(LOOK, entries::look(&self.client, &name)).await.ok().flatten()?;
                (state == SecretState::Absent).then_some((name, state))
            })
            .buffer_unordered(LOOKS)
            .filter_map(async |found| found)
            .collect::<BTreeMap<_, _>>()
            .await
    }
}

fn typed<K: DeserializeOwned>(object: Value) -> Result<Arc<K>, String> {
    serde_json::from_value(object).map(Arc::new).map_err(|error| error.to_string())
}

/// The deletion of a collection names no object.
fn named(object: &Value) -> ObjectName {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    ObjectName::new(text("/metadata/namespace"), text("/metadata/name"))
}
