//! A state that fits one word, and how a transition is applied to it. Apart because each of the state
//! machines here is a pure function over such a word: what it does is tested without threads, and that
//! no two threads undo each other is said once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A packed state that threads share. Relaxed throughout: the word is all of the state, so it
/// publishes nothing else that would have to be seen in order.
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub const fn new(state: u64) -> Self {
        Self(AtomicU64::new(state))
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub fn set(&self, state: u64) {
        self.0.store(state, Relaxed);
    }

    /// Replaces the state by what `step` makes of it; gives what else `step` returns. `step` is asked
    /// again whenever another thread was first, and only its last answer counts.
    pub fn change<R>(&self, mut step: impl FnMut(u64) -> (u64, R)) -> R {
        let mut old = self.get();
        loop {
            let (new, result) = step(old);
            // What changes nothing need not take the cache line from other threads.
            if new == old {
                return result;
            }
            match self.0.compare_exchange_weak(old, new, Relaxed, Relaxed) {
                Ok(_) => return result,
                Err(seen) => old = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_of_any_thread_is_lost() {
        let word = Word::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| word.change(|n| (n + 1, ()))));
            }
        });
        assert_eq!(word.get(), 40_000);
    }
}
