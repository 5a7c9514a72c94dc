//! Which budgets a call counts for.

use std::sync::Arc;

use llm_config::{
    self as config, Document,
    budget::{Dimension, Enforcement, OnExceeded, OnLedgerUnavailable, Scope},
};
use llm_routing::pattern;
use smallvec::SmallVec;

use super::{Target, callers::Identity};
use crate::{
    budget::{Purses, slot::Slot},
    stage::wish::Wishes,
};

/// The budgets in force, by the routes whose calls may count for them.
#[derive(Debug, Default)]
pub struct Budgets {
    all: Vec<Arc<Budget>>,
}

/// One Budget. In the order as written: what each call looks at lies together.
#[derive(Debug)]
#[repr(C)]
pub struct Budget {
    /// Each call of its routes, whoever asks.
    counts_all_calls: bool,
    /// Whoever answers.
    counts_all_targets: bool,
    pub enforcement: Enforcement,
    pub on_ledger_unavailable: OnLedgerUnavailable,
    pub limits: SmallVec<[Arc<Slot>; 1]>,
    per: Vec<Dimension>,
    /// `namespace/name`.
    pub name: Arc<str>,
    scope: Scope,
    pub on_exceeded: OnExceeded,
}

/// What of a call decides which budgets it counts for, besides who answers it.
#[derive(Clone, Copy, Debug)]
pub struct Spender<'a> {
    /// `namespace/name` of the LLMRoute.
    pub route: &'a str,
    pub caller: Option<&'a Identity>,
    pub wishes: &'a Wishes,
}

impl Budgets {
    /// # Errors
    /// Limits that can't be held, such as those of an unknown time zone.
    pub fn new(document: &Document, purses: &Arc<Purses>) -> Result<Self, Vec<String>> {
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        for (key, budget) in &document.budgets {
            let name: Arc<str> = key.as_str().into();
            let limits = budget.limits.iter().map(|limit| purses.slot(&name, budget, *limit));
            match limits.collect() {
                Ok(limits) => all.push(Arc::new(Budget::new(name, budget, limits))),
                Err(problem) => problems.push(format!("budgets[{key}]: {problem}")),
            }
        }
        if problems.is_empty() { Ok(Self { all }) } else { Err(problems) }
    }

    /// The limits hold as the document says: it is in force.
    pub fn agree(&self, document: &Document) {
        for budget in &self.all {
            let Some(spec) = document.budgets.get(&*budget.name) else { continue };
            for (slot, limit) in budget.limits.iter().zip(&spec.limits) {
                slot.agree(spec, *limit);
            }
        }
    }

    /// Those that calls through a route may count for: what else they ask is told when a call is there.
    pub fn of_route(&self, route: &str) -> Box<[Arc<Budget>]> {
        self.all
            .iter()
            .filter(|budget| budget.scope.routes.is_empty() || has(&budget.scope.routes, route))
            .cloned()
            .collect()
    }
}

impl Budget {
    fn new(name: Arc<str>, budget: &config::Budget, limits: SmallVec<[Arc<Slot>; 1]>) -> Self {
        let Scope { within, namespaces, service_accounts, metadata, routes: _, models, providers } =
            &budget.scope;
        let counts_all_callers = within.is_none() && namespaces.is_empty() && service_accounts.is_empty();
        Self {
            name,
            counts_all_calls: counts_all_callers && metadata.is_empty(),
            counts_all_targets: models.is_empty() && providers.is_empty(),
            scope: budget.scope.clone(),
            per: budget.per.clone(),
            limits,
            enforcement: budget.enforcement,
            on_exceeded: budget.on_exceeded.clone(),
            on_ledger_unavailable: budget.on_ledger_unavailable,
        }
    }

    /// Whether a call counts, whoever answers it.
    #[inline]
    pub fn counts(&self, spender: Spender<'_>) -> bool {
        self.counts_all_calls || self.is_in_scope(spender)
    }

    /// Whether it counts when this target answers.
    #[inline]
    pub fn counts_target(&self, target: &Target) -> bool {
        self.counts_all_targets || self.is_target_in_scope(target)
    }

    fn is_in_scope(&self, spender: Spender<'_>) -> bool {
        let Scope { within, namespaces, service_accounts, metadata, routes: _, models: _, providers: _ } =
            &self.scope;
        let namespace = || spender.caller.and_then(|caller| caller.namespace.as_deref());
        let account = || spender.caller.and_then(|caller| caller.service_account.as_deref());
        let is_within = |within: &String| {
            let route = spender.route.split_once('/').map(|(namespace, _)| namespace);
            route == Some(within) || namespace() == Some(within)
        };
        within.as_ref().is_none_or(is_within)
            && (namespaces.is_empty() || namespace().is_some_and(|found| has(namespaces, found)))
            && (service_accounts.is_empty() || account().is_some_and(|found| has(service_accounts, found)))
            && metadata.iter().all(|(dimension, wanted)| spender.says(*dimension) == Some(wanted))
    }

    fn is_target_in_scope(&self, target: &Target) -> bool {
        let Scope { models, providers, .. } = &self.scope;
        let fits = |patterns: &[String], name: &str| {
            patterns.is_empty() || patterns.iter().any(|wanted| pattern::fits(wanted, name))
        };
        fits(models, &target.labels.model) && fits(providers, &target.labels.provider)
    }

    /// Whether so much of a limit is gone that a call shall go to something cheaper.
    pub fn downgrades(&self, spender: Spender<'_>) -> bool {
        let OnExceeded::Downgrade { from_ppm, .. } = self.on_exceeded else { return false };
        if !self.counts(spender) {
            return false;
        }
        let value = self.value(spender);
        let is_gone = |slot: &Arc<Slot>| {
            let left = slot.left(value.as_deref());
            left.is_some_and(|left| {
                u128::from(left.spent) * 1_000_000 >= u128::from(left.limit) * u128::from(from_ppm)
            })
        };
        self.limits.iter().any(is_gone)
    }

    /// The value whose limits a call counts for; `None` where all calls share them.
    pub fn value(&self, spender: Spender<'_>) -> Option<String> {
        if self.per.is_empty() {
            return None;
        }
        let mut value = String::new();
        for (i, dimension) in self.per.iter().enumerate() {
            if i > 0 {
                value.push('/');
            }
            // Two values of different parts must not be written alike, nor as that of all others.
            for c in spender.says(*dimension).unwrap_or_default().chars() {
                match c {
                    '/' => value.push_str("%2F"),
                    '%' => value.push_str("%25"),
                    '*' => value.push_str("%2A"),
                    c => value.push(c),
                }
            }
        }
        Some(value)
    }
}

impl<'a> Spender<'a> {
    fn says(&self, dimension: Dimension) -> Option<&'a str> {
        match dimension {
            Dimension::User => self.wishes.user.as_deref(),
            Dimension::Project => self.wishes.project.as_deref(),
            Dimension::Feature => self.wishes.feature.as_deref(),
            Dimension::Namespace => self.caller?.namespace.as_deref(),
            Dimension::ServiceAccount => self.caller?.service_account.as_deref(),
            Dimension::Route => Some(self.route),
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == wanted)
}
