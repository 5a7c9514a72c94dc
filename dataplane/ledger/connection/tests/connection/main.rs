//! The connection to real ledgers: servers of Redis that are well, that are not, and that take each other's place; and
//! folders of processes that are killed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "../../../../../tests/harness/eventually.rs"]
mod eventually;
#[path = "../../../../../tests/harness/ports.rs"]
mod ports;
mod server;
mod account;
mod relay;
mod single;
mod failures;
mod refusals;
mod security;
mod sentinel;
mod cluster;
mod embedded;
