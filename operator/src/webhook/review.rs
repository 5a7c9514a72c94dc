//! One review: what the API server asks over HTTP, to who decides, and back. Nothing is written anywhere, so that a
//! dry run is like any other; only the counts leave it out.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, Limited};
use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview},
};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{objects::Objects, pods};
use crate::{
    inject::Settings,
    metrics::{Admitted, Metrics},
};

/// Where the API server calls for pods.
const INJECT: &str = "/inject";
/// Where it calls for LLMRoutes, ProviderPools and Budgets.
const VALIDATE: &str = "/validate";
/// The API server takes objects of up to 3 MiB.
const LONGEST_BODY: usize = 8 * 1024 * 1024;
/// Less than the API server waits: it is told why rather than left alone.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Who answers reviews.
pub struct Admitter {
    /// What sidecars are by default; without, no pods are reviewed.
    pub injection: Option<Settings>,
    pub objects: Objects,
    pub metrics: Arc<Metrics>,
}

/// What was decided, and as what it is counted, where it is.
pub struct Decision {
    counted: Option<Admitted>,
    response: AdmissionResponse,
}

impl Decision {
    pub fn counted(kind: &'static str, outcome: &'static str, response: AdmissionResponse) -> Self {
        Self { counted: Some(Admitted { kind, outcome }), response }
    }

    /// Of what a broader rule than ours brings.
    pub fn uncounted(response: AdmissionResponse) -> Self {
        Self { counted: None, response }
    }
}

/// Who decides.
enum Reviewer<'a> {
    Pods(&'a Settings),
    Objects(&'a Objects),
}

type Failure = (StatusCode, String);

impl Admitter {
    /// Answers one call.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = request.uri().path();
        let reviewer = match (path, &self.injection) {
            (INJECT, Some(settings)) => Reviewer::Pods(settings),
            (INJECT, None) => {
                return text(
                    StatusCode::NOT_FOUND,
                    "no sidecars: start llm-operator with --injection\n".to_owned(),
                );
            }
            (VALIDATE, _) => Reviewer::Objects(&self.objects),
            _ => return text(StatusCode::NOT_FOUND, format!("here are POST {INJECT} and {VALIDATE}\n")),
        };
        if request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, format!("use POST {path}\n"));
        }
        let begun = Instant::now();
        let body = timeout(BODY_TIMEOUT, Limited::new(request.into_body(), LONGEST_BODY).collect()).await;
        let review = match body {
            Ok(Ok(body)) => self.review(&reviewer, &body.to_bytes()).await,
            Ok(Err(error)) => Err((StatusCode::PAYLOAD_TOO_LARGE, error.to_string())),
            Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned())),
        };
        self.metrics.admission_seconds.0.observe(begun.elapsed().as_secs_f64());
        match review {
            Ok(review) => json(review),
            Err((status, error)) => {
                // What could not be read tells no kind.
                let kind = if matches!(reviewer, Reviewer::Pods(_)) { "Pod" } else { "" };
                self.count(&Admitted { kind, outcome: "failed" });
                tracing::warn!(%status, error, "an admission failed");
                text(status, error)
            }
        }
    }

    fn count(&self, admitted: &Admitted) {
        self.metrics.admissions.get_or_create(admitted).inc();
    }

    /// The answer to a review, in JSON.
    async fn review(&self, reviewer: &Reviewer<'_>, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let wrong =
            |error: &dyn std::fmt::Display| (StatusCode::BAD_REQUEST, format!("no AdmissionReview: {error}"));
        let mut review: Value = serde_json::from_slice(body).map_err(|error| wrong(&error))?;
        let mut take = |pointer: &str| review.pointer_mut(pointer).map(Value::take).unwrap_or_default();
        let (object, old) = (take("/request/object"), take("/request/oldObject"));
        let review: AdmissionReview<DynamicObject> =
            serde_json::from_value(review).map_err(|error| wrong(&error))?;
        let request: AdmissionRequest<DynamicObject> = review.try_into().map_err(|error| wrong(&error))?;
        let failed = |error: &dyn std::fmt::Display| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
        let Decision { counted, response } = match reviewer {
            Reviewer::Pods(settings) => {
                pods::decide(&request, &object, settings).map_err(|error| failed(&error))?
            }
            Reviewer::Objects(objects) => {
                objects.decide(&request, object, &old).await.map_err(|error| failed(&error))?
            }
        };
        if let Some(counted) = counted.filter(|_| !request.dry_run) {
            self.count(&counted);
        }
        serde_json::to_vec(&response.into_review()).map_err(|error| failed(&error))
    }
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
