//! The routes whose status was found to be what it should: where nothing that it speaks of has changed since, it still
//! is, and a change of one route does not write out anew what is to be said of all.

use std::{collections::HashMap, sync::Arc};

use llm_crds::LLMRoute;

use super::programmed::Standing;
use crate::{
    compile::{Compiled, RouteOutcome},
    observe::ObjectName,
};

/// All that the status of a route speaks of. The object is kept with the status in it: who writes that makes another,
/// which is looked at again.
#[derive(Clone, Debug)]
pub struct Basis {
    pub route: Arc<LLMRoute>,
    pub outcome: Arc<RouteOutcome>,
    pub standing: Standing,
}

impl PartialEq for Basis {
    fn eq(&self, other: &Self) -> bool {
        let Self { route, outcome, standing } = self;
        Arc::ptr_eq(route, &other.route)
            && Arc::ptr_eq(outcome, &other.outcome)
            && *standing == other.standing
    }
}

/// By name of the route.
#[derive(Debug, Default)]
pub struct Known(HashMap<ObjectName, Basis>);

impl Known {
    pub fn is_told(&self, name: &ObjectName, basis: &Basis) -> bool {
        self.0.get(name) == Some(basis)
    }

    /// What is there says what it should, or does not.
    pub fn note(&mut self, name: &ObjectName, basis: Basis, told: bool) {
        if told {
            self.0.insert(name.clone(), basis);
        } else {
            self.0.remove(name);
        }
    }

    /// Forgets those that are gone, where there is more than there are routes: until then they do no harm.
    pub fn retain(&mut self, compiled: &Compiled) {
        if self.0.len() > compiled.routes.len() {
            self.0.retain(|name, _| compiled.routes.contains_key(name));
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use serde_json::json;

    use super::*;

    fn route() -> Arc<LLMRoute> {
        let route = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "LLMRoute", "metadata": {"name": "r"},
            "spec": {"rules": []},
        });
        Arc::new(serde_json::from_value(route).unwrap())
    }

    #[test]
    fn only_what_was_found_to_be_told_is_and_only_as_it_was() {
        let (name, mut known) = (ObjectName::new("ns", "r"), Known::default());
        let basis = Basis { route: route(), outcome: Arc::default(), standing: Standing::default() };
        assert!(!known.is_told(&name, &basis));
        known.note(&name, basis.clone(), true);
        assert!(known.is_told(&name, &basis));
        assert!(!known.is_told(&ObjectName::new("ns", "other"), &basis));
        // Somebody has written to it, or another has taken its place.
        assert!(!known.is_told(&name, &Basis { route: route(), ..basis.clone() }));
        assert!(!known.is_told(&name, &Basis { outcome: Arc::default(), ..basis.clone() }));
        // It says something else, and the write is held back, or fails: it is looked at again.
        known.note(&name, basis.clone(), false);
        assert!(!known.is_told(&name, &basis));
        known.note(&name, basis.clone(), true);
        known.clear();
        assert!(!known.is_told(&name, &basis));
    }
}
