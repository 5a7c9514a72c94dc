//! The requests of the benchmark, and the check that their answers are right: a proxy that fails
//! fast must not look like a fast proxy.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{Outcome, config::MODEL};

pub const CHAT: &str = "/v1/chat/completions";
const CHUNKS: usize = 64;
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// A chat request of about 1 KB.
pub fn chat(stream: bool) -> Value {
    let prompt =
        "Say in plain words what this gateway costs for each call that passes through it. ".repeat(10);
    let mut request = json!({
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You answer questions about a gateway, briefly and exactly."},
            {"role": "user", "content": prompt.trim_end()},
        ],
        "temperature": 0.2,
        "max_tokens": 256,
    });
    if stream {
        request["stream"] = json!(true);
    }
    request
}

/// A stream that another vendor's caller asks for: the provider speaks OpenAI's API.
pub struct Translated {
    pub caller: &'static str,
    pub path: &'static str,
    pub body: Value,
    /// Stands once in each piece of the answer.
    piece: &'static str,
}

/// The same question by the other dialects.
pub fn translated() -> [Translated; 4] {
    let asked = chat(false);
    let text = |i: usize| asked["messages"][i]["content"].clone();
    let messages = json!([{"role": "user", "content": text(1)}]);
    [
        Translated {
            caller: "Anthropic",
            path: "/v1/messages",
            body: json!({
                "model": MODEL, "stream": true, "max_tokens": 256, "temperature": 0.2, "system": text(0), "messages": messages,
            }),
            piece: "\"text_delta\"",
        },
        Translated {
            caller: "Gemini",
            path: "/v1beta/models/bench-model:streamGenerateContent?alt=sse",
            body: json!({
                "systemInstruction": {"parts": [{"text": text(0)}]},
                "contents": [{"role": "user", "parts": [{"text": text(1)}]}],
                "generationConfig": {"temperature": 0.2, "maxOutputTokens": 256},
            }),
            piece: "{\"text\":\" ",
        },
        Translated {
            caller: "Ollama",
            path: "/api/chat",
            body: json!({
                "model": MODEL, "messages": asked["messages"], "options": {"temperature": 0.2, "num_predict": 256},
            }),
            piece: "\"done\":false",
        },
        Translated {
            caller: "Responses",
            path: "/v1/responses",
            body: json!({
                "model": MODEL, "stream": true, "instructions": text(0), "input": messages, "temperature": 0.2,
                "max_output_tokens": 256,
            }),
            piece: "\"type\":\"response.output_text.delta\"",
        },
    ]
}

/// Sends a translated request and looks at the whole stream.
pub fn check_translated(target: SocketAddr, request: &Translated) -> Outcome<()> {
    let reply = post(target, request.path, "", &request.body)?;
    let text = String::from_utf8(reply.body)?;
    if reply.status != 200 || text.matches(request.piece).count() != CHUNKS {
        return Err(format!(
            "{}: status {}, no stream of {CHUNKS} pieces: {text}",
            request.path, reply.status
        )
        .into());
    }
    Ok(())
}

/// Sends both requests and looks at all of the answers.
pub fn check(target: SocketAddr) -> Outcome<()> {
    let reply = post(target, CHAT, "", &chat(false))?;
    let answer: Value = serde_json::from_slice(&reply.body)?;
    if reply.status != 200 || !answer["usage"]["total_tokens"].is_u64() || !answer["choices"][0].is_object() {
        return Err(format!("{target}: status {}, no chat completion: {answer}", reply.status).into());
    }
    let reply = post(target, CHAT, "", &chat(true))?;
    let text = String::from_utf8(reply.body)?;
    let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let contents = events.iter().filter(|event| event.contains("\"content\":")).count();
    if reply.status != 200 || contents != CHUNKS || events.last() != Some(&"[DONE]") {
        return Err(format!("{target}: status {}, no stream of {CHUNKS} chunks: {text}", reply.status).into());
    }
    Ok(())
}

/// What a caller says who wants something of the routing.
pub const WISHES: [(&str, &str); 4] = [
    ("x-llm-user", "bench"),
    ("x-llm-strategy", "Balanced"),
    ("x-llm-require-capabilities", "Tools"),
    ("x-llm-max-latency-ms", "30000"),
];

/// Sends a request with those wishes, and looks whether they, and all the rest of the routing, have decided.
pub fn check_routed(target: SocketAddr) -> Outcome<()> {
    let wishes = WISHES.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers = wishes.chain(["x-llm-explain: true\r\n".to_owned()]).collect::<String>();
    let reply = post(target, CHAT, &headers, &chat(false))?;
    let answer: Value = serde_json::from_slice(&reply.body)?;
    let decision = &answer["llm_gateway"]["metadata"]["routingDecision"];
    let candidates = decision["candidates"].as_array().map_or(0, Vec::len);
    if decision["strategy"] != "Balanced" || candidates != 6 || !decision["complexity"].is_object() {
        return Err(format!("{target}: status {}, it was not routed as said: {answer}", reply.status).into());
    }
    Ok(())
}

/// The status of a GET; an error while nobody listens.
pub fn get(target: SocketAddr, path: &str) -> Outcome<u16> {
    Ok(exchange(target, &format!("GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"))?
        .status)
}

fn post(target: SocketAddr, path: &str, headers: &str, body: &Value) -> Outcome<Reply> {
    let body = body.to_string();
    exchange(
        target,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\
             {headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

struct Reply {
    status: u16,
    body: Vec<u8>,
}

/// One request on a connection of its own; the reply ends where the connection does.
fn exchange(target: SocketAddr, request: &str) -> Outcome<Reply> {
    let mut connection = TcpStream::connect_timeout(&target, TIMEOUT)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply)?;
    let end = position(&reply, b"\r\n\r\n").ok_or("a reply without an end of its head")?;
    let head = std::str::from_utf8(&reply[..end])?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).ok_or("a reply without a status")?.parse()?;
    let body = &reply[end + 4..];
    let body = if head.contains("transfer-encoding: chunked") { dechunked(body)? } else { body.to_vec() };
    Ok(Reply { status, body })
}

fn dechunked(mut rest: &[u8]) -> Outcome<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = position(rest, b"\r\n").ok_or("a chunk without a size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end])?, 16)?;
        if size == 0 {
            return Ok(body);
        }
        let data = rest.get(end + 2..end + 2 + size).ok_or("a chunk that breaks off")?;
        body.extend_from_slice(data);
        rest = rest.get(end + 4 + size..).ok_or("a chunk that breaks off")?;
    }
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}
