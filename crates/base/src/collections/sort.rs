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

/// For each element the first that is like it.
pub fn firsts(len: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
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
}
