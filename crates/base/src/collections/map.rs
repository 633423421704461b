//! A B-tree of two levels: a sorted list of sorted blocks.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::iter::FusedIterator;
use core::ops::{Bound, Index, RangeBounds};
use core::slice;
use std::vec;

/// An ordered map.
///
/// Finding a key takes two binary searches, putting or taking one moves the entries behind it in its
/// block, and, when a block comes or goes, the pointers of the blocks behind that.
#[derive(Clone)]
pub struct BTreeMap<K, V> {
    /// None is empty or above [`Self::FULL`].
    blocks: Vec<Vec<(K, V)>>,
    len: usize,
}

/// Where an entry is or belongs. What belongs behind the last entry is at the end of the last block.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    block: usize,
    index: usize,
}

impl<K, V> BTreeMap<K, V> {
    /// A full block takes about 2 KiB.
    const FULL: usize = match 2048 / (size_of::<(K, V)>() + 1) {
        0..16 => 16,
        fit @ 16..128 => fit,
        _ => 128,
    };

    pub const fn new() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn clear(&mut self) {
        *self = Self::new();
    }

    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.blocks.first()?.first().map(Pair::pair)
    }

    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.blocks.last()?.last().map(Pair::pair)
    }

    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let first = Place { block: 0, index: 0 };
        (self.len > 0).then(|| self.take(first))
    }

    pub fn pop_last(&mut self) -> Option<(K, V)> {
        let block = self.blocks.len().checked_sub(1)?;
        let index = self.blocks[block].len() - 1;
        Some(self.take(Place { block, index }))
    }

    pub fn iter(&self) -> Iter<'_, K, V> {
        Walk { front: None, blocks: self.blocks.iter(), back: None, left: self.len }
    }

    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        Walk { front: None, blocks: self.blocks.iter_mut(), back: None, left: self.len }
    }

    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator {
        self.iter_mut().map(|(_, value)| value)
    }

    pub fn into_keys(self) -> impl DoubleEndedIterator<Item = K> + ExactSizeIterator {
        self.into_iter().map(|(key, _)| key)
    }

    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> + ExactSizeIterator {
        self.into_iter().map(|(_, value)| value)
    }

    /// Keeps the entries for which `keep` says so; it is asked in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.len = 0;
        for mut block in core::mem::take(&mut self.blocks) {
            block.retain_mut(|(key, value)| keep(key, value));
            self.len += block.len();
            match self.blocks.last_mut() {
                Some(last) if last.len() + block.len() <= Self::FULL / 2 => last.append(&mut block),
                _ if block.is_empty() => {}
                _ => self.blocks.push(block),
            }
        }
    }

    fn put(&mut self, at: Place, key: K, value: V) -> Place {
        let mut at = at;
        if self.blocks.get(at.block).is_none_or(|block| block.len() == Self::FULL) {
            at = make_room(&mut self.blocks, at, Self::FULL);
        }
        self.blocks[at.block].insert(at.index, (key, value));
        self.len += 1;
        at
    }

    fn take(&mut self, at: Place) -> (K, V) {
        self.len -= 1;
        let block = &mut self.blocks[at.block];
        let entry = block.remove(at.index);
        if block.is_empty() {
            self.blocks.remove(at.block);
        } else if block.len() < Self::FULL / 2 {
            self.join(at.block);
            self.join(at.block.saturating_sub(1));
        }
        entry
    }

    /// Makes one block of a small one and its small successor, so that what is left of a large map
    /// does not take the room of a large map.
    fn join(&mut self, block: usize) {
        if let [left, right, ..] = &mut self.blocks[block..]
            && left.len() + right.len() <= Self::FULL / 2
        {
            left.append(right);
            self.blocks.remove(block + 1);
        }
    }
}

