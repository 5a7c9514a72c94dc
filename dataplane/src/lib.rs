//! The proxy. It knows compiled documents and bytes; it knows no Kubernetes.
//!
//! # Life of a request
//!
//! One function, [`pipeline::answer`], walks a call through the stages below. Each takes what the one
//! before it made, so that skipping one does not compile:
//!
//! ```text
//!  connection ─► identify ─► authenticate ─► wish, decode ─► route ─► reserve ─► dispatch ─► relay ─► settle ─► report
//!   (serve)      Endpoint      Identity      Wishes, Call    Plan     Reserved    Reply      bytes   metrics,   headers
//!                                                                       ▲         │ ▲                log, purses
//!                                                         purses ───────┘         │ └─ another candidate, or the same
//!                                                           ▲         provider ◄──┘    again, until a byte has reached
//!                                                         keeper ◄─► ledger            the client
//! ```
//!
//! Four vendors' APIs come in and four go out: [`llm_dialect`] knows them, and [`wire`] says for one
//! call and one target whether bytes pass or are translated. What is asked of models without calling
//! one is told by [`models`].
//!
//! Whatever goes wrong on the way is one [`Error`], and [`respond`] alone turns it into a reply in
//! the caller's dialect. What the stages decide on is a [`Snapshot`](snapshot::Snapshot): the
//! document in force, swapped whole, never changed.
//!
//! What budgets give lies in purses of this process ([`budget`](mod@budget)), which outlive every snapshot; a task fills
//! them from the ledger and no call waits for its turn.
//!
//! Two things need no call: [`explain`](fn@explain) tells what would become of one, and [`fleet`] what
//! running proxies know of their providers.
//!
//! Each worker is a thread with a runtime of its own and its own connections to the providers:
//! nothing on the path of a request is shared but atomics, and the map of a budget's values. What the
//! calls of one of its turns write goes out together (`burst`), and a deadline that has passed unneeded
//! leaves its timer to the next (`alarm`), as a call does the map of its headers (`header_maps`).

pub mod args;
pub mod serve;
mod worker;
mod listen;
mod shared;
mod clock;
mod alarm;
mod money;
mod budget;
mod buffer;
mod burst;
mod header_maps;
mod pipeline;
mod stage;
mod respond;
mod error;
mod wire;
mod models;
pub mod snapshot;
mod upstream;
mod tls;
mod jwt;
mod client_certificate;
mod metrics;
pub mod request_log;
mod admin;
pub mod explain;
pub mod fleet;

pub use error::Error;
pub use explain::explain;
pub use serve::{Proxy, Settings};
pub use shared::{Handle, Limits};
