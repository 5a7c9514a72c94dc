//! The simulated provider: made-up answers by OpenAI's API, real enough to try everything without a
//! key. The text varies with the prompt, tokens are counted by a real tokenizer, tools are called when
//! the question names them, a schema is kept to, and time passes as the manifest says.

mod compose;
mod embed;
mod sample;
mod text;

use std::{
    collections::VecDeque,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::StatusCode;
use llm_dialect::{
    CallerApi as _, Context, EmbeddingCaller as _,
    openai::{self, SIMULATED_LIMITS},
    surface::{Api, Kind, Task},
};
use tokio::time::{Instant, sleep_until};

use crate::{error::Error, upstream::count::off_worker};
use compose::Composed;

/// How it behaves, and what it has done so far.
#[derive(Debug)]
pub struct Simulated {
    latency: Duration,
    time_to_first_token: Duration,
    tokens_per_second: u32,
    error_ppm: u32,
    error_status: StatusCode,
    seed: Option<u64>,
    calls: AtomicU64,
}

/// What it answers.
pub enum Answer {
    Whole(Bytes),
    Stream(BoxStream<'static, Bytes>),
    /// As a provider in trouble would.
    Failed(StatusCode),
}

impl Simulated {
    pub fn new(settings: &llm_config::Simulated) -> Self {
        // The vocabulary takes some 100 ms to load: before the first call rather than in it.
        static WARM: Once = Once::new();
        WARM.call_once(|| drop(std::thread::spawn(tiktoken_rs::o200k_base_singleton)));
        Self {
            latency: Duration::from_millis(settings.latency_ms),
            time_to_first_token: Duration::from_millis(settings.time_to_first_token_ms),
            tokens_per_second: settings.tokens_per_second,
            error_ppm: settings.error_ppm,
            error_status: StatusCode::from_u16(settings.error_status)
                .unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            seed: settings.seed,
            calls: AtomicU64::new(0),
        }
    }

    /// Answers a request of OpenAI's API.
    pub async fn answer(&self, api: Api, model: &str, body: &Bytes) -> Result<Answer, Error> {
        let arrived = Instant::now();
        let call = self.calls.fetch_add(1, Relaxed);
        let mut chance = match self.seed {
            Some(seed) => {
                fastrand::Rng::with_seed(seed.wrapping_add(call.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            }
            None => fastrand::Rng::new(),
        };
        let fails = chance.u32(0..1_000_000) < self.error_ppm;
        let headers_at = arrived + self.latency;
        if fails {
            sleep_until(headers_at).await;
            return Ok(Answer::Failed(self.error_status));
        }
        if api.task() == Task::Embed {
            self.embed(model, body, headers_at).await
        } else {
            self.chat(model, body, headers_at).await
        }
    }

    async fn embed(&self, model: &str, body: &Bytes, headers_at: Instant) -> Result<Answer, Error> {
        let request = openai::Embeddings.read_request(body)?;
        openai::EMBEDDINGS_LIMITS.check(&request).map_err(Error::Inexpressible)?;
        let model = model.to_owned();
        let body = off_worker(move || {
            let reply = embed::reply(&request, &model);
            openai::Embeddings.write_reply(&reply, &request, &Context { model, ..Context::default() })
        });
        let body = body.await.ok_or_else(gone)?;
        sleep_until(headers_at).await;
        Ok(Answer::Whole(body))
    }

    async fn chat(&self, model: &str, body: &Bytes, headers_at: Instant) -> Result<Answer, Error> {
        let request = openai::Chat.read_request(body)?;
        SIMULATED_LIMITS.check(&request, &openai::Chat).map_err(Error::Inexpressible)?;
        let streamed = request.stream;
        let (seed, asked) = (self.seed, model.to_owned());
        let composed = off_worker(move || Composed::new(&request, asked, seed)).await.ok_or_else(gone)?;
        sleep_until(headers_at).await;
        let first_at = headers_at + self.time_to_first_token;
        if streamed {
            return Ok(Answer::Stream(timed(&composed, first_at, self.tokens_per_second)));
        }
        sleep_until(first_at + pace(composed.tokens().saturating_sub(1), self.tokens_per_second)).await;
        let context = composed.context();
        Ok(Answer::Whole(openai::Chat.write_reply(&composed.reply(), &context)))
    }
}

fn gone() -> Error {
    Error::Closed { provider: Kind::Simulated.as_str().to_owned() }
}

/// How long `tokens` take.
fn pace(tokens: usize, per_second: u32) -> Duration {
    let nanos = tokens as u128 * 1_000_000_000 / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The events with their times, sent as the times come.
fn timed(composed: &Composed, first_at: Instant, per_second: u32) -> BoxStream<'static, Bytes> {
    let mut writer = openai::Chat.stream_writer(Context { include_usage: true, ..composed.context() });
    let mut frames = VecDeque::new();
    let mut tokens = 0;
    for (event, costs) in composed.events() {
        let mut frame = Vec::new();
        writer.write(&event, &mut frame);
        frames.push_back((first_at + pace(tokens, per_second), Bytes::from(frame)));
        tokens += costs;
    }
    let mut end = Vec::new();
    writer.end(&mut end);
    frames.push_back((first_at + pace(tokens.saturating_sub(1), per_second), end.into()));
    frames.retain(|(_, frame)| !frame.is_empty());
    stream::unfold(frames, |mut frames| async move {
        let (at, frame) = frames.pop_front()?;
        if at > Instant::now() {
            sleep_until(at).await;
        }
        Some((frame, frames))
    })
    .boxed()
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Stream(_) => "Stream",
            Self::Failed(_) => "Failed",
        })
    }
}
