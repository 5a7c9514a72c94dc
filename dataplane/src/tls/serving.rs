//! TLS towards callers. A certificate is asked for where the document takes some, but none is needed: a caller may show
//! a token or a key instead. One that is not taken is refused by the answer to a call and not by an alert, which most
//! clients tell as no more than a broken connection.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::pair::Pair;
use crate::{
    metrics::HandshakeFailure,
    shared::{Limits, Shared},
};

/// A client that takes longer is no use to anybody.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// And less where all turns are taken: enough for a packet that has to be sent again. Clients are not told apart, for
/// behind a load balancer many are one address.
const CROWDED_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a handshake that has had this looks whether others still have turns.
const LOOK: Duration = Duration::from_millis(250);
/// What a client gets that speaks plain HTTP here.
const PLAINTEXT: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 40\r\nconnection: close\r\n\r\nThis port speaks TLS: call it by https.\n";

/// Takes connections through their handshakes.
#[derive(Clone)]
pub struct Serving {
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    /// Clients that are slow at it must leave connections to others.
    turns: Arc<Semaphore>,
}

/// A connection that has still to prove itself.
pub struct Handshake {
    serving: Serving,
    turn: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

impl Serving {
    pub fn new(pair: Arc<Pair>, shared: Arc<Shared>) -> Result<Self, Error> {
        let provider = super::provider();
        let asking =
            Asking { shared: shared.clone(), algorithms: provider.signature_verification_algorithms };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(asking))
            .with_cert_resolver(pair);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Behind a Service the next connection goes to another proxy. Here it would go on with what the client showed
        // before it was asked for a certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let most = (shared.limits.max_connections / 4).max(1);
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            shared,
            turns: Arc::new(Semaphore::new(most)),
        })
    }

    /// Waits until there is room for another handshake.
    pub async fn turn(&self) -> io::Result<Handshake> {
        let turn = self.turns.clone().acquire_owned().await.map_err(io::Error::other)?;
        Ok(Handshake { serving: self.clone(), turn })
    }
}

impl Handshake {
    /// The connection as `wrapped`, encrypted; `None` when there is nothing more to do.
    pub async fn complete<I>(
        self,
        tcp: TcpStream,
        wrapped: impl FnOnce(TcpStream) -> I,
    ) -> Option<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let Serving { acceptor, shared, turns } = self.serving;
        let Limits { header_timeout, .. } = shared.limits;
        let outcome = tokio::select! {
            outcome = handshake(&acceptor, tcp, wrapped) => outcome,
            () = patience(&turns, HANDSHAKE_TIMEOUT.min(header_timeout)) => Err(HandshakeFailure::Timeout),
        };
        drop(self.turn);
        match outcome {
            Ok(tls) => Some(tls),
            Err(failure) => {
                shared.metrics.tls.handshake_failed(failure);
                None
            }
        }
    }
}

/// Lasts for as long as a handshake may take.
async fn patience(turns: &Semaphore, longest: Duration) {
    let begun = Instant::now();
    sleep_until(begun + CROWDED_TIMEOUT.min(longest)).await;
    while begun.elapsed() < longest && turns.available_permits() > 0 {
        sleep(LOOK.min(longest.saturating_sub(begun.elapsed()))).await;
    }
}

async fn handshake<I: AsyncRead + AsyncWrite + Unpin>(
    acceptor: &TlsAcceptor,
    mut tcp: TcpStream,
    wrapped: impl FnOnce(TcpStream) -> I,
) -> Result<TlsStream<I>, HandshakeFailure> {
    let mut first = [0];
    match tcp.peek(&mut first).await {
        // A method of HTTP begins so, and no message of TLS does.
        Ok(1) if first[0].is_ascii_uppercase() => {
            let _gone = tell(&mut tcp, PLAINTEXT).await;
            return Err(HandshakeFailure::Plaintext);
        }
        Ok(1) => {}
        _ => return Err(HandshakeFailure::Closed),
    }
    acceptor.accept(wrapped(tcp)).await.map_err(|error| {
        tracing::debug!(%error, "no TLS");
        if error.kind() == io::ErrorKind::UnexpectedEof {
            HandshakeFailure::Closed
        } else {
            HandshakeFailure::Protocol
        }
    })
}

/// Writes, and then reads until the client is done too: one that is hung up on while it sends may lose what it got.
async fn tell(tcp: &mut TcpStream, text: &str) -> io::Result<()> {
    tcp.write_all(text.as_bytes()).await?;
    tcp.shutdown().await?;
    let mut unread = [0; 4096];
    while tcp.read(&mut unread).await? > 0 {}
    Ok(())
}

/// Asks for a certificate and checks that the client holds its key, and no more.
#[derive(Debug)]
struct Asking {
    shared: Arc<Shared>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Asking {
    fn offer_client_auth(&self) -> bool {
        self.shared.snapshot.load().as_ref().is_some_and(|snapshot| snapshot.callers.take_certificates())
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: any that the client has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Each call is checked against the authorities of its time.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_less_time_where_no_turn_is_left_for_others() {
        let turns = Semaphore::new(2);
        let lasts = async |longest: Duration| {
            let begun = Instant::now();
            patience(&turns, longest).await;
            begun.elapsed()
        };
        let _own = turns.acquire().await.unwrap();
        assert_eq!(lasts(HANDSHAKE_TIMEOUT).await, HANDSHAKE_TIMEOUT);
        let short = CROWDED_TIMEOUT / 2;
        assert_eq!(lasts(short).await, short);

        let taken_later = async {
            sleep(CROWDED_TIMEOUT * 2).await;
            turns.acquire().await.unwrap().forget();
        };
        let (lasted, ()) = tokio::join!(lasts(HANDSHAKE_TIMEOUT), taken_later);
        assert!(lasted >= CROWDED_TIMEOUT * 2 && lasted <= CROWDED_TIMEOUT * 2 + LOOK, "{lasted:?}");
        assert_eq!(lasts(HANDSHAKE_TIMEOUT).await, CROWDED_TIMEOUT);
        assert_eq!(lasts(short).await, short);
    }
}
