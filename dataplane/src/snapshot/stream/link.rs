//! One connection to the operator, from TCP to the answered hello.

use std::{convert::Infallible, fmt, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderMap, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use llm_config::{
    section::Held,
    stream::{FromProxy, LIFETIME, Lines, PATH},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    StreamError, StreamSettings,
    breakers::{self, Breakers},
};
use crate::{shared::Handle, tls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the connection to the operator's answer. It lets proxies in one after another, and when a thousand come at once
/// the last of them wait: who hung up would only join the queue again, at its end. That the operator is there is heard
/// by its pings.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// Meanwhile nothing is heard on the stream that there is.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
/// A dead operator is noticed within the sum of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

type RequestBody = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;
type Sender = http2::SendRequest<RequestBody>;

/// A stream that the operator has accepted.
pub struct Link {
    sender: Sender,
    pub updates: Incoming,
    pub lines: Lines,
    pub answers: mpsc::Sender<Bytes>,
    pub breakers: Breakers,
    pub renewal: Renewal,
}

/// When another stream should take the place of one.
pub struct Renewal {
    /// `None` where the operator keeps it for good.
    lifetime: Option<Duration>,
    at: Instant,
}

impl Renewal {
    /// By the operator's reply; `chance`, from 0 to 1, spreads proxies that came at once.
    fn told(headers: &HeaderMap, chance: f64) -> Self {
        let seconds = headers.get(LIFETIME).and_then(|value| value.to_str().ok()?.parse().ok());
        let lifetime = seconds.map(Duration::from_secs);
        Self { lifetime, at: Instant::now() + lifetime.unwrap_or_default().mul_f64(0.5 + chance / 4.0) }
    }

    /// Returns when it is time. Cancel safe.
    pub async fn due(&self) {
        match self.lifetime {
            Some(_) => sleep_until(self.at).await,
            None => std::future::pending().await,
        }
    }

    /// It could not be had now: a few tries are left before the operator ends the stream.
    pub fn postpone(&mut self) {
        self.at = Instant::now() + self.lifetime.unwrap_or_default() / 20;
    }
}

impl Link {
    /// Connects, says hello, and waits until the operator accepts.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(settings: &StreamSettings, handle: &Handle, held: &Held) -> Result<Self, StreamError> {
        let late = |limit: Duration| failed(settings, &format!("no answer within {} s", limit.as_secs()));
        let (sender, token) =
            timeout(CONNECT_TIMEOUT, connect(settings)).await.map_err(|_| late(CONNECT_TIMEOUT))??;
        let accepted = timeout(TURN_TIMEOUT, Self::accepted(settings, handle, held, sender, &token)).await;
        accepted.map_err(|_| late(TURN_TIMEOUT))?
    }

    /// The next one, with the token of now, over the same connection: it goes to the same operator, which takes the one
    /// for the other at once, so that nobody sees this proxy go and come.
    ///
    /// # Errors
    /// Why there is none; this one goes on.
    pub async fn renewed(
        &self,
        settings: &StreamSettings,
        handle: &Handle,
        held: &Held,
    ) -> Result<Self, StreamError> {
        let token = token(settings)?;
        let accepted = Self::accepted(settings, handle, held, self.sender.clone(), &token);
        let late = || failed(settings, &format!("no answer within {} s", RENEWAL_TIMEOUT.as_secs()));
        timeout(RENEWAL_TIMEOUT, accepted).await.map_err(|_| late())?
    }

    /// Says that this proxy ends, and waits until the operator ends the stream, as it does then. An update that comes
    /// meanwhile is for nobody.
    ///
    /// # Errors
    /// That the stream broke.
    pub async fn goodbye(mut self) -> Result<(), StreamError> {
        self.answers.send(message(&FromProxy::Bye)).await.map_err(|_| StreamError::Closed)?;
        while let Some(frame) = self.updates.frame().await {
            frame?;
        }
        Ok(())
    }

    async fn accepted(
        settings: &StreamSettings,
        handle: &Handle,
        held: &Held,
        mut sender: Sender,
        token: &str,
    ) -> Result<Self, StreamError> {
        let authority = settings.operator.authority().ok_or(StreamError::Address)?;
        let (answers, body) = mpsc::channel::<Bytes>(4);
        let open = breakers::open(handle.healths());
        let hello = FromProxy::Hello {
            proxy: settings.proxy.clone(),
            gateway: settings.gateway.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            holds: held.digests(),
            open: open.clone(),
        };
        answers.send(message(&hello)).await.map_err(|_| StreamError::Closed)?;
        let request = Request::post(format!("https://{authority}{PATH}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
            .body(request_body(body))
            .map_err(|e| failed(settings, &e))?;
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            let message =
                Limited::new(body, 4096).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let message = String::from_utf8_lossy(&message).trim().to_owned();
            return Err(StreamError::Refused { status: parts.status, message });
        }
        Ok(Self {
            sender,
            updates: body,
            lines: Lines::new(settings.max_config_bytes),
            answers,
            breakers: Breakers::told(open),
            renewal: Renewal::told(&parts.headers, fastrand::f64()),
        })
    }
}

/// Connects, and reads the token that is shown then.
async fn connect(settings: &StreamSettings) -> Result<(Sender, String), StreamError> {
    let authority = settings.operator.authority().ok_or(StreamError::Address)?;
    let token = token(settings)?;
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(&settings.ca).map_err(|e| file_error(&settings.ca, e.to_string()))?
    {
        let certificate = certificate.map_err(|e| file_error(&settings.ca, e.to_string()))?;
        roots.add(certificate).map_err(|e| file_error(&settings.ca, e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(file_error(&settings.ca, "it holds no certificate in PEM".to_owned()));
    }
    let mut config = tls::client_config(roots).map_err(|e| failed(settings, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec()];

    let tcp = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(443)))
        .await
        .map_err(|e| failed(settings, &e))?;
    tcp.set_nodelay(true).map_err(|e| failed(settings, &e))?;
    let name = ServerName::try_from(authority.host().to_owned()).map_err(|_| StreamError::Address)?;
    let tls =
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|e| failed(settings, &e))?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(TokioIo::new(tls))
        .await?;
    // It ends with the stream; what went wrong is told there.
    tokio::spawn(connection);
    Ok((sender, token))
}

fn token(settings: &StreamSettings) -> Result<String, StreamError> {
    let file = &settings.token_file;
    std::fs::read_to_string(file).map_err(|error| file_error(file, error.to_string()))
}

fn file_error(file: &Path, error: String) -> StreamError {
    StreamError::File { file: file.display().to_string(), error }
}

fn failed(settings: &StreamSettings, error: &dyn fmt::Display) -> StreamError {
    StreamError::Connect { operator: settings.operator.to_string(), error: error.to_string() }
}

fn request_body(answers: mpsc::Receiver<Bytes>) -> RequestBody {
    StreamBody::new(
        stream::unfold(answers, async |mut answers| Some((Ok(Frame::data(answers.recv().await?)), answers)))
            .boxed(),
    )
}

/// As a line.
pub fn message(message: &FromProxy) -> Bytes {
    // Strings and numbers only: it can't fail.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
