//! What was spent of a limit when: the parts of its window, as they are in `status.limits[].history`, so that whoever
//! leads goes on with them, and who asks sees them. Pure.
//!
//! Only what is spent changes it, never the time alone: it is written together with the amount that it explains. What is
//! spent while no operator looks goes to the part in which one looks again.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use llm_config::budget::{self, Unit};
use llm_crds::{BudgetHistory, BudgetLimitStatus, nano_usd};
use llm_ledger::{Amount, rolling::Rolling, window::Window};

use super::figures::amount_text;

/// Parts that are kept at most.
const PARTS: i64 = 24;
/// A part of a window that never ends, in seconds.
const HOUR: i64 = 3_600;

/// The parts that count now, in seconds.
#[derive(Clone, Copy)]
struct Stretch {
    /// The first second of the first of them.
    start: i64,
    step: i64,
    /// What was spent before them does not count any more: that of a rolling limit comes back.
    forgets: bool,
}

impl Stretch {
    /// The parts of a window; of one that never ends, the hours of the last day. Of a rolling limit, for how long in
    /// seconds what is spent may count: all of that, and the part of now besides. One that was let go of before it came
    /// back would be taken for spent once more.
    fn of(window: &Window, rolling: Option<i64>, now: i64) -> Self {
        // Of whole seconds, so that there may be some less than 24.
        let part = |length: i64, parts: i64| (length + parts - 1).div_euclid(parts).max(1);
        let last = |step: i64| (now.div_euclid(step) - (PARTS - 1)) * step;
        let start = window.start.as_second();
        match (rolling.map(|length| part(length, PARTS - 1)), window.end) {
            (Some(step), _) => Self { start: last(step), step, forgets: true },
            (None, Some(end)) => Self { start, step: part(end.as_second() - start, PARTS), forgets: false },
            (None, None) => Self { start: last(HOUR), step: HOUR, forgets: false },
        }
    }

    fn index(self, from: i64, at: i64) -> usize {
        usize::try_from((at - from).div_euclid(self.step)).unwrap_or(0)
    }
}

/// For how long what is spent counts, in seconds, where a limit is rolling.
pub fn counts_for(window: budget::Window) -> Option<i64> {
    let budget::Window::Rolling(seconds) = window else { return None };
    i64::try_from(Rolling::new(seconds.saturating_mul(1_000)).counts_for() / 1_000).ok()
}

/// The same at least: a part of the limit's length less, in which its proxy had drawn it already.
fn counts_at_least(counts_for: i64) -> i64 {
    counts_for / 26 * 25
}

/// The same as it is stored, in numbers.
struct History {
    start: i64,
    earlier: Amount,
    spent: Vec<Amount>,
}

impl History {
    /// Nothing where other parts are stored than those of now.
    fn read(stored: &BudgetHistory, unit: Unit, stretch: Stretch) -> Option<Self> {
        let start = stored.start.0.as_second();
        if stored.step_seconds != stretch.step || (start - stretch.start) % stretch.step != 0 {
            return None;
        }
        let spent = stored.spent.iter().map(|text| amount(unit, text)).collect::<Option<Vec<_>>>()?;
        Some(Self { start, earlier: amount(unit, &stored.earlier)?, spent })
    }

    /// Begins with the part of now.
    fn begun(stretch: Stretch, earlier: Amount, now: i64) -> Self {
        let index = (now - stretch.start).div_euclid(stretch.step);
        Self { start: stretch.start + index * stretch.step, earlier, spent: Vec::new() }
    }

    /// All that it tells of.
    fn counted(&self) -> Amount {
        self.spent.iter().fold(self.earlier, |sum, part| sum.saturating_add(*part))
    }

    /// Lets go of the parts before those of now.
    fn leave(&mut self, stretch: Stretch) {
        let gone = stretch.index(self.start, stretch.start).min(self.spent.len());
        let gone_spent: Amount = self.spent.drain(..gone).sum();
        if !stretch.forgets {
            self.earlier = self.earlier.saturating_add(gone_spent);
        } else if stretch.start > self.start {
            // So long after the first part it has come back.
            self.earlier = 0;
        }
        self.start = if self.spent.is_empty() {
            self.start.max(stretch.start)
        } else {
            self.start + stretch.step * i64::try_from(gone).unwrap_or(0)
        };
    }

