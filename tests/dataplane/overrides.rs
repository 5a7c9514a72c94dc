//! What a request may choose, by header and by body: each wish where its rule allows it, where the rule
//! does not, and where it can't be met. The table is printed, and kept in `target/overrides.md`.

use crate::documents::{MODEL, call, completion, provider};
use harness::http::{json_request, send};
use harness::{Proxy, RawUpstream, Step, answer, markdown, workspace};
use serde_json::{Value, json};

/// A wish, said by header and by body, with what it should come to.
struct Wish {
    header: (&'static str, &'static str),
    body: Value,
    met: &'static str,
    /// By a rule without `clientOverrides`.
    forbidden: &'static str,
}

fn wishes() -> Vec<Wish> {
    let wish = |header, body, met, forbidden| Wish { header, body, met, forbidden };
    let routing = |name: &str, value: Value| json!({"routing": {name: value}});
    let label = |name: &str| json!({"metadata": {name: "someone"}});
    let no = "403 wish_not_allowed";
    vec![
        wish(
            ("x-llm-strategy", "QualityOptimized"),
            routing("strategy", json!("QualityOptimized")),
            "good",
            no,
        ),
        wish(("x-llm-prefer-providers", "good"), routing("preferProviders", json!(["good"])), "good", no),
        wish(("x-llm-exclude-providers", "cheap"), routing("excludeProviders", json!(["cheap"])), "good", no),
        wish(
            ("x-llm-require-capabilities", "Vision"),
            routing("requireCapabilities", json!(["Vision"])),
            "good",
            no,
        ),
        wish(("x-llm-max-cost-usd", "0.5"), routing("maxCostUsd", json!(0.5)), "cheap", no),
        wish(("x-llm-max-latency-ms", "9000"), routing("maxLatencyMs", json!(9000)), "cheap", no),
        wish(("x-llm-fallback", "false"), routing("fallback", json!(false)), "cheap", no),
        wish(("x-llm-cache", "false"), routing("cache", json!(false)), "cheap", no),
        wish(("x-llm-user", "someone"), label("user"), "cheap", "cheap"),
        wish(("x-llm-project", "someone"), label("project"), "cheap", "cheap"),
        wish(("x-llm-feature", "someone"), label("feature"), "cheap", "cheap"),
        wish(("x-llm-explain", "true"), routing("explain", json!(true)), "cheap", "cheap"),
        wish(
            ("x-llm-max-cost-usd", "0.0000001"),
            routing("maxCostUsd", json!("0.0000001")),
            "400 wish_unmet",
            no,
        ),
        wish(
            ("x-llm-prefer-providers", "nobody"),
            routing("preferProviders", json!("nobody")),
            "400 wish_unmet",
            no,
        ),
        wish(
            ("x-llm-exclude-providers", "chep"),
            routing("excludeProviders", json!("chep")),
            "400 wish_unmet",
            no,
        ),
        wish(("x-llm-cache", "true"), routing("cache", json!(true)), "400 wish_unmet", no),
        wish(
            ("x-llm-require-capabilities", "Coding"),
            routing("requireCapabilities", json!(["Coding"])),
            "400 wish_unmet",
            no,
        ),
        wish(
            ("x-llm-strategy", "Fastest"),
            routing("strategy", json!("Fastest")),
            "400 invalid_wish",
            "400 invalid_wish",
        ),
        wish(
            ("x-llm-colour", "red"),
            routing("colour", json!("red")),
            "400 invalid_wish",
            "400 invalid_wish",
        ),
    ]
}

