//! What the fields of Ollama's API add.

use super::asked::Adds;

pub fn chat(field: &[u8]) -> Adds {
    match field {
        b"messages" => Adds::In(message),
        b"tools" => Adds::Tools,
        _ => setting(field),
    }
}

pub fn generate(field: &[u8]) -> Adds {
    match field {
        b"prompt" | b"suffix" | b"system" | b"raw" => Adds::Nothing,
        // Tokens by their numbers, each with its comma.
        b"context" => Adds::Nothing,
        b"images" => Adds::Images,
        // A template of the caller's own may repeat what it is given: `template` is not here.
        _ => setting(field),
    }
}

fn setting(field: &[u8]) -> Adds {
    match field {
        b"options" => Adds::Config(option),
        b"format" => Adds::Rendered,
        b"model" | b"stream" | b"keep_alive" | b"think" | b"logprobs" | b"top_logprobs" | b"truncate"
        | b"shift" | b"metadata" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}

/// `num_predict` counts thinking too; below 1 it is no limit, and the server goes on past the window.
fn option(field: &[u8]) -> Adds {
    match field {
        b"num_predict" => Adds::Limit(0),
        // The server passes over options that it does not know.
        _ => Adds::Nothing,
    }
}

fn message(field: &[u8]) -> Adds {
    match field {
        b"images" => Adds::Images,
        b"tool_calls" => Adds::Rendered,
        b"role" | b"content" | b"thinking" | b"name" | b"tool_name" | b"tool_call_id" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}

pub fn embed(field: &[u8]) -> Adds {
    match field {
        b"input" | b"prompt" | b"model" | b"truncate" | b"dimensions" | b"keep_alive" | b"options"
        | b"metadata" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}
