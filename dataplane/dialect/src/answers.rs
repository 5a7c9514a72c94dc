//! Which answers of a stream have begun, and which have ended: a call may ask for several at once.

/// No vendor gives so many: an index beyond is no reason to hold memory.
const MOST: usize = 256;

/// The answers to one call.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// How many are to come.
    asked: usize,
    /// By choice: whether it has ended. Those that are here have begun.
    ended: Vec<bool>,
}

impl Answers {
    /// Of a call for so many.
    #[must_use]
    pub fn of(asked: u64) -> Self {
        Self { asked: usize::try_from(asked).unwrap_or(MOST).min(MOST), ended: Vec::new() }
    }

    /// A piece of one has come, or its end.
    pub fn note(&mut self, choice: u32, ended: bool) {
        let at = usize::try_from(choice).unwrap_or(MOST).min(MOST - 1);
        if self.ended.len() <= at {
            self.ended.resize(at + 1, false);
        }
        self.ended[at] |= ended;
    }

    /// No more comes, whatever has.
    pub fn end(&mut self) {
        self.asked = self.asked.max(1).max(self.ended.len());
        self.ended.clear();
        self.ended.resize(self.asked, true);
    }

    /// Whether all have ended.
    #[must_use]
    pub fn have_ended(&self) -> bool {
        self.ended.len() >= self.asked && self.those_begun_have_ended()
    }

    /// Whether all that have begun have ended: of a provider that is done, those that it gave.
    #[must_use]
    pub fn those_begun_have_ended(&self) -> bool {
        !self.ended.is_empty() && self.ended.iter().all(|ended| *ended)
    }

    /// Those that have no end, begun or not; the first where none is known of.
    #[must_use]
    pub fn open(&self) -> Vec<u32> {
        let all = self.asked.max(self.ended.len()).max(1);
        (0..)
            .zip(0..all)
            .filter(|(_, at)| !self.ended.get(*at).is_some_and(|ended| *ended))
            .map(|(choice, _)| choice)
            .collect()
    }
}
