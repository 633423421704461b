//! Which partition a record goes to, as Kafka's default partitioner decides it.

use shore_base::Random;

/// Kafka's murmur2: what its clients agree on, so that a key is in the same partition whoever sent it.
pub fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("four bytes")).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

/// The partition of a record with a key.
pub fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & i32::MAX) % partitions.max(1)
}

/// The partition of records without a key: one until `batch.size` bytes went there, then another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sticky {
    partition: Option<i32>,
    bytes: u64,
}

impl Sticky {
    /// `available` are the partitions that have a leader, or all of them if none has.
    pub fn choose(&mut self, random: &mut Random, available: &[i32]) -> i32 {
        match self.partition.filter(|partition| available.contains(partition)) {
            Some(partition) => partition,
            None => {
                let partition = available.get(random.below(available.len() as u64) as usize).copied().unwrap_or(0);
                (self.partition, self.bytes) = (Some(partition), 0);
                partition
            }
        }
    }

    /// Counts what went to the sticky partition. A new one is chosen once a batch is full.
    pub fn appended(&mut self, bytes: u64, batch_size: u64) {
        self.bytes += bytes;
        if self.bytes >= batch_size {
            (self.partition, self.bytes) = (None, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_javas() {
        let cases: [(&[u8], i32); 8] = [
            (b"21", -973932308),
            (b"foobar", -790332482),
            (b"a-little-bit-long-string", -985981536),
            (b"a-little-bit-longer-string", -1486304829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            (b"abc", 479470107),
            (b"user1", 1619149554),
            (b"", 275646681),
        ];
        for (data, hash) in cases {
            assert_eq!(murmur2(data), hash, "{}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn a_key_is_always_in_the_same_partition() {
        for partitions in 1..20 {
            let partition = partition_for_key(b"customer-7", partitions);
            assert!((0..partitions).contains(&partition));
            assert_eq!(partition, partition_for_key(b"customer-7", partitions));
        }
    }

    #[test]
    fn records_without_a_key_stick_until_a_batch_is_full() {
        let mut random = Random::stream(1, "sticky");
        let mut sticky = Sticky::default();
        let available = [0, 1, 2, 3, 4, 5, 6, 7];
        let first = sticky.choose(&mut random, &available);
        sticky.appended(10, 30);
        assert_eq!(sticky.choose(&mut random, &available), first);
        let mut seen = shore_base::collections::BTreeSet::new();
        for _ in 0..200 {
            sticky.appended(30, 30);
            seen.insert(sticky.choose(&mut random, &available));
        }
        assert_eq!(seen.len(), available.len(), "every partition has its turn");
    }
}
