//! The APIs of LLM vendors: bytes in, bytes out. Nothing here waits, asks a clock or opens a socket.
//!
//! # Life of a translation
//!
//! ```text
//!  caller's bytes ──► envelope: model, stream?            (always; enough to route)
//!        │
//!        │ the provider speaks the same API               the provider speaks another
//!        ▼                                                       ▼
//!  the same bytes, another model name               CallerApi::read_request ──► chat::Request
//!        │                                             limits: can this kind express it?
//!        │                                          ProviderApi::write_request ──► provider's bytes
//!        ▼                                                       │
//!     provider                                                provider
//!        │                                                       ▼
//!  tap: reads usage and end along,                  ProviderApi::read_reply, stream_reader
//!  passes the bytes                                        Reply, Events
//!        ▼                                                       ▼
//!  caller's bytes ◄──────────────────────────────── CallerApi::write_reply, stream_writer
//! ```
//!
//! Between the APIs is one neutral model: [`chat`] for what is asked, [`reply`] for what is answered
//! whole, [`event`] for what is answered in pieces, [`fault`] for what went wrong. An API is two
//! translators, to it and from it, whatever the number of the others.
//!
//! What a call can cost at most is noted as its envelope is read ([`bound`]), and a stream that runs
//! past that can be ended in the model's place ([`stop`]).
//!
//! Nothing is dropped in silence. What the neutral model does not hold is kept by its name in
//! [`chat::Request::leftovers`]; what a kind of provider can't express is listed in its
//! [`limits::Limits`]. Either is refused with the field's name before anything is sent, but for mere
//! hints, which are reported.

pub mod api;
pub mod bound;
pub mod envelope;
pub mod chat;
pub mod embedding;
pub mod limits;
pub mod reply;
pub mod event;
pub mod fault;
pub mod seal;
pub mod frame;
pub mod answers;
pub mod tap;
pub mod stop;
pub mod translation;
pub mod gather;
mod depth;
mod json;
mod skim;
pub mod openai;
pub mod anthropic;
pub mod gemini;
pub mod ollama;
pub mod vendor;
pub mod surface;

pub use api::{CallerApi, Context, Dialect, EmbeddingCaller, EmbeddingProvider, ProviderApi, ProviderModel};
pub use fault::{Fault, FaultKind, Garbled, Invalid};
pub use stop::{LengthStop, MostOutput};
