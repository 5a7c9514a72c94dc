//! Another webhook, called behind ours, that adds a container: the API server then calls ours again.

use super::{Injecting, variable};
use bytes::Bytes;
use harness::Authority;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Adds container `agent`, and pins the image of the sidecar.
async fn mutate(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let pod = &review["request"]["object"];
    let mut agent = pod["spec"]["containers"][0].clone();
    agent["name"] = "agent".into();
    agent.as_object_mut().unwrap().remove("env");
    let mut patch = Vec::new();
    if pod["spec"]["containers"].as_array().unwrap().len() == 1 {
        patch.push(json!({"op": "add", "path": "/spec/containers/-", "value": agent}));
        patch.push(
            json!({"op": "replace", "path": "/spec/initContainers/0/image", "value": "pinned@sha256:0"}),
        );
    }
    let patch: Vec<u8> = Value::Array(patch).to_string().into_bytes();
    let response =
        json!({"uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch});
    let review =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::new(Full::new(Bytes::from(review.to_string()))))
}

/// Serves it, and gives its address.
async fn serve(authority: &Authority) -> (String, JoinSet<()>) {
    let identity = authority.server(&["127.0.0.1"]);
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let tls = acceptor.accept(tcp).await.unwrap();
                let _broken =
                    http1::Builder::new().serve_connection(TokioIo::new(tls), service_fn(mutate)).await;
            });
        }
    });
    (url, serving)
}

#[tokio::test]
async fn containers_that_other_webhooks_add_are_served_and_what_they_change_stays() {
    let injecting = Injecting::start().await;
    let _operator = injecting.operator(&[]).await;
    injecting.register().await;
    let authority = Authority::new();
    let (url, _serving) = serve(&authority).await;
    let other = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        // Webhooks are called by name.
        "metadata": {"name": "z-agent"},
        "webhooks": [{
            "name": "agent.example.dev", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": url, "caBundle": k8s_openapi::ByteString(authority.pem().into_bytes())},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        }],
    });
    injecting.installation.cluster.apply(&other.to_string()).await;
    // The API server takes a moment to know of it.
    let made =
        harness::eventually("both webhooks have been at a pod", crate::installation::WITHIN, async || {
            let made = injecting.create("app", "shop", &json!({})).await;
            if made.spec.as_ref().unwrap().containers.len() == 2 {
                return Ok(made);
            }
            injecting
                .pods("shop")
                .delete("app", &kube::api::DeleteParams::default().grace_period(0))
                .await
                .unwrap();
            Err("there is no agent yet".to_owned())
        })
        .await;
    for container in ["app", "agent"] {
        assert_eq!(
            variable(&made, container, "ANTHROPIC_BASE_URL"),
            Some("http://127.0.0.1:14000"),
            "{container}"
        );
    }
    let inits = made.spec.as_ref().unwrap().init_containers.as_ref().unwrap();
    assert_eq!((inits.len(), inits[0].image.as_deref()), (1, Some("pinned@sha256:0")));
    let volumes = made.spec.as_ref().unwrap().volumes.as_ref().unwrap();
    assert_eq!(volumes.iter().filter(|volume| volume.name.starts_with("llm-gateway-")).count(), 2);
}
