//! Providers: the pooled connections to them, what each kind wants of a call, the simulated one, and the
//! choice among them.

pub mod balance;
pub mod client;
pub mod remote;
pub mod count;
pub mod simulated;
