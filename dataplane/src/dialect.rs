//! Dialects: bytes in, bytes out, no IO.

pub mod depth;
pub mod openai;
