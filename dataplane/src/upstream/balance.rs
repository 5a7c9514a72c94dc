//! The choice among targets, pure: weights and a random number in, targets out.
//!
//! A backend is drawn by weight, then a provider of its lowest priority. The second choice is another
//! provider of the same priority, else the next priority, else another backend; where the first was
//! the only one, it is tried again.

use std::sync::Arc;

use crate::snapshot::{BackendTargets, Target};

/// The first choice and the one to fall back to; none where no backend takes calls.
pub fn pick_two(backends: &[BackendTargets], draw: u64) -> Option<(&Arc<Target>, &Arc<Target>)> {
    if let [only] = backends
        && let [tier] = only.tiers.as_slice()
        && let [target] = tier.as_slice()
    {
        return Some((target, target));
    }
    let (draw_backend, draw_first, draw_second) = (draw, draw.rotate_left(21), draw.rotate_left(42));
    let chosen = weighted(backends.iter().map(|backend| backend.weight), None, draw_backend)?;
    let backend = backends.get(chosen)?;
    let tier = backend.tiers.first()?;
    let first = weighted(tier.iter().map(|target| target.weight), None, draw_first)?;
    let weights = tier.iter().map(|target| target.weight);
    let second = match weighted(weights, Some(first), draw_second) {
        Some(other) => tier.get(other),
        None => next_tier(backend, draw_second).or_else(|| {
            let other = weighted(backends.iter().map(|backend| backend.weight), Some(chosen), draw_second)?;
            let tier = backends.get(other)?.tiers.first()?;
            tier.get(weighted(tier.iter().map(|target| target.weight), None, draw_first)?)
        }),
    };
    let first = tier.get(first)?;
    Some((first, second.unwrap_or(first)))
}

fn next_tier(backend: &BackendTargets, draw: u64) -> Option<&Arc<Target>> {
    let tier = backend.tiers.get(1)?;
    tier.get(weighted(tier.iter().map(|target| target.weight), None, draw)?)
}

/// An index drawn by weight, never `except` and never one of weight 0.
fn weighted(weights: impl Iterator<Item = u32> + Clone, except: Option<usize>, draw: u64) -> Option<usize> {
    let weights = weights.enumerate().filter(|(i, weight)| Some(*i) != except && *weight > 0);
    let total: u64 = weights.clone().map(|(_, weight)| u64::from(weight)).sum();
    let mut rest = draw.checked_rem(total)?;
    for (i, weight) in weights {
        match rest.checked_sub(u64::from(weight)) {
            Some(less) => rest = less,
            None => return Some(i),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::weighted;

    #[test]
    fn shares_follow_the_weights() {
        let weights = [90, 0, 10];
        let mut hits = [0; 3];
        for draw in 0..1000 {
            hits[weighted(weights.into_iter(), None, draw).unwrap_or(1)] += 1;
        }
        assert_eq!(hits, [900, 0, 100]);
    }

    #[test]
    fn what_is_excluded_or_weightless_is_never_drawn() {
        for draw in 0..100 {
            assert_eq!(weighted([3, 0, 7].into_iter(), Some(0), draw), Some(2));
            assert_eq!(weighted([3, 0].into_iter(), Some(0), draw), None);
            assert_eq!(weighted([].into_iter(), None, draw), None);
        }
    }
}
