//! The proxy's end of the config stream: one long HTTP/2 request to the operator. What comes is
//! checked, swapped in and acknowledged, or refused with its problems. When the stream breaks, the
//! proxy goes on with what it holds and connects again, with backoff and jitter; before the operator
//! would end it, another takes its place. Its last word is a goodbye.

mod breakers;
mod link;

use std::{path::PathBuf, time::Duration};

use http::{StatusCode, Uri};
use http_body_util::BodyExt as _;
use llm_config::{
    section::{Held, Update},
    stream::{FromProxy, Line},
};
use serde::Deserialize;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::shared::Handle;
use link::{Link, message};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(3);
/// How long the operator may take to hear a goodbye. One of a version before it never does.
const FAREWELL: Duration = Duration::from_secs(1);

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

/// A task that follows the operator.
#[derive(Debug)]
pub struct Following {
    task: JoinHandle<()>,
    leave: watch::Sender<bool>,
}

impl Following {
    /// Starts it.
    #[must_use]
    pub fn start(settings: StreamSettings, handle: Handle) -> Self {
        let (leave, leaving) = watch::channel(false);
        Self { task: tokio::spawn(follow(settings, handle, leaving)), leave }
    }

    /// Says that this proxy ends, which is to be true: with no call in flight, others may have what it had of limits.
    /// Returns when the operator has heard it, or does not in time; then it keeps that for this proxy for a while.
    pub async fn leave(self) {
        self.leave.send_replace(true);
        if timeout(FAREWELL, self.task).await.is_err() {
            tracing::info!("the operator has not heard that this proxy ends");
        }
    }
}

/// Follows the operator until this proxy leaves.
async fn follow(settings: StreamSettings, handle: Handle, mut leaving: watch::Receiver<bool>) {
    let mut held = Held::default();
    let mut backoff = Backoff::default();
    loop {
        let mut follower = Follower { settings: &settings, handle: &handle, held: &mut held, heard: false };
        let Err(error) = follower.connection(&mut leaving).await else { return };
        if follower.heard {
            backoff = Backoff::default();
        }
        let wait = backoff.next(fastrand::f64());
        let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(%error, retry_in_ms, "no config stream");
        tokio::select! {
            () = sleep(wait) => {}
            // Nobody is there to say goodbye to.
            () = left(&mut leaving) => return,
        }
    }
}

/// Returns when this proxy leaves. Cancel safe.
async fn left(leaving: &mut watch::Receiver<bool>) {
    // Who has dropped the other end does not wait for a goodbye.
    let _leaves = leaving.wait_for(|leaves| *leaves).await;
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

impl Follower<'_> {
    /// Returns without an error when the operator has heard a goodbye.
    async fn connection(&mut self, leaving: &mut watch::Receiver<bool>) -> Result<(), StreamError> {
        let mut link = Link::open(self.settings, self.handle, self.held).await?;
        loop {
            let frame = tokio::select! {
                frame = link.updates.frame() => frame.ok_or(StreamError::Closed)??,
                () = left(leaving) => return link.goodbye().await,
                () = link.breakers.due(self.handle.healths()) => {
                    // What does not fit in waits: it must not keep an answer waiting.
                    let send = |told: &FromProxy| link.answers.try_send(message(told)).is_ok();
                    link.breakers.tell(self.handle.healths(), send);
                    continue;
                }
                () = link.renewal.due() => {
                    match link.renewed(self.settings, self.handle, self.held).await {
                        Ok(next) => link = next,
                        Err(error) => {
                            tracing::warn!(%error, "no newer config stream; this one goes on");
                            link.renewal.postpone();
                        }
                    }
                    continue;
                }
            };
            let Ok(bytes) = frame.into_data() else { continue };
            link.lines.push(&bytes);
            while let Some(line) = link.lines.next_line() {
                let answer = self.answer(line)?;
                link.answers.send(message(&answer)).await.map_err(|_| StreamError::Closed)?;
            }
        }
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
