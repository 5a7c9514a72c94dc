//! A budget's figures into its status, under a name of their own, so that who tells what came of the spec and who keeps
//! the figures take nothing from each other; and the Events of its thresholds.

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, Resource as _,
    api::{Patch, PatchParams, PostParams},
    core::ObjectMeta,
};
use llm_crds::{Budget, BudgetStatus, ConditionType};
use serde_json::json;

use super::alerts::{self, Reached};
use crate::{FIELD_MANAGER, observe::ObjectName, report::takes_nothing_new};

/// Who keeps the figures, in the API server's eyes.
const KEEPER: &str = "llm-operator-budgets";
/// The API server takes notes of up to 1 kB.
const LONGEST_NOTE: usize = 1000;

/// What came of a write.
pub enum Written {
    /// Stored; the object is now of this version.
    Stored(Option<String>),
    /// It has changed meanwhile: this is it.
    Changed(Box<Budget>),
    /// It is no more.
    Gone,
}

/// Of a status what the keeper writes; all else is others'.
pub fn own(status: Option<&BudgetStatus>) -> BudgetStatus {
    let mut own = status.cloned().unwrap_or_default();
    own.observed_generation = None;
    own.conditions.retain(|condition| condition.type_ == ConditionType::LedgerReachable.as_str());
    if let Some(summary) = &mut own.summary {
        (summary.action, summary.programmed) = (None, None);
    }
    own
}

/// Writes to the object of this version and no other: a leader that was held up must not undo what the next one has
/// stored.
pub async fn status(
    client: &Client,
    name: &ObjectName,
    version: Option<&String>,
    status: &BudgetStatus,
) -> Result<Written, kube::Error> {
    let api = Api::<Budget>::namespaced(client.clone(), &name.namespace);
    let patch = json!({
        "apiVersion": Budget::api_version(&()),
        "kind": Budget::kind(&()),
        "metadata": {"name": name.name, "resourceVersion": version},
        "status": status,
    });
    match api.patch_status(&name.name, &PatchParams::apply(KEEPER).force(), &Patch::Apply(&patch)).await {
        Ok(stored) => Ok(Written::Stored(stored.metadata.resource_version)),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(Written::Gone),
        Err(kube::Error::Api(answer)) if answer.code == 409 => match api.get_opt(&name.name).await? {
            Some(budget) => Ok(Written::Changed(Box::new(budget))),
            None => Ok(Written::Gone),
        },
        Err(error) => Err(error),
    }
}

/// Raises the Event of a threshold, which has the same name whoever raises it: there is one of it.
pub async fn event(
    client: &Client,
    budget: &Budget,
    identity: &str,
    reached: &Reached,
) -> Result<(), kube::Error> {
    let ObjectName { namespace, name } = ObjectName::of(budget);
    let key = alerts::key(budget.metadata.uid.as_deref().unwrap_or_default(), &reached.alert);
    let event = Event {
        metadata: ObjectMeta {
            name: Some(alerts::event_name(&name, &key)),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(jiff::Timestamp::now())),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(identity.chars().take(128).collect()),
        type_: Some(if reached.is_warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some("ThresholdReached".to_owned()),
        action: Some("Alert".to_owned()),
        note: Some(reached.note.chars().take(LONGEST_NOTE).collect()),
        regarding: Some(ObjectReference { ..budget.object_ref(&()) }),
        ..Event::default()
    };
    let api = Api::<Event>::namespaced(client.clone(), &namespace);
    match api.create(&PostParams::default(), &event).await {
        Ok(_) => Ok(()),
        // It was raised by a leader that did not live to say so.
        Err(kube::Error::Api(answer)) if answer.code == 409 => Ok(()),
        Err(error) if takes_nothing_new(&error) => Ok(()),
        Err(error) => Err(error),
    }
}
