//! A sorted map that costs next to nothing while it holds a few: calls of most actors at one time.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::RangeBounds;

/// Up to so many lie side by side: an actor that is called by many at a time should not change between the two for each.
const SIDE_BY_SIDE: usize = 32;
/// Room for so many stays when the last one leaves.
const STAYS: usize = 16;

/// A map in the order of its keys. A tree keeps a node of hundreds of bytes even when it is empty again, for an actor that
/// was called once and a caller that calls one at a time; this keeps what its few entries needed.
#[derive(Clone, Debug)]
#[allow(clippy::box_collection)] // an actor has two of these, and each line one: the box keeps them at 24 bytes
pub(super) enum Few<K, V> {
    Side(Vec<(K, V)>),
    Tree(Box<BTreeMap<K, V>>),
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self::Side(Vec::new())
    }
}

impl<K: Ord + Copy, V> Few<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Side(side) => side.len(),
            Self::Tree(tree) => tree.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self {
            Self::Side(side) => side.iter().find(|(k, _)| k == key).map(|(_, value)| value),
            Self::Tree(tree) => tree.get(key),
        }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Self::Side(side) => side.iter_mut().find(|(k, _)| k == key).map(|(_, value)| value),
            Self::Tree(tree) => tree.get_mut(key),
        }
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        match self {
            Self::Tree(tree) => {
                tree.insert(key, value);
            }
            Self::Side(side) if side.len() == SIDE_BY_SIDE => {
                let mut tree: BTreeMap<K, V> = core::mem::take(side).into_iter().collect();
                tree.insert(key, value);
                *self = Self::Tree(Box::new(tree));
            }
            Self::Side(side) => {
                if side.capacity() == 0 {
                    // Mostly there is one; a vector would begin with four.
                    side.reserve_exact(1);
                }
                // Mostly it is the last.
                let at = side.iter().rposition(|(k, _)| *k <= key).map_or(0, |at| at + 1);
                match at.checked_sub(1).and_then(|at| side.get_mut(at)) {
                    Some((known, old)) if *known == key => *old = value,
                    _ => side.insert(at, (key, value)),
                }
            }
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::Side(side) => {
                let at = side.iter().position(|(k, _)| k == key)?;
                let (_, value) = side.remove(at);
                if side.is_empty() && side.capacity() > STAYS {
                    *side = Vec::new();
                }
                Some(value)
            }
            Self::Tree(tree) => {
                let value = tree.remove(key);
                if tree.is_empty() {
                    *self = Self::default();
                }
                value
            }
        }
    }

    pub(super) fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.range(..)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(super) fn range(&self, keys: impl RangeBounds<K>) -> impl Iterator<Item = (&K, &V)> {
        let (side, tree) = match self {
            Self::Side(side) => (side.as_slice(), None),
            Self::Tree(tree) => (&[][..], Some(tree.range((keys.start_bound(), keys.end_bound())))),
        };
        let side = side.iter().filter(move |(key, _)| keys.contains(key)).map(|(key, value)| (key, value));
        side.chain(tree.into_iter().flatten())
    }
}

/// A set that is empty but for moments; then it is one pointer.
#[derive(Clone, Debug, Default)]
#[allow(clippy::box_collection)] // a set takes three words when it is empty, and an actor has three sets
pub(super) struct Rarely(Option<Box<BTreeSet<u32>>>);

impl Rarely {
    pub(super) fn insert(&mut self, index: u32) {
        self.0.get_or_insert_default().insert(index);
    }

    pub(super) fn remove(&mut self, index: u32) -> bool {
        let Some(set) = &mut self.0 else { return false };
        let removed = set.remove(&index);
        self.0.take_if(|set| set.is_empty());
        removed
    }

    pub(super) fn contains(&self, index: u32) -> bool {
        self.0.as_ref().is_some_and(|set| set.contains(&index))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|set| set.iter().copied())
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |set| set.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At every length it does what a tree does.
    #[test]
    fn few_and_many_are_alike() {
        let (mut few, mut tree) = (Few::default(), BTreeMap::new());
        for n in [5u32, 1, 9, 3, 3, 7, 2, 8, 4, 6, 0, 10, 5] {
            few.insert(n, n * 2);
            tree.insert(n, n * 2);
            assert!(few.iter().eq(&tree) && few.len() == tree.len(), "{few:?}");
            assert!(few.range(3..7).eq(tree.range(3..7)) && few.first() == tree.first_key_value());
        }
        for n in [0u32, 10, 4, 4, 5, 6, 1, 2, 3, 9, 8, 7] {
            assert_eq!(few.get(&n), tree.get(&n));
            assert_eq!(few.remove(&n), tree.remove(&n));
            assert!(few.iter().eq(&tree), "{few:?}");
        }
        assert!(few.is_empty() && matches!(few, Few::Side(_)), "the tree is gone");
    }

    #[test]
    fn a_set_that_is_empty_is_nothing() {
        let mut set = Rarely::default();
        set.insert(7);
        set.insert(3);
        assert_eq!((set.first(), set.len(), set.contains(7)), (Some(3), 2, true));
        assert!(set.remove(3) && !set.remove(3) && set.remove(7));
        assert!(set.is_empty() && set.iter().next().is_none());
    }
}
