//! The official OpenAI SDK against the proxy, with a provider that others wrote behind it.

use crate::documents::{MODEL, document};
use harness::{Aimock, Proxy, python};
use serde_json::json;

const SCRIPT: &str = r#"
import sys
import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="unused", max_retries=0, timeout=20)
hello = [{"role": "user", "content": "hello"}]

plain = client.chat.completions.create(model="large", messages=hello)
print("plain:", plain.choices[0].message.content, plain.usage.total_tokens > 0)

stream = client.chat.completions.create(model="large", messages=hello, stream=True, stream_options={"include_usage": True})
text, usage = "", None
for chunk in stream:
    text += "".join(choice.delta.content or "" for choice in chunk.choices)
    usage = chunk.usage or usage
print("streamed:", text, usage.total_tokens > 0)

tool = client.chat.completions.create(model="large", messages=[{"role": "user", "content": "weather"}], tools=[
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}])
print("tool:", tool.choices[0].message.tool_calls[0].function.name)

print("models:", [model.id for model in client.models.list()])

try:
    client.chat.completions.create(model="lrage", messages=hello)
except openai.NotFoundError as error:
    print("unknown:", error.code, error.param, "Did you mean large?" in error.message)

try:
    client.chat.completions.create(model="large", messages=[{"role": "user", "content": "limited"}])
except openai.RateLimitError as error:
    print("limited:", error.status_code)

try:
    for chunk in client.chat.completions.create(model="large", messages=[{"role": "user", "content": "cut"}], stream=True):
        pass
    print("cut: unnoticed")
except openai.APIError as error:
    print("cut:", error.code)
"#;

#[tokio::test]
async fn the_official_sdk_gets_what_it_would_get_from_its_vendor() {
    let aimock = Aimock::start(json!([
        {"match": {"userMessage": "hello"}, "response": {"content": "Good day to you"}},
        {"match": {"userMessage": "weather"}, "response": {"toolCalls": [{"name": "weather", "arguments": "{}"}]}},
        {"match": {"userMessage": "limited"}, "response": {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429}},
        {"match": {"userMessage": "cut"}, "chunkSize": 4, "latency": 30, "truncateAfterChunks": 3, "response": {"content": "this answer never ends well"}},
    ]))
    .await;
    let proxy = Proxy::start(&document(&[aimock.url()]), &[]).await;
    let ran = python(SCRIPT, &[proxy.url()], &[]).await;
    let expected = [
        "plain: Good day to you True",
        "streamed: Good day to you True",
        "tool: weather",
        &format!("models: ['{MODEL}']"),
        "unknown: model_not_found model True",
        "limited: 429",
        "cut: stream_broken",
    ];
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected, "{}", ran.stderr);
    assert!(ran.ok, "{}", ran.stderr);
}
