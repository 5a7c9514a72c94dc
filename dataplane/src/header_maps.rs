//! Maps of headers that a worker has used, for its next call: one takes two allocations to make, too large for what the
//! allocator keeps at hand.

use std::cell::RefCell;

use http::HeaderMap;

/// Maps that a worker keeps.
const MOST_KEPT: usize = 32;
/// Headers that there is room for in one that is kept, at most.
const MOST_ROOM: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map with room for so many headers.
pub fn take(room: usize) -> HeaderMap {
    let mut map = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    map.reserve(room);
    map
}

/// A map that is not needed any more.
pub fn give_back(mut map: HeaderMap) {
    // One header may have had many values, for which there is room besides.
    if map.capacity().max(map.len()) > MOST_ROOM {
        return;
    }
    map.clear();
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < MOST_KEPT {
            kept.push(map);
        }
    });
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    #[test]
    fn a_map_comes_back_empty_and_with_its_room() {
        let mut used = take(12);
        assert!(used.is_empty() && used.capacity() >= 12);
        used.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        used.append(header::COOKIE, HeaderValue::from_static("a"));
        used.append(header::COOKIE, HeaderValue::from_static("b"));
        give_back(used);
        let again = take(1);
        assert!(again.is_empty() && again.capacity() >= 12, "{again:?}");
        assert!(take(100).capacity() >= 100, "another has the room that is asked for");
    }

    #[test]
    fn neither_many_nor_large_ones_are_kept() {
        give_back(take(10 * MOST_ROOM));
        let mut of_many_values = take(1);
        for _ in 0..2 * MOST_ROOM {
            of_many_values.append(header::COOKIE, HeaderValue::from_static("a"));
        }
        give_back(of_many_values);
        assert_eq!(KEPT.with_borrow(Vec::len), 0);
        let many: Vec<_> = (0..2 * MOST_KEPT).map(|_| take(8)).collect();
        many.into_iter().for_each(give_back);
        assert_eq!(KEPT.with_borrow(Vec::len), MOST_KEPT);
    }
}
