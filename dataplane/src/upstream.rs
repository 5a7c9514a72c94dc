//! Providers: the pooled connections to them, the simulated one, and the choice among them.

pub mod balance;
pub mod client;
pub mod simulated;
