//! `kubectl-llm` as a person uses it: what is typed, what is shown, what is answered.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod config;
mod environment;
mod explain;
mod gateway;
mod health;
mod inject;
mod quickstart;
mod refusals;
mod reload;
