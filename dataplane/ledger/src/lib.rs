//! How a limit holds among proxies that do not ask each other. Pure: clocks are passed in, messages are
//! values, and nothing here waits.
//!
//! ```text
//!  checkpoint (the operator's, durable)   account (the ledger's)       lease (a proxy's)
//!  how much may be gone              ──►  what each proxy has drawn ──►  what its calls have
//!                                    ◄──  and what it has spent    ◄──  reserved and spent
//! ```
//!
//! - [`purse`]: a call reserves the most that it can cost, in memory, and settles to what it did.
//! - [`lease`]: when a proxy asks for more, gives back, or reports.
//! - [`window`]: from when until when what is spent counts together.
//! - [`rolling`]: how what was spent comes back where a limit holds in any stretch of time.
//! - [`place`]: the names of the accounts.
//! - [`account`]: what the ledger keeps of one limit in one window, for all or for one value, and what it
//!   grants.
//! - [`accounts`]: all of them; how they are begun, and those of the values of `per`.
//! - [`script`]: the same in Redis.
//!
//! Money leaves the account when it is granted. A proxy never says "more" or "less": each
//! [`Statement`](account::Statement) is all that it holds, so that one that is lost, late or doubled does no
//! harm. What a proxy holds that never speaks again stays gone, for it may have been spent: a crash costs
//! its slice, and never the limit.
//!
//! The ledger's own memory may be lost, or come back as it was a while ago. What it grants of a strict limit it
//! grants below a ceiling that the checkpoint has stored before; a ledger that begins anew takes all of that for
//! gone until the proxies claim their parts. How two operators do that at once is told in [`accounts`].

use serde::{Deserialize, Serialize};

pub mod purse;
pub mod lease;
pub mod window;
pub mod rolling;
pub mod place;
pub mod account;
pub mod accounts;
pub mod script;

/// What a limit counts: nano-USD, tokens, or requests.
pub type Amount = u64;

/// Milliseconds on the clock of who keeps the state. Those of two are never compared.
pub type Millis = u64;

/// One life of one proxy. The next life of the same one is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder(pub u64);

/// One memory of the ledger; each that begins anew has a higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);
