//! Embeddings, both ends.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;

const MODEL: ProviderModel<'_> = ProviderModel { name: "m", max_output_tokens: None };

fn read(body: &str) -> Request {
    Embeddings.read_request(body.as_bytes()).unwrap()
}

#[test]
fn every_form_of_input_goes_there_and_back() {
    for (input, count, single) in [
        (r#""a""#, 1, true),
        (r#"["a","b"]"#, 2, false),
        (r#"["a"]"#, 1, false),
        ("[1,2,3]", 1, true),
        ("[[1,2],[3]]", 2, false),
    ] {
        let body = format!(r#"{{"model":"m","input":{input},"dimensions":3,"user":"u"}}"#);
        let request = read(&body);
        assert_eq!((request.inputs.len(), request.single), (count, single), "{input}");
        assert_eq!(EMBEDDINGS_LIMITS.check(&request), Ok(()));
        assert_eq!(Embeddings.write_request(&request, MODEL), body);
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (body, param) in [
        (r#"{"model":"m"}"#, "input"),
        (r#"{"model":"m","input":[]}"#, "input"),
        (r#"{"model":"m","input":{}}"#, "input"),
        (r#"{"model":"m","input":[{}]}"#, "input"),
        (r#"{"model":"m","input":[1,"a"]}"#, "input"),
        (r#"{"model":"m","input":["a",1]}"#, "input[1]"),
        (r#"{"model":"m","input":"a","encoding_format":"int8"}"#, "encoding_format"),
    ] {
        assert_eq!(Embeddings.read_request(body.as_bytes()).unwrap_err().param(), Some(param), "{body}");
    }
    let request = read(r#"{"model":"m","input":"a","encoding_format":"float","input_type":"query"}"#);
    assert_eq!(EMBEDDINGS_LIMITS.check(&request).unwrap_err().field, "input_type");
}

#[test]
fn a_reply_is_read_by_index_whatever_form_its_vectors_have() {
    let body = br#"{"object":"list","model":"text-embedding-3-small","data":[
        {"object":"embedding","index":1,"embedding":"AACAPwAAAMA="},
        {"object":"embedding","index":0,"embedding":[0.5,-2]}],
        "usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    let reply = Embeddings.read_reply(body).unwrap();
    assert_eq!(reply.vectors, [[0.5, -2.0], [1.0, -2.0]]);
    assert_eq!((reply.model.as_str(), reply.input_tokens), ("text-embedding-3-small", Some(8)));
    assert_eq!(embeddings_usage(body).unwrap().unwrap(), Usage { input: 8, ..Usage::default() });
    for garbled in ["", "[]", "{}", r#"{"data":[{"embedding":"AACA"}]}"#] {
        assert!(Embeddings.read_reply(garbled.as_bytes()).is_err(), "{garbled}");
    }
}

#[test]
fn a_reply_is_written_in_the_form_that_was_asked_for() {
    let reply = Reply { vectors: vec![vec![1.0, -2.0]], input_tokens: Some(2), ..Reply::default() };
    let context = Context { model: "mine".to_owned(), ..Context::default() };
    let mut request = Request::default();
    assert_eq!(
        Embeddings.write_reply(&reply, &request, &context),
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0,-2.0]}],"model":"mine","usage":{"prompt_tokens":2,"total_tokens":2}}"#
    );
    request.base64 = true;
    let written = Embeddings.write_reply(&reply, &request, &context);
    assert!(String::from_utf8_lossy(&written).contains(r#""embedding":"AACAPwAAAMA=""#));
    assert_eq!(Embeddings.read_reply(&written).unwrap().vectors, reply.vectors);
}
