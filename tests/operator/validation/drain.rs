//! An operator that has to stop: reviews that are on their way are answered, and connections that rest are closed.

use super::Reviewing;
use crate::installation::WITHIN;
use harness::eventually;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A review of what is none of the operator's business.
fn review() -> String {
    let thing = r#"{"group": "example.com", "version": "v1", "resource": "things"}"#;
    let kind = r#"{"group": "example.com", "version": "v1", "kind": "Thing"}"#;
    format!(
        r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u", "kind": {kind},
        "resource": {thing}, "name": "x", "namespace": "ai", "operation": "CREATE", "userInfo": {{}}}}}}"#
    )
}

impl Reviewing {
    async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.installation.mount_bundle().await.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let socket = TcpStream::connect(self.webhook()).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
    }
}

/// All that comes until the other end closes.
async fn rest(mut socket: TlsStream<TcpStream>) -> String {
    let mut text = String::new();
    timeout(WITHIN, socket.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

/// What comes until such an end.
async fn until(socket: &mut TlsStream<TcpStream>, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut some = [0; 1024];
        let read = timeout(WITHIN, socket.read(&mut some)).await.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&some[..read]);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_answered() {
    let (reviewing, operator) = Reviewing::start().await;
    let review = review();
    let head = format!("POST /validate HTTP/1.1\r\nhost: operator\r\ncontent-length: {}\r\n", review.len());

    let mut resting = reviewing.connect().await;
    resting.write_all(format!("{head}\r\n{review}").as_bytes()).await.unwrap();
    let answered = until(&mut resting, "}}").await;
    assert!(
        answered.starts_with("HTTP/1.1 200 OK\r\n") && answered.contains(r#""allowed":true"#),
        "{answered}"
    );
    let mut asking = reviewing.connect().await;
    asking.write_all(format!("{head}expect: 100-continue\r\n\r\n").as_bytes()).await.unwrap();
    // The head was read, and the body is waited for.
    until(&mut asking, "100 Continue\r\n\r\n").await;

    operator.process.terminate();
    assert_eq!(rest(resting).await, "", "a connection that rests is closed");
    eventually("nobody comes anew", WITHIN, async || match TcpStream::connect(reviewing.webhook()).await {
        Ok(_) => Err("it is taken".to_owned()),
        Err(_) => Ok(()),
    })
    .await;
    assert!(operator.process.is_running());
    asking.write_all(review.as_bytes()).await.unwrap();
    let answered = rest(asking).await;
    assert!(
        answered.starts_with("HTTP/1.1 200 OK\r\n") && answered.contains(r#""allowed":true"#),
        "{answered}"
    );
    assert!(answered.contains("connection: close"), "{answered}");
    assert!(operator.process.exited(WITHIN).await.success());
}
