//! A call and the snapshot to a plan. Pure: chance is passed in.

use std::{
    cell::OnceCell,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
};

use http::HeaderMap;
use llm_dialect::surface::{Kind, Task};
use llm_routing::rank::{Facts, Order, Strategy, rank};
use smallvec::SmallVec;

use crate::{
    error::Error,
    snapshot::{
        Snapshot, Target,
        router::{Asking, Found},
        served::{Candidate, Rule, Served},
    },
    stage::{decode::Call, identify::excerpt},
    wire,
};

/// Near names that an unknown model is answered with, at most.
const NEAR_NAMES: usize = 5;
/// Who the application's user is, for rules that keep their choice.
const USER_HEADER: &str = "x-llm-user";
/// Bytes of text that make a token, about.
const BYTES_PER_TOKEN: f32 = 4.0;
/// Tokens that a reply is expected to have before the first one has come.
const OUTPUT_TOKENS: f32 = 300.0;

/// Where a call goes, and where it goes next when that fails.
#[derive(Debug)]
pub struct Plan<'a> {
    pub rule: &'a Rule,
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

/// Plans a call; `draw` is a random number that decides among weights. A target that can't be told of
/// all that the call wishes is left out.
pub fn route<'a>(
    snapshot: &'a Snapshot,
    call: &Call,
    asking: Asking<'_>,
    draw: u64,
) -> Result<Plan<'a>, Error> {
    let served = match snapshot.router.find(&call.model, asking) {
        Found::Served(served) => served,
        Found::Otherwise(rule) => return Err(otherwise(call, rule)),
        Found::Unknown => return Err(unknown(snapshot, &call.model)),
    };
    let Served { rule, candidates } = served;
    let fitness = Fitness { call, by_kind: Default::default() };
    let fit: SmallVec<[&Candidate; 16]> =
        candidates.iter().filter(|candidate| fitness.fits(&candidate.target)).collect();
    if fit.is_empty() {
        return Err(fitness.refusal(served));
    }
    if fit.len() == 1 {
        return Ok(Plan { rule, candidates: fit });
    }
    let draw = rule.sticky.and_then(|_| user(asking.headers)).map_or(draw, |user| sticky(&rule.route, user));
    let order = ranked(rule.ranking(), call, &fit, draw);
    let candidates = order.iter().filter_map(|ranked| fit.get(ranked.index).copied()).collect();
    Ok(Plan { rule, candidates })
}

fn ranked(strategy: Strategy, call: &Call, candidates: &[&Candidate], draw: u64) -> Order {
    let facts: SmallVec<[Facts; 16]> = match strategy {
        Strategy::Weighted | Strategy::Ordered => {
            candidates.iter().map(|candidate| candidate.facts).collect()
        }
        Strategy::Scored(_) => candidates.iter().map(|candidate| live(call, candidate)).collect(),
    };
    rank(strategy, &facts, draw)
}

/// What is known of a candidate now.
fn live(call: &Call, candidate: &Candidate) -> Facts {
    let Target { price, series, health, .. } = &*candidate.target;
    #[expect(clippy::cast_precision_loss, reason = "an expectation, not a bill")]
    let (bytes, input_price, output_price) =
        (call.body.bytes.len() as f32, price.input as f32, price.output as f32);
    let output = series.expected_output().unwrap_or(OUTPUT_TOKENS);
    Facts {
        cost: (bytes / BYTES_PER_TOKEN * input_price + output * output_price) / 1e6,
        latency: health.expected_ms(output),
        health: health.share_well(),
        in_flight: health.in_flight.load(std::sync::atomic::Ordering::Relaxed),
        ..candidate.facts
    }
}

fn user(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(USER_HEADER).map(http::HeaderValue::as_bytes).filter(|user| !user.is_empty())
}

/// The same number for the same user of a route, in every proxy of one build.
fn sticky(route: &str, user: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((route, user))
}

/// The model is served, but not for such a call.
fn otherwise(call: &Call, rule: &Rule) -> Error {
    Error::NoRuleMatches { model: excerpt(&call.model), route: rule.route.to_string() }
}

/// What may be told to which kind of provider, found out when it is first asked. A pool's servers of
/// kind OpenAI may have the Responses API or not, and it can say other things: it has a place of its own,
/// the last.
struct Fitness<'c> {
    call: &'c Call,
    by_kind: [OnceCell<Result<(), Error>>; Kind::ALL.len() + 1],
}

impl Fitness<'_> {
    fn fits(&self, target: &Target) -> bool {
        self.does(target) && self.expresses(target).is_ok()
    }

    fn does(&self, target: &Target) -> bool {
        if self.call.api.task() == Task::Embed { target.embeddings } else { target.chat }
    }

    fn expresses(&self, target: &Target) -> Result<(), &Error> {
        // Servers of one kind differ only in whether they have the Responses API.
        let place = if target.provider.responses { Kind::ALL.len() } else { target.kind() as usize };
        let found = self.by_kind[place].get_or_init(|| wire::way(self.call, target).map(drop));
        found.as_ref().copied()
    }

    /// Why none of the targets fits.
    fn refusal(self, served: &Served) -> Error {
        let targets = || served.candidates.iter().map(|candidate| &candidate.target);
        if targets().next().is_some() && !targets().any(|target| self.does(target)) {
            let wanted = if self.call.api.task() == Task::Embed { "embeddings" } else { "chat" };
            return Error::WrongOperation { model: excerpt(&self.call.model), wanted };
        }
        let refused = self.by_kind.into_iter().filter_map(OnceCell::into_inner).find_map(Result::err);
        refused.unwrap_or_else(|| Error::NoProvider {
            model: excerpt(&self.call.model),
            route: served.rule.route.to_string(),
        })
    }
}

/// The refusal of a model that is not served, with the names that it may have been meant for.
pub fn unknown(snapshot: &Snapshot, model: &str) -> Error {
    let asked = excerpt(model);
    if snapshot.router.is_empty() {
        return Error::NoRoutes { model: asked };
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
