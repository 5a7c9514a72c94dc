//! What is said to an account, and what it says: by proxies, by the operator, and to both.

use crate::{Amount, Epoch, Holder, Millis};

/// All that a proxy holds of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    pub holder: Holder,
    pub epoch: Epoch,
    /// Grows with each statement of the holder. What was granted in answer to another than its last never
    /// counts for it.
    pub seq: u64,
    /// All that it ever got, but for what it has given back.
    pub drawn: Amount,
    pub spent: Amount,
    /// What it would like besides.
    pub want: Amount,
    /// Less than this is of no use to it; 0 where no call waits.
    pub need: Amount,
}

/// How an account begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    pub epoch: Epoch,
    /// What the ledger said when the root was opened for it.
    pub opened_at: Millis,
    /// A value's is its root's.
    pub limit: Amount,
    /// The number of the checkpoint: a later one has a higher number.
    pub revision: u64,
    /// Never more is granted than what is stored outside of the ledger, whoever is away. A value's is its root's.
    pub strict: bool,
    /// What may be gone: the ceiling that was stored last.
    pub gone: Amount,
    /// Of the root of values only.
    pub values: Option<Values>,
}

/// How the accounts of values begin that nobody has begun by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values {
    /// Of each of them so much may be gone by what is stored.
    pub ceiling: Amount,
    /// Of each so much may have been gone before this epoch.
    pub gone: Amount,
    /// So many have accounts of their own, and all further ones share one.
    pub most: u64,
}

/// What is stored outside of the ledger, or will be when the ledger has agreed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub epoch: Epoch,
    /// Grows with each that is made.
    pub revision: u64,
    /// A value's is its root's.
    pub limit: Amount,
    /// A value's is its root's.
    pub strict: bool,
    pub ceiling: Amount,
    /// The ceiling of each value that has none of its own, and how many there are at most: of the root of values only.
    pub values: Option<(Amount, u64)>,
}

/// What the ledger answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Granted, in answer to the statement of this number; perhaps nothing.
    Granted {
        seq: u64,
        amount: Amount,
        /// Others' calls wait for what this holder does not use.
        recall: bool,
        left: Left,
    },
    /// A later statement of this holder has been heard.
    Stale,
    /// The ledger has begun anew: state again all that is held, by this epoch.
    Moved(Epoch),
    /// Nobody has told the ledger what was gone before it began.
    Closed,
    /// There are as many values as may have accounts of their own: this one shares that of [`REST`](crate::place::REST).
    Full,
}

/// How the account stands after a grant, and why it was not enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub limit: Amount,
    pub free: Amount,
    /// As far as the holders have told, and what was gone before this epoch and nobody has claimed in time.
    pub spent: Amount,
    /// `None` where what was needed was granted.
    pub short: Option<Short>,
}

/// Why what a call needs is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// There would not be enough if all others gave back all that they have not spent.
    Spent,
    /// Others hold it, and are asked for it; or it may have been spent before this epoch, which has only begun.
    Held,
    /// It is there, and no checkpoint has been stored yet that says that it may be gone.
    Ceiling,
}

/// What has become of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub epoch: Epoch,
    /// Of the checkpoint that the ledger has heard of last, and the ceiling since.
    pub revision: u64,
    pub ceiling: Amount,
    pub limit: Amount,
    /// As far as the holders have told.
    pub spent: Amount,
    /// With holders, and not spent as far as they have told.
    pub held: Amount,
    /// Gone before this epoch, and claimed by nobody yet.
    pub unclaimed: Amount,
    pub free: Amount,
    /// What calls needed in vain since the last checkpoint, for the ceiling was in their way.
    pub short_of_ceiling: Amount,
}

impl Totals {
    /// What may be gone: the next checkpoint stores it, and some room for what will be granted until the one
    /// after it.
    #[must_use]
    pub fn committed(&self) -> Amount {
        self.spent + self.held + self.unclaimed
    }
}
