//! Reviews as an API server sends them, and what it must never be left with.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::Frame;
use kube::{Client, client::Body as ApiBody};
use llm_crds::ProviderPool;
use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::{
    inject::{Asked, Injection, inject},
    observe::Observed,
    report::Outcome,
};

/// One whose operator has observed `observed`, if anything.
fn admitter_of(observed: Option<Observed>) -> Admitter {
    // An API server that shows no Secret.
    let api = tower::service_fn(async |_: Request<ApiBody>| {
        Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(ApiBody::empty())
    });
    let observed = observed.map(|observed| {
        Arc::new(Outcome { observed, compiled: Default::default(), targets: Default::default() })
    });
    let (_, outcomes) = watch::channel(observed);
    let objects = Objects::new(Client::new(api, "default"), outcomes);
    Admitter { injection: Some(Settings::of("llm-gateway")), objects, metrics: Arc::default() }
}

fn admitter() -> Admitter {
    admitter_of(None)
}

fn pod(labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "app-", "creationTimestamp": null, "labels": labels},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]}, "status": {},
    })
}

fn review(pod: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop", "operation": "CREATE", "userInfo": {"username": "admin"},
            "object": pod, "oldObject": null, "dryRun": false,
        },
    });
    change(&mut review["request"]);
    review
}

