//! How much of one stream may be under way: items that its producer gave away and its consumer has not taken.
//!
//! The producer's host keeps one, to make the body wait; the coordinator keeps another, to hold the host to it (L23).

use alloc::collections::VecDeque;

use crate::limits;

/// Items of one stream, counted from its beginning.
#[derive(Clone, Debug, Default)]
pub struct Window {
    given: u64,
    taken: u64,
    /// What each item weighs that was not taken, oldest first.
    weights: VecDeque<usize>,
    weight: usize,
}

impl Window {
    /// One that goes on after so many items were given and taken.
    #[must_use]
    pub fn after(taken: u64) -> Self {
        Self { given: taken, taken, ..Self::default() }
    }

    /// Whether another item may be given. One on its own always may: how large it can be says
    /// [`limits::MAX_PAYLOAD`].
    #[must_use]
    pub fn has_room(&self) -> bool {
        room(self.weights.len(), self.weight)
    }

    /// An item of that many bytes is given. Its number, from 1.
    pub fn give(&mut self, len: usize) -> u64 {
        let weight = weight(len);
        self.weights.push_back(weight);
        self.weight += weight;
        self.given += 1;
        self.given
    }

    /// That many items have been taken in all. False, and nothing changes, if that is news of no kind: fewer than
    /// before, or more than were given.
    pub fn take(&mut self, taken: u64) -> bool {
        if taken <= self.taken || taken > self.given {
            return false;
        }
        while self.taken < taken {
            self.taken += 1;
            self.weight -= self.weights.pop_front().unwrap_or_default();
        }
        true
    }

    /// Items given so far.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Items taken so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the counts agree and the last item was given with room.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let (count, sum) = (self.weights.len(), self.weights.iter().sum::<usize>());
        let last = self.weights.back().copied().unwrap_or_default();
        count as u64 == self.given - self.taken && sum == self.weight && room(count.saturating_sub(1), sum - last)
    }
}

fn room(items: usize, weight: usize) -> bool {
    items == 0 || (items < limits::STREAM_ITEMS && weight < limits::STREAM_BYTES)
}

/// What an item of that many bytes counts for.
#[must_use]
pub fn weight(len: usize) -> usize {
    len + limits::STREAM_ITEM_BYTES
}

/// Whether a consumer that has taken so much since it last said so should say it: long before the producer waits, and
/// not for every item.
#[must_use]
pub fn worth_telling(items: u64, weight: usize) -> bool {
    items >= limits::STREAM_ITEMS as u64 / 2 || weight >= limits::STREAM_BYTES / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(window: &mut Window, len: usize) -> u64 {
        let before = window.given();
        while window.has_room() {
            window.give(len);
            assert!(window.is_sound());
        }
        window.given() - before
    }

    #[test]
    fn items_and_bytes_both_bound_it() {
        assert_eq!(fill(&mut Window::default(), 0), limits::STREAM_ITEMS as u64);
        assert_eq!(fill(&mut Window::default(), 64 * 1024), 4);
        // One that is larger than all of it goes alone.
        assert_eq!(fill(&mut Window::default(), 10 * limits::STREAM_BYTES), 1);
    }

    #[test]
    fn what_is_taken_makes_room() {
        let mut window = Window::default();
        fill(&mut window, 100);
        assert!(!window.take(0) && !window.take(257) && window.take(3) && !window.take(3));
        assert_eq!((fill(&mut window, 100), window.taken(), window.given()), (3, 3, 259));
    }

    /// Whoever takes all it gets and tells only what is worth telling never leaves the producer waiting.
    #[test]
    fn telling_seldom_is_telling_enough() {
        for len in [0, 100, 5_000, limits::STREAM_BYTES / 2, limits::STREAM_BYTES, 3 * limits::STREAM_BYTES] {
            let (mut window, mut told, mut items, mut bytes) = (Window::default(), 0, 0, 0);
            for _ in 0..2_000 {
                if window.has_room() {
                    window.give(len);
                    (items, bytes) = (items + 1, bytes + weight(len));
                }
                if worth_telling(items, bytes) {
                    told += items;
                    (items, bytes) = (0, 0);
                    assert!(window.take(told));
                }
            }
            assert_eq!(window.given(), 2_000, "items of {len} bytes");
        }
    }
}
