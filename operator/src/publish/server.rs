//! The listener of the config stream: TLS with a certificate of our own authority, HTTP/2 only.

use std::{convert::Infallible, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::stream::Streams;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at once: when a thousand proxies come back together, they queue here and not in memory.
const HANDSHAKES: usize = 64;
/// What a proxy may say before it is listened to: a thousand that wait for their turn hold no more than that.
const WINDOW: u32 = 16 * 1024;
/// A proxy has one; one that has not noticed yet that it is over may have another.
const STREAMS: u32 = 4;
/// A dead proxy is noticed within the sum of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The serving certificate in force; a rotation swaps it.
#[derive(Debug, Default)]
pub struct ServingCertificate(pub ArcSwapOption<CertifiedKey>);

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// TLS by the certificate in force, for one protocol.
///
/// # Errors
/// When TLS can't be configured.
pub fn acceptor(certificate: Arc<ServingCertificate>, protocol: &str) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![protocol.into()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves streams until it is dropped.
///
/// # Errors
/// When TLS can't be configured.
pub async fn serve(
    listener: TcpListener,
    certificate: Arc<ServingCertificate>,
    streams: Arc<Streams>,
) -> Result<Infallible, rustls::Error> {
    let acceptor = acceptor(certificate, "h2")?;
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "can't accept config streams");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (acceptor, streams, handshakes) = (acceptor.clone(), streams.clone(), handshakes.clone());
        tokio::spawn(async move {
            let tls = {
                let _turn = handshakes.acquire().await;
                let _nodelay = tcp.set_nodelay(true);
                match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await {
                    Ok(Ok(tls)) => tls,
                    Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
                    Err(_) => return tracing::debug!(%peer, "no TLS in time"),
                }
            };
            let service = service_fn(move |request| {
                let streams = streams.clone();
                async move { Ok::<_, Infallible>(streams.answer(request).await) }
            });
            let mut http = http2::Builder::new(TokioExecutor::new());
            http.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
            http.initial_stream_window_size(WINDOW).max_concurrent_streams(STREAMS);
            if let Err(error) = http.serve_connection(TokioIo::new(tls), service).await {
                tracing::debug!(%peer, %error, "a config stream broke");
            }
        });
    }
}
