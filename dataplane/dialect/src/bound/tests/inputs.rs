//! What is beside the text: tools, pictures, and what the body does not show.

use super::*;

fn chat(part: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#)
}

fn bounded(api: Api, kind: Kind, model: &str, body: &str) -> u64 {
    let (alone, within) = most(api, kind, model, body);
    assert_eq!(alone, within, "{body}");
    alone.unwrap()
}

#[test]
fn text_is_bounded_by_its_bytes_in_every_api() {
    for (api, kind, body) in [
        (Api::ChatCompletions, Kind::OpenAI, r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#),
        (Api::Responses, Kind::OpenAI, r#"{"model":"m","input":"hi","instructions":"be kind"}"#),
        (
            Api::Messages,
            Kind::Anthropic,
            r#"{"model":"m","max_tokens":9,"system":"s","messages":[{"role":"user","content":"hi"}]}"#,
        ),
        (Api::GenerateContent, Kind::Gemini, r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#),
        (Api::OllamaChat, Kind::Ollama, r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#),
        (Api::OllamaGenerate, Kind::Ollama, r#"{"model":"m","prompt":"hi","context":[1,2]}"#),
    ] {
        assert_eq!(bounded(api, kind, "m", body), body.len() as u64 + PREAMBLE, "{body}");
    }
    for (api, body) in [
        (Api::Embeddings, r#"{"model":"m","input":["a",[1,2]]}"#),
        (Api::EmbedContent, r#"{"content":{"parts":[{"text":"a"}]}}"#),
        (
            Api::BatchEmbedContents,
            r#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}"#,
        ),
        (Api::OllamaEmbed, r#"{"model":"m","input":["a"]}"#),
    ] {
        assert_eq!(bounded(api, Kind::OpenAI, "m", body), body.len() as u64 + EMBED_PREAMBLE, "{body}");
    }
    let count = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(bounded(Api::MessagesCountTokens, Kind::Anthropic, "m", count), 0, "counting costs nothing");
}

#[test]
fn the_window_bounds_what_goes_through_it_at_once() {
    let long = "x".repeat(5_000);
    let within = |api: Api, body: &str| {
        let envelope = envelope(api, body);
        input(api, &envelope, body.as_bytes(), Kind::OpenAI, "m").most(Some(1_000)).unwrap()
    };
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{long}"}}]}}"#);
    assert_eq!(within(Api::ChatCompletions, &body), 1_000);
    let body = format!(r#"{{"model":"m","input":["{long}","{long}"]}}"#);
    assert!(within(Api::Embeddings, &body) > 10_000, "each text has a window of its own");
}

#[test]
fn tools_count_twice_and_with_what_the_server_says_of_them() {
    let tool = r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#;
    let body = format!(r#"{{"model":"m","tools":{tool},"messages":[{{"role":"user","content":"hi"}}]}}"#);
    let most = (body.len() + tool.len()) as u64 + PREAMBLE + TOOLS;
    for (api, kind) in [(Api::ChatCompletions, Kind::OpenAI), (Api::OllamaChat, Kind::Ollama)] {
        assert_eq!(bounded(api, kind, "m", &body), most);
    }
    let declarations = r#"[{"name":"f"}]"#;
    let body = format!(
        r#"{{"contents":[{{"parts":[{{"text":"hi"}}]}}],"tools":[{{"functionDeclarations":{declarations}}}]}}"#
    );
    let most = (body.len() + declarations.len()) as u64 + PREAMBLE + TOOLS;
    assert_eq!(bounded(Api::GenerateContent, Kind::Gemini, "m", &body), most);
    let tools = r#"[{"type":"computer_20250124","name":"computer"},{"type":"bash_20250124","name":"bash"}]"#;
    let body = format!(
        r#"{{"model":"m","max_tokens":9,"tools":{tools},"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    // What Anthropic publishes: 735 for the one with 499 for the system prompt, 245 for the other.
    let most = bounded(Api::Messages, Kind::Anthropic, "m", &body);
    assert!(most >= body.len() as u64 + 735 + 499 + 245, "{most}");
}

#[test]
fn a_picture_takes_the_published_maximum_of_its_model_beside_its_bytes() {
    let url = chat(r#"{"type":"image_url","image_url":{"url":"https://x/a.png","detail":"high"}}"#);
    let beside =
        |kind, model: &str| bounded(Api::ChatCompletions, kind, model, &url) - url.len() as u64 - PREAMBLE;
    for (kind, model, published) in [
        (Kind::OpenAI, "gpt-4o", 85 + 8 * 170),
        (Kind::OpenAI, "openai/gpt-4o-mini-2024-07-18", 48_169),
        (Kind::OpenAI, "gpt-4.1-nano", 3_778),
        (Kind::OpenAI, "o4-mini", 2_641),
        (Kind::OpenAI, "gpt-5.4", 12_000),
        (Kind::OpenAI, "qwen2-vl-72b", 16_384),
        (Kind::OpenAI, "whatever", 48_169),
        (Kind::Anthropic, "claude-opus-4-7", 4_784),
        (Kind::Gemini, "gemini-3-pro-preview", 2_240),
        (Kind::Ollama, "qwen2.5vl", 16_384),
    ] {
        let most = beside(kind, model);
        assert!(most >= published, "{kind:?} {model}: {most}");
    }
    assert!(beside(Kind::OpenAI, "gpt-4o") < 10_000, "not what a mini model takes");
    assert_eq!(beside(Kind::Simulated, "m"), 0);
}

#[test]
fn pictures_are_found_in_every_api() {
    let data = "QUJD".repeat(100);
    let cases = [
        (
            Api::ChatCompletions,
            chat(&format!(
                r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}},{{"type":"image_url","image_url":"u"}}"#
            )),
        ),
        (
            Api::Responses,
            format!(
                r#"{{"model":"m","input":[{{"role":"user","content":[{{"type":"input_image","image_url":"{data}","file_id":null}},{{"image_url":"u"}}]}}]}}"#
            ),
        ),
        (
            Api::Messages,
            format!(
                r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{{"source":{{"type":"base64","media_type":"image/png","data":"{data}"}},"type":"image"}},{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"image","source":{{"url":"u","type":"url"}}}}]}}]}}]}}"#
            ),
        ),
        (
            Api::GenerateContent,
            format!(
                r#"{{"contents":{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{data}"}}}},{{"function_response":{{"name":"f","response":{{}},"parts":[{{"inline_data":{{"data":"{data}","mime_type":"image/webp"}}}}]}}}}]}}}}"#
            ),
        ),
        (
            Api::OllamaChat,
            format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"hi","images":["{data}","{data}"]}}]}}"#
            ),
        ),
        (Api::OllamaGenerate, format!(r#"{{"model":"m","prompt":"hi","images":["{data}","{data}"]}}"#)),
    ];
    for (api, body) in cases {
        let read = envelope(api, &body);
        let media = |kind| input(api, &read, body.as_bytes(), kind, "m").media;
        assert_eq!(media(Kind::Anthropic), 2 * 4_784, "{body}");
        assert_eq!(media(Kind::OpenAI), 2 * 48_169, "{body}");
        assert!(bounded(api, Kind::Anthropic, "m", &body) > body.len() as u64 + 2 * 4_784);
    }
}

