//! A map of keys alone.

use core::borrow::Borrow;
use core::fmt;
use core::ops::RangeBounds;

use super::map::{BTreeMap, IntoIter};

/// An ordered set.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BTreeSet<T> {
    map: BTreeMap<T, ()>,
}

impl<T> BTreeSet<T> {
    pub const fn new() -> Self {
        Self { map: BTreeMap::new() }
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub fn clear(&mut self) {
        self.map.clear();
    }

    pub fn first(&self) -> Option<&T> {
        self.map.first_key_value().map(|(key, _)| key)
    }

    pub fn last(&self) -> Option<&T> {
        self.map.last_key_value().map(|(key, _)| key)
    }

    pub fn pop_first(&mut self) -> Option<T> {
        self.map.pop_first().map(|(key, _)| key)
    }

    pub fn pop_last(&mut self) -> Option<T> {
        self.map.pop_last().map(|(key, _)| key)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator + Clone {
        self.map.keys()
    }

    /// Keeps what `keep` says; it is asked in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.map.retain(|key, _| keep(key));
    }
}

impl<T: Ord> BTreeSet<T> {
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.map.contains_key(key)
    }

    /// Whether it was not there before.
    pub fn insert(&mut self, key: T) -> bool {
        self.map.insert(key, ()).is_none()
    }

    /// Whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.map.remove(key).is_some()
    }

    pub fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> impl DoubleEndedIterator<Item = &T>
    where
        T: Borrow<Q>,
    {
        self.map.range(range).map(|(key, _)| key)
    }

    /// Cuts off what is from `key` on.
    pub fn split_off<Q: Ord + ?Sized>(&mut self, key: &Q) -> Self
    where
        T: Borrow<Q>,
    {
        Self { map: self.map.split_off(key) }
    }

    /// Moves all of `other` here.
    pub fn append(&mut self, other: &mut Self) {
        self.map.append(&mut other.map);
    }
}

impl<'a, T> IntoIterator for &'a BTreeSet<T> {
    type Item = &'a T;
    type IntoIter = Keys<super::map::Iter<'a, T, ()>>;

    fn into_iter(self) -> Self::IntoIter {
        Keys(self.map.iter())
    }
}

impl<T> IntoIterator for BTreeSet<T> {
    type Item = T;
    type IntoIter = Keys<IntoIter<T, ()>>;

    fn into_iter(self) -> Self::IntoIter {
        Keys(self.map.into_iter())
    }
}

/// The keys of a map's entries.
#[derive(Clone)]
pub struct Keys<I>(I);

impl<K, V, I: Iterator<Item = (K, V)>> Iterator for Keys<I> {
    type Item = K;

    fn next(&mut self) -> Option<K> {
        self.0.next().map(|(key, _)| key)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<K, V, I: ExactSizeIterator<Item = (K, V)>> ExactSizeIterator for Keys<I> {}

impl<K, V, I: DoubleEndedIterator<Item = (K, V)>> DoubleEndedIterator for Keys<I> {
    fn next_back(&mut self) -> Option<K> {
        self.0.next_back().map(|(key, _)| key)
    }
}

impl<T: Ord> Extend<T> for BTreeSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, keys: I) {
        for key in keys {
            self.insert(key);
        }
    }
}

impl<T: Ord> FromIterator<T> for BTreeSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(keys: I) -> Self {
        let mut set = Self::new();
        set.extend(keys);
        set
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for BTreeSet<T> {
    fn from(keys: [T; N]) -> Self {
        keys.into_iter().collect()
    }
}

impl<T> Default for BTreeSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for BTreeSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}
