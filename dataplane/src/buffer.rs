//! Bodies that are held whole: those of callers, and the replies of providers. All of them together
//! are bounded, so that many large ones at once are refused instead of taking the pod's memory.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A body up to this is not counted: the bound on connections bounds these.
const FREE: usize = 64 * 1024;
/// What is counted at a time, in bytes; a permit is a KiB.
const STEP: usize = 256 * 1024;
/// How often a call that is translated holds its body: as it came, as it is meant, as it is sent.
const COPIES: usize = 3;
/// What is set aside for a body that says how long it is.
const MAX_AHEAD: usize = 1024 * 1024;

/// The memory that all bodies may take.
#[derive(Clone, Debug)]
pub struct Buffers(Arc<Semaphore>);

/// A body, and its part of the memory.
#[derive(Debug, Default)]
pub struct Held {
    pub bytes: Bytes,
    _counted: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheld {
    /// It is over its own limit.
    TooLarge,
    /// All bodies together are at theirs.
    Full,
    /// It broke off.
    Broken,
}

impl From<Bytes> for Held {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, _counted: None }
    }
}

impl Held {
    /// Other bytes made of these, in their part of the memory.
    pub fn with(self, bytes: Bytes) -> Self {
        Self { bytes, ..self }
    }
}

impl Buffers {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / 1024).min(Semaphore::MAX_PERMITS))))
    }

    /// Reads a body of at most `limit` bytes. Waits for its bytes, never for memory: bodies that are
    /// half here would wait for each other.
    pub async fn collect<B>(&self, mut body: B, limit: usize) -> Result<Held, Unheld>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Some(first) = frame(&mut body).await? else { return Ok(Held::default()) };
        if body.is_end_stream() && first.len() <= limit {
            // Most bodies are one frame: no copy then.
            return Ok(first.into());
        }
        let ahead = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let mut whole = Vec::with_capacity(first.len() + ahead.min(MAX_AHEAD));
        let (mut counted, mut room) = (None, FREE);
        let mut next = Some(first);
        while let Some(bytes) = next {
            let len = whole.len() + bytes.len();
            if len > limit {
                return Err(Unheld::TooLarge);
            }
            if len > room {
                let more = (len - room).next_multiple_of(STEP);
                self.count(&mut counted, more)?;
                room += more;
            }
            whole.extend_from_slice(&bytes);
            next = frame(&mut body).await?;
        }
        Ok(Held { bytes: whole.into(), _counted: counted })
    }

    fn count(&self, counted: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Unheld> {
        let kib = u32::try_from(bytes / 1024 * COPIES).map_err(|_| Unheld::Full)?;
        let more = self.0.clone().try_acquire_many_owned(kib).map_err(|_| Unheld::Full)?;
        match counted {
            Some(counted) => counted.merge(more),
            None => *counted = Some(more),
        }
        Ok(())
    }
}

async fn frame(body: &mut (impl Body<Data = Bytes> + Unpin)) -> Result<Option<Bytes>, Unheld> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| Unheld::Broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
