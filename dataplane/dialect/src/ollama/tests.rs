//! The API of Ollama from both ends: what is read, what is written, and that the two agree.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};

use super::*;
use crate::Dialect;
use crate::{
    EmbeddingCaller, EmbeddingProvider,
    chat::Request,
    embedding::{self, Input},
};

mod messages;
mod replies;
mod requests;
mod streams;

const MODEL: ProviderModel<'_> = ProviderModel { name: "llama3.2", max_output_tokens: None };

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn body(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn context() -> Context {
    Context {
        id: "7c".to_owned(),
        created: 1_721_680_408,
        model: "assistant".to_owned(),
        include_usage: true,
    }
}

const CREATED: &str = "2024-07-22T20:33:28Z";

fn read(value: &Value) -> Request {
    Chat.read_request(&body(value)).unwrap()
}

/// The parameter at fault.
fn refused(value: &Value) -> String {
    Chat.read_request(&body(value)).unwrap_err().param().unwrap().to_owned()
}

fn written(request: &Request) -> Value {
    value(&Chat.write_request(request, MODEL))
}

fn leftovers(request: &Request) -> Vec<(&str, bool)> {
    request.leftovers.iter().map(|leftover| (leftover.field.as_str(), leftover.hint)).collect()
}

#[test]
fn a_body_without_stream_streams_and_names_its_model() {
    use crate::envelope::Envelope;
    let read = |shape, text: &str| Envelope::read(shape, text.as_bytes());
    let chat = read(&CHAT_SHAPE, r#"{"model":"m","messages":[{}]}"#).unwrap();
    assert!(chat.stream && chat.wants_usage());
    assert!(!read(&CHAT_SHAPE, r#"{"model":"m","messages":[{}],"stream":false}"#).unwrap().stream);
    assert!(read(&CHAT_SHAPE, r#"{"model":"m","messages":[],"keep_alive":0}"#).is_err());
    assert!(read(&GENERATE_SHAPE, r#"{"model":"m","prompt":"x"}"#).unwrap().stream);
    assert!(!read(&EMBED_SHAPE, r#"{"model":"m","input":"x"}"#).unwrap().stream);
    assert!(read(&EMBED_SHAPE, r#"{"model":"m"}"#).is_err());
    let show = read(&SHOW_SHAPE, r#"{"model":"m","verbose":true,"name":""}"#).unwrap();
    assert_eq!((&*show.model, show.stream), ("m", false));
}

#[test]
fn models_are_listed_with_every_field_that_clients_read() {
    let chat = crate::api::ListedModel {
        name: "big".to_owned(),
        route: "team/big".to_owned(),
        chat: true,
        embeddings: false,
        max_output_tokens: None,
    };
    let embed =
        crate::api::ListedModel { name: "vec".to_owned(), chat: false, embeddings: true, ..chat.clone() };
    let tags = value(&tags(&[chat.clone(), embed], 1_721_680_408));
    let first = &tags["models"][0];
    assert_eq!((&first["name"], &first["model"]), (&json!("big"), &json!("big")));
    assert_eq!(first["modified_at"], CREATED);
    assert_eq!(first["digest"].as_str().unwrap().len(), 64);
    assert_eq!(first["size"], 0);
    assert_eq!(first["details"]["families"], json!([]));
    assert_eq!(first["capabilities"], json!(["completion", "tools"]));
    assert_eq!(tags["models"][1]["capabilities"], json!(["embedding"]));
    let show = value(&show(&chat, 0));
    assert_eq!(show["capabilities"], json!(["completion", "tools"]));
    assert_eq!(show["model_info"], json!({}));
    assert_eq!(show["modified_at"], "1970-01-01T00:00:00Z");
    assert_eq!(value(&version())["version"], "0.12.11");
}

#[test]
fn an_error_is_written_and_read_as_the_vendor_does() {
    let fault = read_error(404, br#"{"error":"model 'x' not found"}"#);
    assert_eq!(fault.kind, crate::FaultKind::NotFound);
    assert_eq!((fault.status, fault.message.as_str()), (404, "model 'x' not found"));
    assert_eq!(error_body(&fault), r#"{"error":"model 'x' not found"}"#);
    assert_eq!(Chat.error_event(&fault), "{\"error\":\"model 'x' not found\"}\n");
    // An empty error in a stream raises nothing.
    assert_ne!(value(&error_body(&Fault::of_status(500, "")))["error"], "");
}

#[test]
fn any_body_gives_a_fault_with_the_status() {
    let object = read_error(429, br#"{"error":{"message":"slow down","code":"rate"}}"#);
    assert_eq!((object.message.as_str(), object.code.as_deref()), ("slow down", Some("rate")));
    assert_eq!(object.kind, crate::FaultKind::RateLimit);
    assert_eq!(read_error(502, b" <html>bad gateway</html>\n").message, "<html>bad gateway</html>");
    assert_eq!(read_error(503, b"").message, "the provider answered with status 503");
    assert_eq!(read_error(503, b"").kind, crate::FaultKind::Overloaded);
    assert_eq!(read_error(500, &[b'x'; 9999]).message.len(), 500);
}

#[test]
fn only_an_error_that_its_sdks_can_read_is_an_error_body() {
    assert!(is_error_body(br#"{"error":"unauthorized","signin_url":"https://x"}"#));
    for other in [&br#"{"error":{"message":"x"}}"#[..], br#"{"error":""}"#, b"[\"x\"]", b"<html>", b"{}"] {
        assert!(!is_error_body(other));
    }
}

#[test]
fn texts_to_embed_are_read_and_written() {
    let one = Embed.read_request(br#"{"model":"m","input":"a","truncate":false,"dimensions":0}"#).unwrap();
    assert_eq!(one.inputs, [Input::Text("a".to_owned())]);
    assert!(one.single && one.truncate == Some(false) && one.dimensions.is_none());
    let many =
        br#"{"model":"m","input":["a","b"],"dimensions":64,"keep_alive":"5m","options":{"num_ctx":1},"x":1}"#;
    let many = Embed.read_request(many).unwrap();
    let left: Vec<_> = many.leftovers.iter().map(|l| (l.field.as_str(), l.hint)).collect();
    assert_eq!(left, [("keep_alive", true), ("options", true), ("x", false)]);
    let sent = value(&EmbeddingProvider::write_request(&Embed, &many, MODEL));
    assert_eq!(sent, json!({"model": "llama3.2", "input": ["a", "b"], "dimensions": 64}));
    let sent = value(&EmbeddingProvider::write_request(&Embed, &one, MODEL));
    assert_eq!(sent, json!({"model": "llama3.2", "input": ["a"], "truncate": false}));
    assert_eq!(
        Embed.read_request(br#"{"model":"m","input":["a",1]}"#).unwrap_err().param(),
        Some("input[1]")
    );
    assert_eq!(Embed.read_request(br#"{"model":"m","input":[]}"#).unwrap_err().param(), Some("input"));
}

#[test]
fn what_embeddings_cannot_express_is_refused() {
    let limits = EmbeddingProvider::limits(&Embed);
    let check = |request: embedding::Request| limits.check(&request).map_err(|refusal| refusal.field);
    let text = || embedding::Request { inputs: vec![Input::Text("a".to_owned())], ..Default::default() };
    assert_eq!(check(embedding::Request { truncate: Some(false), dimensions: Some(1), ..text() }), Ok(()));
    let tokens = embedding::Request { inputs: vec![Input::Tokens(vec![1])], ..Default::default() };
    assert_eq!(check(tokens), Err("input".to_owned()));
    let task = embedding::Request { task: Some("x".to_owned()), ..text() };
    assert_eq!(check(task), Err("taskType".to_owned()));
    let title = embedding::Request { title: Some("x".to_owned()), ..text() };
    assert_eq!(check(title), Err("title".to_owned()));
}

#[test]
fn vectors_survive_a_round_trip_with_their_count() {
    let sent = br#"{"model":"m","embeddings":[[0.010071029,-0.0017594862],[1.0,0.5]],"total_duration":1,"prompt_eval_count":8}"#;
    let reply = Embed.read_reply(sent).unwrap();
    assert_eq!(reply.vectors, [[0.010_071_029_f32, -0.001_759_486_2], [1.0, 0.5]]);
    let again = EmbeddingCaller::write_reply(&Embed, &reply, &embedding::Request::default(), &context());
    assert_eq!(
        again,
        r#"{"model":"m","embeddings":[[0.010071029,-0.0017594862],[1.0,0.5]],"prompt_eval_count":8}"#
    );
    assert_eq!(embed_usage(sent).unwrap().unwrap().input, 8);
    assert_eq!(embed_usage(br#"{"embeddings":[]}"#), Ok(None));
    for garbled in [&b"[]"[..], b"<html>", b"{\"embeddings\":"] {
        assert!(embed_usage(garbled).is_err() && Embed.read_reply(garbled).is_err());
    }
    assert!(Embed.read_reply(br#"{"model":"m"}"#).is_err());
}