async fn send(admitter: &Admitter, path: &str, body: impl Into<Bytes>) -> (StatusCode, Bytes) {
    let request = Request::post(format!("{path}?timeout=5s")).body(Full::new(body.into())).unwrap();
    let answer = admitter.answer(request).await;
    (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
}

async fn reviewed(admitter: &Admitter, review: &Value) -> Value {
    let pod = review["request"]["kind"]["kind"] == "Pod";
    let (status, body) = send(admitter, if pod { INJECT } else { VALIDATE }, review.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    answer["response"].clone()
}

fn counted(admitter: &Admitter, kind: &'static str, outcome: &'static str) -> u64 {
    admitter.metrics.admissions.get_or_create(&Admitted { kind, outcome }).get()
}

#[tokio::test]
async fn the_patch_makes_of_the_pod_what_injection_does() {
    let (admitter, pod) = (admitter(), pod(&json!({"app": "shop"})));
    let response = reviewed(&admitter, &review(&pod, |_| ())).await;
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    let patch: Vec<u8> = serde_json::from_value(response["patch"].clone()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch).unwrap();
    let Ok(Injection::Injected { pod: made, .. }) =
        inject(&pod, Asked::ByNamespace, &Settings::of("llm-gateway"))
    else {
        unreachable!()
    };
    assert_eq!(patched, made);
    assert_eq!(counted(&admitter, "Pod", "injected"), 1);

    let again = reviewed(&admitter, &review(&patched, |_| ())).await;
    assert_eq!(again.get("patch"), None, "there is nothing left to do");
    reviewed(&admitter, &review(&pod, |request| request["dryRun"] = true.into())).await;
    assert_eq!(counted(&admitter, "Pod", "injected"), 1, "a dry run is not counted");
    assert_eq!(counted(&admitter, "Pod", "unchanged"), 1);
}

#[tokio::test]
async fn what_can_not_be_done_is_said_and_what_was_not_asked_goes_through() {
    let admitter = admitter();
    let denied = reviewed(&admitter, &review(&pod(&json!({"llmgateway.dev/inject": "yes"})), |_| ())).await;
    assert_eq!(denied["allowed"], false);
    assert_eq!(denied["status"]["message"], "label `llmgateway.dev/inject`: `yes` must be `true` or `false`");
    let odd = reviewed(&admitter, &review(&json!({"spec": 1}), |_| ())).await;
    assert_eq!(odd["allowed"], false);
    assert_eq!(counted(&admitter, "Pod", "refused"), 2);

    let no = reviewed(&admitter, &review(&pod(&json!({"llmgateway.dev/inject": "false"})), |_| ())).await;
    assert_eq!((&no["allowed"], no.get("patch")), (&json!(true), None));
    let mut on_node = pod(&json!({}));
    on_node["spec"]["hostNetwork"] = true.into();
    let passed = reviewed(&admitter, &review(&on_node, |_| ())).await;
    assert_eq!(passed["allowed"], true);
    assert!(
        passed["warnings"][0].as_str().unwrap().starts_with("no sidecar: it uses the network"),
        "{passed}"
    );
    // Whatever a broader rule than ours brings is none of our business.
    for change in [json!({"operation": "UPDATE"}), json!({"subResource": "eviction"})] {
        let response = reviewed(
            &admitter,
            &review(&pod(&json!({})), |request| {
                request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            }),
        )
        .await;
        assert_eq!((&response["allowed"], response.get("patch")), (&json!(true), None));
    }
}

/// Says nothing, for ever.
struct Silence;

impl Body for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_review_is_answered_with_the_reason() {
    let admitter = admitter();
    for body in ["", "{}", "[]", "{\"apiVersion\": \"admission.k8s.io/v1\", \"kind\": \"AdmissionReview\"}"] {
        let (status, said) = send(&admitter, INJECT, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(said.starts_with(b"no AdmissionReview: "), "{said:?}");
    }
    let (status, _) = send(&admitter, VALIDATE, vec![b' '; LONGEST_BODY + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let silent = admitter.answer(Request::post(INJECT).body(Silence).unwrap()).await;
    assert_eq!(silent.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!((counted(&admitter, "Pod", "failed"), counted(&admitter, "", "failed")), (5, 1));
    let lost = admitter.answer(Request::post("/").body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(lost.status(), StatusCode::NOT_FOUND);
    let got = admitter.answer(Request::get(VALIDATE).body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
    let none = Admitter { injection: None, ..admitter };
    let (status, said) = send(&none, INJECT, review(&pod(&json!({})), |_| ()).to_string()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(said.ends_with(b"start llm-operator with --injection\n"), "{said:?}");
}

/// A pool with a header for each name.
fn pool(headers: &[&str]) -> Value {
    let headers: Vec<Value> = headers.iter().map(|name| json!({"name": name, "value": "1"})).collect();
    json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "ProviderPool",
        "metadata": {"name": "pool", "namespace": "ai"},
        "spec": {"providers": [{"name": "p", "kind": "OpenAI", "headers": headers, "models": [{"name": "m"}]}]},
    })
}

/// The review of a pool that becomes `new`.
fn review_of(new: &Value, old: &Value, operation: &str) -> Value {
    review(new, |request| {
        request["kind"] = json!({"group": "llmgateway.dev", "version": "v1alpha1", "kind": "ProviderPool"});
        request["resource"] =
            json!({"group": "llmgateway.dev", "version": "v1alpha1", "resource": "providerpools"});
        request["operation"] = operation.into();
        request["oldObject"] = old.clone();
    })
}

#[tokio::test]
async fn a_spec_that_is_as_it_was_is_never_refused() {
    let admitter = admitter_of(Some(Observed::default()));
    let (good, bad) = (pool(&["x-a"]), pool(&["x-a", "X-A"]));
    let refused = reviewed(&admitter, &review_of(&bad, &Value::Null, "CREATE")).await;
    let message = "spec.providers[0].headers[1].name: `X-A` is given already";
    assert_eq!((&refused["allowed"], &refused["status"]["message"]), (&json!(false), &json!(message)));
    assert_eq!(reviewed(&admitter, &review_of(&bad, &good, "UPDATE")).await["allowed"], false);
    assert_eq!(counted(&admitter, "ProviderPool", "refused"), 2);

    let mut relabelled = bad.clone();
    relabelled["metadata"]["finalizers"] = json!([]);
    let passed = reviewed(&admitter, &review_of(&relabelled, &bad, "UPDATE")).await;
    assert_eq!((&passed["allowed"], passed.get("warnings")), (&json!(true), None));
    assert_eq!(counted(&admitter, "ProviderPool", "unchanged"), 1);
    for (operation, new, old) in [("DELETE", &Value::Null, &bad), ("UPDATE", &good, &bad)] {
        let passed = reviewed(&admitter, &review_of(new, old, operation)).await;
        assert_eq!((&passed["allowed"], passed.get("warnings")), (&json!(true), None), "{operation}");
    }
    let status = review_of(&bad, &good, "UPDATE");
    let mut status = status.clone();
    status["request"]["subResource"] = "status".into();
    assert_eq!(reviewed(&admitter, &status).await["allowed"], true);
}

#[tokio::test]
async fn what_can_not_be_judged_passes_with_a_word() {
    let unready = admitter();
    let passed = reviewed(&unready, &review_of(&pool(&["x-a", "X-A"]), &Value::Null, "CREATE")).await;
    assert_eq!(passed["allowed"], true);
    let said = passed["warnings"][0].as_str().unwrap();
    assert!(said.starts_with("nothing of ProviderPool ai/pool was checked"), "{said}");

    let admitter = admitter_of(Some(Observed::default()));
    let mut newer = pool(&[]);
    newer["spec"]["providers"][0]["kind"] = "Oracle".into();
    assert!(serde_json::from_value::<ProviderPool>(newer.clone()).is_err());
    let passed = reviewed(&admitter, &review_of(&newer, &Value::Null, "CREATE")).await;
    assert_eq!(passed["allowed"], true);
    let said = passed["warnings"][0].as_str().unwrap();
    assert!(said.contains("can't read this ProviderPool") && said.contains("Oracle"), "{said}");
    // A Secret that nobody can be asked for is not said to be missing.
    let mut with_key = pool(&[]);
    with_key["spec"]["providers"][0]["credentials"] = json!({"secretRef": {"name": "keys", "key": "k"}});
    let passed = reviewed(&admitter, &review_of(&with_key, &Value::Null, "CREATE")).await;
    assert_eq!((&passed["allowed"], passed.get("warnings")), (&json!(true), None));
    assert_eq!(counted(&admitter, "ProviderPool", "warned"), 1);
    assert_eq!(counted(&admitter, "ProviderPool", "admitted"), 1);
}
