//! A client of TLS that keeps its connection: what a connection was allowed to do when it was opened, and what it may
//! do later, is told by calls on one and the same.

use crate::http::{Answer, Stream, with_causes};
use crate::{Authority, Identity};
use bytes::Bytes;
use http::{Request, Uri, Version, header};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// One connection; dropping it hangs up.
pub struct Connection {
    sender: Sender,
    /// What the server is served by, as DER.
    pub certificate: Vec<u8>,
    driver: AbortHandle,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Through the handshake, as a client that trusts `authority` for `localhost` and shows `identity`.
pub async fn handshake(
    address: SocketAddr,
    authority: &Authority,
    identity: Option<&Identity>,
    version: Version,
) -> Result<TlsStream<TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.pem())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(Identity { certificate: own, key }) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate(own)], key).unwrap()
        }
    };
    let protocol = if version == Version::HTTP_2 { "h2" } else { "http/1.1" };
    config.alpn_protocols = vec![protocol.into()];
    let tcp = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    let tls = tls.map_err(|error| with_causes(&error))?;
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    Ok(tls)
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

impl Connection {
    pub async fn open(
        address: SocketAddr,
        authority: &Authority,
        identity: Option<&Identity>,
        version: Version,
    ) -> Result<Self, String> {
        let tls = handshake(address, authority, identity, version).await?;
        let certificate = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        let io = TokioIo::new(tls);
        let (sender, driver) = if version == Version::HTTP_2 {
            let (sender, driver) =
                http2::handshake(TokioExecutor::new(), io).await.map_err(|error| with_causes(&error))?;
            (Sender::Http2(sender), tokio::spawn(driver).abort_handle())
        } else {
            let (sender, driver) = http1::handshake(io).await.map_err(|error| with_causes(&error))?;
            (Sender::Http1(sender), tokio::spawn(driver).abort_handle())
        };
        Ok(Self { sender, certificate, driver })
    }

    /// Sends a request whose URI names the path alone, and answers when the head is here.
    pub async fn request(&mut self, request: Request<Bytes>) -> Result<Stream, String> {
        let (mut head, body) = request.into_parts();
        let body = Full::new(body);
        let failed = |error: hyper::Error| with_causes(&error);
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                head.headers.insert(header::HOST, http::HeaderValue::from_static("localhost"));
                sender.ready().await.map_err(failed)?;
                sender.send_request(Request::from_parts(head, body)).await
            }
            Sender::Http2(sender) => {
                head.uri = format!("https://localhost{}", head.uri).parse::<Uri>().unwrap();
                sender.ready().await.map_err(failed)?;
                sender.send_request(Request::from_parts(head, body)).await
            }
        };
        Ok(Stream::of(response.map_err(failed)?, None))
    }

    /// The same, and the whole answer.
    pub async fn send(&mut self, request: Request<Bytes>) -> Result<Answer, String> {
        self.request(request).await?.whole().await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
