//! Which leader epoch began at which offset: the `leader-epoch-checkpoint` file.

use bytes::Bytes;

/// Epochs and their first offsets, both strictly increasing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<(i32, i64)>,
}

/// What Kafka answers for an epoch it knows nothing of.
pub const UNDEFINED_EPOCH: (i32, i64) = (-1, -1);

impl EpochCache {
    /// Notes that `epoch` began at `start_offset`. Entries that contradict it are dropped. Says
    /// whether anything changed.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0 || self.entries.last().is_some_and(|&(last, start)| last == epoch && start <= start_offset) {
            return false;
        }
        while self.entries.last().is_some_and(|&(last, start)| last >= epoch || start >= start_offset) {
            self.entries.pop();
        }
        self.entries.push((epoch, start_offset));
        true
    }

    pub fn entries(&self) -> &[(i32, i64)] {
        &self.entries
    }

    pub fn latest(&self) -> Option<i32> {
        self.entries.last().map(|&(epoch, _)| epoch)
    }

    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        let after = self.entries.partition_point(|&(_, start)| start <= offset);
        after.checked_sub(1).map(|index| self.entries[index].0)
    }

    /// The largest epoch that is not above `epoch`, and the offset at which it ended.
    pub fn end_offset(&self, epoch: i32, log_end: i64) -> (i32, i64) {
        // -1 says that no epoch is known; what is below that is older than anything.
        if epoch == -1 {
            return UNDEFINED_EPOCH;
        }
        if self.latest() == Some(epoch) {
            return (epoch, log_end);
        }
        let higher = self.entries.partition_point(|&(known, _)| known <= epoch);
        match (higher.checked_sub(1), self.entries.get(higher)) {
            (_, None) => UNDEFINED_EPOCH,
            // Older than anything known: what is known begins where that epoch had ended at the latest.
            (None, Some(&(_, start))) => (epoch, start),
            (Some(floor), Some(&(_, start))) => (self.entries[floor].0, start),
        }
    }

    /// Drops what began at or after `end`. Says whether anything changed.
    pub fn truncate_from_end(&mut self, end: i64) -> bool {
        let before = self.entries.len();
        while self.entries.last().is_some_and(|&(_, start)| start >= end) {
            self.entries.pop();
        }
        self.entries.len() != before
    }

    /// Lets the log begin at `start`: the epoch of that offset begins there. Says whether anything changed.
    pub fn truncate_from_start(&mut self, start: i64) -> bool {
        let covered = self.entries.partition_point(|&(_, first)| first <= start);
        if covered == 0 || (covered == 1 && self.entries[0].1 == start) {
            return false;
        }
        self.entries.drain(..covered - 1);
        self.entries[0].1 = start;
        true
    }

    pub fn encode(&self) -> Bytes {
        let mut text = format!("0\n{}\n", self.entries.len());
        for (epoch, start) in &self.entries {
            text.push_str(&format!("{epoch} {start}\n"));
        }
        Bytes::from(text)
    }

    /// `None` if this is not a checkpoint that [`EpochCache::encode`] or Kafka could have written.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        if lines.next()?.trim() != "0" {
            return None;
        }
        let count: usize = lines.next()?.trim().parse().ok()?;
        let mut cache = Self::default();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let (epoch, start) = line.trim().split_once(' ')?;
            let entry = (epoch.parse().ok()?, start.trim().parse().ok()?);
            if cache.entries.last().is_some_and(|last| last.0 >= entry.0 || last.1 >= entry.1) || entry.0 < 0 {
                return None;
            }
            cache.entries.push(entry);
        }
        (cache.entries.len() == count).then_some(cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entries = &'static [(i32, i64)];

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        EpochCache { entries: entries.to_vec() }
    }

    #[test]
    fn a_new_epoch_drops_what_contradicts_it() {
        let cases: [(Entries, (i32, i64), bool, Entries); 6] = [
            (&[], (0, 0), true, &[(0, 0)]),
            (&[(0, 0)], (0, 5), false, &[(0, 0)]),
            (&[(0, 0)], (2, 5), true, &[(0, 0), (2, 5)]),
            (&[(0, 0), (2, 5)], (3, 5), true, &[(0, 0), (3, 5)]),
            (&[(0, 0), (2, 5), (4, 9)], (2, 7), true, &[(0, 0), (2, 7)]),
            (&[(1, 5)], (1, 3), true, &[(1, 3)]),
        ];
        for (before, (epoch, start), changed, after) in cases {
            let mut epochs = cache(before);
            assert_eq!(epochs.assign(epoch, start), changed, "{before:?} + {epoch}@{start}");
            assert_eq!(epochs, cache(after));
        }
    }

    #[test]
    fn the_end_of_an_epoch_is_where_the_next_one_began() {
        let epochs = cache(&[(2, 5), (4, 9), (5, 20)]);
        let cases = [
            (-2, (-2, 5)),
            (-1, (-1, -1)),
            (0, (0, 5)),
            (2, (2, 9)),
            (3, (2, 9)),
            (4, (4, 20)),
            (5, (5, 33)),
            (6, (-1, -1)),
        ];
        for (asked, answer) in cases {
            assert_eq!(epochs.end_offset(asked, 33), answer, "epoch {asked}");
        }
        assert_eq!(EpochCache::default().end_offset(0, 33), UNDEFINED_EPOCH);
    }

    #[test]
    fn truncation_keeps_the_epoch_of_the_first_offset() {
        let mut epochs = cache(&[(2, 5), (4, 9), (5, 20)]);
        assert!(epochs.truncate_from_start(12));
        assert_eq!(epochs, cache(&[(4, 12), (5, 20)]));
        assert!(!epochs.truncate_from_start(12));
        assert!(epochs.truncate_from_end(20));
        assert_eq!(epochs, cache(&[(4, 12)]));
        assert_eq!(epochs.epoch_at(11), None);
        assert_eq!(epochs.epoch_at(500), Some(4));
    }

    #[test]
    fn the_file_is_kafkas() {
        let epochs = cache(&[(0, 0), (3, 17)]);
        assert_eq!(&epochs.encode()[..], b"0\n2\n0 0\n3 17\n");
        assert_eq!(EpochCache::decode(&epochs.encode()), Some(epochs));
        for bad in ["", "1\n0\n", "0\n2\n0 0\n", "0\n1\nx y\n", "0\n2\n3 4\n2 9\n", "0\n1\n0\n"] {
            assert_eq!(EpochCache::decode(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
