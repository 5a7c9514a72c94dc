//! What calls name as the most output, and what they look like with a limit that they did not name.

use bytes::Bytes;

use super::*;
use crate::surface::CallerSide;

const GENERATE: Api = Api::GenerateContent;

fn named(api: Api, fields: &str) -> String {
    match api {
        Api::Responses => format!(r#"{{"model":"m","input":"hi"{fields}}}"#),
        Api::GenerateContent => format!(r#"{{"contents":[{{"parts":[{{"text":"hi"}}]}}]{fields}}}"#),
        Api::OllamaGenerate => format!(r#"{{"model":"m","prompt":"hi"{fields}}}"#),
        _ => format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{fields}}}"#),
    }
}

#[test]
fn the_limit_is_read_where_each_api_has_it() {
    let most = |api: Api, fields: &str| {
        let envelope = envelope(api, &named(api, fields));
        output(api, &envelope, api, false).most(None).unwrap()
    };
    let cases = [
        (Api::ChatCompletions, r#","max_tokens":10"#, Some(10)),
        (Api::ChatCompletions, r#","max_completion_tokens":10"#, Some(10)),
        (Api::ChatCompletions, r#","max_tokens":10,"max_completion_tokens":20"#, Some(20)),
        (Api::ChatCompletions, r#","max\u005ftokens":10.5"#, Some(11)),
        (Api::ChatCompletions, r#","max_tokens":1e2,"n":3"#, Some(300)),
        (Api::ChatCompletions, r#","max_tokens":10,"n":2,"best_of":5"#, Some(50)),
        (Api::ChatCompletions, r#","max_tokens":10,"prediction":"12345678""#, Some(20)),
        (Api::ChatCompletions, r#","max_tokens":null,"n":null"#, None),
        (Api::ChatCompletions, r#","max_tokens":-1"#, None),
        (Api::ChatCompletions, r#","max_tokens":"10""#, None),
        (Api::ChatCompletions, "", None),
        (Api::Responses, r#","max_output_tokens":10"#, Some(10)),
        (Api::Messages, r#","max_tokens":10,"thinking":{"type":"enabled","budget_tokens":9}"#, Some(10)),
        (Api::Messages, r#","max_tokens":0"#, Some(0)),
        (
            GENERATE,
            r#","generationConfig":{"maxOutputTokens":10,"candidateCount":2,"thinkingConfig":{"thinkingBudget":-1}}"#,
            Some(20),
        ),
        (GENERATE, r#","generation_config":{"max_output_tokens":10.0}"#, Some(10)),
        (GENERATE, r#","generationConfig":{}"#, None),
        (Api::OllamaChat, r#","options":{"num_predict":10}"#, Some(10)),
        (Api::OllamaChat, r#","options":{"num_predict":-2}"#, None),
        (Api::OllamaGenerate, r#","options":{"num_predict":0}"#, None),
    ];
    for (api, fields, expected) in cases {
        assert_eq!(most(api, fields), expected, "{api:?} {fields}");
    }
    let embeddings = envelope(Api::Embeddings, r#"{"model":"m","input":"a"}"#);
    assert_eq!(output(Api::Embeddings, &embeddings, Api::Embeddings, false).most(None), Ok(Some(0)));
}

#[test]
fn the_model_limits_what_the_call_does_not_and_translations_may_raise_it() {
    let chat = |fields: &str| envelope(Api::ChatCompletions, &named(Api::ChatCompletions, fields));
    let unnamed = chat(r#","n":2"#);
    let most = |envelope: &Envelope, out: Api, of_model| {
        output(Api::ChatCompletions, envelope, out, false).most(of_model)
    };
    assert_eq!(most(&unnamed, Api::ChatCompletions, None), Ok(None));
    assert_eq!(most(&unnamed, Api::ChatCompletions, Some(100)), Ok(Some(200)));
    let few = chat(r#","max_tokens":8"#);
    assert_eq!(most(&few, Api::ChatCompletions, Some(100)), Ok(Some(8)));
    assert_eq!(most(&few, Api::Responses, None), Ok(Some(16)), "it takes none lower");
    assert_eq!(
        most(&few, Api::Messages, None),
        Ok(Some(8 + 1024)),
        "the least budget of thinking goes on top"
    );
    assert_eq!(most(&chat(r#","max_tokens":2000"#), Api::Messages, None), Ok(Some(2000)));
}

#[test]
fn a_limit_that_can_be_read_in_two_ways_is_none() {
    for (api, fields, field) in [
        (Api::ChatCompletions, r#","max_tokens":1,"max_tokens":9"#, "max_tokens"),
        (Api::ChatCompletions, r#","max_tokens":1,"max_to\u212aens":9"#, "max_toKens"),
        (Api::ChatCompletions, r#","n_predict":9"#, "n_predict"),
        (GENERATE, r#","generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}"#, "max_output_tokens"),
        (
            GENERATE,
            r#","generationConfig":{"maxOutputTokens":1},"generation_config":{}"#,
            "generation_config",
        ),
        (Api::OllamaChat, r#","options":{"num_predict":1},"Options":{"num_predict":9}"#, "Options"),
    ] {
        let envelope = envelope(api, &named(api, fields));
        let refused = output(api, &envelope, api, false).most(Some(10)).unwrap_err();
        assert_eq!(refused.field().replace('\u{212a}', "K"), field, "{fields}");
    }
}

/// API, model, body, and the body with a limit of 77.
const CAPPED: [(Api, &str, &str, &str); 16] = [
    (
        Api::ChatCompletions,
        "llama",
        r#" {"model":"llama","messages":[1]}"#,
        r#" {"max_tokens":77,"model":"llama","messages":[1]}"#,
    ),
    (
        Api::ChatCompletions,
        "gpt-5",
        r#"{"model":"gpt-5","messages":[1]}"#,
        r#"{"max_completion_tokens":77,"model":"gpt-5","messages":[1]}"#,
    ),
    (
        Api::ChatCompletions,
        "llama",
        r#"{"model":"llama","max\u005ftokens" : null ,"messages":[1]}"#,
        r#"{"model":"llama","max\u005ftokens" : 77 ,"messages":[1]}"#,
    ),
    (
        Api::ChatCompletions,
        "gpt-5",
        r#"{"model":"gpt-5","max_tokens":-1,"messages":[1]}"#,
        r#"{"max_completion_tokens":77,"model":"gpt-5","max_tokens":null,"messages":[1]}"#,
    ),
    (
        Api::ChatCompletions,
        "llama",
        r#"{"model":"llama","max_completion_tokens":null,"max_tokens":null,"messages":[1]}"#,
        r#"{"model":"llama","max_completion_tokens":null,"max_tokens":77,"messages":[1]}"#,
    ),
    (
        Api::ChatCompletions,
        "llama",
        r#"{"model":"llama","max_completion_tokens":5,"messages":[1]}"#,
        r#"{"model":"llama","max_completion_tokens":5,"messages":[1]}"#,
    ),
    (
        Api::Responses,
        "m",
        r#"{"model":"m","input":"max_output_tokens"}"#,
        r#"{"max_output_tokens":77,"model":"m","input":"max_output_tokens"}"#,
    ),
    (
        Api::Messages,
        "m",
        r#"{"model":"m","messages":[1],"max_tokens":null}"#,
        r#"{"model":"m","messages":[1],"max_tokens":77}"#,
    ),
    (GENERATE, "m", r#"{"contents":[1]}"#, r#"{"generationConfig":{"maxOutputTokens":77},"contents":[1]}"#),
    (
        GENERATE,
        "m",
        r#"{"contents":[1],"generationConfig":{ "topP":1}}"#,
        r#"{"contents":[1],"generationConfig":{"maxOutputTokens":77, "topP":1}}"#,
    ),
    (
        GENERATE,
        "m",
        r#"{"contents":[1],"generation_config": { } }"#,
        r#"{"contents":[1],"generation_config": {"maxOutputTokens":77 } }"#,
    ),
    (
        GENERATE,
        "m",
        r#"{"contents":[1],"generationConfig":null}"#,
        r#"{"contents":[1],"generationConfig":{"maxOutputTokens":77}}"#,
    ),
    (
        GENERATE,
        "m",
        r#"{"contents":[1],"generationConfig":{"max_output_tokens":0}}"#,
        r#"{"contents":[1],"generationConfig":{"max_output_tokens":77}}"#,
    ),
    (
        Api::OllamaChat,
        "m",
        r#"{"model":"m","messages":[1],"options":{"seed":1,"num_predict":-1}}"#,
        r#"{"model":"m","messages":[1],"options":{"seed":1,"num_predict":77}}"#,
    ),
    (
        Api::OllamaGenerate,
        "m",
        r#"{"model":"m","prompt":"p"}"#,
        r#"{"options":{"num_predict":77},"model":"m","prompt":"p"}"#,
    ),
    (Api::Embeddings, "m", r#"{"model":"m","input":"a"}"#, r#"{"model":"m","input":"a"}"#),
];

#[test]
fn a_capped_body_differs_by_its_limit_alone_and_every_reader_finds_it() {
    for (api, model, body, expected) in CAPPED {
        let capped = envelope(api, body).upstream_body_capped(&Bytes::from(body.to_owned()), model, Some(77));
        assert_eq!(capped, expected);
        let again = envelope(api, expected);
        let most = output(api, &again, api, false).most(None).unwrap();
        assert_eq!(most, Some(if expected.contains("77") { 77 } else { most.unwrap() }), "{expected}");
        assert_eq!(again.upstream_body_capped(&capped, model, Some(9)), expected, "it names one now");
    }
}

#[test]
fn the_limit_arrives_through_every_translation() {
    for api in
        [Api::ChatCompletions, Api::Responses, Api::Messages, GENERATE, Api::OllamaChat, Api::OllamaGenerate]
    {
        for model in ["gpt-5", "llama"] {
            let body = named(api, "");
            let capped = envelope(api, &body).upstream_body_capped(&Bytes::from(body), model, Some(77));
            let CallerSide::Chat(caller) = api.caller() else { unreachable!("{api:?} is no chat") };
            assert_eq!(api.read_chat(caller, &capped).unwrap().max_tokens, Some(77), "{api:?}");
        }
    }
}

#[test]
fn a_cap_goes_with_the_other_edits_of_a_body() {
    let body = Bytes::from_static(br#"{"model":"a","stream":true,"messages":[1],"max_tokens":null}"#);
    let envelope = Envelope::read(Api::ChatCompletions.shape(), &body).unwrap();
    assert_eq!(
        envelope.upstream_body_capped(&body, "b", Some(5)),
        r#"{"stream_options":{"include_usage":true},"model":"b","stream":true,"messages":[1],"max_tokens":5}"#
    );
    assert_eq!(
        envelope.upstream_body(&body, "b"),
        r#"{"stream_options":{"include_usage":true},"model":"b","stream":true,"messages":[1],"max_tokens":null}"#
    );
}
