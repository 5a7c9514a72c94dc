//! Operator and proxies on a real API server, with no more rights than the chart gives.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod admin;
mod asked;
mod authority;
mod between;
mod budgets;
mod callers;
mod client_certificates;
mod contention;
mod definitions;
mod doctor;
mod expiry;
mod failures;
mod gate;
mod hand_made;
mod health;
mod injection;
mod installation;
mod ledger;
mod lifetimes;
mod namespaces;
mod printed;
mod programmed;
mod registration;
mod replicas;
mod restarts;
mod schema;
mod secrets;
mod shares;
mod sidecars;
mod spending;
mod validation;
mod verdicts;
