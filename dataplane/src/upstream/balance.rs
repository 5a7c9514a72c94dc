//! The choice among targets, pure: weights and a random number in, targets out.
//!
//! A backend is drawn by weight, then a provider of its lowest priority. The second choice is another
//! provider of the same priority, else the next priority, else another backend; where the first was
//! the only one, it is tried again.

use std::sync::Arc;

use crate::snapshot::{BackendTargets, Target};

/// The first choice and the one to fall back to, among the targets that fit; none where no target
/// does.
pub fn pick_two(
    backends: &[BackendTargets],
    draw: u64,
    fits: impl Fn(&Target) -> bool,
) -> Option<(&Arc<Target>, &Arc<Target>)> {
    if let [only] = backends
        && let [tier] = only.tiers.as_slice()
        && let [target] = tier.as_slice()
    {
        return fits(target).then_some((target, target));
    }
    let (draw_backend, draw_first, draw_second) = (draw, draw.rotate_left(21), draw.rotate_left(42));
    let backend_weights = backends.iter().map(|backend| {
        let takes = backend.tiers.iter().flatten().any(|target| fits(target));
        if takes { backend.weight } else { 0 }
    });
    let pick = |tier: &'_ [Arc<Target>], except: Option<usize>, draw: u64| {
        let weights = tier.iter().map(|target| if fits(target) { target.weight } else { 0 });
        weighted(weights, except, draw)
    };
    let chosen = weighted(backend_weights.clone(), None, draw_backend)?;
    let mut tiers = backends.get(chosen)?.tiers.iter();
    let (tier, first) = tiers.find_map(|tier| Some((tier, pick(tier, None, draw_first)?)))?;
    let second = pick(tier, Some(first), draw_second).and_then(|other| tier.get(other));
    let next_tier = || tiers.clone().find_map(|tier| tier.get(pick(tier, None, draw_second)?));
    let other_backend = || {
        let other = weighted(backend_weights.clone(), Some(chosen), draw_second)?;
        backends.get(other)?.tiers.iter().find_map(|tier| tier.get(pick(tier, None, draw_first)?))
    };
    let first = tier.get(first)?;
    Some((first, second.or_else(next_tier).or_else(other_backend).unwrap_or(first)))
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
