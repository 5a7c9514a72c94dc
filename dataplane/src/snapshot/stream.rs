//! The proxy's end of the config stream: one long HTTP/2 request to the operator. What comes is
//! checked, swapped in and acknowledged, or refused with its problems. When the stream breaks, the
//! proxy goes on with what it holds and connects again, with backoff and jitter.

mod breakers;

use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::{Request, StatusCode, Uri, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use llm_config::{
    section::{Held, Update},
    stream::{FromProxy, Line, Lines, Open, PATH},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde::Deserialize;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{shared::Handle, tls};
use breakers::Breakers;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(3);
/// A dead operator is noticed within the sum of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the operator is, and who this proxy is.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// `https://host:port`.
    pub operator: Uri,
    /// PEM certificates of the operator's authority.
    pub ca: PathBuf,
    /// A ServiceAccount token.
    pub token_file: PathBuf,
    /// `None` for a sidecar.
    pub gateway: Option<String>,
    pub proxy: String,
    pub max_config_bytes: usize,
}

/// Why a stream is not, or no more.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("{file}: {error}")]
    File { file: String, error: String },
    #[error("--operator must be https://host:port")]
    Address,
    #[error("can't connect to {operator}: {error}")]
    Connect { operator: String, error: String },
    #[error("the operator refuses this proxy: {status} {message}")]
    Refused { status: StatusCode, message: String },
    #[error("the stream broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the operator closed the stream")]
    Closed,
    #[error("the operator sent what is no update: {0}")]
    NoUpdate(serde_json::Error),
}

/// Follows the operator for as long as the process runs.
pub async fn follow(settings: StreamSettings, handle: Handle) {
    let mut held = Held::default();
    let mut backoff = Backoff::default();
    loop {
        let mut follower = Follower { settings: &settings, handle: &handle, held: &mut held, heard: false };
        let Err(error) = follower.connection().await;
        if follower.heard {
            backoff = Backoff::default();
        }
        let wait = backoff.next(fastrand::f64());
        let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(%error, retry_in_ms, "no config stream");
        tokio::time::sleep(wait).await;
    }
}

/// How long to wait before the next connection.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_BACKOFF)
    }
}

impl Backoff {
    /// The next wait, twice as long each time up to a bound; `chance`, from 0 to 1, says where in the
    /// upper half of it: a thousand proxies must not come back at once.
    fn next(&mut self, chance: f64) -> Duration {
        let wait = self.0.mul_f64(0.5 + chance / 2.0);
        self.0 = (self.0 * 2).min(LONGEST_BACKOFF);
        wait
    }
}

struct Follower<'a> {
    settings: &'a StreamSettings,
    handle: &'a Handle,
    held: &'a mut Held,
    /// Whether this connection has brought an update.
    heard: bool,
}

type Lines2Operator = mpsc::Sender<Bytes>;