    /// So much is spent by what counts still: what is missing has come back, of what is earlier and of the parts that
    /// began at `until` at the latest, the oldest first; whether any has.
    fn returns(&mut self, spent: Amount, stretch: Stretch, until: i64) -> bool {
        let before = self.counted().saturating_sub(spent);
        let mut missing = before - before.min(self.earlier);
        self.earlier -= before - missing;
        let starts = (0..).map(|index| self.start + index * stretch.step);
        for (part, _) in self.spent.iter_mut().zip(starts).take_while(|(_, start)| *start <= until) {
            let back = missing.min(*part);
            (*part, missing) = (*part - back, missing - back);
        }
        missing < before
    }

    fn add(&mut self, amount: Amount, stretch: Stretch, now: i64) {
        // A clock that was set back goes on with the last part.
        let index = stretch.index(self.start, now).max(self.spent.len().saturating_sub(1));
        self.spent.resize(index + 1, 0);
        if let Some(last) = self.spent.last_mut() {
            *last = last.saturating_add(amount);
        }
    }
}

/// The history of a limit of which so much is spent now; `before` is what is stored of it in this window.
///
/// A ledger that has lost its memory tells of less for a while: nothing is counted again until there is more than was
/// counted already. `rolling` is for how many seconds what is spent of a rolling limit may count.
pub fn advance(
    before: Option<&BudgetLimitStatus>,
    unit: Unit,
    window: &Window,
    rolling: Option<i64>,
    spent: Amount,
    now: Timestamp,
) -> Option<BudgetHistory> {
    let now = now.as_second();
    let stretch = Stretch::of(window, rolling, now);
    let stored = before.and_then(|before| before.history.as_ref());
    let known = stored.and_then(|stored| History::read(stored, unit, stretch));
    let is_known = known.is_some();
    let mut history = known.unwrap_or_else(|| {
        // Nobody has looked at this window yet: when it was spent is known only where that is its first part.
        let first = stretch.forgets || stretch.index(stretch.start, now) == 0;
        let unseen = if first { 0 } else { spent };
        let earlier = before.map_or(unseen, |before| amount(unit, &before.spent).unwrap_or(spent));
        History::begun(stretch, earlier, now)
    });
    history.leave(stretch);
    let returned =
        rolling.is_some_and(|length| history.returns(spent, stretch, now - counts_at_least(length)));
    match spent.saturating_sub(history.counted()) {
        0 if !returned => return stored.filter(|_| is_known).cloned(),
        0 => {}
        more => history.add(more, stretch, now),
    }
    let text = |amount: &Amount| amount_text(unit, *amount);
    Some(BudgetHistory {
        start: Time(Timestamp::from_second(history.start).ok()?),
        step_seconds: stretch.step,
        earlier: text(&history.earlier),
        spent: history.spent.iter().map(text).collect(),
    })
}

/// A part of a window, for who looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Spent(Amount),
    /// It is over, and nobody knows what was spent in it.
    Unknown,
    ToCome,
}

/// All parts of a limit's window, in their order, and how many seconds each is long.
#[must_use]
pub fn parts(
    limit: &BudgetLimitStatus,
    unit: Unit,
    rolling: Option<i64>,
    now: Timestamp,
) -> (Vec<Part>, i64) {
    let now = now.as_second();
    let window = Window { start: limit.start.0, end: limit.end.as_ref().map(|end| end.0) };
    let stretch = Stretch::of(&window, rolling, now);
    let end = window.end.map_or(now + 1, |end| end.as_second());
    let known = limit.history.as_ref().and_then(|stored| History::read(stored, unit, stretch));
    let nothing = amount(unit, &limit.spent) == Some(0);
    let part = |start: i64| match &known {
        _ if start > now => Part::ToCome,
        Some(known) if start >= known.start => {
            Part::Spent(known.spent.get(stretch.index(known.start, start)).copied().unwrap_or(0))
        }
        Some(known) if known.earlier == 0 => Part::Spent(0),
        None if nothing => Part::Spent(0),
        Some(_) | None => Part::Unknown,
    };
    let starts = (0..PARTS).map(|index| stretch.start + index * stretch.step);
    (starts.take_while(|start| *start < end).map(part).collect(), stretch.step)
}

/// An amount as a status has it.
#[must_use]
pub fn amount(unit: Unit, text: &str) -> Option<Amount> {
    if unit == Unit::Usd { nano_usd(text).ok() } else { text.parse().ok() }
}

#[cfg(test)]
mod tests;
