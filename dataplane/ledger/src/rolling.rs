//! Limits that hold in any stretch of time of one length, wherever it begins: how what was spent comes back.
//!
//! Such a limit has one account, which never ends. What leaves it are whole entries of holders. A proxy spends a
//! [`part`](Rolling::part) of the length as one holder, and goes on as another: all that a holder ever has is spent by
//! calls that began within one part, and after the ledger had first heard of it. So an entry that is taken out when the
//! length has passed since then, the part, and as much again, counts for nothing any more in the stretch of now. The second
//! part is for clocks that run at unlike speeds, for calls that were about to begin when their part ended, and for servers
//! that some take for the ledger still when another has begun anew.
//!
//! Nobody compares clocks: the ledger measures by its own alone, and a proxy by its own. Where a proxy crashes, what it held
//! comes back as all else does. What was gone before an epoch leaves the account as if it had been granted when that began.

use crate::Millis;

/// A length has so many parts.
const PARTS: Millis = 24;

/// The length of the stretches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    length: Millis,
}

impl Rolling {
    #[must_use]
    pub fn new(length: Millis) -> Self {
        Self { length }
    }

    #[must_use]
    pub fn length(self) -> Millis {
        self.length
    }

    /// For so long a proxy spends as the same holder.
    #[must_use]
    pub fn part(self) -> Millis {
        self.length / PARTS
    }

    /// For so long the ledger counts what a holder has, from when it first heard of it.
    #[must_use]
    pub fn counts_for(self) -> Millis {
        self.length + self.length * 2 / PARTS
    }

    /// Between two looks at all entries of an account, at least.
    #[must_use]
    pub(crate) fn pause(self) -> Millis {
        self.length / (PARTS * 4)
    }
}
