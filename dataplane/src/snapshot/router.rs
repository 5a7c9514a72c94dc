//! Names of models to the rules that serve them, the most specific rule first.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use http::HeaderMap;
use llm_config::{self as config, Conditions, Document};
use llm_dialect::Dialect;
use llm_routing::pattern;

use super::{
    budgets::Budgets,
    callers::Identity,
    served::{Builder, Rule, Served},
};

/// What of a call decides among rules, besides the model.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub headers: &'a HeaderMap,
    pub dialect: Dialect,
    pub path: &'a str,
    /// Who calls, where that is known.
    pub caller: Option<&'a Identity>,
}

/// All rules in force, by the names that they serve.
#[derive(Debug, Default)]
pub struct Router {
    /// Names that a rule or a pool knows, each with its rules by precedence.
    exact: HashMap<Box<str>, Vec<Served>>,
    /// Patterns by precedence, for all other names.
    patterns: Vec<(Box<str>, Served)>,
}

/// Where a call leads.
#[derive(Debug)]
pub enum Found<'a> {
    Served(&'a Served),
    /// Rules serve the model, but not for such a call: the first of them.
    Otherwise(&'a Rule),
    Unknown,
}

impl Router {
    pub fn build(document: &Document, builder: &mut Builder<'_>, budgets: &Budgets) -> Self {
        let mut all = Vec::new();
        for (key, route) in &document.routes {
            let name: Arc<str> = key.as_str().into();
            for (place, rule) in route.rules.iter().enumerate() {
                let made = Arc::new(Rule::new(name.clone(), place, rule, budgets));
                all.extend(rule.models.iter().map(|model| (model, rule, made.clone())));
            }
        }
        all.sort_by_cached_key(|(model, rule, _)| Reverse(precedence(model, &rule.when)));
        let mut router = Self::default();
        let named = all.iter().map(|(model, ..)| model.as_str()).filter(|model| !pattern::is_pattern(model));
        // A pattern stands for the models that its own rule has; another rule's are none of its names.
        let offered = all.iter().flat_map(|(model, rule, _)| {
            let models = rule.backends.iter().flat_map(|backend| &backend.models);
            models.filter(|offered| pattern::is_pattern(model) && pattern::fits(model, offered))
        });
        for name in named.chain(offered.map(String::as_str)) {
            if router.exact.contains_key(name) {
                continue;
            }
            let rules = all.iter().filter(|(model, ..)| pattern::fits(model, name));
            let served: Vec<Served> =
                rules.map(|(_, rule, made)| builder.serve(made.clone(), rule, name)).collect();
            if !served.is_empty() {
                router.exact.insert(name.into(), served);
            }
        }
        // What fits none of the names above is nobody's model: an alias.
        for (model, rule, made) in all.iter().filter(|(model, ..)| pattern::is_pattern(model)) {
            router.patterns.push((model.as_str().into(), builder.serve(made.clone(), rule, model)));
        }
        router
    }

    /// The rule that takes a call.
    pub fn find(&self, model: &str, asking: Asking<'_>) -> Found<'_> {
        let mut otherwise = None;
        if let Some(rules) = self.exact.get(model) {
            for served in rules {
                if served.rule.takes(asking) {
                    return Found::Served(served);
                }
                otherwise.get_or_insert(served);
            }
        } else {
            for (_, served) in self.patterns.iter().filter(|(pattern, _)| pattern::fits(pattern, model)) {
                if served.rule.takes(asking) {
                    return Found::Served(served);
                }
                otherwise.get_or_insert(served);
            }
        }
        otherwise.map_or(Found::Unknown, |served| Found::Otherwise(&served.rule))
    }

    /// The names that are known, each with what may answer for it.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[Served])> {
        self.exact.iter().map(|(name, served)| (name.as_ref(), served.as_slice()))
    }

    /// All that is served, by whatever names.
    pub fn served(&self) -> impl Iterator<Item = &Served> {
        self.exact.values().flatten().chain(self.patterns.iter().map(|(_, served)| served))
    }

    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }
}

/// Greater goes first: an exact name before a pattern, a longer pattern before a shorter one, then
/// one for certain callers, then more headers, then a dialect, then a longer path. Equals keep the order of the
/// document. Callers come before headers: what is meant for a caller is not escaped by sending a header.
fn precedence(model: &str, when: &Conditions) -> (bool, usize, bool, usize, bool, usize) {
    let path = when.paths.iter().map(String::len).max().unwrap_or(0);
    (
        !pattern::is_pattern(model),
        pattern::literal_len(model),
        !when.callers.is_empty(),
        when.headers.len(),
        !when.dialects.is_empty(),
        path,
    )
}

/// Whether a call is what a rule takes.
pub fn holds(when: &Conditions, asking: Asking<'_>) -> bool {
    let header = |wanted: &config::HeaderMatch| {
        let mut found = asking.headers.get_all(&wanted.name).iter();
        match &wanted.value {
            Some(value) => found.any(|found| found.as_bytes() == value.as_bytes()),
            None => found.next().is_some(),
        }
    };
    let below = |path: &String| {
        let rest = asking.path.strip_prefix(path.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
    };
    let known = |wanted: &config::CallerMatch| asking.caller.is_some_and(|caller| caller.is(wanted));
    (when.callers.is_empty() || when.callers.iter().any(known))
        && when.headers.iter().all(header)
        && (when.dialects.is_empty() || when.dialects.iter().any(|wanted| same(*wanted, asking.dialect)))
        && (when.paths.is_empty() || when.paths.iter().any(below))
}

fn same(wanted: config::Dialect, dialect: Dialect) -> bool {
    match wanted {
        config::Dialect::OpenAI => dialect == Dialect::OpenAI,
        config::Dialect::Anthropic => dialect == Dialect::Anthropic,
        config::Dialect::Gemini => dialect == Dialect::Gemini,
        config::Dialect::Ollama => dialect == Dialect::Ollama,
    }
}
