//! What the fields of Gemini's API add, by either spelling of their names.

use memchr::memchr;

use super::asked::{Adds, Asked, wishes};
use crate::skim::Skim;

pub fn generate(field: &[u8]) -> Adds {
    match field {
        b"contents" | b"systemInstruction" | b"system_instruction" => Adds::In(content),
        b"generationConfig" | b"generation_config" => Adds::Config(config),
        b"tools" => Adds::In(tool),
        b"model" | b"toolConfig" | b"tool_config" | b"safetySettings" | b"safety_settings" | b"labels"
        | b"serviceTier" | b"service_tier" | b"store" => Adds::Nothing,
        // `cachedContent`.
        _ => Adds::Beyond,
    }
}

/// `maxOutputTokens` bounds thoughts and answer together (issue 2062 of Google's python-genai, and its
/// measurements).
fn config(field: &[u8]) -> Adds {
    match field {
        b"maxOutputTokens" | b"max_output_tokens" => Adds::Limit(0),
        b"candidateCount" | b"candidate_count" => Adds::Choices,
        b"responseModalities" | b"response_modalities" => Adds::By(modalities),
        b"responseSchema"
        | b"response_schema"
        | b"responseJsonSchema"
        | b"response_json_schema"
        | b"_responseJsonSchema" => Adds::Rendered,
        b"temperature"
        | b"topP"
        | b"top_p"
        | b"topK"
        | b"top_k"
        | b"seed"
        | b"stopSequences"
        | b"stop_sequences"
        | b"responseMimeType"
        | b"response_mime_type"
        | b"presencePenalty"
        | b"presence_penalty"
        | b"frequencyPenalty"
        | b"frequency_penalty"
        | b"responseLogprobs"
        | b"response_logprobs"
        | b"logprobs"
        | b"thinkingConfig"
        | b"thinking_config"
        | b"mediaResolution"
        | b"media_resolution"
        | b"speechConfig"
        | b"speech_config"
        | b"imageConfig"
        | b"image_config"
        | b"enableEnhancedCivicAnswers"
        | b"audioTimestamp"
        | b"audio_timestamp" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}

/// Whether the limit holds for pictures and sounds, the vendor does not say.
fn modalities(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    let pass = |skim: &mut Skim<'_>, asked: &mut Asked| {
        if !matches!(skim.raw()?, b"\"TEXT\"" | b"\"text\"" | b"null") {
            asked.loops(b"responseModalities");
        }
        Some(())
    };
    if skim.first() == b'[' { skim.array(|skim| pass(skim, asked)) } else { pass(skim, asked) }
}

fn content(field: &[u8]) -> Adds {
    match field {
        b"role" => Adds::Nothing,
        b"parts" => Adds::In(part),
        _ => Adds::Beyond,
    }
}

fn part(field: &[u8]) -> Adds {
    match field {
        b"inlineData" | b"inline_data" => Adds::By(inline),
        b"functionCall"
        | b"function_call"
        | b"executableCode"
        | b"executable_code"
        | b"codeExecutionResult"
        | b"code_execution_result" => Adds::Rendered,
        b"functionResponse" | b"function_response" => Adds::In(function_response),
        b"text" | b"thought" | b"thoughtSignature" | b"thought_signature" | b"mediaResolution"
        | b"media_resolution" | b"videoMetadata" | b"video_metadata" => Adds::Nothing,
        // `fileData`.
        _ => Adds::Beyond,
    }
}

fn function_response(field: &[u8]) -> Adds {
    match field {
        b"response" => Adds::Rendered,
        b"parts" => Adds::In(part),
        b"id" | b"name" | b"willContinue" | b"will_continue" | b"scheduling" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}

/// Data in base64. Of a picture the vendor says what it takes at most, a text has its bytes; sounds,
/// films and documents are as long as they are.
fn inline(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    let mut media_type: Option<&[u8]> = None;
    let raw = skim.text_of(|skim| match skim.first() {
        b'{' => skim.object(|name, skim| {
            let raw = skim.raw()?;
            if matches!(name.as_ref(), b"mimeType" | b"mime_type") && media_type.replace(raw).is_some() {
                media_type = Some(b"");
            }
            Some(())
        }),
        _ => skim.value(),
    })?;
    match media_type.unwrap_or_default() {
        _ if !wishes(raw) => {}
        escaped if memchr(b'\\', escaped).is_some() => asked.beyond(b"inlineData"),
        image if image.starts_with(b"\"image/") => asked.images += 1,
        text if text.starts_with(b"\"text/") => {}
        _ => asked.beyond(b"inlineData"),
    }
    Some(())
}

fn tool(field: &[u8]) -> Adds {
    match field {
        b"functionDeclarations" | b"function_declarations" => Adds::Tools,
        // The caller runs it; what the model is told of it is the vendor's.
        b"computerUse" | b"computer_use" => Adds::Beyond,
        // Search, code, URLs, maps, files: the vendor's, in as many turns as it likes.
        _ => Adds::Loops,
    }
}

/// `embedContent`, and each of the requests of `batchEmbedContents`.
pub fn embed(field: &[u8]) -> Adds {
    match field {
        b"content" => Adds::In(content),
        b"requests" => Adds::In(embed),
        b"model"
        | b"taskType"
        | b"task_type"
        | b"title"
        | b"outputDimensionality"
        | b"output_dimensionality" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}
