//! Means of what was lately seen of a provider: how long it takes, how often it fails. Apart from
//! the quantiles because a mean fits one word, and is read for every call.

use std::time::Duration;

use crate::word::Word;

/// A mean in which a sample weighs half as much after each half-life. The mean of zeros and ones is a
/// rate, such as that of failures.
///
/// All samples of one instant weigh the same: the first few average, and none of them stands for all.
/// Without new samples the mean stays as it is, only [`Self::weight`] falls, and so the next sample
/// counts for more. Samples may come out of the order of their times.
///
/// Exact to about one in a million; weights above some 12 000 samples' do not grow any more.
#[derive(Debug)]
pub struct Decaying {
    mean: Word,
    ticks_per_second: f64,
}

/// In a half-life.
const TICKS: f64 = 4096.0;
/// 36 bits of ticks: 16 million half-lives, after which a time has its number again.
const HEIGHT_BITS: u32 = 36;
const HEIGHT_MASK: u64 = (1 << HEIGHT_BITS) - 1;
/// So many ticks may a height be above the present: any weight that is reached, and clocks that are
/// behind. What seems to be higher is of long ago.
const ABOVE_MAX: u64 = 64 * 4096;
/// Is no mean: its upper bits are not a number.
const EMPTY: u64 = u64::MAX;
/// Rounding must not make an infinity of it.
const VALUE_MAX: f32 = 1e30;

/// The mean, and the time and the weight of the samples in one number.
///
/// Each sample weighs `2^(its time)`, and `height` is the logarithm of the sum, all in half-lives. The
/// sum as seen from a time `t` is then `2^(height − t)`: the times that pass are the decay, there is no
/// last time to keep, and it does not matter in which order samples come.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mean {
    value: f32,
    height: u64,
}

impl Mean {
    /// 28 bits of the value, which has no sign and lacks three bits of precision, above the height.
    fn pack(self) -> u64 {
        let value = (self.value.to_bits() + 4) >> 3;
        u64::from(value) << HEIGHT_BITS | self.height
    }

    fn unpack(word: u64) -> Option<Self> {
        let value = f32::from_bits((word >> HEIGHT_BITS) as u32 * 8);
        (word != EMPTY).then_some(Self { value, height: word & HEIGHT_MASK })
    }

    /// How many ticks the height is above a time, or below it.
    fn above(self, now: u64) -> f64 {
        let above = self.height.wrapping_sub(now) & HEIGHT_MASK;
        if above <= ABOVE_MAX { above as f64 } else { above as f64 - (HEIGHT_MASK + 1) as f64 }
    }

    /// In samples, as seen from a time in ticks.
    fn weight(self, now: u64) -> f64 {
        (self.above(now) / TICKS).exp2()
    }

    fn observe(old: Option<Self>, value: f32, now: u64) -> Self {
        let (mean, before) = old.map_or((0.0, 0.0), |old| (f64::from(old.value), old.weight(now)));
        let weight = before + 1.0;
        let mean = mean + (f64::from(value) - mean) / weight;
        let above = rounded(weight.log2() * TICKS);
        Self { value: mean as f32, height: now.wrapping_add(above) & HEIGHT_MASK }
    }
}

/// To the nearest; what is not below zero. The library's function is a call where the processor may be an old one.
fn rounded(number: f64) -> u64 {
    (number + 0.5) as u64
}

impl Decaying {
    /// One without samples. A half-life under a millisecond is taken as that.
    #[must_use]
    pub fn new(half_life: Duration) -> Self {
        let half_life = half_life.max(Duration::from_millis(1));
        Self { mean: Word::new(EMPTY), ticks_per_second: TICKS / half_life.as_secs_f64() }
    }

    fn ticks(&self, now: Duration) -> u64 {
        rounded(now.as_secs_f64() * self.ticks_per_second) & HEIGHT_MASK
    }

    /// Takes a sample in, `now` being the time since some epoch of the process. Negative values are
    /// taken as zero, and over 1e30 as that; what is not a finite number is left out.
    pub fn observe(&self, value: f32, now: Duration) {
        if !value.is_finite() {
            return;
        }
        let (value, now) = (value.clamp(0.0, VALUE_MAX), self.ticks(now));
        self.mean.change(|word| (Mean::observe(Mean::unpack(word), value, now).pack(), ()));
    }

    /// The mean; `None` before the first sample.
    #[must_use]
    pub fn get(&self) -> Option<f32> {
        Mean::unpack(self.mean.get()).map(|mean| mean.value)
    }

    /// The mean, as long as what it stands for weighs as much as one sample does after so many half-lives.
    #[must_use]
    pub fn fresh(&self, half_lives: u16, now: Duration) -> Option<f32> {
        let mean = Mean::unpack(self.mean.get())?;
        (mean.above(self.ticks(now)) >= -f64::from(half_lives) * TICKS).then_some(mean.value)
    }

    /// How many samples of right now the mean stands for.
    #[must_use]
    pub fn weight(&self, now: Duration) -> f32 {
        Mean::unpack(self.mean.get()).map_or(0.0, |mean| mean.weight(self.ticks(now)) as f32)
    }
}

#[cfg(test)]
mod tests;
