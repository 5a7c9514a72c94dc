//! A caller that hangs up in the middle of a stream, in every dialect: what was generated is metered all the same.

use crate::scene::{Scene, slow_model};
use harness::http::{json_request, open};
use llm_dialect::{Dialect, surface::Kind};
use serde_json::{Value, json};

/// Pieces that the caller hears before it hangs up: more than the output tokens that the mock names at the beginning
/// of a stream, where the dialect does so.
const HEARD: u64 = 8;

#[tokio::test]
async fn a_stream_that_its_caller_cuts_is_metered_in_every_dialect() {
    let scene = Scene::start().await;
    let mut lines = 0;
    for dialect in Dialect::ALL {
        for kind in Kind::ALL {
            let (path, body) = call(dialect, &slow_model(kind));
            let request = json_request(&format!("{}{path}", scene.proxy.url()), &body);
            let mut stream = open(request).await.unwrap();
            assert_eq!(stream.status, 200, "{dialect:?} over {kind:?}");
            let mut heard = String::new();
            while pieces(dialect, &heard) < HEARD {
                let chunk = stream.chunk().await.unwrap().unwrap();
                heard.push_str(std::str::from_utf8(&chunk).unwrap());
            }
            drop(stream);

            lines += 1;
            let line = scene.proxy.await_requests(lines).await.pop().unwrap();
            let said = || format!("{dialect:?} over {kind:?}: {line}\n{heard}");
            assert_eq!(
                (&line["status"], &line["error"]),
                (&json!(499), &json!("client_closed")),
                "{}",
                said()
            );
            assert_eq!(line["estimated"], true, "{}", said());
            assert!(line["input_tokens"].as_u64().unwrap() > 0, "{}", said());
            assert!(line["output_tokens"].as_u64().unwrap() >= HEARD, "{}", said());
            assert_ne!(line["cost_usd"], "0.000000000", "{}", said());
        }
    }
}

fn call(dialect: Dialect, model: &str) -> (String, Value) {
    const WORDS: &str = "Say much, and more than will be heard";
    let messages = json!([{"role": "user", "content": WORDS}]);
    match dialect {
        Dialect::OpenAI => {
            ("/v1/chat/completions".to_owned(), json!({"model": model, "stream": true, "messages": messages}))
        }
        Dialect::Anthropic => (
            "/v1/messages".to_owned(),
            json!({"model": model, "stream": true, "max_tokens": 500, "messages": messages}),
        ),
        Dialect::Gemini => (
            format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            json!({"contents": [{"role": "user", "parts": [{"text": WORDS}]}]}),
        ),
        Dialect::Ollama => ("/api/chat".to_owned(), json!({"model": model, "messages": messages})),
    }
}

/// Pieces of text that have come; an empty one says who speaks.
fn pieces(dialect: Dialect, heard: &str) -> u64 {
    let mark = match dialect {
        Dialect::OpenAI | Dialect::Ollama => "\"content\":\"",
        Dialect::Anthropic => "\"type\":\"text_delta\",\"text\":\"",
        Dialect::Gemini => "\"text\":\"",
    };
    (heard.matches(mark).count() - heard.matches(&format!("{mark}\"")).count()) as u64
}
