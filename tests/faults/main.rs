//! Providers that refuse, break off, stall, babble and limit, alone and beside others: what the client gets of it and
//! when, how often the provider is asked, and that all is as before once it has recovered.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod breakers;
mod broken_streams;
mod cells;
mod chaos;
mod choices;
mod client;
mod drill;
mod limits;
mod matrix;
mod outages;
mod providers;
mod tables;
