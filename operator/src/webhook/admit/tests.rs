//! Reviews as an API server sends them, and what it must never be left with.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::Frame;
use serde_json::json;

use super::*;

fn admitter() -> Admitter {
    Admitter { settings: Settings::of("llm-gateway"), metrics: Arc::default() }
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

async fn send(admitter: &Admitter, body: impl Into<Bytes>) -> (StatusCode, Bytes) {
    let request = Request::post("/inject?timeout=5s").body(Full::new(body.into())).unwrap();
    let answer = admitter.answer(request).await;
    (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
}

async fn reviewed(admitter: &Admitter, review: &Value) -> Value {
    let (status, body) = send(admitter, review.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    answer["response"].clone()
}

fn counted(admitter: &Admitter, outcome: &'static str) -> u64 {
    admitter.metrics.admissions.get_or_create(&Admitted { outcome }).get()
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
    let Ok(Injection::Injected { pod: made, .. }) = inject(&pod, Asked::ByNamespace, &admitter.settings)
    else {
        unreachable!()
    };
    assert_eq!(patched, made);
    assert_eq!(counted(&admitter, "injected"), 1);

    let again = reviewed(&admitter, &review(&patched, |_| ())).await;
    assert_eq!(again.get("patch"), None, "there is nothing left to do");
    reviewed(&admitter, &review(&pod, |request| request["dryRun"] = true.into())).await;
    assert_eq!(counted(&admitter, "injected"), 1, "a dry run is not counted");
    assert_eq!(counted(&admitter, "unchanged"), 1);
}

#[tokio::test]
async fn what_can_not_be_done_is_said_and_what_was_not_asked_goes_through() {
    let admitter = admitter();
    let denied = reviewed(&admitter, &review(&pod(&json!({"llmgateway.dev/inject": "yes"})), |_| ())).await;
    assert_eq!(denied["allowed"], false);
    assert_eq!(denied["status"]["message"], "label `llmgateway.dev/inject`: `yes` must be `true` or `false`");
    let odd = reviewed(&admitter, &review(&json!({"spec": 1}), |_| ())).await;
    assert_eq!(odd["allowed"], false);
    assert_eq!(counted(&admitter, "refused"), 2);

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
        let (status, said) = send(&admitter, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(said.starts_with(b"no AdmissionReview: "), "{said:?}");
    }
    let (status, _) = send(&admitter, vec![b' '; LONGEST_BODY + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let silent = admitter.answer(Request::post(PATH).body(Silence).unwrap()).await;
    assert_eq!(silent.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(counted(&admitter, "failed"), 6);
    let lost = admitter.answer(Request::post("/").body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(lost.status(), StatusCode::NOT_FOUND);
    let got = admitter.answer(Request::get(PATH).body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
}
