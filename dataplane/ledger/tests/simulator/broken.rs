//! The rules that the promise rests on. A run breaks one of them, and the simulator must find out.

/// A rule that a run breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// What a proxy held that has crashed is granted to others again.
    SlicesOfTheDeadAreGrantedAgain,
    /// What a proxy holds that has not been heard of for a while is granted to others, while it still spends it.
    GrantorsExpireFirst,
    /// A ledger that begins anew takes nothing for gone.
    NothingIsGoneBeforeTheBeginning,
    /// The same of the accounts of values.
    NothingOfAValueIsGone,
    /// Those values of which more may be gone than of others are begun when all others may be spent already.
    ListedValuesAreBegunLast,
    /// A beginning that comes late is made though the ledger has begun.
    BeginsOverWhatHasBegun,
    /// A beginning is made though what was opened for it is lost.
    BeginsWhatIsNotOpened,
    /// A ledger that comes back as it was a while ago goes on from there.
    OldMemoriesAreTrusted,
    /// The ledger grants again for a statement that it has heard.
    StatementsCountTwice,
    /// The proxy takes what was granted for an earlier statement.
    AnyAnswerCounts,
    /// A ceiling is told to the ledger before it is stored.
    CeilingsAreToldFirst,
    /// A lower ceiling is stored before the ledger has agreed to it.
    LowerCeilingsAreStoredFirst,
    /// What was wished is stored, and not what the ledger has agreed to.
    WishesAreStored,
    /// The ledger takes any checkpoint for the latest.
    OlderCheckpointsCount,
    /// An operator stores what it has, though somebody has stored something since it looked.
    LastOneStoredWins,
    /// A proxy tells that it has given back what it keeps.
    GivenBackAndKept,
    /// Of a rolling limit, as those that follow: what is spent counts for no longer than the length.
    SpentComesBackAPartTooEarly,
    /// A proxy spends four parts of the length as one holder.
    LinesLiveOnPastTheirPart,
}

impl Broken {
    pub const ALL: [Self; 16] = [
        Self::SlicesOfTheDeadAreGrantedAgain,
        Self::GrantorsExpireFirst,
        Self::NothingIsGoneBeforeTheBeginning,
        Self::NothingOfAValueIsGone,
        Self::ListedValuesAreBegunLast,
        Self::BeginsOverWhatHasBegun,
        Self::BeginsWhatIsNotOpened,
        Self::OldMemoriesAreTrusted,
        Self::StatementsCountTwice,
        Self::AnyAnswerCounts,
        Self::CeilingsAreToldFirst,
        Self::LowerCeilingsAreStoredFirst,
        Self::WishesAreStored,
        Self::OlderCheckpointsCount,
        Self::LastOneStoredWins,
        Self::GivenBackAndKept,
    ];
    pub const OF_ROLLING: [Self; 2] = [Self::SpentComesBackAPartTooEarly, Self::LinesLiveOnPastTheirPart];
}
