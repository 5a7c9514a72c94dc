//! Budgets that several proxies share: the sum that a provider bills, whatever becomes of clients, proxies and Redis.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod billing;
mod crowd;
mod proof;
mod scene;
