//! A dict that keeps the order of insertion.
//!
//! # State
//! Entries are in one array in insertion order; a hash table finds their positions. A removed entry leaves a hole; when
//! most of the array is holes it is compacted. So each operation takes amortised constant time.
//! `indexmap` keeps the order too, but then removes in linear time: 0.3 ms from the front of 100,000 entries, with the
//! lock of all objects held.
//!
//! # Standard
//! Python's dict, in behaviour and in structure ("compact dict", 3.6).

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::key::Key;
use super::variant::Variant;

/// A dict: keys and values in insertion order.
#[derive(Clone, Default, Deserialize)]
#[serde(from = "Vec<(Key, Variant)>")]
pub struct Map {
    slots: Vec<Option<(Key, Variant)>>,
    places: HashTable<usize>,
    hasher: RandomState,
}

/// Fewer holes than this are not worth compacting.
const FEW_HOLES: usize = 16;

impl Map {
    /// Creates an empty dict.
    pub fn new() -> Self {
        Map::default()
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Returns the value of `key`.
    pub fn get(&self, key: &Key) -> Option<&Variant> {
        self.slots[self.place(key)?].as_ref().map(|(_, variant)| variant)
    }

    /// Returns a mutable reference to the value of `key`.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Variant> {
        let place = self.place(key)?;
        self.slots[place].as_mut().map(|(_, variant)| variant)
    }

    /// Returns whether there is an entry for `key`.
    pub fn contains(&self, key: &Key) -> bool {
        self.place(key).is_some()
    }

    /// Sets the value of `key` and returns the old one. A new key goes to the end, an existing one keeps its place.
    pub fn insert(&mut self, key: Key, variant: Variant) -> Option<Variant> {
        if let Some(known) = self.get_mut(&key) {
            return Some(std::mem::replace(known, variant));
        }
        let (slots, hasher) = (&mut self.slots, &self.hasher);
        let hash = hasher.hash_one(&key);
        slots.push(Some((key, variant)));
        let rehash = |place: &usize| slots[*place].as_ref().map_or(0, |(known, _)| hasher.hash_one(known));
        self.places.insert_unique(hash, slots.len() - 1, rehash);
        None
    }

    /// Removes the entry for `key` and returns its value.
    pub fn remove(&mut self, key: &Key) -> Option<Variant> {
        let slots = &self.slots;
        let is_it = |place: &usize| slots[*place].as_ref().is_some_and(|(known, _)| known == key);
        let (place, _) = self.places.find_entry(self.hasher.hash_one(key), is_it).ok()?.remove();
        let (_, variant) = self.slots[place].take()?;
        self.tidy();
        Some(variant)
    }

    /// Removes and returns the entry inserted last.
    pub fn pop_last(&mut self) -> Option<(Key, Variant)> {
        // `tidy` leaves no hole at the end.
        let (key, variant) = self.slots.pop()??;
        let last = self.slots.len();
        if let Ok(entry) = self.places.find_entry(self.hasher.hash_one(&key), |place| *place == last) {
            entry.remove();
        }
        self.tidy();
        Some((key, variant))
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        *self = Map::new();
    }

    /// Iterates over the entries in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Key, &Variant)> {
        self.slots.iter().flatten().map(|(key, variant)| (key, variant))
    }

    /// Iterates over the entries in order, with mutable values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Variant)> {
        self.slots.iter_mut().flatten().map(|(key, variant)| (&*key, variant))
    }

    fn place(&self, key: &Key) -> Option<usize> {
        let is_it = |place: &usize| self.slots[*place].as_ref().is_some_and(|(known, _)| known == key);
        self.places.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// Removes holes at the end, and all of them once they are most of the array.
    fn tidy(&mut self) {
        while let Some(None) = self.slots.last() {
            self.slots.pop();
        }
        if self.slots.len() > 2 * self.len() + FEW_HOLES {
            *self = std::mem::take(&mut self.slots).into_iter().flatten().collect();
        }
    }
}

impl FromIterator<(Key, Variant)> for Map {
    fn from_iter<I: IntoIterator<Item = (Key, Variant)>>(entries: I) -> Self {
        let mut map = Map::new();
        map.extend(entries);
        map
    }
}

impl Extend<(Key, Variant)> for Map {
    fn extend<I: IntoIterator<Item = (Key, Variant)>>(&mut self, entries: I) {
        for (key, variant) in entries {
            self.insert(key, variant);
        }
    }
}

impl IntoIterator for Map {
    type Item = (Key, Variant);
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Option<(Key, Variant)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.slots.into_iter().flatten()
    }
}

/// Compares as Python's dicts do: the same entries, in any order.
impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, variant)| other.get(key) == Some(variant))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = serializer.serialize_seq(Some(self.len()))?;
        self.iter().try_for_each(|entry| entries.serialize_element(&entry))?;
        entries.end()
    }
}

impl From<Vec<(Key, Variant)>> for Map {
    fn from(entries: Vec<(Key, Variant)>) -> Self {
        entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_is_that_of_insertion() {
        let mut map: Map = (0..5).map(|n| (Key::from(n), Variant::from(n))).collect();
        map.remove(&Key::from(1));
        map.insert(Key::from(0), Variant::from("again"));
        map.insert(Key::from(1), Variant::from("new"));
        let keys: Vec<i64> = map.iter().filter_map(|(key, _)| key.as_datum().as_int()).collect();
        assert_eq!(keys, [0, 2, 3, 4, 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Against an array of pairs as a trivial model.
        #[test]
        fn does_what_a_list_of_pairs_does(steps in prop::collection::vec((0..4_u8, 0..20_i64, any::<i64>()), 0..200)) {
            let (mut map, mut model) = (Map::new(), Vec::<(i64, i64)>::new());
            for (step, key, variant) in steps {
                let at = model.iter().position(|(known, _)| *known == key);
                match step {
                    0 | 1 => {
                        let before = map.insert(key.into(), variant.into());
                        match at {
                            Some(at) => prop_assert_eq!(before, Some(std::mem::replace(&mut model[at].1, variant).into())),
                            None => model.push((key, variant)),
                        }
                    }
                    2 => prop_assert_eq!(map.remove(&key.into()), at.map(|at| model.remove(at).1.into())),
                    _ => prop_assert_eq!(map.pop_last(), model.pop().map(|(key, variant)| (key.into(), variant.into()))),
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.slots.len() <= 2 * map.len() + FEW_HOLES);
            }
            let entries: Vec<_> = map.into_iter().collect();
            let expected: Vec<_> = model.into_iter().map(|(key, variant)| (key.into(), variant.into())).collect();
            prop_assert_eq!(entries, expected);
        }
    }
}
