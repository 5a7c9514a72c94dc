//! What outlives the process of an embedded ledger: one record of each root and of each value, whole.

use serde::{Deserialize, Serialize};

use super::{Accounts, Begun, Root};
use crate::{Epoch, Millis, account::Account, place::Place};

/// All that is kept of one place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    place: Place,
    kept: Kept,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Kept {
    Root { opening: Option<Epoch>, opened_at: Millis, begun: Option<Begun>, kept_until: Millis },
    Value(Account),
}

impl Accounts {
    /// What to keep of a place; nothing where nothing has been said of it.
    #[must_use]
    pub fn record(&self, place: &Place) -> Option<Record> {
        let root = self.roots.get(&place.root())?;
        let kept = match &place.value {
            Some(value) => Kept::Value(root.values.get(value)?.clone()),
            None => Kept::Root {
                opening: root.opening,
                opened_at: root.opened_at,
                begun: root.begun.clone(),
                kept_until: root.kept_until,
            },
        };
        Some(Record { place: place.clone(), kept })
    }

    /// The accounts as they were kept. Which values are short of their ceilings is not: their calls say so again.
    #[must_use]
    pub fn restored(records: Vec<Record>) -> Self {
        let mut roots: std::collections::HashMap<Place, Root> = Default::default();
        for Record { place, kept } in records {
            let root = roots.entry(place.root()).or_default();
            match (kept, place.value) {
                (Kept::Value(account), Some(value)) => _ = root.values.insert(value, account),
                (Kept::Root { opening, opened_at, begun, kept_until }, None) => {
                    (root.opening, root.opened_at) = (opening, opened_at);
                    (root.begun, root.kept_until) = (begun, kept_until);
                }
                _ => {}
            }
        }
        for root in roots.values_mut() {
            let begun = root.begun.as_ref().map(|begun| begun.account.epoch());
            let current = |epoch| Some(epoch) == begun || Some(epoch) == root.opening;
            let listed = root.values.iter().filter(|(_, account)| current(account.epoch()));
            root.listed = listed.map(|(value, _)| value.clone()).collect();
        }
        Self { roots }
    }

    /// All who hold something are gone for good. What they held stays gone; one record is enough for all of them.
    pub fn bury(&mut self) {
        for (place, root) in &mut self.roots {
            let begun = root.begun.as_mut().map(|begun| &mut begun.account);
            let accounts = begun.into_iter().chain(root.values.values_mut());
            accounts.for_each(|account| account.bury(place.rolling()));
        }
    }

    /// All places that something is known of.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let places = self
            .roots
            .iter()
            .flat_map(|(place, root)| root.values.keys().map(|value| place.of(value)).chain([place.clone()]));
        places.collect()
    }
}