impl<K: Ord, V> BTreeMap<K, V> {
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        Some((&self.blocks[at.block][at.index]).pair())
    }

    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        Some(&mut self.blocks[at.block][at.index].1)
    }

    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Returns the value that the key had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(core::mem::replace(&mut self.blocks[at.block][at.index].1, value)),
            Err(at) => {
                self.put(at, key, value);
                None
            }
        }
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    pub fn remove_entry<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        Some(self.take(at))
    }

    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        let at = self.find(&key);
        Entry { map: self, key, at }
    }

    /// The entries with keys in `range`, which may not end before it begins.
    pub fn range<Q: Ord + ?Sized>(&self, range: impl RangeBounds<Q>) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let from = match range.start_bound() {
            Bound::Unbounded => Place { block: 0, index: 0 },
            Bound::Included(start) => self.place(start, false),
            Bound::Excluded(start) => self.place(start, true),
        };
        let to = match range.end_bound() {
            Bound::Unbounded => self.end(),
            Bound::Included(end) => self.place(end, true),
            Bound::Excluded(end) => self.place(end, false),
        };
        if from.block == to.block {
            let front = self.blocks.get(from.block).map_or(&[][..], |block| &block[from.index..to.index]);
            return Walk { front: Some(front.iter()), blocks: [].iter(), back: None, left: front.len() };
        }
        let front = &self.blocks[from.block][from.index..];
        let between = &self.blocks[from.block + 1..to.block];
        let back = &self.blocks[to.block][..to.index];
        let left = front.len() + between.iter().map(Vec::len).sum::<usize>() + back.len();
        Walk { front: Some(front.iter()), blocks: between.iter(), back: Some(back.iter()), left }
    }

    /// Cuts off the entries from `key` on.
    pub fn split_off<Q: Ord + ?Sized>(&mut self, key: &Q) -> Self
    where
        K: Borrow<Q>,
    {
        let at = self.place(key, false);
        if self.blocks.get(at.block).is_none_or(|block| block.len() == at.index) {
            return Self::new();
        }
        let mut blocks = self.blocks.split_off(at.block);
        let rest = blocks[0].split_off(at.index);
        let first = core::mem::replace(&mut blocks[0], rest);
        if !first.is_empty() {
            self.blocks.push(first);
        }
        let len = blocks.iter().map(Vec::len).sum();
        self.len -= len;
        Self { blocks, len }
    }

    /// Moves all entries of `other` here.
    pub fn append(&mut self, other: &mut Self) {
        self.extend(core::mem::take(other));
    }

    /// Where `key` is or belongs; if `behind`, the place after it.
    fn place<Q: Ord + ?Sized>(&self, key: &Q, behind: bool) -> Place
    where
        K: Borrow<Q>,
    {
        let is_before = |(other, _): &(K, V)| match other.borrow().cmp(key) {
            Ordering::Less => true,
            Ordering::Equal => behind,
            Ordering::Greater => false,
        };
        let block = match &*self.blocks {
            [] => return Place { block: 0, index: 0 },
            [blocks @ .., _] => count_before(blocks, |block| block.last().is_some_and(is_before)),
        };
        Place { block, index: count_before(&self.blocks[block], is_before) }
    }

    /// Behind the last entry.
    fn end(&self) -> Place {
        let block = self.blocks.len().saturating_sub(1);
        Place { block, index: self.blocks.last().map_or(0, Vec::len) }
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Place, Place>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key, false);
        match self.blocks.get(at.block) {
            Some(block) if block.get(at.index).is_some_and(|(other, _)| other.borrow() == key) => Ok(at),
            _ => Err(at),
        }
    }
}

