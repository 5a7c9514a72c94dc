//! Providers: the pooled connections to them, what each kind wants of a call, the simulated one,
//! what is known of their health, and the room that limits leave.

pub mod client;
pub mod origin;
mod driven;
pub mod remote;
pub mod count;
pub mod gate;
pub mod health;
pub mod check;
pub mod simulated;
