//! The trace: one canonical encoding of everything that happened, and its running hash.
//!
//! Two runs are the same run if their hashes are equal, on whatever machine. So an entry holds fixed
//! width integers and bytes only: no `usize`, no floats, no addresses.

use shore_base::Instant;

/// What an entry is about; the first byte of its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mark {
    Action = 1,
    Request = 2,
    Response = 3,
    Dialled = 4,
    Closed = 5,
    Store = 6,
    StoreDone = 7,
    NodeUp = 8,
    NodeDown = 9,
    Wake = 10,
    Dropped = 11,
    Wall = 12,
}

#[derive(Clone, Debug)]
pub(crate) struct Trace {
    on: bool,
    hash: u64,
    entries: u64,
    /// The last entries in words, for whoever looks for the first difference of two runs.
    kept: Option<Vec<String>>,
}

impl Trace {
    pub fn new(seed: u64) -> Self {
        Self { on: false, hash: mix(0x9e37_79b9_7f4a_7c15, seed), entries: 0, kept: None }
    }

    pub fn turn_on(&mut self) {
        self.on = true;
    }

    pub fn keep_lines(&mut self) {
        self.on = true;
        self.kept = Some(Vec::new());
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    pub fn take_lines(&mut self) -> Vec<String> {
        self.kept.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// The hash of all entries so far.
    pub fn hash(&self) -> u64 {
        mix(self.hash, self.entries)
    }

    pub fn note(&mut self, now: Instant, mark: Mark, numbers: &[u64], bytes: &[&[u8]]) {
        if !self.on {
            return;
        }
        self.entries += 1;
        let mut hash = mix(mix(self.hash, now.as_micros()), u64::from(mark as u8));
        for &number in numbers {
            hash = mix(hash, number);
        }
        for part in bytes {
            hash = mix_bytes(hash, part);
        }
        self.hash = hash;
        if let Some(lines) = &mut self.kept {
            let len: u64 = bytes.iter().map(|part| part.len() as u64).sum();
            lines.push(format!("{now} {mark:?} {numbers:?} {len} bytes -> {hash:016x}"));
        }
    }
}

fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word.wrapping_mul(0xa076_1d64_78bd_642f)) * 0xe703_7ed1_a0b4_28db_u128;
    (product as u64) ^ ((product >> 64) as u64) ^ hash.rotate_left(23)
}

fn mix_bytes(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        hash = mix(hash, u64::from_le_bytes(word.try_into().expect("eight bytes")));
    }
    let mut last = [0; 8];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(hash, u64::from_le_bytes(last)), bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_entry_counts() {
        let hash = |now, mark, numbers: &[u64], bytes: &[u8]| {
            let mut trace = Trace::new(1);
            trace.turn_on();
            trace.note(Instant::from_micros(now), mark, numbers, &[bytes]);
            trace.hash()
        };
        let plain = hash(1, Mark::Wake, &[2], b"abc");
        assert_eq!(plain, hash(1, Mark::Wake, &[2], b"abc"));
        let others = [
            hash(2, Mark::Wake, &[2], b"abc"),
            hash(1, Mark::Closed, &[2], b"abc"),
            hash(1, Mark::Wake, &[3], b"abc"),
            hash(1, Mark::Wake, &[2], b"abd"),
            hash(1, Mark::Wake, &[2], b"abc\0"),
        ];
        assert!(!others.contains(&plain));
    }

    #[test]
    fn the_hash_is_the_same_on_every_machine() {
        let mut trace = Trace::new(7);
        trace.turn_on();
        trace.note(Instant::from_millis(5), Mark::Request, &[1, u64::MAX], &[b"0123456789"]);
        let first = trace.hash();
        trace.note(Instant::from_millis(6), Mark::Response, &[], &[]);
        assert_ne!(trace.hash(), first);
    }
}
