//! Where calls go, by what they ask and by what kinds of providers can be told.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod rules;
mod wishes;

use std::{collections::BTreeMap, sync::Arc};

use http::HeaderMap;
use llm_dialect::{Dialect, surface::Api};
use serde_json::{Value, json};

use super::*;
use crate::{
    clock,
    snapshot::Target,
    stage::decode::decode,
    upstream::{client::Clients, health::Healths},
    wire,
};

/// Now, with that number among weights.
fn drawn(draw: u64) -> Moment {
    Moment { now: clock::now(), draw }
}

/// A snapshot of one rule for the model `m`: each backend is a pool of providers, with a weight.
fn snapshot(backends: &[(u32, &[Value])]) -> Snapshot {
    let pools: BTreeMap<String, Value> = backends
        .iter()
        .enumerate()
        .map(|(i, (_, providers))| (format!("ai/{i}"), json!({"providers": providers})))
        .collect();
    let backends: Vec<Value> = backends
        .iter()
        .enumerate()
        .map(|(i, (weight, _))| json!({"pool": format!("ai/{i}"), "models": ["m"], "weight": weight}))
        .collect();
    let rule =
        json!({"models": ["m"], "backends": backends, "timeouts": {"requestMs": 1000, "idleMs": 1000}});
    let document = json!({"routes": {"ai/chat": {"rules": [rule]}}, "pools": pools});
    let document = serde_json::from_value(document).unwrap();
    Snapshot::build(document, &Arc::default(), &Clients::new(1), &Healths::default(), &Arc::default())
        .unwrap()
}

fn provider(name: &str, kind: &str, priority: u32) -> Value {
    let upstream = match kind {
        "Simulated" => json!({
            "kind": kind, "latencyMs": 0, "timeToFirstTokenMs": 0, "tokensPerSecond": 1, "errorPpm": 0, "errorStatus": 503,
        }),
        "Responses" => json!({"kind": "OpenAI", "endpoint": "http://127.0.0.1:1/v1", "responses": true}),
        kind => json!({"kind": kind, "endpoint": "http://127.0.0.1:1/v1"}),
    };
    let price = json!({"input": 0, "cachedInput": 0, "cacheWrite": 0, "output": 0});
    json!({
        "name": name, "priority": priority, "weight": 1, "upstream": upstream,
        "models": [{"name": "m", "upstreamName": "m", "price": price}],
    })
}

fn call(api: Api, body: &Value) -> Call {
    decode(api, Some("m".into()), bytes::Bytes::from(body.to_string()).into(), &mut Wishes::default())
        .unwrap()
}

fn planned<'a>(snapshot: &'a Snapshot, call: &Call, draw: u64) -> Result<Plan<'a>, Error> {
    let headers = HeaderMap::new();
    let asking = Asking { headers: &headers, dialect: call.api.dialect(), path: "/", caller: None };
    Ok(route(snapshot, call, &Wishes::default(), asking, drawn(draw))?)
}

fn first<'a>(snapshot: &'a Snapshot, call: &Call) -> &'a Target {
    &planned(snapshot, call, 1).unwrap().get(0).unwrap().target
}

/// The first and second choices of many draws.
fn chosen(snapshot: &Snapshot, call: &Call) -> BTreeMap<(String, String), usize> {
    let mut chosen = BTreeMap::new();
    let mut chance = fastrand::Rng::with_seed(7);
    for _ in 0..400 {
        let plan = planned(snapshot, call, chance.u64(..)).unwrap_or_else(|error| panic!("{error}"));
        let name = |place| plan.get(place).map(|candidate| candidate.target.provider.name.to_string());
        let first = name(0).unwrap();
        *chosen.entry((first.clone(), name(1).unwrap_or(first))).or_default() += 1;
    }
    chosen
}

fn pair(first: &str, second: &str) -> (String, String) {
    (format!("ai/{first}"), format!("ai/{second}"))
}

fn refusal(snapshot: &Snapshot, call: &Call) -> Error {
    planned(snapshot, call, 1).unwrap_err()
}

