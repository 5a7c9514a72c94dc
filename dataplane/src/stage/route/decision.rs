//! Why a call went where it went, for who asks: the candidates in their order, what made it, and what
//! excluded the others.

use llm_config::Strategy;
use llm_routing::{
    complexity::Estimate,
    rank::{Facts, Order, Score},
};
use serde::Serialize;

use super::Exclusion;
use crate::{
    money,
    snapshot::served::{Candidate, Rule},
    stage::decode::Call,
};

/// The choice of one call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The model that was asked for.
    pub model: String,
    /// `namespace/name` of the LLMRoute.
    pub route: String,
    /// The place of the rule in the route, as it was compiled.
    pub rule: usize,
    pub strategy: Strategy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complexity: Option<Difficulty>,
    /// In the order in which they are asked, and then those that are not.
    pub candidates: Vec<Considered>,
}

/// How hard the call is, and by what.
#[derive(Debug, Serialize)]
pub struct Difficulty {
    pub score: f64,
    pub signals: String,
}

/// One candidate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Considered {
    /// `namespace/pool/provider`.
    pub provider: String,
    pub model: String,
    pub priority: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_cost_usd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_latency_ms: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
}

/// A score and its parts, each from 0 to 1.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub cost: f32,
    pub latency: f32,
    pub quality: f32,
    pub health: f32,
    pub room: f32,
    pub total: f32,
}

impl From<Score> for Shown {
    fn from(score: Score) -> Self {
        let Score { cost, latency, quality, health, room, total } = score;
        Self { cost, latency, quality, health, room, total }
    }
}

impl Decision {
    pub fn new(
        (call, rule, strategy, estimate): (&Call, &Rule, Strategy, Option<Estimate>),
        (fit, facts, order): (&[&Candidate], &[Facts], &Order),
        excluded: &[(&Candidate, Exclusion)],
    ) -> Self {
        let scored = !matches!(strategy, Strategy::Weighted | Strategy::Ordered);
        let asked = order.iter().filter_map(|ranked| {
            let (candidate, facts) = (fit.get(ranked.index)?, facts.get(ranked.index)?);
            Some(Considered {
                expected_cost_usd: Some(money::expected_usd(facts.cost)),
                expected_latency_ms: facts.latency.map(f32::round),
                score: scored.then(|| ranked.score.into()),
                ..Considered::of(candidate)
            })
        });
        let others = excluded.iter().map(|(candidate, exclusion)| Considered {
            excluded: Some(exclusion.to_string()),
            ..Considered::of(candidate)
        });
        Self {
            model: call.model.to_string(),
            route: rule.route.to_string(),
            rule: rule.place,
            strategy,
            complexity: estimate
                .map(|estimate| Difficulty { score: estimate.score(), signals: estimate.to_string() }),
            candidates: asked.chain(others).collect(),
        }
    }
}

impl Decision {
    /// The same for a header: `strategy=Balanced rule=ai/chat/0; ai/p/a/gpt-4o 0.93; …`.
    pub fn in_a_line(&self) -> String {
        const MOST_BYTES: usize = 2048;
        let mut line = format!("strategy={:?} rule={}/{}", self.strategy, self.route, self.rule);
        if let Some(Difficulty { score, .. }) = &self.complexity {
            line += &format!(" complexity={score:.2}");
        }
        for candidate in &self.candidates {
            let Considered { provider, model, score, excluded, .. } = candidate;
            let why = match (score, excluded) {
                (_, Some(excluded)) => format!(" excluded: {excluded}"),
                (Some(score), None) => format!(" {:.3}", score.total),
                (None, None) => String::new(),
            };
            line += &format!("; {provider}/{model}{why}");
        }
        line.truncate(line.floor_char_boundary(MOST_BYTES));
        line
    }
}

impl Considered {
    fn of(candidate: &Candidate) -> Self {
        Self {
            provider: candidate.target.provider.name.to_string(),
            model: candidate.target.labels.model.to_string(),
            priority: candidate.facts.priority,
            expected_cost_usd: None,
            expected_latency_ms: None,
            score: None,
            excluded: None,
        }
    }
}
