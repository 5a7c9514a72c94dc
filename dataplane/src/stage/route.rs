//! A call and the snapshot to a plan. Pure: time and chance are passed in.

mod decision;
mod fitness;
mod weigh;

use std::{sync::Arc, time::Duration};

use llm_dialect::surface::Task;
use llm_routing::{
    complexity::{Estimate, estimate, estimate_plain},
    rank::{Order, rank},
};
use smallvec::SmallVec;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    error::Error,
    snapshot::{
        Snapshot,
        budgets::{Budget, Spender},
        router::{Asking, Found},
        served::{Candidate, Rule, Served, ranking},
    },
    stage::{
        decode::{Call, Meaning},
        identify::excerpt,
        wish::Wishes,
    },
};

pub use decision::{Considered, Decision};
use fitness::Fitness;
use weigh::{Exclusion, Scales};

/// Near names that an unknown model is answered with, at most.
const NEAR_NAMES: usize = 5;

/// Where a call goes, and where it goes next when that fails.
#[derive(Debug)]
pub struct Plan<'a> {
    pub rule: &'a Rule,
    /// Whether others than the first choice are asked.
    pub fallback: bool,
    /// Why it is so, for a call that asks.
    pub decision: Option<Box<Decision>>,
    /// The budget that runs out, and wants something cheaper than the rule has.
    pub downgraded_by: Option<&'a Arc<Budget>>,
    /// At least one, the first choice first.
    candidates: SmallVec<[&'a Candidate; 16]>,
}

impl<'a> Plan<'a> {
    /// The candidate in that place.
    pub fn get(&self, place: usize) -> Option<&'a Candidate> {
        self.candidates.get(place).copied()
    }

    pub fn candidates(&self) -> impl ExactSizeIterator<Item = &'a Candidate> {
        self.candidates.iter().copied()
    }
}

/// There is no plan.
#[derive(Debug)]
pub struct Unplanned {
    pub error: Box<Error>,
    /// Who was left out and why, for a call that asks.
    pub decision: Option<Box<Decision>>,
}

impl From<Error> for Unplanned {
    fn from(error: Error) -> Self {
        Self { error: Box::new(error), decision: None }
    }
}

impl From<Unplanned> for Error {
    fn from(unplanned: Unplanned) -> Self {
        *unplanned.error
    }
}

/// When a call is planned, and a random number that decides among weights.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Duration,
    pub draw: u64,
}

/// Plans a call. Left out are targets that can't be told of all that the call asks, and those that its
/// wishes exclude.
///
/// # Errors
/// When no rule takes the call, or none of its candidates is left; the error names what to change.
pub fn route<'a>(
    snapshot: &'a Snapshot,
    call: &Call,
    wishes: &Wishes,
    asking: Asking<'_>,
    moment: Moment,
) -> Result<Plan<'a>, Unplanned> {
    let served = match snapshot.router.find(&call.model, asking) {
        Found::Served(served) => served,
        Found::Otherwise(rule) => return Err(otherwise(call, rule).into()),
        Found::Unknown => return Err(unknown(snapshot, &call.model).into()),
    };
    let rule = &*served.rule;
    let (served, downgraded_by) = served.now(Spender { route: &rule.route, caller: asking.caller, wishes });
    wishes.check_allowed(rule)?;
    wishes.check_met(&call.model)?;
    let fallback = wishes.fallback.unwrap_or(rule.fallback);
    let strategy = wishes.strategy.unwrap_or(rule.strategy);
    let estimate = difficulty(served, call);
    let scales = Scales::new((call, wishes), strategy, (snapshot, served), estimate, moment.now)?;
    let mut fit: SmallVec<[&Candidate; 16]> = SmallVec::new();
    let mut facts = SmallVec::<[_; 16]>::new();
    let mut excluded: Vec<(&Candidate, Exclusion)> = Vec::new();
    for candidate in &served.candidates {
        match scales.weigh(candidate) {
            Ok(found) => {
                fit.push(candidate);
                facts.push(found);
            }
            Err(exclusion) => excluded.push((candidate, exclusion)),
        }
    }
    let decide = |order: &Order| {
        let asked = (call, rule, strategy, estimate);
        wishes.explained().then(|| Box::new(Decision::new(asked, (&fit, &facts, order), &excluded)))
    };
    if fit.is_empty() {
        let decision = decide(&Order::default());
        let error = Box::new(scales.refusal(served, &excluded));
        return Err(Unplanned { error, decision });
    }
    let user = rule.sticky.and(wishes.user.as_deref());
    let draw = user.map_or(moment.draw, |user| sticky(&rule.route, user));
    let order = rank(ranking(strategy), &facts, draw);
    let decision = decide(&order);
    let candidates = order.iter().filter_map(|ranked| fit.get(ranked.index).copied()).collect();
    Ok(Plan { rule, fallback, decision, downgraded_by, candidates })
}

/// How hard a call is, where its rule wants to know: one that names its model gets that.
fn difficulty(served: &Served, call: &Call) -> Option<Estimate> {
    let asked = served.rule.complexity.is_some() && call.api.task() == Task::Chat;
    if !asked || served.candidates.iter().any(|candidate| candidate.facts.named) {
        return None;
    }
    if let Some(plain) = call.plain() {
        return Some(estimate_plain(&plain));
    }
    // What the gateway can't read may pass through all the same.
    match call.meaning() {
        Ok(Meaning::Chat(request)) => Some(estimate(request)),
        _ => None,
    }
}

/// The same number for the same user of a route, in every proxy of every version: proxies of two serve beside each
/// other while they are upgraded. XXH3 is written down, as the hashes of the standard library are not.
fn sticky(route: &str, user: &str) -> u64 {
    xxh3_64_with_seed(user.as_bytes(), xxh3_64(route.as_bytes()))
}

/// The model is served, but not for such a call.
fn otherwise(call: &Call, rule: &Rule) -> Error {
    Error::NoRuleMatches { model: excerpt(&call.model), route: rule.route.to_string() }
}

/// The refusal of a model that is not served, with the names that it may have been meant for.
pub fn unknown(snapshot: &Snapshot, model: &str) -> Error {
    let asked = excerpt(model);
    if snapshot.router.is_empty() {
        return match snapshot.callers.pod() {
            Some(pod) => Error::NoRoutesForPod { model: asked, pod },
            None => Error::NoRoutes { model: asked },
        };
    }
    let lower = asked.to_lowercase();
    let mut near: Vec<(f64, &str)> = snapshot
        .router
        .names()
        .map(|(name, _)| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let near = near.into_iter().take(NEAR_NAMES).map(|(_, name)| name.to_owned()).collect();
    Error::UnknownModel { model: asked, near }
}

#[cfg(test)]
mod tests;
