//! The API of OpenAI, and of the many servers that call themselves compatible with it: chat
//! completions, embeddings, models, errors.
//!
//! Source: OpenAI's API reference. What it does not hold and callers and servers agree on all the
//! same is read and written too: `reasoning_content` (DeepSeek, vLLM), `reasoning_details`
//! (OpenRouter), `extra_content.google.thought_signature` (Google's compatible endpoint).

mod chat;
mod embeddings;
mod error;
mod models;
pub mod responses;
mod said;

pub use chat::{CHAT_LIMITS, CHAT_MARKS, CHAT_SHAPE, Chat, SIMULATED_LIMITS};
pub(crate) use chat::{bare_name, is_openais};
pub use embeddings::{EMBEDDINGS_LIMITS, EMBEDDINGS_SHAPE, Embeddings, embeddings_usage};
pub use error::{error_body, is_error_body, read_error, read_failure};
pub use models::{model, model_list};
