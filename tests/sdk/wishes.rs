//! What each kind of provider can be asked for, read from the limits by which the gateway refuses.

use llm_dialect::{
    embedding,
    limits::{Limits, Takes},
    openai::SIMULATED_LIMITS,
    surface::{Api, Kind, ProviderSide},
};

/// A wish, and what of it is granted within some limits.
type Wish<L, T> = (&'static str, fn(&L) -> T);

/// A line for each wish that not every kind grants.
pub fn rows() -> Vec<Vec<String>> {
    let chat: [Wish<Limits, String>; 17] = [
        ("temperature", |limits| bounded(limits.max_temperature)),
        ("top k", |limits| yes(limits.top_k)),
        ("presence and frequency penalties", |limits| yes(limits.penalties)),
        ("stop sequences", |limits| most(limits.stop)),
        ("seed", |limits| yes(limits.seed)),
        ("answers to one call", |limits| format!("at most {}", limits.choices)),
        ("JSON without a schema", |limits| yes(limits.json_object)),
        ("JSON by a schema", |limits| yes(limits.json_schema)),
        ("reasoning", |limits| yes(limits.reasoning)),
        ("log probabilities", |limits| yes(limits.logprobs)),
        ("tools", |limits| yes(limits.tools)),
        ("a tool call that is demanded", |limits| yes(limits.tool_choice)),
        ("no parallel tool calls", |limits| yes(limits.serial_tool_calls)),
        ("images", |limits| takes(limits.image)),
        ("audio", |limits| takes(limits.audio)),
        ("video", |limits| takes(limits.video)),
        ("documents", |limits| takes(limits.document)),
    ];
    let embed: [Wish<embedding::Limits, bool>; 6] = [
        ("embeddings", |_| true),
        ("embeddings of tokens", |limits| limits.tokens),
        ("embeddings of chosen length", |limits| limits.dimensions),
        ("embeddings for a task", |limits| limits.task),
        ("embeddings with a title", |limits| limits.title),
        ("embeddings without truncation", |limits| limits.no_truncation),
    ];
    let mut rows = vec![super::table::header("Wish")];
    let mut row = |name: &str, grants: [String; 5]| rows.push([&[name.to_owned()], &grants[..]].concat());
    for (name, grant) in chat {
        row(name, Kind::ALL.map(|kind| grant(chat_limits(kind))));
    }
    for (name, grant) in embed {
        row(name, Kind::ALL.map(|kind| yes(embedding_limits(kind).is_some_and(grant))));
    }
    rows
}

fn chat_limits(kind: Kind) -> &'static Limits {
    match kind.answers_by(Api::ChatCompletions, false, false).and_then(Api::provider) {
        _ if kind == Kind::Simulated => &SIMULATED_LIMITS,
        Some(ProviderSide::Chat(api)) => api.limits(),
        _ => panic!("kind {} does not chat", kind.as_str()),
    }
}

fn embedding_limits(kind: Kind) -> Option<&'static embedding::Limits> {
    match kind.answers_by(Api::Embeddings, false, false)?.provider()? {
        ProviderSide::Embed(api) => Some(api.limits()),
        _ => None,
    }
}

fn yes(granted: bool) -> String {
    if granted { "yes" } else { "no" }.to_owned()
}

fn bounded(most: f64) -> String {
    if most.is_finite() { format!("at most {most}") } else { "yes".to_owned() }
}

fn most(count: usize) -> String {
    if count == usize::MAX { "yes".to_owned() } else { format!("at most {count}") }
}

fn takes(takes: Takes) -> String {
    match (takes.inline, takes.url) {
        (true, true) => "inline or by URL",
        (true, false) => "inline",
        (false, true) => "by URL",
        (false, false) => "no",
    }
    .to_owned()
}
