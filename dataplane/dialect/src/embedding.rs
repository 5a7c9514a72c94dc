//! Texts to vectors, in no vendor's words.

use crate::{Garbled, chat::Leftover};

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub inputs: Vec<Input>,
    /// The length of the vectors, where the caller wants another than the model's own.
    pub dimensions: Option<u64>,
    /// The caller wants vectors as base64 of little-endian 32-bit floats.
    pub base64: bool,
    /// Gemini's `taskType`.
    pub task: Option<String>,
    /// Gemini's `title` of a document.
    pub title: Option<String>,
    /// Inputs over the model's window are an error rather than cut (Ollama's `truncate: false`).
    pub truncate: Option<bool>,
    /// The caller sent one input and not a list of one: APIs with two shapes answer in the same.
    pub single: bool,
    pub user: Option<String>,
    pub leftovers: Vec<Leftover>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Text(String),
    /// Tokens by the vocabulary of the model.
    Tokens(Vec<u64>),
}

/// What is answered: a vector for each input, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The model as the provider names it; empty where it did not.
    pub model: String,
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs, where the provider counted them.
    pub input_tokens: Option<u64>,
}

impl Reply {
    /// A reply whose numbers all dialects can write: JSON has none that is not finite.
    ///
    /// # Errors
    /// When a number is none, or too large for 32 bits.
    pub fn finite(self) -> Result<Self, Garbled> {
        if self.vectors.iter().flatten().all(|number| number.is_finite()) {
            Ok(self)
        } else {
            Err(Garbled::new("an embedding has a number that is not finite"))
        }
    }
}

/// What an API that embeds can express.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The kind of provider, as manifests name it.
    pub kind: &'static str,
    pub tokens: bool,
    pub dimensions: bool,
    pub task: bool,
    pub title: bool,
    /// Whether `truncate: false` can be asked for, or is what the API does anyway.
    pub no_truncation: bool,
}

#[cfg(test)]
mod tests {
    use crate::{EmbeddingProvider, gemini, ollama, openai};

    #[test]
    fn what_is_no_number_in_json_is_refused() {
        let openai = [r#"{"data":[{"embedding":[1e39]}]}"#, r#"{"data":[{"embedding":"AADAfw=="}]}"#];
        for body in openai {
            assert!(openai::Embeddings.read_reply(body.as_bytes()).is_err(), "{body}");
        }
        assert!(gemini::BatchEmbed.read_reply(br#"{"embeddings":[{"values":[-1e39]}]}"#).is_err());
        assert!(ollama::Embed.read_reply(br#"{"embeddings":[[1e39]]}"#).is_err());
        assert!(ollama::Embed.read_reply(br#"{"embeddings":[[1e38]]}"#).is_ok());
    }
}
