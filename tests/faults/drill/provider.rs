//! A provider of the drill: it dies, stalls, limits rates and recovers when it is told to, and repeats what it was
//! asked, so that no call can get the answer of another.

use crate::providers::{chunk, completion, is_streamed, last_chunk, limited, usage_chunk};
use harness::{Proxy, RawUpstream, Step, answer, eventually, sse_end, sse_event, sse_head};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// What a model takes for an answer: long enough for some to be on their way when their provider dies.
const THINKS: Duration = Duration::from_millis(300);
const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    Well,
    Stalls,
    /// 429, with a Retry-After of a second.
    Limits,
}

pub struct Provider {
    pub name: &'static str,
    pub upstream: RawUpstream,
    mood: Arc<Mutex<Mood>>,
}

impl Provider {
    pub async fn start(name: &'static str) -> Self {
        let mood = Arc::new(Mutex::new(Mood::Well));
        let now = Arc::clone(&mood);
        let upstream = RawUpstream::answering(move |request| match *now.lock().unwrap() {
            Mood::Well => answers(name, request),
            Mood::Stalls => vec![Step::Stall],
            Mood::Limits => vec![Step::Send(limited(Some(1)))],
        });
        Self { name, upstream: upstream.await, mood }
    }

    pub fn turns(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often it was asked, those times included that it refused the connection.
    pub async fn attempts(&self, proxy: &Proxy) -> f64 {
        self.metric(proxy, "llm_gateway_provider_attempts_total").await
    }

    /// Waits for no attempt to be out.
    pub async fn await_idle(&self, proxy: &Proxy) {
        eventually(&format!("{} has nothing to do", self.name), SOON, async || {
            let out = self.metric(proxy, "llm_gateway_provider_in_flight").await;
            if out == 0.0 { Ok(()) } else { Err(out.to_string()) }
        })
        .await;
    }

    pub async fn opened(&self, proxy: &Proxy) -> f64 {
        self.metric(proxy, "llm_gateway_provider_breaker_opened_total").await
    }

    /// Waits for its breaker to be closed (0) or open (2).
    pub async fn await_breaker(&self, proxy: &Proxy, wanted: f64) {
        eventually(&format!("the breaker of {} is {wanted}", self.name), SOON, async || {
            let state = self.metric(proxy, "llm_gateway_provider_breaker_state").await;
            if state == wanted { Ok(()) } else { Err(state.to_string()) }
        })
        .await;
    }

    async fn metric(&self, proxy: &Proxy, name: &str) -> f64 {
        proxy.metric(name, &[("provider", &format!("ai/pool/{}", self.name))]).await
    }
}

/// What it answers to a question.
pub fn text(provider: &str, question: &str) -> String {
    format!("{provider} heard {question}")
}

fn answers(name: &str, request: &str) -> Vec<Step> {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let text = text(name, body["messages"][0]["content"].as_str().unwrap());
    if !is_streamed(request) {
        return vec![Step::Think(THINKS), Step::Send(answer(200, &completion(&text)))];
    }
    let mut steps = vec![Step::Send(sse_head())];
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    for word in &words {
        steps.extend([
            Step::Send(sse_event(&chunk(word))),
            Step::Think(THINKS / u32::try_from(words.len()).unwrap()),
        ]);
    }
    let end = [sse_event(&last_chunk()), sse_event(&usage_chunk()), sse_event("[DONE]"), sse_end()];
    steps.push(Step::Send(end.concat()));
    steps
}
