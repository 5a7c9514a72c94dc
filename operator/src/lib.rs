//! The operator: manifests in; configuration for proxies, and the truth about it, out.
//!
//! # Life of a change
//!
//! ```text
//!  API server ──watch──► observe ──► compile ──► publish ──config stream (TLS)──► proxies
//!      ▲                 Observed    Compiled    Targets                            │
//!      │                             verdicts       ▲                              acks
//!      └──status, Events── report ◄─────┴───────────┴──────── attached ◄────────────┘
//!                            ▲                                   │
//!                            └──── replicas (other replicas') ◄──┘
//!                                        └──► shares ──who divides what──► publish
//! ```
//!
//! # Life of an object before it is one
//!
//! ```text
//!  kubectl apply ──► API server ──review (TLS)──► webhook ──► preview ──► refused, or let pass with a word
//!                                                 any replica  compile of the object and its neighbours
//! ```
//!
//! # Life of a pod
//!
//! ```text
//!  API server ──review (TLS)──► webhook ──► inject ──patch──► a pod with its proxy
//!      ▲                        any replica                      │ mounts
//!      └── ConfigMaps, Events ── sidecars ◄── watch ─────────────┘
//!                                          (the leader)
//! ```
//!
//! Its proxy then opens a config stream as any other does.
//!
//! # Life of a budget
//!
//! ```text
//!  compile ──accepted──► budgets ──open, begin, secure──► ledger ◄──statements── proxies
//!                        twice a second ◄─totals────────  (Redis)
//!                          │  ▲
//!   Events, webhooks ◄─────┤  └─ what was stored last
//!                          └──status: checkpoints, figures, alerts──► API server
//! ```
//!
//! [`compile`] is pure and shared with the standalone command: it never sees a clock, a socket or an API server; so are
//! [`preview`] and [`inject`]. Every replica observes, compiles, serves streams and admissions; the one that holds the
//! [`lease`] writes status, raises Events, keeps [`budgets`], says who [`shares`] limits, rotates [`certificates`] and
//! keeps what [`sidecars`] need.
//!
//! [`survey`] runs in none of them: it is what a person asks of all this from outside.

pub mod args;
pub mod definitions;
pub mod controller;
pub mod observe;
pub mod compile;
pub mod preview;
pub mod publish;
pub mod report;
pub mod replicas;
pub mod shares;
pub mod budgets;
pub mod lease;
pub mod certificates;
pub mod inject;
pub mod webhook;
pub mod sidecars;
pub mod metrics;
pub mod listen;
pub mod admin;
pub mod survey;
#[cfg(test)]
mod dice;

/// Who writes, in the API server's eyes.
pub const FIELD_MANAGER: &str = "llm-operator";