/// Two pools of one provider each, asked in this order.
fn document(urls: &[&str; 2], overrides: &Value) -> Value {
    let mut providers = [provider("cheap", urls[0], 0, 1), provider("good", urls[1], 0, 1)];
    providers[0]["models"][0]["qualityPpm"] = json!(200_000);
    providers[1]["models"][0]["qualityPpm"] = json!(900_000);
    providers[1]["models"][0]["capabilities"] = json!(["Vision"]);
    let backend = |pool: &str| json!({"pool": pool, "models": [MODEL], "weight": 1});
    let [cheap, good] = providers.map(|provider| json!({"providers": [provider]}));
    json!({
        "routes": {"ai/chat": {"rules": [{
            "models": [MODEL], "backends": [backend("ai/a"), backend("ai/b")], "strategy": "Ordered",
            "clientOverrides": overrides, "timeouts": {"requestMs": 20_000, "idleMs": 20_000},
        }]}},
        "pools": {"ai/a": cheap, "ai/b": good},
    })
}

/// Who answers, or the status and the code of the refusal; a refusal names the wish.
async fn outcome(proxy: &Proxy, header: Option<(&'static str, &'static str)>, more: &Value) -> String {
    let mut body = call();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut request = json_request(&proxy.chat_url(), &body);
    if let Some((name, value)) = header {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = send(request).await.unwrap();
    if answer.status.is_success() {
        let provider = answer.header("x-llm-provider").unwrap();
        return provider.rsplit('/').next().unwrap().to_owned();
    }
    let error = &answer.json()["error"];
    let name = header.map_or_else(
        || {
            let (object, fields) = more.as_object().unwrap().iter().next().unwrap();
            format!("{object}.{}", fields.as_object().unwrap().keys().next().unwrap())
        },
        |(name, _)| name.to_owned(),
    );
    assert_eq!(error["param"], json!(name), "{error}");
    assert!(error["message"].as_str().unwrap().contains(&name), "{error}");
    format!("{} {}", answer.status.as_u16(), error["code"].as_str().unwrap())
}

#[tokio::test]
async fn every_wish_by_header_and_by_body() {
    let good = || RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]);
    let (first, second) = (good().await, good().await);
    let urls = [first.url(), second.url()];
    let all = json!(["Strategy", "Providers", "Capabilities", "Cost", "Latency", "Fallback", "Cache"]);
    let open = Proxy::start(&document(&urls, &all), &[]).await;
    let closed = Proxy::start(&document(&urls, &json!([])), &[]).await;
    let mut rows =
        vec![["wish", "said by", "where it is allowed", "where it is not"].map(str::to_owned).to_vec()];
    let mut surprises = Vec::new();
    for wish in wishes() {
        let (name, value) = wish.header;
        let by_header = (format!("`{name}: {value}`"), Some(wish.header), json!({}));
        let by_body = (format!("`{}`", wish.body), None, wish.body.clone());
        for (said, header, body) in [by_header, by_body] {
            let found = [outcome(&open, header, &body).await, outcome(&closed, header, &body).await];
            if found != [wish.met, wish.forbidden] {
                surprises.push(format!("{said}: {found:?}"));
            }
            let [met, forbidden] = found;
            let by = if header.is_some() { "header" } else { "body" };
            rows.push(vec![said, by.to_owned(), met, forbidden]);
        }
    }
    let table = markdown(&rows);
    println!("{table}");
    std::fs::write(workspace().join("target/overrides.md"), &table).unwrap();
    assert!(surprises.is_empty(), "{surprises:#?}");
    for request in [first.requests(), second.requests()].concat() {
        assert!(
            !request.contains("routing") && !request.contains("metadata"),
            "no provider sees it: {request}"
        );
        assert!(!request.contains("x-llm-"), "{request}");
    }
}

#[tokio::test]
async fn a_header_goes_before_the_body_and_what_is_a_vendors_own_stays() {
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    let proxy = Proxy::start(&document(&[upstream.url(), upstream.url()], &json!(["Providers"])), &[]).await;
    let more =
        json!({"routing": {"excludeProviders": ["cheap"]}, "metadata": {"user": "u", "trace": "kept"}});
    assert_eq!(outcome(&proxy, Some(("x-llm-exclude-providers", "good")), &more).await, "cheap");
    let sent = upstream.requests();
    assert!(sent[0].contains(r#""metadata":{"trace":"kept"}"#), "{}", sent[0]);
}
