//! A client, and what it gets.

use crate::providers::MODEL;
use harness::{
    Proxy,
    http::{Stream, post_stream},
};
use serde_json::{Value, json};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// How a call ended for its client.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With a whole reply of this text.
    Answered(String),
    /// With an error in place of a reply.
    Failed { status: u16, code: String },
    /// In the middle of a stream, with an error event.
    Broken { code: String },
    /// In the middle of a stream, and nothing says so.
    Silent(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(by) => write!(f, "answered by {by}"),
            Self::Failed { status, code } => write!(f, "{status} {code}"),
            Self::Broken { code } => write!(f, "event {code}"),
            Self::Silent(how) => write!(f, "SILENT: {how}"),
        }
    }
}

/// What a client got, and when.
#[derive(Clone, Debug)]
pub struct Got {
    pub end: End,
    /// Whole seconds.
    pub retry_after: Option<u64>,
    pub took: Duration,
}

impl Got {
    pub fn failed(&self) -> Option<(u16, &str)> {
        match &self.end {
            End::Failed { status, code } => Some((*status, code)),
            _ => None,
        }
    }

    /// The text of a whole reply.
    #[track_caller]
    pub fn text(&self) -> &str {
        match &self.end {
            End::Answered(text) => text,
            _ => panic!("{self:?}"),
        }
    }
}

/// Asks for the model of documents with a single one.
pub async fn ask(proxy: &Proxy, streamed: bool) -> Got {
    ask_for(&proxy.chat_url(), MODEL, "Hello", streamed).await
}

pub async fn ask_for(url: &str, model: &str, question: &str, streamed: bool) -> Got {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": question}]});
    if streamed {
        body["stream"] = json!(true);
    }
    let began = Instant::now();
    let mut stream = post_stream(url, &body).await;
    let retry_after = stream.headers.get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    let status = stream.status.as_u16();
    let end = if status == 200 && streamed {
        read_events(&mut stream).await
    } else {
        read_whole(&mut stream).await
    };
    Got { end, retry_after, took: began.elapsed() }
}

async fn read_whole(stream: &mut Stream) -> End {
    let mut body = Vec::new();
    loop {
        match stream.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return End::Silent(error),
        }
    }
    let reply: Value = serde_json::from_slice(&body)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)));
    match (stream.status.as_u16(), reply["choices"][0]["message"]["content"].as_str()) {
        (200, Some(text)) => End::Answered(text.to_owned()),
        (status, _) => End::Failed { status, code: code(&reply) },
    }
}

async fn read_events(stream: &mut Stream) -> End {
    let mut text = String::new();
    let mut whole = false;
    loop {
        let event = match stream.event().await {
            Ok(Some(event)) if event == "[DONE]" => {
                whole = true;
                continue;
            }
            Ok(Some(event)) => event,
            Ok(None) if whole => return End::Answered(text),
            Ok(None) => return End::Silent(format!("it ends after {text:?}")),
            Err(error) => return End::Silent(error),
        };
        // What a provider babbles passes to clients of its own dialect; their SDKs raise at it.
        let Ok(event) = serde_json::from_str::<Value>(&event) else { continue };
        if !event["error"].is_null() {
            return End::Broken { code: code(&event) };
        }
        text += event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
    }
}

fn code(reply: &Value) -> String {
    reply["error"]["code"].as_str().unwrap_or("without a code").to_owned()
}
