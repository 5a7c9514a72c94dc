//! How one connection to a server is made: its name, TCP, TLS, and who we are. Each step is bounded, and its failure
//! names it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use llm_config::{Credential, budget::RedisTls};
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, aio::MultiplexedConnection};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::broadcast;
use tokio_rustls::TlsConnector;

use crate::{Kind, Unanswered, endpoint::Endpoint};

/// For each step: a server that is well takes milliseconds.
pub(crate) const STEP: Duration = Duration::from_secs(1);
/// Where an account's script tells that idle money is wanted.
pub(crate) const RECALLS: &str = "llm:*:recall";

/// Who logs in, and by which fields of the settings.
#[derive(Clone)]
pub(crate) struct Login {
    pub username: Option<String>,
    pub password: Option<Credential>,
    pub database: u32,
    pub fields: &'static str,
}

/// A connection, and what moves its bytes: it ends when the connection does, and the connection with it.
pub(crate) struct Wire {
    pub connection: MultiplexedConnection,
    pub driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Dialer {
    tls: Option<TlsConnector>,
    recalls: broadcast::Sender<Arc<str>>,
}

impl Dialer {
    pub(crate) fn new(tls: Option<&RedisTls>, recalls: broadcast::Sender<Arc<str>>) -> Result<Self, String> {
        Ok(Self { tls: tls.map(connector).transpose()?, recalls })
    }

    pub(crate) async fn dial(&self, endpoint: &Endpoint, login: &Login) -> Result<Wire, Unanswered> {
        let stream = self.stream(endpoint).await?;
        let Some(tls) = &self.tls else {
            return self.greet(stream, endpoint, login).await;
        };
        let failed = |why: String| Unanswered::of(Kind::Disconnected, &endpoint.to_string(), &why);
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|error| failed(format!("is not a name that a certificate can have: {error}")))?;
        let stream = step(endpoint, "finish the TLS handshake", tls.connect(name, stream))
            .await
            .map_err(|why| why.asking("does it speak TLS there?"))?
            .map_err(|error| failed(format!("TLS: {error}")))?;
        self.greet(stream, endpoint, login).await
    }

    async fn stream(&self, endpoint: &Endpoint) -> Result<TcpStream, Unanswered> {
        let failed = |why: String| Unanswered::of(Kind::Disconnected, &endpoint.to_string(), &why);
        let target = (endpoint.host.as_str(), endpoint.port);
        let addresses = step(endpoint, "resolve", lookup_host(target))
            .await?
            .map_err(|error| failed(format!("its name does not resolve: {error}")))?;
        let mut last = failed("its name has no address".to_owned());
        for address in addresses {
            match step(endpoint, "accept a connection", TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // What is written is one operation: it waits for no other.
                    let _slower = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = failed(format!("{error}")),
                Err(unanswered) => last = unanswered,
            }
        }
        Err(last)
    }

    async fn greet(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        endpoint: &Endpoint,
        login: &Login,
    ) -> Result<Wire, Unanswered> {
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name()
            .set_db(i64::from(login.database));
        if let Some(username) = &login.username {
            info = info.set_username(username);
        }
        if let Some(password) = &login.password {
            info = info.set_password(password.expose());
        }
        let recalls = self.recalls.clone();
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_push_sender(
            move |push: redis::PushInfo| {
                if let Some(message) = redis::Msg::from_push_info(push)
                    && let Ok(key) = message.get_payload::<String>()
                {
                    // Nobody listens, perhaps.
                    let _heard = recalls.send(key.into());
                }
                Ok::<(), redis::aio::SendError>(())
            },
        );
        let (connection, driver) =
            step(endpoint, "answer HELLO", MultiplexedConnection::new_with_config(&info, stream, config))
                .await?
                .map_err(|error| Unanswered::from_redis(&endpoint.to_string(), &error, login.fields))?;
        Ok(Wire { connection, driver: Box::pin(driver) })
    }
}

pub(crate) async fn step<T>(
    endpoint: &Endpoint,
    what: &str,
    step: impl Future<Output = T>,
) -> Result<T, Unanswered> {
    tokio::time::timeout(STEP, step).await.map_err(|_elapsed| {
        let what = format!("did not {what} within {} ms", STEP.as_millis());
        Unanswered::did(Kind::Timeout, &endpoint.to_string(), &what)
    })
}

fn connector(tls: &RedisTls) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| format!("ledger.redis.tls.ca: {error:?}"))?;
                roots.add(certificate).map_err(|error| format!("ledger.redis.tls.ca: {error}"))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("ledger.redis.tls.ca: there is no certificate of an authority to trust".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}
