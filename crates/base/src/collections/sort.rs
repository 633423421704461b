//! Sorting, and finding what is alike by it.

use core::cmp::Ordering;

/// Sorts, and leaves what is equal in its order. The standard library's sort is compiled once, for the
/// numbers of the elements; only what moves them is compiled for every type.
pub fn sort_by<T>(elements: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let mut order = sorted(elements.len(), &mut |left, right| compare(&elements[left], &elements[right]));
    for start in 0..order.len() {
        let mut at = start;
        loop {
            let from = core::mem::replace(&mut order[at], at);
            if from == start {
                break;
            }
            elements.swap(at, from);
            at = from;
        }
    }
}

/// Joins each element with the first that is like it, and keeps those.
pub fn join_alike<T>(elements: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering, join: impl Fn(&mut T, &mut T)) {
    let firsts = firsts(elements.len(), &mut |left, right| compare(&elements[left], &elements[right]));
    for (index, &first) in firsts.iter().enumerate().filter(|(index, first)| *first < index) {
        let (before, rest) = elements.split_at_mut(index);
        join(&mut before[first], &mut rest[0]);
    }
    let mut index = 0..;
    elements.retain(|_| index.next().is_some_and(|index| firsts[index] == index));
}

/// For each element the first that is like it.
fn firsts(len: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut firsts: Vec<usize> = (0..len).collect();
    for alike in sorted(len, compare).windows(2) {
        if compare(alike[0], alike[1]) == Ordering::Equal {
            firsts[alike[1]] = firsts[alike[0]];
        }
    }
    firsts
}

/// Which element belongs at each place.
fn sorted(len: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|&left, &right| compare(left, right));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn sorts_as_the_standard_librarys_stable_sort_does() {
        let mut random = Random::stream(1, "sort");
        for len in 0..200 {
            let elements: Vec<(u64, usize)> = (0..len).map(|at| (random.below(20), at)).collect();
            let (mut ours, mut std) = (elements.clone(), elements);
            sort_by(&mut ours, |left, right| left.0.cmp(&right.0));
            std.sort_by_key(|element| element.0);
            assert_eq!(ours, std);
        }
    }

    #[test]
    fn the_first_of_what_is_alike_is_found() {
        let names = ["b", "a", "b", "c", "a", "b"];
        assert_eq!(firsts(names.len(), &mut |left, right| names[left].cmp(names[right])), [0, 1, 0, 3, 1, 0]);
    }

    #[test]
    fn what_is_alike_is_joined_where_the_first_stands() {
        let mut words = ["b1", "a1", "b2", "c1", "a2", "b3"].map(str::to_owned).to_vec();
        join_alike(&mut words, |left, right| left[..1].cmp(&right[..1]), |first, again| first.push_str(again));
        assert_eq!(words, ["b1b2b3", "a1a2", "c1"]);
    }
}