#[test]
fn what_the_body_does_not_show_only_the_window_bounds() {
    let responses = |fields: &str| format!(r#"{{"model":"m","input":"hi",{fields}}}"#);
    let item = |item: &str| format!(r#"{{"model":"m","input":[{item}]}}"#);
    let block = |block: &str| {
        format!(r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{block}]}}]}}"#)
    };
    let part = |part: &str| format!(r#"{{"contents":[{{"parts":[{part}]}}]}}"#);
    let message = |message: &str| format!(r#"{{"model":"m","messages":[{message}]}}"#);
    let cases = [
        (Api::ChatCompletions, chat(r#"{"type":"input_audio","input_audio":{"data":"QQ==","format":"wav"}}"#), "input_audio"),
        (Api::ChatCompletions, chat(r#"{"type":"file","file":{"file_id":"f"}}"#), "file"),
        (Api::ChatCompletions, chat(r#"{"type":"video_url","video_url":{"url":"u"}}"#), "video_url"),
        (Api::ChatCompletions, chat(r#"{"type":"image\u005furl","image\u005furl2":"u"}"#), "image_url2"),
        (Api::ChatCompletions, message(r#"{"role":"assistant","audio":{"id":"a"}}"#), "audio"),
        (Api::ChatCompletions, r#"{"model":"m","messages":[1],"chat_template":"t"}"#.to_owned(), "chat_template"),
        (Api::Responses, responses(r#""previous_response_id":"r""#), "previous_response_id"),
        (Api::Responses, responses(r#""conversation":"c""#), "conversation"),
        (Api::Responses, item(r#"{"type":"item_reference","id":"m_1"}"#), "input.id"),
        (Api::Responses, item(r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null}"#), "input.id"),
        (Api::Responses, item(r#"{"role":"user","content":[{"type":"input_file","file_url":"u"}]}"#), "file_url"),
        (Api::Messages, block(r#"{"source":{"type":"base64","media_type":"application/pdf","data":"QQ=="},"type":"document"}"#), "source"),
        (Api::Messages, block(r#"{"type":"container_upload","file_id":"f"}"#), "file_id"),
        (Api::Messages, r#"{"model":"m","max_tokens":9,"messages":[1],"tools":[{"type":"memory_20250818","name":"memory"}]}"#.to_owned(), "tools"),
        (Api::GenerateContent, part(r#"{"fileData":{"fileUri":"u"}}"#), "fileData"),
        (Api::GenerateContent, part(r#"{"inlineData":{"mimeType":"application/pdf","data":"QQ=="}}"#), "inlineData"),
        (Api::GenerateContent, r#"{"contents":[{}],"cachedContent":"c"}"#.to_owned(), "cachedContent"),
        (Api::OllamaGenerate, r#"{"model":"m","prompt":"p","template":"{{ range }}"}"#.to_owned(), "template"),
        (Api::OllamaChat, r#"{"model":"m","messages":[{"role":"user","Images":["QQ=="]}]}"#.to_owned(), "Images"),
    ];
    for (api, body, field) in cases {
        let (alone, within) = most(api, Kind::OpenAI, "m", &body);
        assert_eq!(alone, Err(Unbounded::Window { field: field.into() }), "{body}");
        assert_eq!(within, Ok(WINDOW), "{body}");
    }
}

#[test]
fn nothing_bounds_what_a_provider_does_by_itself() {
    let fields = |fields: &str| format!(r#"{{"model":"m","max_tokens":9,"messages":[1],{fields}}}"#);
    let input = |fields: &str| format!(r#"{{"model":"m","input":"hi",{fields}}}"#);
    let contents = |fields: &str| format!(r#"{{"contents":[{{}}],{fields}}}"#);
    let cases = [
        (Api::ChatCompletions, fields(r#""web_search_options":{}"#), "web_search_options"),
        (Api::ChatCompletions, fields(r#""tools":[{"type":"openrouter:web_search"}]"#), "tools"),
        (Api::ChatCompletions, fields(r#""MAX_TOKENS":100000"#), "MAX_TOKENS"),
        (Api::Responses, input(r#""tools":[{"type":"web\u005fsearch"}]"#), "tools"),
        (Api::Responses, input(r#""prompt":{"id":"p"}"#), "prompt"),
        (Api::Messages, fields(r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#), "tools"),
        (Api::Messages, fields(r#""container":"c""#), "container"),
        (
            Api::Messages,
            fields(r#""context_management":{"edits":[{"type":"compact_20260112"}]}"#),
            "context_management",
        ),
        (Api::GenerateContent, contents(r#""tools":[{"googleSearch":{}}]"#), "googleSearch"),
        (
            Api::GenerateContent,
            contents(r#""generationConfig":{"responseModalities":["TEXT","IMAGE"]}"#),
            "responseModalities",
        ),
        (Api::Embeddings, r#"{"model":"m","input":[{"image":"u"}]}"#.to_owned(), "image"),
        (Api::EmbedContent, r#"{"content":{"parts":[{"fileData":{"fileUri":"u"}}]}}"#.to_owned(), "fileData"),
    ];
    for (api, body, field) in cases {
        let (_, within) = most(api, Kind::OpenAI, "m", &body);
        assert_eq!(within, Err(Unbounded::Field { field: field.into() }), "{body}");
    }
}

#[test]
fn what_clients_send_and_do_not_mean_bounds_nothing() {
    for (api, body) in [
        (
            Api::ChatCompletions,
            r#"{"model":"m","messages":[{"role":"assistant","audio":null,"content":"a","tool_calls":[]}],"plugins":[],"web_search_options":null,"n":null,"future":false}"#,
        ),
        (
            Api::Responses,
            r#"{"model":"m","input":[{"type":"reasoning","id":"rs","summary":[],"encrypted_content":"x"},{"type":"message","id":"m","content":[{"type":"output_text","text":"t","annotations":[]}]}],"previous_response_id":null,"tools":[]}"#,
        ),
        (
            Api::Messages,
            r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","title":"t","source":{"type":"text","media_type":"text/plain","data":"d"}}]}],"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]}}"#,
        ),
        (
            Api::GenerateContent,
            r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"text/plain","data":"QQ=="}}]}],"generationConfig":{"responseModalities":["TEXT"]}}"#,
        ),
        (Api::OllamaGenerate, r#"{"model":"m","prompt":"p","suffix":"","template":"","images":null}"#),
    ] {
        assert_eq!(
            bounded(api, Kind::Anthropic, "m", body),
            body.len() as u64 + PREAMBLE + {
                let envelope = envelope(api, body);
                envelope.asked.rendered
            },
            "{body}"
        );
    }
}

#[test]
fn a_body_that_the_quick_way_does_not_read_is_not_bounded() {
    // serde_json passes over a number without end where nobody wants to know it.
    let body = r#"{"model":"m","messages":[1],"stream_options":{"include_usage":true,"x":1e999}}"#;
    let (_, within) = most(Api::ChatCompletions, Kind::OpenAI, "m", body);
    assert_eq!(within, Err(Unbounded::Field { field: "body".into() }));
}

#[test]
fn a_refusal_says_what_to_change() {
    let (alone, within) =
        most(Api::ChatCompletions, Kind::OpenAI, "m", &chat(r#"{"type":"file","file":{"file_id":"f"}}"#));
    let said = alone.unwrap_err();
    assert_eq!(said.field(), "file");
    assert_eq!(
        said.to_string(),
        "the tokens of 'file' are not in the call: leave it out, or say the model's contextWindow"
    );
    assert_eq!(within, Ok(WINDOW));
}
