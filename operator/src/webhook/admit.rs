//! One admission: what the API server asks, to what it does. Nothing is written anywhere, so that a dry
//! run is like any other; only the counts leave it out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, Limited};
use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation, SerializePatchError},
};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::{
    inject::{Asked, INJECT, Injection, Refusal, Settings, asked, inject, labels},
    metrics::{Admitted, Metrics},
};

/// Where the API server calls.
const PATH: &str = "/inject";
/// The API server takes objects of up to 3 MiB.
const LONGEST_BODY: usize = 8 * 1024 * 1024;
/// Less than the API server waits: it is told why rather than left alone.
const BODY_TIMEOUT: Duration = Duration::from_secs(4);

pub struct Admitter {
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
}

impl Admitter {
    /// Answers one call.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.uri().path() != PATH {
            return text(StatusCode::NOT_FOUND, format!("here is POST {PATH} only\n"));
        }
        if request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, format!("use POST {PATH}\n"));
        }
        let begun = Instant::now();
        let body = timeout(BODY_TIMEOUT, Limited::new(request.into_body(), LONGEST_BODY).collect()).await;
        let review = match body {
            Ok(Ok(body)) => self.review(&body.to_bytes()),
            Ok(Err(error)) => Err((StatusCode::PAYLOAD_TOO_LARGE, error.to_string())),
            Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned())),
        };
        self.metrics.admission_seconds.0.observe(begun.elapsed().as_secs_f64());
        match review {
            Ok(review) => json(review),
            Err((status, error)) => {
                self.count("failed");
                tracing::warn!(%status, error, "an admission failed");
                text(status, error)
            }
        }
    }

    fn count(&self, outcome: &'static str) {
        self.metrics.admissions.get_or_create(&Admitted { outcome }).inc();
    }

    /// The answer to a review, in JSON.
    fn review(&self, body: &[u8]) -> Result<Vec<u8>, (StatusCode, String)> {
        let wrong =
            |error: &dyn std::fmt::Display| (StatusCode::BAD_REQUEST, format!("no AdmissionReview: {error}"));
        let mut review: Value = serde_json::from_slice(body).map_err(|error| wrong(&error))?;
        // The pod as it was sent: no type of ours comes between it and the patch.
        let pod = review.pointer_mut("/request/object").map(Value::take).unwrap_or_default();
        let review: AdmissionReview<DynamicObject> =
            serde_json::from_value(review).map_err(|error| wrong(&error))?;
        let request: AdmissionRequest<DynamicObject> = review.try_into().map_err(|error| wrong(&error))?;
        let failed = |error: &dyn std::fmt::Display| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
        let response = self.decide(&request, &pod).map_err(|error| failed(&error))?;
        serde_json::to_vec(&response.into_review()).map_err(|error| failed(&error))
    }

    fn decide(
        &self,
        request: &AdmissionRequest<DynamicObject>,
        pod: &Value,
    ) -> Result<AdmissionResponse, SerializePatchError> {
        let response = AdmissionResponse::from(request);
        let is_new_pod = request.operation == Operation::Create
            && request.resource.resource == "pods"
            && request.sub_resource.as_deref().unwrap_or_default().is_empty();
        if !is_new_pod {
            return Ok(response);
        }
        let (outcome, response) = match decided(pod, &self.settings) {
            Ok(Injection::Injected { pod: made, warnings }) => {
                let response = patched(response, pod, &made, warnings)?;
                // Kubernetes asks again where anybody else has changed a pod behind us.
                (if response.patch.is_some() { "injected" } else { "unchanged" }, response)
            }
            Ok(Injection::PassedOver { pod: made, why }) => {
                ("passed_over", patched(response, pod, &made, vec![format!("no sidecar: {why}")])?)
            }
            Ok(Injection::NotAsked) => ("not_asked", response),
            Err(refusal) => ("refused", response.deny(refusal)),
        };
        if !request.dry_run {
            self.count(outcome);
        }
        let namespace = request.namespace.as_deref().unwrap_or_default();
        tracing::debug!(namespace, name = name(pod), outcome, "a pod was looked at");
        Ok(response)
    }
}

fn patched(
    response: AdmissionResponse,
    pod: &Value,
    made: &Value,
    warnings: Vec<String>,
) -> Result<AdmissionResponse, SerializePatchError> {
    let patch = json_patch::diff(pod, made);
    let mut response = if patch.is_empty() { response } else { response.with_patch(patch)? };
    response.warnings = (!warnings.is_empty()).then_some(warnings);
    Ok(response)
}

/// The selectors of the webhook have found that the pod, or else its namespace, asks. The API server
/// knows the namespace's labels best: those that are watched here may be older than the pod.
fn decided(pod: &Value, settings: &Settings) -> Result<Injection, Refusal> {
    let namespace = BTreeMap::from([(INJECT.to_owned(), "true".to_owned())]);
    let asked: Asked = asked(&labels(pod), &namespace)?;
    inject(pod, asked, settings)
}

/// Pods of controllers have no name of their own yet.
fn name(pod: &Value) -> &str {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
    text("/metadata/name").or_else(|| text("/metadata/generateName")).unwrap_or_default()
}

fn json(body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
