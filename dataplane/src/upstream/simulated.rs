//! The simulated provider: made-up answers in the OpenAI dialect, real enough to try everything
//! without a key. The text varies with the prompt, tokens are counted by a real tokenizer, and time
//! passes as the manifest says.

mod text;

use std::{
    collections::VecDeque,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::error::Error;

/// How it behaves, and what it has done so far.
#[derive(Debug)]
pub struct Simulated {
    latency: Duration,
    time_to_first_token: Duration,
    tokens_per_second: u32,
    error_ppm: u32,
    seed: Option<u64>,
    calls: AtomicU64,
}

/// What it answers.
pub enum Answer {
    Whole(Bytes),
    Stream(BoxStream<'static, Bytes>),
    /// As an overloaded provider would.
    Unavailable,
}

#[derive(Deserialize)]
struct Request {
    messages: Vec<Message>,
    #[serde(alias = "max_completion_tokens")]
    max_tokens: Option<usize>,
    n: Option<u32>,
    #[serde(default)]
    stream: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

/// An answer before time is added to it.
struct Composed {
    id: String,
    created: u64,
    model: String,
    pieces: Vec<String>,
    cut: bool,
    prompt_tokens: usize,
}

impl Simulated {
    pub fn new(
        latency_ms: u64,
        ttft_ms: u64,
        tokens_per_second: u32,
        error_ppm: u32,
        seed: Option<u64>,
    ) -> Self {
        // The vocabulary takes some 100 ms to load: before the first call rather than in it.
        static WARM: Once = Once::new();
        WARM.call_once(|| drop(std::thread::spawn(tiktoken_rs::o200k_base_singleton)));
        Self {
            latency: Duration::from_millis(latency_ms),
            time_to_first_token: Duration::from_millis(ttft_ms),
            tokens_per_second,
            error_ppm,
            seed,
            calls: AtomicU64::new(0),
        }
    }

    /// Answers a chat completion request.
    pub async fn answer(&self, model: &str, body: &Bytes) -> Result<Answer, Error> {
        let arrived = Instant::now();
        let call = self.calls.fetch_add(1, Relaxed);
        let request: Request = serde_json::from_slice(body)
            .map_err(|error| Error::InvalidField { param: "messages", reason: error.to_string() })?;
        if request.n.is_some_and(|n| n != 1) {
            return Err(Error::InvalidField {
                param: "n",
                reason: "kind Simulated gives one choice".to_owned(),
            });
        }
        let mut chance = match self.seed {
            Some(seed) => {
                fastrand::Rng::with_seed(seed.wrapping_add(call.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            }
            None => fastrand::Rng::new(),
        };
        let fails = chance.u32(0..1_000_000) < self.error_ppm;
        let streamed = request.stream.unwrap_or(false);
        let (seed, model) = (self.seed, model.to_owned());
        // Tokenizing a long prompt takes longer than a worker should be held up.
        let composed = tokio::task::spawn_blocking(move || Composed::new(&request, model, seed))
            .await
            .map_err(|_| Error::Closed { provider: "simulated".to_owned() })?;
        let headers_at = arrived + self.latency;
        sleep_until(headers_at).await;
        if fails {
            return Ok(Answer::Unavailable);
        }
        let first_at = headers_at + self.time_to_first_token;
        if streamed {
            return Ok(Answer::Stream(composed.stream(first_at, self.tokens_per_second)));
        }
        sleep_until(first_at + pace(composed.pieces.len().saturating_sub(1), self.tokens_per_second)).await;
        Ok(Answer::Whole(composed.whole()))
    }
}

/// How long `tokens` take.
fn pace(tokens: usize, per_second: u32) -> Duration {
    let nanos = tokens as u128 * 1_000_000_000 / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Composed {
    fn new(request: &Request, model: String, seed: Option<u64>) -> Self {
        let tokenizer = tiktoken_rs::o200k_base_singleton();
        let texts: Vec<(&str, String)> =
            request.messages.iter().map(|message| (message.role.as_str(), message.text())).collect();
        // OpenAI's own way to count a chat: three tokens frame each message, three start the answer.
        let count = |text: &str| tokenizer.encode_ordinary(text).len();
        let prompt_tokens = texts.iter().map(|(role, text)| 3 + count(role) + count(text)).sum::<usize>() + 3;

        let question = texts.iter().rev().find(|(role, _)| *role == "user").map_or("", |(_, text)| text);
        let mut chance = match seed {
            Some(seed) => fastrand::Rng::with_seed(text::digest(&texts) ^ seed),
            None => fastrand::Rng::new(),
        };
        let answer = text::answer(question, &mut chance);
        let mut tokens = tokenizer.encode_ordinary(&answer);
        let limit = request.max_tokens.unwrap_or(usize::MAX);
        let cut = tokens.len() > limit;
        tokens.truncate(limit);
        let mut pieces = Vec::with_capacity(tokens.len());
        let mut bytes = Vec::new();
        for token in tokens {
            bytes.extend(tokenizer.decode_bytes(&[token]).unwrap_or_default());
            // A token may end in the middle of a character; the next ones complete it.
            match String::from_utf8(std::mem::take(&mut bytes)) {
                Ok(piece) => pieces.push(piece),
                Err(error) => {
                    bytes = error.into_bytes();
                    pieces.push(String::new());
                }
            }
        }
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            id: format!("chatcmpl-sim-{:016x}", chance.u64(..)),
            created,
            model,
            pieces,
            cut,
            prompt_tokens,
        }
    }

    fn finish_reason(&self) -> &'static str {
        if self.cut { "length" } else { "stop" }
    }

    fn usage(&self) -> serde_json::Value {
        let output = self.pieces.len();
        json!({"prompt_tokens": self.prompt_tokens, "completion_tokens": output, "total_tokens": self.prompt_tokens + output})
    }

    fn whole(&self) -> Bytes {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": self.pieces.concat(), "refusal": null},
                "logprobs": null,
                "finish_reason": self.finish_reason(),
            }],
            "usage": self.usage(),
        })
        .to_string()
        .into()
    }

    /// The events with their times, sent as the times come.
    fn stream(self, first_at: Instant, per_second: u32) -> BoxStream<'static, Bytes> {
        let event = |choices: serde_json::Value, usage: serde_json::Value| {
            let chunk = json!({
                "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
                "choices": choices, "usage": usage,
            });
            Bytes::from(format!("data: {chunk}\n\n"))
        };
        let choice = |delta: serde_json::Value, finish: Option<&str>| {
            event(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), serde_json::Value::Null)
        };
        let last_at = first_at + pace(self.pieces.len().saturating_sub(1), per_second);
        let mut events = VecDeque::with_capacity(self.pieces.len() + 4);
        events.push_back((first_at, choice(json!({"role": "assistant", "content": ""}), None)));
        for (i, piece) in self.pieces.iter().enumerate().filter(|(_, piece)| !piece.is_empty()) {
            events.push_back((first_at + pace(i, per_second), choice(json!({"content": piece}), None)));
        }
        events.push_back((last_at, choice(json!({}), Some(self.finish_reason()))));
        events.push_back((last_at, event(json!([]), self.usage())));
        events.push_back((last_at, Bytes::from_static(b"data: [DONE]\n\n")));
        stream::unfold(events, |mut events| async move {
            let (at, event) = events.pop_front()?;
            if at > Instant::now() {
                sleep_until(at).await;
            }
            Some((event, events))
        })
        .boxed()
    }
}

impl Message {
    fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Stream(_) => "Stream",
            Self::Unavailable => "Unavailable",
        })
    }
}