/// How many of these, which are in order, are before what is looked for. `partition_point` does the same with more than
/// twice the code. What compares is the most of it, so a call would cost more than it saves.
#[inline(always)]
fn count_before<T>(of: &[T], is_before: impl Fn(&T) -> bool) -> usize {
    let (mut low, mut high) = (0, of.len());
    while low < high {
        let middle = low.midpoint(high);
        if is_before(&of[middle]) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Makes a first block, or two of a full one; says where the place is then. Apart from what is done every time, and of
/// the entry alone: entries of one size share the code.
#[inline(never)]
fn make_room<T>(blocks: &mut Vec<Vec<T>>, at: Place, full: usize) -> Place {
    let Some(block) = blocks.get_mut(at.block) else {
        blocks.push(Vec::new());
        return at;
    };
    // Keys that only grow fill one block after the other.
    let kept = if at.index == full { full } else { full / 2 };
    let rest = block.split_off(kept);
    blocks.insert(at.block + 1, rest);
    if at.index < kept { at } else { Place { block: at.block + 1, index: at.index - kept } }
}

/// A key's place, with or without an entry.
pub struct Entry<'a, K, V> {
    map: &'a mut BTreeMap<K, V>,
    key: K,
    at: Result<Place, Place>,
}

impl<'a, K, V> Entry<'a, K, V> {
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    pub fn or_insert_with(self, value: impl FnOnce() -> V) -> &'a mut V {
        let at = match self.at {
            Ok(at) => at,
            Err(at) => self.map.put(at, self.key, value()),
        };
        &mut self.map.blocks[at.block][at.index].1
    }

    pub fn and_modify(self, modify: impl FnOnce(&mut V)) -> Self {
        if let Ok(at) = self.at {
            modify(&mut self.map.blocks[at.block][at.index].1);
        }
        self
    }
}

/// Through the blocks in order, from either end.
#[derive(Clone)]
pub struct Walk<Blocks, Block> {
    front: Option<Block>,
    blocks: Blocks,
    back: Option<Block>,
    left: usize,
}

pub type Iter<'a, K, V> = Walk<slice::Iter<'a, Vec<(K, V)>>, slice::Iter<'a, (K, V)>>;
pub type IterMut<'a, K, V> = Walk<slice::IterMut<'a, Vec<(K, V)>>, slice::IterMut<'a, (K, V)>>;
pub type IntoIter<K, V> = Walk<vec::IntoIter<Vec<(K, V)>>, vec::IntoIter<(K, V)>>;

impl<Blocks, Block> Iterator for Walk<Blocks, Block>
where
    Blocks: Iterator<Item: IntoIterator<IntoIter = Block, Item = Block::Item>>,
    Block: Iterator<Item: Pair>,
{
    type Item = <Block::Item as Pair>::Parts;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.front.as_mut().and_then(Iterator::next) {
                self.left -= 1;
                return Some(entry.pair());
            }
            match self.blocks.next() {
                Some(block) => self.front = Some(block.into_iter()),
                None => self.front = Some(self.back.take()?),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<Blocks, Block> DoubleEndedIterator for Walk<Blocks, Block>
where
    Blocks: DoubleEndedIterator<Item: IntoIterator<IntoIter = Block, Item = Block::Item>>,
    Block: DoubleEndedIterator<Item: Pair>,
{
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.back.as_mut().and_then(DoubleEndedIterator::next_back) {
                self.left -= 1;
                return Some(entry.pair());
            }
            match self.blocks.next_back() {
                Some(block) => self.back = Some(block.into_iter()),
                None => self.back = Some(self.front.take()?),
            }
        }
    }
}

impl<Blocks, Block> ExactSizeIterator for Walk<Blocks, Block> where Self: Iterator {}
impl<Blocks, Block> FusedIterator for Walk<Blocks, Block> where Self: Iterator {}

/// An entry, owned or lent, as the key and the value that an iterator gives.
pub trait Pair {
    type Parts;

    fn pair(self) -> Self::Parts;
}

impl<K, V> Pair for (K, V) {
    type Parts = (K, V);

    fn pair(self) -> (K, V) {
        self
    }
}

impl<'a, K, V> Pair for &'a (K, V) {
    type Parts = (&'a K, &'a V);

    fn pair(self) -> (&'a K, &'a V) {
        (&self.0, &self.1)
    }
}

impl<'a, K, V> Pair for &'a mut (K, V) {
    type Parts = (&'a K, &'a mut V);

    fn pair(self) -> (&'a K, &'a mut V) {
        (&self.0, &mut self.1)
    }
}

impl<'a, K, V> IntoIterator for &'a BTreeMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut BTreeMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = IterMut<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<K, V> IntoIterator for BTreeMap<K, V> {
    type Item = (K, V);
    type IntoIter = IntoIter<K, V>;

    fn into_iter(self) -> Self::IntoIter {
        Walk { front: None, blocks: self.blocks.into_iter(), back: None, left: self.len }
    }
}