impl Follower<'_> {
    async fn connection(&mut self) -> Result<Infallible, StreamError> {
        let (mut updates, answers, open) =
            timeout(CONNECT_TIMEOUT, self.open()).await.map_err(|_| StreamError::Connect {
                operator: self.settings.operator.to_string(),
                error: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            })??;
        let mut lines = Lines::new(self.settings.max_config_bytes);
        let mut breakers = Breakers::told(open);
        loop {
            let frame = tokio::select! {
                frame = updates.frame() => frame.ok_or(StreamError::Closed)??,
                () = breakers.due(self.handle.healths()) => {
                    // What does not fit in waits: it must not keep an answer waiting.
                    let send = |told: &FromProxy| answers.try_send(message(told)).is_ok();
                    breakers.tell(self.handle.healths(), send);
                    continue;
                }
            };
            let Ok(bytes) = frame.into_data() else { continue };
            lines.push(&bytes);
            while let Some(line) = lines.next_line() {
                let answer = self.answer(line)?;
                answers.send(message(&answer)).await.map_err(|_| StreamError::Closed)?;
            }
        }
    }

    /// Opens the stream and says hello, with the breakers that are given back.
    async fn open(&self) -> Result<(Incoming, Lines2Operator, Vec<Open>), StreamError> {
        let settings = self.settings;
        let authority = settings.operator.authority().ok_or(StreamError::Address)?;
        let failed = |error: String| StreamError::Connect { operator: settings.operator.to_string(), error };
        let file_error =
            |file: &PathBuf, error: String| StreamError::File { file: file.display().to_string(), error };

        let token = std::fs::read_to_string(&settings.token_file)
            .map_err(|e| file_error(&settings.token_file, e.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&settings.ca)
            .map_err(|e| file_error(&settings.ca, e.to_string()))?
        {
            let certificate = certificate.map_err(|e| file_error(&settings.ca, e.to_string()))?;
            roots.add(certificate).map_err(|e| file_error(&settings.ca, e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(file_error(&settings.ca, "it holds no certificate in PEM".to_owned()));
        }
        let mut config = tls::client_config(roots).map_err(|e| failed(e.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];

        let tcp = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(443)))
            .await
            .map_err(|e| failed(e.to_string()))?;
        tcp.set_nodelay(true).map_err(|e| failed(e.to_string()))?;
        let name = ServerName::try_from(authority.host().to_owned()).map_err(|_| StreamError::Address)?;
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .map_err(|e: io::Error| failed(e.to_string()))?;
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(tls))
            .await?;
        // It ends with the stream; what went wrong is told there.
        tokio::spawn(connection);

        let (answers, body) = mpsc::channel::<Bytes>(4);
        let open = breakers::open(self.handle.healths());
        let hello = FromProxy::Hello {
            proxy: settings.proxy.clone(),
            gateway: settings.gateway.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            holds: self.held.digests(),
            open: open.clone(),
        };
        answers.send(message(&hello)).await.map_err(|_| StreamError::Closed)?;
        let request = Request::post(format!("https://{authority}{PATH}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
            .body(request_body(body))
            .map_err(|e| failed(e.to_string()))?;
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            let message =
                Limited::new(body, 4096).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let message = String::from_utf8_lossy(&message).trim().to_owned();
            return Err(StreamError::Refused { status: parts.status, message });
        }
        Ok((body, answers, open))
    }

    /// Puts an update in force, or says why not.
    fn answer(&mut self, line: Line) -> Result<FromProxy, StreamError> {
        self.heard = true;
        let update = match line {
            Line::Whole(line) => match serde_json::from_slice::<Update>(&line) {
                Ok(update) => update,
                // A newer operator may say what this proxy can't enforce.
                Err(error) => {
                    let Some(generation) = generation(&line) else {
                        return Err(StreamError::NoUpdate(error));
                    };
                    return Ok(self.refuse(generation, vec![error.to_string()]));
                }
            },
            Line::TooLong(begun) => {
                let generation = generation_at_start(&begun).ok_or(StreamError::Closed)?;
                let limit = self.settings.max_config_bytes;
                let problem =
                    format!("the update is over this proxy's limit of {limit} bytes (--max-config-bytes)");
                return Ok(self.refuse(generation, vec![problem]));
            }
        };
        let generation = update.generation;
        let next = self.held.updated(update);
        match self.handle.install(next.document()) {
            Ok(()) => {
                *self.held = next;
                tracing::info!(generation, "configuration in force");
                Ok(FromProxy::Ack { generation })
            }
            Err(problems) => {
                tracing::error!(generation, ?problems, "configuration refused; the last good one stays");
                Ok(FromProxy::Refuse { generation, problems })
            }
        }
    }

    fn refuse(&self, generation: u64, problems: Vec<String>) -> FromProxy {
        self.handle.refused();
        tracing::error!(generation, ?problems, "configuration refused; the last good one stays");
        FromProxy::Refuse { generation, problems }
    }
}

fn request_body(
    answers: mpsc::Receiver<Bytes>,
) -> StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>> {
    StreamBody::new(
        stream::unfold(answers, async |mut answers| Some((Ok(Frame::data(answers.recv().await?)), answers)))
            .boxed(),
    )
}

fn message(message: &FromProxy) -> Bytes {
    // Strings and numbers only: it can't fail.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn generation(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        generation: u64,
    }
    serde_json::from_slice::<Numbered>(line).ok().map(|numbered| numbered.generation)
}

/// `generation` is the first field of an update, so that it can be told of one that is too long.
fn generation_at_start(begun: &[u8]) -> Option<u64> {
    let digits = begun.strip_prefix(br#"{"generation":"#)?;
    let end = digits.iter().position(|b| !b.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_chance_spreads_them() {
        let waits = |chance: f64| {
            let mut backoff = Backoff::default();
            (0..7).map(|_| backoff.next(chance)).collect::<Vec<_>>()
        };
        let longest = waits(1.0);
        assert_eq!(longest[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(longest[5..], [LONGEST_BACKOFF; 2]);
        for (least, most) in waits(0.0).into_iter().zip(longest) {
            assert_eq!(least * 2, most);
        }
    }
}
