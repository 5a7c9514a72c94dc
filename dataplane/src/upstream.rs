//! Providers: the pooled connections to them, what each kind wants of a call, the simulated one, and
//! what is known of their health.

pub mod client;
pub mod remote;
pub mod count;
pub mod health;
pub mod simulated;