impl<K: Ord, V> Extend<(K, V)> for BTreeMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for BTreeMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for BTreeMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V> Default for BTreeMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for BTreeMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other)
    }
}

impl<K: Eq, V: Eq> Eq for BTreeMap<K, V> {}

impl<K: PartialOrd, V: PartialOrd> PartialOrd for BTreeMap<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other)
    }
}

impl<K: Ord, V: Ord> Ord for BTreeMap<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other)
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for BTreeMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> Index<&Q> for BTreeMap<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("a key of the map")
    }
}

// The standard library's map is the referee.
#[cfg(test)]
#[expect(clippy::disallowed_types)]
mod tests {
    use super::*;
    use crate::Random;
    use std::collections::BTreeMap as Std;

    fn check(ours: &BTreeMap<u64, u64>, std: &Std<u64, u64>) {
        assert_eq!(ours.len(), std.len());
        assert!(ours.iter().eq(std), "forwards");
        assert!(ours.iter().rev().eq(std.iter().rev()), "backwards");
        assert_eq!(ours.first_key_value(), std.first_key_value());
        assert_eq!(ours.last_key_value(), std.last_key_value());
        let full = BTreeMap::<u64, u64>::FULL;
        assert!(ours.blocks.iter().all(|block| (1..=full).contains(&block.len())));
    }

    #[test]
    fn does_what_the_standard_librarys_does() {
        for seed in 0..20 {
            let mut random = Random::stream(seed, "map");
            let (mut ours, mut std) = (BTreeMap::new(), Std::new());
            let keys = [10, 300, 3_000][seed as usize % 3];
            for step in 0..4_000 {
                let key = random.below(keys);
                match random.below(if step % 2_000 < 1_000 { 8 } else { 14 }) {
                    0..4 => assert_eq!(ours.insert(key, step), std.insert(key, step)),
                    4 => assert_eq!(ours.entry(key).or_insert(step), std.entry(key).or_insert(step)),
                    5 => assert_eq!(ours.get_mut(&key), std.get_mut(&key)),
                    6 => assert!(ours.range(key..=key + 100).eq(std.range(key..=key + 100))),
                    7 => assert!(ours.range(key..).rev().eq(std.range(key..).rev())),
                    8 => assert_eq!(ours.pop_first(), std.pop_first()),
                    9 => assert_eq!(ours.pop_last(), std.pop_last()),
                    _ => assert_eq!(ours.remove_entry(&key), std.remove_entry(&key)),
                }
                if step % 97 == 0 {
                    check(&ours, &std);
                }
            }
            let cut = keys / 2;
            let (mut high, mut std_high) = (ours.split_off(&cut), std.split_off(&cut));
            check(&ours, &std);
            check(&high, &std_high);
            high.retain(|key, _| key % 5 == 0);
            std_high.retain(|key, _| key % 5 == 0);
            check(&high, &std_high);
            high.append(&mut ours);
            std_high.append(&mut std);
            check(&high, &std_high);
            assert!(high.into_iter().eq(std_high));
        }
    }

    #[test]
    fn both_ends_of_an_iterator_meet() {
        let map: BTreeMap<u64, ()> = (0..1_000).map(|key| (key, ())).collect();
        let mut keys = map.keys();
        for at in 0..500 {
            assert_eq!(
                (keys.next(), keys.next_back(), keys.len()),
                (Some(&at), Some(&(999 - at)), 998 - 2 * at as usize)
            );
        }
        assert_eq!((keys.next(), keys.next_back(), keys.next()), (None, None, None));
    }

    /// What is left of a large map does not take the room of a large map.
    #[test]
    fn small_neighbours_are_joined() {
        for backwards in [false, true] {
            let mut map: BTreeMap<u64, u64> = (0..100_000).map(|key| (key, key)).collect();
            let large = map.blocks.len();
            for key in 0..100_000 {
                let key = if backwards { 99_999 - key } else { key };
                if key % 1_000 != 0 {
                    map.remove(&key);
                }
            }
            assert_eq!(map.len(), 100);
            assert!(map.blocks.len() * 100 < large, "{} of {large} blocks", map.blocks.len());
        }
    }
}
