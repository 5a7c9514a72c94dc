//! What the fields of OpenAI's APIs add: chat completions, responses, embeddings; with those that
//! compatible servers have of their own, as the references of vLLM, OpenRouter, DeepSeek, xAI and
//! Mistral name them.

use super::asked::{Adds, Asked, pass, wishes};
use crate::skim::Skim;

/// A chat completion.
pub fn chat(field: &[u8]) -> Adds {
    match field {
        b"messages" => Adds::In(message),
        b"max_tokens" => Adds::Limit(0),
        b"max_completion_tokens" => Adds::Limit(1),
        // Answers that are made and not given cost as those that are.
        b"n" | b"best_of" => Adds::Choices,
        b"prediction" => Adds::Predicted,
        b"tools" => Adds::By(tools),
        b"functions" => Adds::Tools,
        // What schemas and grammars the servers write into their prompts.
        b"response_format"
        | b"structured_outputs"
        | b"guided_json"
        | b"guided_grammar"
        | b"guided_choice"
        | b"guided_regex"
        | b"chat_template_kwargs" => Adds::Rendered,
        // The provider searches, and reads what it finds.
        b"web_search_options" | b"plugins" | b"search_parameters" | b"enable_search" | b"mcp_servers" => {
            Adds::Loops
        }
        // Limits and widths that lift what `max_tokens` and `n` say.
        b"n_predict" | b"use_beam_search" => Adds::Loops,
        b"model"
        | b"stream"
        | b"stream_options"
        | b"temperature"
        | b"top_p"
        | b"top_k"
        | b"min_p"
        | b"presence_penalty"
        | b"frequency_penalty"
        | b"repetition_penalty"
        | b"seed"
        | b"random_seed"
        | b"stop"
        | b"user"
        | b"logprobs"
        | b"top_logprobs"
        | b"logit_bias"
        | b"metadata"
        | b"store"
        | b"service_tier"
        | b"parallel_tool_calls"
        | b"tool_choice"
        | b"function_call"
        | b"reasoning_effort"
        | b"verbosity"
        | b"modalities"
        | b"audio"
        | b"safety_identifier"
        | b"prompt_cache_key"
        | b"prompt_cache_retention"
        | b"prompt_cache_options"
        | b"reasoning"
        | b"thinking"
        | b"enable_thinking"
        | b"include_reasoning"
        | b"provider"
        | b"transforms"
        | b"usage"
        | b"safe_prompt"
        | b"ignore_eos"
        | b"min_tokens"
        | b"stop_token_ids"
        | b"skip_special_tokens"
        | b"length_penalty"
        | b"keep_alive" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}

fn message(field: &[u8]) -> Adds {
    match field {
        b"content" => Adds::In(part),
        b"tool_calls" | b"function_call" => Adds::Rendered,
        b"role"
        | b"name"
        | b"tool_call_id"
        | b"refusal"
        | b"annotations"
        | b"reasoning_content"
        | b"reasoning"
        | b"reasoning_details"
        | b"extra_content"
        | b"cache_control"
        | b"prompt_cache_breakpoint"
        | b"prefix"
        | b"index" => Adds::Nothing,
        // An answer in sound is with the vendor, under an id.
        _ => Adds::Beyond,
    }
}

fn part(field: &[u8]) -> Adds {
    match field {
        b"image_url" => Adds::Image,
        b"type"
        | b"text"
        | b"refusal"
        | b"thinking"
        | b"signature"
        | b"cache_control"
        | b"prompt_cache_breakpoint" => Adds::Nothing,
        // Sounds, films and files: neither their bytes nor a vendor's figure bound them, since they
        // may be packed as tightly as somebody likes.
        _ => Adds::Beyond,
    }
}

/// Tools that the vendor runs itself are told by their type.
fn tools(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    let mut loops = None;
    let mut beyond = None;
    let raw = skim.text_of(|skim| match skim.first() {
        b'[' => skim.array(|skim| match skim.first() {
            b'{' => skim.object(|name, skim| {
                let raw = skim.raw()?;
                match raw {
                    _ if name.as_ref() != b"type" => {}
                    b"\"function\"" | b"\"custom\"" => {}
                    // The caller runs them; what the model is told of them is the vendor's.
                    b"\"apply_patch\"" | b"\"local_shell\"" | b"\"computer\"" => beyond = Some(raw),
                    b"\"computer_use_preview\"" => beyond = Some(raw),
                    _ => loops = Some(raw),
                }
                Some(())
            }),
            _ => skim.value(),
        }),
        _ => skim.value(),
    })?;
    asked.tools |= wishes(raw);
    asked.rendered += raw.len() as u64;
    if loops.is_some() {
        asked.loops(b"tools");
    }
    if beyond.is_some() {
        asked.beyond(b"tools");
    }
    Some(())
}

/// A call of the Responses API.
pub fn responses(field: &[u8]) -> Adds {
    match field {
        b"input" => Adds::By(items),
        b"max_output_tokens" => Adds::Limit(0),
        b"tools" => Adds::By(tools),
        b"text" => Adds::Rendered,
        // A template may bring tools; a conversation may be compacted by another call.
        b"prompt" | b"context_management" => Adds::Loops,
        b"model"
        | b"stream"
        | b"stream_options"
        | b"instructions"
        | b"temperature"
        | b"top_p"
        | b"user"
        | b"metadata"
        | b"store"
        | b"service_tier"
        | b"parallel_tool_calls"
        | b"tool_choice"
        | b"reasoning"
        | b"truncation"
        | b"background"
        | b"include"
        | b"max_tool_calls"
        | b"top_logprobs"
        | b"safety_identifier"
        | b"prompt_cache_key"
        | b"prompt_cache_retention"
        | b"prompt_cache_options" => Adds::Nothing,
        // `previous_response_id`, `conversation`, and whatever comes to be.
        _ => Adds::Beyond,
    }
}

fn items(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    match skim.first() {
        b'[' => skim.array(|skim| if skim.first() == b'{' { item(skim, asked) } else { skim.value() }),
        _ => skim.value(),
    }
}

/// An item. One that has an id and nothing else to say is with the vendor: a reference, or thinking
/// that was not given out.
fn item(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    let (mut named, mut says) = (false, false);
    skim.object(|name, skim| {
        let adds = match name.as_ref() {
            b"content" | b"output" => Adds::In(item_part),
            b"arguments" | b"input" => Adds::Rendered,
            b"encrypted_content" | b"id" | b"type" | b"role" | b"status" | b"call_id" | b"name"
            | b"summary" | b"phase" | b"caller" | b"namespace" => Adds::Nothing,
            _ => Adds::Beyond,
        };
        let raw = skim.text_of(|skim| pass(adds, &name, skim, asked))?;
        match name.as_ref() {
            b"id" => named |= wishes(raw),
            b"content" | b"output" | b"arguments" | b"input" | b"encrypted_content" => says |= raw != b"null",
            _ => {}
        }
        Some(())
    })?;
    if named && !says {
        asked.beyond(b"input.id");
    }
    Some(())
}

fn item_part(field: &[u8]) -> Adds {
    match field {
        b"image_url" => Adds::Image,
        b"type"
        | b"text"
        | b"refusal"
        | b"annotations"
        | b"logprobs"
        | b"detail"
        | b"filename"
        | b"prompt_cache_breakpoint" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}

/// A call for embeddings.
pub fn embeddings(field: &[u8]) -> Adds {
    match field {
        b"input" => Adds::In(embedded),
        b"model" | b"encoding_format" | b"dimensions" | b"user" | b"metadata" | b"input_type" | b"task"
        | b"truncate" | b"normalized" | b"output_dtype" | b"output_dimension" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}

fn embedded(field: &[u8]) -> Adds {
    match field {
        b"text" | b"type" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}
