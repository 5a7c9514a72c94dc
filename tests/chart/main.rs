//! The chart: what it renders, whether an API server takes that, and its life on a whole node.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod admitted;
mod application;
mod asked;
mod changes;
mod disruptions;
mod documented;
mod generated;
mod ledger;
mod life;
mod load;
mod readme;
mod release;
mod rendered;
mod rotation;
mod sidecars;
