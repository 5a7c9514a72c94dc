//! The circuit breaker of one provider and model: when so much fails that another call is a waste of
//! its caller's time, and when to look whether that is over. The share of failures is counted in
//! `window`, a word of its own, because it does not fit beside the state.

mod window;

use std::time::Duration;

use crate::word::Word;
use window::Window;

/// When to open, and for how long. May differ from call to call: what is stored are times and counts,
/// which the settings of the moment judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many failures one after another open. 0 is taken as 1, and more than 1023 as 1023.
    pub failures: u32,
    /// How long it stays open, and how long a probe may be out before another is sent. Whole
    /// milliseconds; at zero each call is a probe.
    pub recovery: Duration,
    /// What opens though successes are among the failures.
    pub rate: Rate,
}

/// The share of failures that opens, over the last 5 to 10 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many outcomes there must be to speak of a share. More than 500 is taken as 500.
    pub outcomes: u32,
    /// The share in percent; over 100 never opens.
    pub percent: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { failures: 5, recovery: Duration::from_secs(30), rate: Rate::default() }
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self { outcomes: 20, percent: 50 }
    }
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All calls.
    Closed,
    /// None.
    Open { until: Duration },
    /// One, the probe. It may be out already: [`Breaker::admits`] tells.
    HalfOpen,
}

/// A call was let through. Is handed back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    probe: bool,
    generation: u16,
}

impl Permit {
    /// Whether the call decides alone if the breaker closes.
    #[must_use]
    pub fn is_probe(self) -> bool {
        self.probe
    }
}

/// A call was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When a probe is let through, at the latest.
    pub until: Duration,
}

/// What an outcome did to the breaker, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Also by a probe that failed.
    Opened,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    /// Since `at`. Becomes half-open by the clock alone.
    Open,
    /// The probe is out since `at`.
    Probing,
    /// Half-open, and the probe came back without an outcome.
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
}

/// The state: 40 bits of milliseconds (34 years), 10 of failures, 12 of generation, 2 of phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Circuit {
    phase: Phase,
    at: u64,
    /// One after another, while closed.
    failures: u32,
    /// Is another after each change of the phase: by it the outcome of an earlier time is told. Wraps;
    /// no call lasts for 4096 changes.
    generation: u16,
}

const TIME_MAX: u64 = (1 << 40) - 1;
const FAILURES_MAX: u32 = (1 << 10) - 1;
const GENERATION_MAX: u16 = (1 << 12) - 1;

impl Circuit {
    fn pack(self) -> u64 {
        let phase = match self.phase {
            Phase::Closed => 0,
            Phase::Open => 1,
            Phase::Probing => 2,
            Phase::Ready => 3,
        };
        self.at << 24 | u64::from(self.failures) << 14 | u64::from(self.generation) << 2 | phase
    }

    fn unpack(word: u64) -> Self {
        let phase = match word & 3 {
            0 => Phase::Closed,
            1 => Phase::Open,
            2 => Phase::Probing,
            _ => Phase::Ready,
        };
        Self {
            phase,
            at: word >> 24,
            failures: (word >> 14) as u32 & FAILURES_MAX,
            generation: (word >> 2) as u16 & GENERATION_MAX,
        }
    }

    fn moved(self, phase: Phase, now: Duration) -> Self {
        let at = u64::try_from(now.as_millis()).unwrap_or(TIME_MAX).min(TIME_MAX);
        Self { phase, at, failures: 0, generation: (self.generation + 1) & GENERATION_MAX }
    }

    /// Until when nothing is let through; `None` if something is.
    fn shut(self, now: Duration, settings: &Settings) -> Option<Duration> {
        match self.phase {
            Phase::Closed | Phase::Ready => None,
            // A probe that is out for so long has lost its holder, or may as well have.
            Phase::Open | Phase::Probing => {
                let until = Duration::from_millis(self.at).saturating_add(settings.recovery);
                (now < until).then_some(until)
            }
        }
    }

    fn enter(self, now: Duration, settings: &Settings) -> (Self, Result<Permit, Refused>) {
        if let Some(until) = self.shut(now, settings) {
            return (self, Err(Refused { until }));
        }
        let probe = self.phase != Phase::Closed;
        let next = if probe { self.moved(Phase::Probing, now) } else { self };
        (next, Ok(Permit { probe, generation: next.generation }))
    }

    /// Whether the outcome of the call still says something.
    fn hears(self, permit: Permit) -> bool {
        let phase = if permit.probe { Phase::Probing } else { Phase::Closed };
        self.phase == phase && self.generation == permit.generation
    }

