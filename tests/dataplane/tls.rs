//! Providers behind TLS: private roots, the system's roots, HTTP/2.

use crate::documents::{call, completion, document};
use bytes::Bytes;
use harness::http::post_json;
use harness::{Authority, Proxy, Scratch};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A provider whose answer is the version of HTTP that it was asked by; gives its port.
async fn provider(authority: &Authority, alpn: &[&[u8]], tasks: &mut JoinSet<()>) -> u16 {
    let identity = authority.server(&["localhost"]);
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(socket) = acceptor.accept(socket).await else { return };
                let service = service_fn(async |request: hyper::Request<hyper::body::Incoming>| {
                    let body = completion(&format!("{:?}", request.version())).to_string();
                    Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(Bytes::from(body))))
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let _broken = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    port
}

fn trusting(port: u16, ca: Option<&str>) -> Value {
    let mut document = document(&[&format!("https://localhost:{port}")]);
    if let Some(ca) = ca {
        document["pools"]["ai/pool"]["providers"][0]["upstream"]["ca"] = json!(ca);
    }
    document
}

#[tokio::test]
async fn a_private_root_is_trusted_and_http_2_is_spoken_where_it_is_offered() {
    let authority = Authority::new();
    let mut tasks = JoinSet::new();
    for (alpn, version) in
        [(&[b"h2".as_slice(), b"http/1.1"][..], "HTTP/2.0"), (&[b"http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")]
    {
        let port = provider(&authority, alpn, &mut tasks).await;
        let proxy = Proxy::start(&trusting(port, Some(&authority.pem())), &[]).await;
        let answer = post_json(&proxy.chat_url(), &call()).await;
        assert_eq!(answer.json(), completion(version));
    }
}

#[tokio::test]
async fn the_systems_roots_are_trusted_where_the_manifest_names_none() {
    let authority = Authority::new();
    let mut tasks = JoinSet::new();
    let port = provider(&authority, &[], &mut tasks).await;
    let scratch = Scratch::new("roots");
    let roots = scratch.write("roots.pem", authority.pem());
    let config = scratch.write("config.json", trusting(port, None).to_string());
    let arguments = ["--config", config.to_str().unwrap()];
    // Where OpenSSL, and who follows it, look for the roots of this machine.
    let proxy = Proxy::spawn_with(&arguments, &[("SSL_CERT_FILE", roots.to_str().unwrap())]).await;
    let answer = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!(answer.json(), completion("HTTP/1.1"));
}

#[tokio::test]
async fn a_certificate_of_another_root_is_not_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut tasks = JoinSet::new();
    let port = provider(&authority, &[], &mut tasks).await;
    for ca in [Some(other.pem()), None] {
        let proxy = Proxy::start(&trusting(port, ca.as_deref()), &[]).await;
        let answer = post_json(&proxy.chat_url(), &call()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["code"]),
            (502, &json!("provider_unreachable"))
        );
    }
}
