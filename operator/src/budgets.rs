//! What the leader does with budgets while they are spent: it keeps the ledger, shows how they stand, and says when much
//! of one is spent. Proxies hold calls to their limits; nothing here is asked by a call.
//!
//! [`keep`] looks at all of them twice a second. For each of them [`kept`] reads its [`accounts`] by [`escrow`], which
//! begins them and tells the ledger of their ceilings as [`checkpoint`] decides; makes [`figures`] of that, by the
//! [`pace`] at which it is spent, and a [`history`]; sees which [`alerts`] are new; and [`write`]s all that has changed in one go. What is
//! written there is what survives: a leader that takes over, and a ledger that has lost its memory, go on from it.

mod accounts;
mod checkpoint;
mod escrow;
mod pace;
pub mod history;
pub mod figures;
mod alerts;
mod webhook;
mod write;
mod kept;
mod shown;
mod keep;

pub use keep::Keeper;
