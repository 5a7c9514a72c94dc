//! Where a call would go, and why, without a proxy and without a provider: the stages up to the plan,
//! run on a document that nobody serves. There is no history then, so what running proxies have
//! learned of their providers is missing: how long each takes, and how often it fails.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use llm_config::{Conditions, Document, Strategy};
use llm_dialect::Dialect;

pub use crate::stage::route::{Considered, Decision};
use crate::{
    Limits, clock,
    error::Error,
    snapshot::{Snapshot, callers::Identity, router::Asking},
    stage::{
        authenticate::authenticate,
        decode::{Call, decode},
        identify::{Endpoint, dialect, identify},
        route::{Moment, Plan, route},
        wish::Wishes,
    },
    upstream::{client::Clients, health::Healths},
};

/// A call as an application would send it, by POST.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// With its query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Where it would go, and the rule that says so.
#[derive(Debug)]
pub struct Explained {
    pub decision: Decision,
    /// What the rule serves.
    pub models: Vec<String>,
    /// What a call must be besides.
    pub when: Conditions,
    /// Whether others than the first choice are asked.
    pub fallback: bool,
    /// Another call of the same kind may find another order, by the weights.
    pub drawn: bool,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Unexplained {
    /// Every problem that keeps the document from being run.
    #[error("{}", .0.join("\n"))]
    Document(Vec<String>),
    /// It could not even be sent.
    #[error("{0}")]
    Unsendable(String),
    #[error("{path} calls no model: there is nothing to plan")]
    NoCall { path: String },
    /// What the proxy would answer.
    #[error("refused with {status} {code}: {0}", status = .0.status().as_u16(), code = .0.code())]
    Refused(#[from] Error),
}

/// Plans a call as a proxy would that has just begun to serve the document.
///
/// # Errors
/// When the document can't be run, or the call would be refused.
pub fn explain(document: Document, request: &Request) -> Result<Explained, Unexplained> {
    let mut planner = Planner::new(document, request)?;
    // It has been asked for by this, whatever the call itself says.
    planner.wishes.explain = Some(true);
    // The same draw each time: the same question has the same answer.
    let mut plan = planner.plan(0)?;
    let Some(decision) = plan.decision.take() else {
        return Err(Unexplained::NoCall { path: request.path.clone() });
    };
    Ok(explained(&planner.snapshot, &plan, &planner.wishes, *decision))
}

/// A call at the door of the stage that plans it, with the document to plan it by. It may be planned any
/// number of times: how long that takes is measured by this.
pub struct Planner {
    snapshot: Snapshot,
    call: Call,
    wishes: Wishes,
    parts: Parts,
    dialect: Dialect,
    identity: Option<Arc<Identity>>,
}

impl Planner {
    /// Takes the call through the stages before.
    ///
    /// # Errors
    /// When the document can't be run, or the call would be refused there.
    pub fn new(document: Document, request: &Request) -> Result<Self, Unexplained> {
        let parts = parts(request)?;
        // Nobody is called: there are no workers.
        let snapshot = Snapshot::build(
            document,
            &Arc::default(),
            &Clients::new(0),
            &Healths::default(),
            &Arc::default(),
        )
        .map_err(Unexplained::Document)?;
        let limits = Limits::default();
        let dialect = dialect(&parts);
        let Endpoint::Call { api, model } = identify(&parts, dialect, &limits)? else {
            return Err(Unexplained::NoCall { path: request.path.clone() });
        };
        let identity = authenticate(&snapshot.callers, 0, &parts, None)?;
        let mut wishes = Wishes::of_headers(&parts.headers)?;
        if request.body.len() > limits.max_body_bytes {
            return Err(Error::BodyTooLarge { limit: limits.max_body_bytes }.into());
        }
        let call = decode(api, model, Bytes::copy_from_slice(&request.body).into(), &mut wishes)?;
        Ok(Self { snapshot, call, wishes, parts, dialect, identity })
    }

    /// Plans it; `draw` is the random number that decides among weights.
    ///
    /// # Errors
    /// When no rule takes the call, or none of its candidates is left.
    pub fn plan(&self, draw: u64) -> Result<Plan<'_>, Error> {
        let Self { snapshot, call, wishes, parts, dialect, identity } = self;
        let asking = Asking {
            headers: &parts.headers,
            dialect: *dialect,
            path: parts.uri.path(),
            caller: identity.as_deref(),
        };
        Ok(route(snapshot, call, wishes, asking, Moment { now: clock::now(), draw })?)
    }
}

fn explained(snapshot: &Snapshot, plan: &Plan<'_>, wishes: &Wishes, decision: Decision) -> Explained {
    let route = snapshot.document.routes.get(&decision.route);
    let rule = route.and_then(|route| route.rules.get(decision.rule));
    let by_weight = matches!(decision.strategy, Strategy::Weighted | Strategy::Ordered);
    let stuck = plan.rule.sticky.is_some() && wishes.user.is_some();
    Explained {
        models: rule.map(|rule| rule.models.clone()).unwrap_or_default(),
        when: plan.rule.when.clone(),
        fallback: plan.fallback,
        drawn: by_weight && !stuck && plan.candidates().len() > 1,
        decision,
    }
}

/// The head of the request. JSON is what the body is unless it is said to be something else.
fn parts(request: &Request) -> Result<Parts, Unexplained> {
    let unsendable = |what: &str, error: &dyn std::error::Error| {
        Unexplained::Unsendable(format!("{what} can't be sent: {error}"))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let what = format!("the header `{name}`");
        headers.append(
            HeaderName::try_from(name).map_err(|error| unsendable(&what, &error))?,
            HeaderValue::try_from(value).map_err(|error| unsendable(&what, &error))?,
        );
    }
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    let made = http::Request::post(&request.path).body(());
    let (mut parts, ()) =
        made.map_err(|error| unsendable(&format!("the path `{}`", request.path), &error))?.into_parts();
    parts.headers = headers;
    Ok(parts)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use serde_json::{Value, json};

    use super::*;

    /// A route for `m` at two providers, and for `g` where a header says so.
    fn document(more: &Value) -> Document {
        let provider = |name: &str, output: u32, capabilities: &[&str]| {
            let price = json!({"input": 0, "cachedInput": 0, "cacheWrite": 0, "output": output});
            json!({
                "name": name, "priority": 0, "weight": 1,
                "upstream": {"kind": "OpenAI", "endpoint": "https://models.example/v1"},
                "models": [{"name": "m", "upstreamName": "m", "price": price, "capabilities": capabilities}],
            })
        };
        let rule = |models: Value, when: Value| {
            let mut rule = json!({
                "models": models, "when": when, "backends": [{"pool": "ai/p", "models": ["m"], "weight": 1}],
                "timeouts": {"requestMs": 1000, "idleMs": 1000},
            });
            rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rule
        };
        let rules =
            [rule(json!(["m"]), json!({})), rule(json!(["g"]), json!({"headers": [{"name": "x-team"}]}))];
        serde_json::from_value(json!({
            "routes": {"ai/chat": {"rules": rules}},
            "pools": {"ai/p": {"providers": [provider("dear", 9_000_000, &["Vision"]), provider("cheap", 1, &[])]}},
        }))
        .unwrap()
    }

    fn call(model: &str) -> Request {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
        Request {
            path: "/v1/chat/completions".to_owned(),
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        }
    }

    fn with(request: Request, name: &str, value: &str) -> Request {
        Request { headers: vec![(name.to_owned(), value.to_owned())], ..request }
    }

    fn refusal(more: &Value, request: &Request) -> String {
        explain(document(more), request).unwrap_err().to_string()
    }

    #[test]
    fn a_call_is_explained_whether_it_asks_or_not() {
        let more = json!({"strategy": "CostOptimized", "clientOverrides": ["Capabilities"]});
        let asked = with(call("m"), "x-llm-explain", "false");
        for request in [call("m"), asked] {
            let explained = explain(document(&more), &request).unwrap();
            let names: Vec<&str> =
                explained.decision.candidates.iter().map(|candidate| candidate.provider.as_str()).collect();
            assert_eq!(names, ["ai/p/cheap", "ai/p/dear"]);
            assert!(!explained.drawn && explained.fallback && explained.when.is_empty());
            assert_eq!((explained.models, explained.decision.rule), (vec!["m".to_owned()], 0));
        }
        let seeing = with(call("m"), "x-llm-require-capabilities", "Vision");
        let left_out = explain(document(&more), &seeing).unwrap().decision.candidates.pop().unwrap();
        assert_eq!(left_out.excluded.as_deref(), Some("it lacks the capability Vision"));
    }

    #[test]
    fn headers_and_paths_decide_as_they_do_in_a_proxy() {
        let more = json!({});
        assert!(refusal(&more, &call("g")).contains("but not for a call like this"));
        let explained = explain(document(&more), &with(call("g"), "X-Team", "a")).unwrap();
        assert_eq!((explained.decision.rule, explained.when.headers.len()), (1, 1));
        assert!(explained.drawn, "by the weights of two providers");
        let gemini = Request {
            path: "/v1beta/models/m:generateContent?key=k".to_owned(),
            body: json!({"contents": [{"parts": [{"text": "Hi"}]}]}).to_string().into_bytes(),
            ..Request::default()
        };
        assert_eq!(explain(document(&more), &gemini).unwrap().decision.model, "m");
    }

    #[test]
    fn who_sticks_to_a_user_is_not_drawn() {
        let sticky = json!({"sticky": "User"});
        assert!(explain(document(&sticky), &call("m")).unwrap().drawn);
        assert!(!explain(document(&sticky), &with(call("m"), "x-llm-user", "u")).unwrap().drawn);
    }

    #[test]
    fn what_a_proxy_would_refuse_is_refused_in_its_words() {
        let more = json!({});
        let at = |path: &str| Request { path: path.to_owned(), ..call("m") };
        for (request, wanted) in [
            (
                call("mm"),
                "refused with 404 model_not_found: The model 'mm' is not served here. Did you mean m?",
            ),
            (
                with(call("m"), "x-llm-strategy", "Balanced"),
                "refused with 403 wish_not_allowed: LLMRoute ai/chat does not let callers choose by 'x-llm-strategy'",
            ),
            (Request { body: b"{\"model\": ".to_vec(), ..call("m") }, "refused with 400 invalid_json: "),
            (at("/v2/chat"), "refused with 404 unknown_url: "),
            (at("/api/show"), "/api/show calls no model"),
            (at("a b"), "the path `a b` can't be sent: "),
            (with(call("m"), "x y", "1"), "the header `x y` can't be sent: "),
        ] {
            let said = refusal(&more, &request);
            assert!(said.starts_with(wanted), "{wanted}\n{said}");
        }
    }
}