    /// `tripped`: whether the share of failures is over its bound.
    fn settle(
        self,
        permit: Permit,
        outcome: Outcome,
        tripped: bool,
        now: Duration,
        settings: &Settings,
    ) -> (Self, Option<Change>) {
        if !self.hears(permit) {
            return (self, None);
        }
        match (outcome, permit.probe) {
            (Outcome::Success, true) => (self.moved(Phase::Closed, now), Some(Change::Closed)),
            (Outcome::Success, false) => (Self { failures: 0, ..self }, None),
            (Outcome::Failure, true) => (self.moved(Phase::Open, now), Some(Change::Opened)),
            (Outcome::Failure, false) => {
                let failures = (self.failures + 1).min(FAILURES_MAX);
                if tripped || failures >= settings.failures.min(FAILURES_MAX) {
                    (self.moved(Phase::Open, now), Some(Change::Opened))
                } else {
                    (Self { failures, ..self }, None)
                }
            }
        }
    }
}

/// A circuit breaker. `now` is the time since some epoch of the process.
///
/// | | a call | its success | its failure | abandoned |
/// |---|---|---|---|---|
/// | closed | is let through | ends the row of failures | may open | – |
/// | open | is refused | – | – | – |
/// | half-open, no probe out | is the probe | closes | opens for another recovery | gives the probe back |
/// | half-open, probe out | is refused for one recovery at most, is then the probe instead | – | – | – |
///
/// Only outcomes count of calls that were let through since the last change: one of an ordinary call
/// that began before the breaker opened neither closes it, nor prolongs it, nor counts after it closed;
/// nor does one of a probe that another has replaced.
#[derive(Debug)]
pub struct Breaker {
    circuit: Word,
    window: Word,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub const fn new() -> Self {
        // All zeros are closed since the epoch, and an empty window.
        Self { circuit: Word::new(0), window: Word::new(0) }
    }

    fn circuit(&self) -> Circuit {
        Circuit::unpack(self.circuit.get())
    }

    /// What it lets through. Takes nothing: for plans and for display.
    #[must_use]
    pub fn state(&self, now: Duration, settings: &Settings) -> State {
        let circuit = self.circuit();
        match (circuit.phase, circuit.shut(now, settings)) {
            (Phase::Closed, _) => State::Closed,
            (Phase::Open, Some(until)) => State::Open { until },
            (Phase::Open | Phase::Probing | Phase::Ready, _) => State::HalfOpen,
        }
    }

    /// Whether [`Self::enter`] would let a call through now. Takes nothing.
    #[must_use]
    pub fn admits(&self, now: Duration, settings: &Settings) -> bool {
        self.circuit().shut(now, settings).is_none()
    }

    /// Lets a call through, or not. The permit goes to one of [`Self::succeed`], [`Self::fail`] and
    /// [`Self::abandon`]; one that is lost costs another recovery time at worst.
    ///
    /// # Errors
    /// The breaker is open, or its probe is out.
    pub fn enter(&self, now: Duration, settings: &Settings) -> Result<Permit, Refused> {
        self.circuit.change(|word| {
            let (next, entered) = Circuit::unpack(word).enter(now, settings);
            (next.pack(), entered)
        })
    }

    /// The call succeeded.
    pub fn succeed(&self, permit: Permit, now: Duration, settings: &Settings) -> Option<Change> {
        self.settle(permit, Outcome::Success, now, settings)
    }

    /// The call failed by the provider's fault.
    pub fn fail(&self, permit: Permit, now: Duration, settings: &Settings) -> Option<Change> {
        self.settle(permit, Outcome::Failure, now, settings)
    }

    /// How the call would have ended is unknown: its client hung up. Counts as nothing; a probe is
    /// given back, and the next call is one.
    pub fn abandon(&self, permit: Permit) {
        self.circuit.change(|word| {
            let circuit = Circuit::unpack(word);
            let back = permit.probe && circuit.hears(permit);
            (if back { Circuit { phase: Phase::Ready, ..circuit }.pack() } else { word }, ())
        });
    }

    fn settle(&self, permit: Permit, outcome: Outcome, now: Duration, settings: &Settings) -> Option<Change> {
        if !self.circuit().hears(permit) {
            return None;
        }
        let failed = outcome == Outcome::Failure;
        // A probe's outcome is one of another time than those that the window counts next.
        let tripped = !permit.probe
            && self.window.change(|word| {
                let window = Window::unpack(word).observe(failed, now);
                (window.pack(), failed && window.exceeds(&settings.rate))
            });
        let change = self.circuit.change(|word| {
            let (next, change) = Circuit::unpack(word).settle(permit, outcome, tripped, now, settings);
            (next.pack(), change)
        });
        if change == Some(Change::Closed) {
            // An outcome that another thread has just counted may be lost here: one of twenty.
            self.window.set(Window::default().pack());
        }
        change
    }
}

#[cfg(test)]
mod tests;
