//! How long calls lately took, as quantiles. Apart from [`average`](crate::average) because a
//! distribution is many counters, which no single word holds; here threads may see a halving half done.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use crate::word::Word;

/// Bounds of buckets are powers of `2^0.3`, from 1 ms to 10 min (`2^19.2` ms).
const BUCKETS: usize = 64;
const WIDTH: f32 = 0.3;
/// What a sample counts, so that one that was halved is not gone.
const SAMPLE: u32 = 1 << 8;
/// With fewer there is no quantile.
const SAMPLES_MIN: u64 = 20;

/// The distribution of durations, in which samples weigh half as much after each half-life, by steps.
///
/// A quantile is the middle of the bucket in which the sample of that rank is, so within 11 % of it
/// (a factor of `2^0.15`) from 1 ms to 10 min. What is under or over is counted as the one or the other.
#[derive(Debug)]
pub struct Quantiles {
    counts: [AtomicU32; BUCKETS],
    /// The number of the half-life up to which the counts are halved.
    halved: Word,
    half_life: Duration,
}

fn bucket(ms: f32) -> usize {
    // What is below one has a negative logarithm, which the conversion takes as zero; so it does NaN.
    ((ms.log2() / WIDTH) as usize).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> f32 {
    ((bucket as f32 + 0.5) * WIDTH).exp2()
}

impl Quantiles {
    /// One without samples. A half-life under a second is taken as that.
    #[must_use]
    pub fn new(half_life: Duration) -> Self {
        let half_life = half_life.max(Duration::from_secs(1));
        Self { counts: [const { AtomicU32::new(0) }; BUCKETS], halved: Word::new(0), half_life }
    }

    fn number(&self, now: Duration) -> u64 {
        u64::try_from(now.as_nanos() / self.half_life.as_nanos().max(1)).unwrap_or(u64::MAX)
    }

    /// Takes a sample in, in milliseconds, `now` being the time since some epoch of the process.
    pub fn observe(&self, ms: f32, now: Duration) {
        let number = self.number(now);
        // One thread halves. Another that adds meanwhile may see half of its sample go: it is one.
        let passed = self.halved.change(|halved| (halved.max(number), number.saturating_sub(halved)));
        if passed > 0 {
            self.counts.iter().for_each(|count| change(count, |count| halved(count, passed)));
        }
        if let Some(count) = self.counts.get(bucket(ms)) {
            change(count, |count| count.saturating_add(SAMPLE));
        }
    }

    /// The duration in milliseconds that a share `q` of the samples keeps within, from 0 to 1; `None`
    /// if what is left of the samples weighs less than twenty, or `q` is not a number.
    #[must_use]
    pub fn quantile(&self, q: f32, now: Duration) -> Option<f32> {
        let passed = self.number(now).saturating_sub(self.halved.get());
        // The halvings that are due shrink all counts alike, so the sum stands for them.
        let counts = self.counts.each_ref().map(|count| u64::from(count.load(Relaxed)));
        let all: u64 = counts.iter().sum();
        if q.is_nan() || all.checked_shr(shift(passed)).unwrap_or(0) < SAMPLES_MIN * u64::from(SAMPLE) {
            return None;
        }
        let rank = (f64::from(q.clamp(0.0, 1.0)) * all as f64).max(1.0);
        let mut below = 0;
        let found = counts.iter().position(|count| {
            below += count;
            below as f64 >= rank
        });
        found.map(middle)
    }
}

fn shift(halvings: u64) -> u32 {
    u32::try_from(halvings).unwrap_or(u32::MAX)
}

fn halved(count: u32, halvings: u64) -> u32 {
    count.checked_shr(shift(halvings)).unwrap_or(0)
}

fn change(count: &AtomicU32, step: impl Fn(u32) -> u32) {
    let mut old = count.load(Relaxed);
    while step(old) != old {
        match count.compare_exchange_weak(old, step(old), Relaxed, Relaxed) {
            Ok(_) => return,
            Err(seen) => old = seen,
        }
    }
}

#[cfg(test)]
mod tests;
