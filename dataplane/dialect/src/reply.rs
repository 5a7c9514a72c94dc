//! What is answered whole, in no vendor's words.

use serde::{Deserialize, Serialize};

use crate::chat::{Part, ToolCall};

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The provider's id; empty where it gave none.
    pub id: String,
    /// The model as the provider names it; empty where it did not.
    pub model: String,
    /// In order; at least one.
    pub choices: Vec<Choice>,
    pub usage: Option<Usage>,
}

/// One of the answers: thinking, text, refusals and tool calls, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    pub parts: Vec<Part>,
    pub finish: Finish,
    pub logprobs: Vec<TokenLogprob>,
}

/// Why the answer ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    #[default]
    Stop,
    /// At one of the request's own stop sequences, where the provider says which.
    StopSequence(Option<String>),
    /// At the limit of tokens, or of the model's window.
    Length,
    ToolCalls,
    /// The provider withheld the rest.
    ContentFilter,
    /// The model would not answer.
    Refusal,
    /// The provider wants the turn sent back, to go on.
    Pause,
}

/// A token with its log probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    pub token: String,
    pub logprob: f64,
    #[serde(default)]
    pub top: Vec<(String, f64)>,
}

/// Tokens that a provider says a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input, `cached_input` and `cache_write` among it.
    pub input: u64,
    /// Input that the provider had cached.
    pub cached_input: u64,
    /// Input that the provider has cached for later calls.
    pub cache_write: u64,
    /// All output, `reasoning` among it.
    pub output: u64,
    /// Output that was thinking.
    pub reasoning: u64,
}

impl Reply {
    /// The reply with the ids that its reader made up made unique; `tag` is this reply's own.
    #[must_use]
    pub fn with_renewed_ids(mut self, tag: &str) -> Self {
        for part in self.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            if let Part::ToolCall(call) = part
                && let Some(id) = ToolCall::renewed_id(&call.id, tag)
            {
                call.id = id;
            }
        }
        self
    }
}

impl Choice {
    /// The text of the answer, without thinking.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts
            .iter()
            .filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_ids_are_unique_over_replies_and_a_providers_own_stay() {
        let call = |id: &str| {
            let arguments = "{}".to_owned();
            Part::ToolCall(ToolCall { id: id.to_owned(), name: "f".to_owned(), arguments, seal: None })
        };
        let choice = |ids: [&str; 2]| Choice { parts: ids.map(call).into(), ..Choice::default() };
        let own = "call_00000000000000000001";
        let reply = Reply { choices: vec![choice([&ToolCall::made_up_id(1), own])], ..Reply::default() };
        assert_eq!(reply.with_renewed_ids("ab").choices, [choice(["call_ab_1", own])]);
    }
}
