//! The pools that a route answers by, or a budget falls back to: whether they are there, may be used from here, and have
//! the models that are named.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use llm_config as config;
use llm_crds::{FromNamespaces, PoolReference, Reason};

use super::{fleet::matches, pool::Offered};
use crate::observe::ObjectName;

pub type Pools = BTreeMap<ObjectName, Arc<Offered>>;
/// Labels by namespace.
pub type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// What is found of an object on the way: the pools that it refers to, and what is wrong with it.
#[derive(Default)]
pub struct Findings {
    pub pools: BTreeSet<ObjectName>,
    pub reason: Option<Reason>,
    pub problems: Vec<String>,
    /// Whether a problem keeps a route from being shipped.
    pub fatal: bool,
    /// What of the spec itself is wrong.
    pub invalid: Vec<String>,
}

impl Findings {
    pub fn invalid(&mut self, problem: String) {
        self.invalid.push(problem);
    }

    pub fn unresolved(&mut self, reason: Reason, problem: String) {
        self.reason.get_or_insert(reason);
        self.problems.push(problem);
    }

    fn fatal(&mut self, reason: Reason, problem: String) {
        self.unresolved(reason, problem);
        self.fatal = true;
    }
}

/// Who refers to pools, and all that it may look at: the [memory](super::memory) of routes goes by these fields.
pub struct Referrer<'a> {
    /// `routes` or `budgets`.
    pub kind: &'static str,
    pub namespace: &'a str,
    pub namespaces: &'a Namespaces,
    pub pools: &'a Pools,
}

impl Referrer<'_> {
    /// The pool, and those of its models that may answer; all of them where none is named.
    pub fn backend(
        &self,
        path: &str,
        pool: &PoolReference,
        models: &[String],
        found: &mut Findings,
    ) -> Option<(ObjectName, Vec<String>)> {
        let namespace = pool.namespace.as_deref().unwrap_or(self.namespace);
        let pool_name = ObjectName::new(namespace, pool.name.clone());
        found.pools.insert(pool_name.clone());
        let Some(offered) = self.pools.get(&pool_name) else {
            found
                .fatal(Reason::BackendNotFound, format!("{path}.pool: there is no ProviderPool {pool_name}"));
            return None;
        };
        if !self.permitted(&pool_name, offered) {
            let problem = format!(
                "{path}.pool: ProviderPool {pool_name} does not admit {} of namespace `{}`: its spec.allowedNamespaces must",
                self.kind, self.namespace
            );
            found.fatal(Reason::RefNotPermitted, problem);
            return None;
        }
        let Some(compiled) = &offered.compiled else {
            found.fatal(
                Reason::BackendNotFound,
                format!("{path}.pool: ProviderPool {pool_name} is not accepted: see its status"),
            );
            return None;
        };
        let models = if models.is_empty() { offered.models.clone() } else { models.to_vec() };
        for (i, model) in models.iter().enumerate() {
            if !offered.models.contains(model) {
                let problem = format!(
                    "{path}.models[{i}]: ProviderPool {pool_name} has no model `{model}`; it has: {}",
                    offered.models.join(", ")
                );
                found.fatal(Reason::ModelNotFound, problem);
            } else if !callable(compiled, model) {
                found.unresolved(
                    Reason::NoUsableProvider,
                    format!("{path}: no provider of ProviderPool {pool_name} can be called for model `{model}`: see its status"),
                );
            }
        }
        Some((pool_name, models))
    }

    fn permitted(&self, pool: &ObjectName, offered: &Offered) -> bool {
        if pool.namespace == self.namespace {
            return true;
        }
        let allowed = &offered.allowed;
        match allowed.from {
            FromNamespaces::Same => false,
            FromNamespaces::All => true,
            FromNamespaces::Selector => {
                matches(allowed.selector.as_ref(), self.namespaces.get(self.namespace))
            }
        }
    }
}

fn callable(pool: &config::Pool, model: &str) -> bool {
    pool.providers.iter().any(|provider| provider.models.iter().any(|offered| offered.name == model))
}
