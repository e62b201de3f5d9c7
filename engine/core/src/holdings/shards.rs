//! A map whose copies share what they have: it is kept in parts, by key, and who changes a copy copies
//! one part. So one entry more costs little, however many there are, and whoever looks at the
//! original is not disturbed.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

/// Into how many parts a map is divided.
const PARTS: usize = 256;

/// What a map is divided by.
pub(super) trait Key: Ord + Copy {
    /// Keys of the same number are in the same part, in order.
    fn number(&self) -> u64;
}

impl Key for u64 {
    fn number(&self) -> u64 {
        *self
    }
}

/// An address, and a tag there.
impl Key for (u64, u64) {
    fn number(&self) -> u64 {
        self.0
    }
}

type Part<K, V> = Arc<BTreeMap<K, V>>;

/// A map in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shards<K: Key, V> {
    /// None while the map is empty, else all of them.
    parts: Arc<Vec<Part<K, V>>>,
    length: usize,
}

impl<K: Key, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self {
            parts: Arc::default(),
            length: 0,
        }
    }
}

impl<K: Key, V: Clone> Shards<K, V> {
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.parts.get(part(key))?.get(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let parts = Arc::make_mut(&mut self.parts);
        parts.resize(PARTS, Arc::default());
        let Some(part) = parts.get_mut(part(&key)) else {
            return;
        };
        let before = Arc::make_mut(part).insert(key, value);
        self.length += usize::from(before.is_none());
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.get(key)?;
        let part = Arc::make_mut(&mut self.parts).get_mut(part(key))?;
        let value = Arc::make_mut(part).remove(key)?;
        self.length -= 1;
        if self.length == 0 {
            *self = Self::default();
        }
        Some(value)
    }

    /// All entries, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// The first of these keys, which are of one number.
    pub(super) fn first(&self, keys: RangeInclusive<K>) -> Option<&K> {
        let part = self.parts.get(part(keys.start()))?;
        part.range(keys).next().map(|(key, _)| key)
    }
}

/// Neighbours go to different parts: addresses and tags often count up by the same step.
fn part(key: &impl Key) -> usize {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    usize::from(key.number().wrapping_mul(SPREAD).to_be_bytes()[0])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_change_of_a_copy_copies_one_part_and_is_not_seen_in_the_original() {
        let mut original = Shards::default();
        (0..10_000_u64).for_each(|key| original.insert(key, key));
        let mut copy = original.clone();
        copy.insert(1, 7);
        assert_eq!((original.get(&1), copy.get(&1)), (Some(&1), Some(&7)));
        let pairs = original.parts.iter().zip(copy.parts.iter());
        let shared = pairs.filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!(shared, PARTS - 1);
    }

    #[test]
    fn what_counts_up_is_spread_over_the_parts() {
        for step in [1, 7, 8, 0x1000] {
            let mut map = Shards::default();
            (0..10_000_u64).for_each(|index| map.insert(index * step, ()));
            let fullest = map.parts.iter().map(|part| part.len()).max();
            assert!(fullest < Some(4 * 10_000 / PARTS), "{step}: {fullest:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map(changes in proptest::collection::vec((0_u64..20, any::<Option<u8>>()), 0..80)) {
            let (mut map, mut plain) = (Shards::default(), BTreeMap::new());
            for (key, change) in changes {
                match change {
                    Some(value) => {
                        map.insert(key, value);
                        plain.insert(key, value);
                    }
                    None => prop_assert_eq!(map.remove(&key), plain.remove(&key)),
                }
                prop_assert_eq!(map.len(), plain.len());
                prop_assert_eq!(map.get(&key), plain.get(&key));
            }
            let entries: BTreeMap<u64, u8> = map.iter().map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(&entries, &plain);
            prop_assert_eq!(map == Shards::default(), plain.is_empty());
        }
    }
}