fn asked(more: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn shares_follow_the_weights_of_backends_and_the_second_choice_is_another_backend() {
    let snapshot = snapshot(&[(3, &[provider("a", "OpenAI", 0)]), (1, &[provider("b", "OpenAI", 0)])]);
    let chosen = chosen(&snapshot, &call(Api::ChatCompletions, &asked(&json!({}))));
    assert_eq!(chosen.len(), 2, "{chosen:?}");
    let often = chosen[&pair("0/a", "1/b")];
    assert!((260..340).contains(&often), "three of four: {chosen:?}");
}

#[test]
fn the_next_priority_stands_behind_the_first_and_takes_over_where_the_first_can_not() {
    let providers = [provider("claude", "Anthropic", 0), provider("gpt", "OpenAI", 1)];
    let snapshot = snapshot(&[(1, &providers)]);
    let plain = call(Api::ChatCompletions, &asked(&json!({})));
    assert_eq!(chosen(&snapshot, &plain).into_keys().collect::<Vec<_>>(), [pair("0/claude", "0/gpt")]);
    let seeded = call(Api::ChatCompletions, &asked(&json!({"seed": 7})));
    assert_eq!(chosen(&snapshot, &seeded).into_keys().collect::<Vec<_>>(), [pair("0/gpt", "0/gpt")]);
}

#[test]
fn a_backend_that_can_not_be_told_is_left_out_and_all_of_them_are_a_refusal_that_names_the_field() {
    let (ours, claude) = ([provider("gpt", "OpenAI", 0)], [provider("claude", "Anthropic", 0)]);
    let both = snapshot(&[(1, &ours), (1, &claude)]);
    let wishful = call(Api::ChatCompletions, &asked(&json!({"logit_bias": {"1": 2}})));
    assert_eq!(chosen(&both, &wishful).into_keys().collect::<Vec<_>>(), [pair("0/gpt", "0/gpt")]);

    let refused = refusal(&snapshot(&[(1, &claude)]), &wishful);
    assert_eq!((refused.code(), refused.param()), ("unsupported_parameter", Some("logit_bias")));
    assert!(refused.to_string().contains("Anthropic"), "{refused}");
    assert_eq!(refused.status(), 400);
}

#[test]
fn the_simulated_provider_is_held_to_its_limits_also_in_the_dialect_that_it_speaks() {
    let providers = [provider("sim", "Simulated", 0), provider("gpt", "OpenAI", 1)];
    let several = call(Api::ChatCompletions, &asked(&json!({"n": 2})));
    let chosen = chosen(&snapshot(&[(1, &providers)]), &several);
    assert_eq!(chosen.into_keys().collect::<Vec<_>>(), [pair("0/gpt", "0/gpt")]);
    let refused = refusal(&snapshot(&[(1, &providers[..1])]), &several);
    assert_eq!((refused.code(), refused.param()), ("unsupported_parameter", Some("n")));
}

#[test]
fn what_only_the_older_of_openais_apis_has_goes_by_it() {
    let snapshot = snapshot(&[(1, &[provider("gpt", "Responses", 0)])]);
    let by = |more: &Value| {
        let mut body = asked(more);
        body["max_tokens"] = json!(9);
        let call = call(Api::Messages, &body);
        wire::way(&call, first(&snapshot, &call)).unwrap()
    };
    assert_eq!(by(&json!({})), Some(Api::Responses));
    assert_eq!(by(&json!({"stop_sequences": ["x"]})), Some(Api::ChatCompletions));
    let own = call(Api::ChatCompletions, &asked(&json!({})));
    assert_eq!(wire::way(&own, first(&snapshot, &own)).unwrap(), Some(Api::ChatCompletions));
}

#[test]
fn a_model_is_not_called_for_what_it_does_not_do() {
    let snapshot = snapshot(&[(1, &[provider("gpt", "OpenAI", 0)])]);
    let embedding = call(Api::Embeddings, &json!({"model": "m", "input": "x"}));
    let refused = refusal(&snapshot, &embedding);
    assert_eq!((refused.code(), refused.param()), ("unsupported_operation", Some("model")));
}

#[test]
fn pictures_are_counted_by_who_can_and_else_refused_in_the_callers_words() {
    let picture =
        json!({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}]});
    let count = call(Api::GeminiCountTokens, &picture);
    let both = snapshot(&[(1, &[provider("gpt", "OpenAI", 0)]), (1, &[provider("claude", "Anthropic", 0)])]);
    assert_eq!(chosen(&both, &count).into_keys().collect::<Vec<_>>(), [pair("1/claude", "1/claude")]);
    let refused = refusal(&snapshot(&[(1, &[provider("gpt", "OpenAI", 0)])]), &count);
    assert_eq!((refused.code(), refused.param()), ("unsupported_parameter", Some("contents")));
}

#[test]
fn a_weight_of_nothing_everywhere_is_told_apart_from_what_can_not_be_expressed() {
    let snapshot = snapshot(&[(0, &[provider("gpt", "OpenAI", 0)])]);
    let refused = refusal(&snapshot, &call(Api::ChatCompletions, &asked(&json!({"seed": 1}))));
    assert_eq!((refused.code(), refused.status().as_u16()), ("no_provider", 503));
}

#[test]
fn a_call_that_passes_is_never_read_further() {
    let snapshot = snapshot(&[(1, &[provider("gpt", "OpenAI", 0)])]);
    let call = call(Api::ChatCompletions, &asked(&json!({"seed": 1})));
    let wire = wire::Wire::new(&call, first(&snapshot, &call)).unwrap().unwrap();
    assert!(wire.passes() && wire.left_out().is_empty());
    wire.request_body().unwrap();
    assert!(!call.was_read());
}
