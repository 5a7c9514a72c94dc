//! The routes whose status was found to be what it should: where nothing that it speaks of has changed since, it still
//! is, and a change of one route does not write out anew what is to be said of all.

use std::{collections::HashMap, sync::Arc};

use llm_crds::LLMRoute;

use super::programmed::Standing;
use crate::{
    compile::{Compiled, RouteOutcome},
    observe::ObjectName,
};

/// All that the status of a route speaks of. The object is kept with the status in it: who writes that makes another.
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
