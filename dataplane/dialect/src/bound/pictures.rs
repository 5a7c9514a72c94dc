//! What a picture takes at most, as vendors publish it. Apart, since these figures change with models
//! and nothing else here does.

use crate::{openai, surface::Kind};

/// Claude's newest models read up to 4,784 patches of 28 pixels, older ones 1,568 (Anthropic's docs,
/// "Vision", native resolution).
const ANTHROPIC: u64 = 4_784;
/// A picture is scaled to 3,072 pixels a side and cut into tiles of 258 tokens, the smallest of which
/// are 256 pixels wide for two rows: 24 tiles. The highest resolution that can be asked for in Gemini 3,
/// 2,240, is below (Google's docs, "Understand and count tokens" and "Media resolution").
const GEMINI: u64 = 24 * 258;
/// Qwen2-VL's preprocessor takes 12,845,056 pixels, in squares of 28: the most of the families that are
/// commonly served.
const OPEN_MODELS: u64 = 12_845_056 / (28 * 28);
/// gpt-4o-mini counts 2,833 tokens, and 5,667 for each tile of 512 pixels; at 2,048 by 768 pixels these
/// are eight (OpenAI's docs, "Images and vision", "Calculating costs").
const GPT_4O_MINI: u64 = 2_833 + 8 * 5_667;
/// The models by tiles take 85 and 170 a tile at most; those by patches 1,536 of them, times 2.46 for
/// the dearest, gpt-4.1-nano (the same page).
const OPENAI_BEFORE_5: u64 = 3_779;
/// From gpt-5.4 on, `detail: original` takes up to 10,000 patches (the same page, "Model sizing
/// behavior"); times the dearest factor of any model.
const OPENAI_SINCE_5: u64 = 24_600;

/// The most that one picture takes.
pub fn most(kind: Kind, model: &str) -> u64 {
    match kind {
        // It counts the text alone.
        Kind::Simulated => 0,
        Kind::Anthropic => ANTHROPIC,
        Kind::Gemini => GEMINI,
        Kind::Ollama => OPEN_MODELS,
        Kind::OpenAI if openai::is_openais(model) => {
            let name = openai::bare_name(model);
            let before_5 =
                ["gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-4-turbo", "chatgpt-4o", "o1", "o3", "o4-mini"];
            match name {
                _ if name.starts_with("gpt-4o-mini") => GPT_4O_MINI,
                _ if before_5.iter().any(|start| name.starts_with(start)) => OPENAI_BEFORE_5,
                _ => OPENAI_SINCE_5,
            }
        }
        // Anything may be behind a name.
        Kind::OpenAI => {
            [ANTHROPIC, GEMINI, OPEN_MODELS, GPT_4O_MINI, OPENAI_SINCE_5].into_iter().max().unwrap_or(0)
        }
    }
}
