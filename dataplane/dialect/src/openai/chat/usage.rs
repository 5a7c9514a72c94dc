//! Tokens, as OpenAI counts them: what is cached is in the prompt's number, what is thinking in the
//! completion's, as in the neutral model.

use serde::{Deserialize, Serialize};

use crate::{reply::Usage, skim::Skim};

/// A provider's `usage`; servers leave out or null what they don't count.
#[derive(Default, Deserialize)]
pub struct ReadUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for the cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl ReadUsage {
    /// `None` where serde has to say what it is.
    pub fn skim(skim: &mut Skim<'_>) -> Option<Self> {
        const NAMES: [&str; 6] = [
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "prompt_tokens_details",
            "completion_tokens_details",
            "prompt_cache_hit_tokens",
        ];
        let mut read = Self::default();
        skim.fields(NAMES, |name, skim| {
            match name {
                "prompt_tokens" => read.prompt_tokens = skim.count()?,
                "completion_tokens" => read.completion_tokens = skim.count()?,
                "total_tokens" => read.total_tokens = skim.count()?,
                "prompt_tokens_details" => read.prompt_tokens_details = skim.optional(PromptDetails::skim)?,
                "completion_tokens_details" => {
                    read.completion_tokens_details = skim.optional(CompletionDetails::skim)?;
                }
                _ => read.prompt_cache_hit_tokens = skim.count()?,
            }
            Some(())
        })?;
        Some(read)
    }
}

impl PromptDetails {
    fn skim(skim: &mut Skim<'_>) -> Option<Self> {
        let [cached_tokens, cache_write_tokens] = skim.counts(["cached_tokens", "cache_write_tokens"])?;
        Some(Self { cached_tokens, cache_write_tokens })
    }
}

impl CompletionDetails {
    fn skim(skim: &mut Skim<'_>) -> Option<Self> {
        let [reasoning_tokens] = skim.counts(["reasoning_tokens"])?;
        Some(Self { reasoning_tokens })
    }
}

impl From<ReadUsage> for Usage {
    fn from(read: ReadUsage) -> Self {
        let input = read.prompt_tokens.unwrap_or(0);
        let completion = read.completion_tokens.unwrap_or(0);
        let (cached, cache_write) = read
            .prompt_tokens_details
            .map_or((None, None), |details| (details.cached_tokens, details.cache_write_tokens));
        let cached_input = cached.or(read.prompt_cache_hit_tokens).unwrap_or(0).min(input);
        let reasoning = read.completion_tokens_details.and_then(|d| d.reasoning_tokens).unwrap_or(0);
        // xAI counts thinking beside the completion; its total shows that.
        let apart = read.total_tokens == Some(input.saturating_add(completion).saturating_add(reasoning));
        let output = if apart { completion.saturating_add(reasoning) } else { completion };
        Self {
            input,
            cached_input,
            cache_write: cache_write.unwrap_or(0).min(input - cached_input),
            output,
            reasoning: reasoning.min(output),
        }
    }
}

/// `usage` for a caller.
#[derive(Serialize)]
pub struct WrittenUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: WrittenPromptDetails,
    completion_tokens_details: WrittenCompletionDetails,
}

#[derive(Serialize)]
struct WrittenPromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct WrittenCompletionDetails {
    reasoning_tokens: u64,
}

impl From<Usage> for WrittenUsage {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            total_tokens: usage.input.saturating_add(usage.output),
            prompt_tokens_details: WrittenPromptDetails {
                cached_tokens: usage.cached_input,
                cache_write_tokens: usage.cache_write,
            },
            completion_tokens_details: WrittenCompletionDetails { reasoning_tokens: usage.reasoning },
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn read(body: &str) -> Usage {
        serde_json::from_str::<ReadUsage>(body).unwrap().into()
    }

    #[test]
    fn usage_survives_there_and_back() {
        let usage = Usage { input: 90, cached_input: 30, cache_write: 20, output: 40, reasoning: 10 };
        let written = serde_json::to_string(&WrittenUsage::from(usage)).unwrap();
        assert!(written.contains(r#""total_tokens":130"#), "{written}");
        assert_eq!(read(&written), usage);
    }

    #[test]
    fn the_conventions_of_compatible_servers_are_told_apart() {
        let apart = r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":17,"completion_tokens_details":{"reasoning_tokens":10}}"#;
        assert_eq!(read(apart), Usage { input: 5, output: 12, reasoning: 10, ..Usage::default() });
        let deepseek = r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"prompt_cache_hit_tokens":4,"prompt_tokens_details":null}"#;
        assert_eq!(read(deepseek), Usage { input: 5, cached_input: 4, output: 2, ..Usage::default() });
        assert_eq!(read(r#"{"prompt_tokens":null}"#), Usage::default());
        let odd = r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9},"completion_tokens_details":{"reasoning_tokens":3}}"#;
        assert_eq!(read(odd), Usage { input: 5, cached_input: 5, cache_write: 0, output: 1, reasoning: 1 });
    }
}
