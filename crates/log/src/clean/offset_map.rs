//! The newest offset of each key, in bounded memory: the cleaner's map. It knows keys by a hash of 128
//! bits, as Apache Kafka's does: a collision would drop a record, and is as unlikely as a broken disk
//! that nobody notices.

use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) struct OffsetMap {
    slots: Arc<Vec<Slot>>,
    len: usize,
    most_slots: usize,
    /// Below `most_slots`: where none is free, a key that is not there is looked for without end.
    most_keys: usize,
    latest: i64,
}

/// How large the map may become.
#[derive(Clone, Copy, Debug)]
pub struct MapLimits {
    /// The memory that it takes (`log.cleaner.dedupe.buffer.size`).
    pub bytes: u64,
    /// How much of that is filled before a round goes no further, in billionths (`log.cleaner.io.buffer.load.factor`).
    pub load: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    /// -1: the slot is free.
    offset: i64,
}

const FREE: Slot = Slot { hash: [0; 2], offset: -1 };
const FIRST_SLOTS: usize = 64;

impl OffsetMap {
    pub fn new(limits: MapLimits) -> Self {
        let most = (limits.bytes / size_of::<Slot>() as u64).clamp(FIRST_SLOTS as u64, u64::from(u32::MAX));
        let keys = u128::from(most) * u128::from(limits.load) / 1_000_000_000;
        Self {
            slots: Arc::new(vec![FREE; FIRST_SLOTS]),
            len: 0,
            most_slots: most as usize,
            most_keys: keys.clamp(1, u128::from(most) - 1) as usize,
            latest: -1,
        }
    }

    /// Up to this offset, all records were put or need not be.
    pub fn latest(&self) -> i64 {
        self.latest
    }

    pub fn set_latest(&mut self, offset: i64) {
        self.latest = offset;
    }

    /// Whether no further key may be put.
    pub fn is_full(&self) -> bool {
        self.len >= self.most_keys
    }

    pub fn get(&self, key: &[u8]) -> Option<i64> {
        let hash = siphash128(key);
        let slot = &self.slots[place(&self.slots, hash)];
        (slot.offset >= 0).then_some(slot.offset)
    }

    /// Notes that `key` is at `offset`, which is higher than all before.
    pub fn put(&mut self, key: &[u8], offset: i64) {
        if self.len >= self.slots.len() / 4 * 3 && self.slots.len() < self.most_slots {
            self.grow();
        }
        let hash = siphash128(key);
        let slots = Arc::make_mut(&mut self.slots);
        let at = place(slots, hash);
        self.len += usize::from(slots[at].offset < 0);
        slots[at] = Slot { hash, offset };
        self.latest = offset;
    }

    fn grow(&mut self) {
        let mut slots = vec![FREE; (self.slots.len() * 2).min(self.most_slots)];
        for slot in self.slots.iter().filter(|slot| slot.offset >= 0) {
            let at = place(&slots, slot.hash);
            slots[at] = *slot;
        }
        self.slots = Arc::new(slots);
    }
}

/// Where the hash is, or the free slot where it belongs. There is always a free one.
fn place(slots: &[Slot], hash: [u64; 2]) -> usize {
    let mut at = ((u128::from(hash[0]) * slots.len() as u128) >> 64) as usize;
    while slots[at].offset >= 0 && slots[at].hash != hash {
        at = if at + 1 == slots.len() { 0 } else { at + 1 };
    }
    at
}

/// SipHash-2-4 with 128 bits and a fixed key.
fn siphash128(bytes: &[u8]) -> [u64; 2] {
    const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
    let mut state = [
        KEY[0] ^ 0x736f_6d65_7073_6575,
        KEY[1] ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        KEY[0] ^ 0x6c79_6765_6e65_7261,
        KEY[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut absorb = |word: u64| {
        state[3] ^= word;
        sip_rounds(&mut state, 2);
        state[0] ^= word;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| absorb(u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    absorb(u64::from_le_bytes(last));
    state[2] ^= 0xee;
    sip_rounds(&mut state, 4);
    let first = state[0] ^ state[1] ^ state[2] ^ state[3];
    state[1] ^= 0xdd;
    sip_rounds(&mut state, 4);
    [first, state[0] ^ state[1] ^ state[2] ^ state[3]]
}

fn sip_rounds(state: &mut [u64; 4], rounds: usize) {
    let [mut a, mut b, mut c, mut d] = *state;
    for _ in 0..rounds {
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
    }
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_siphash() {
        // Of the reference implementation: keys 00..0f, messages of no bytes and of one zero.
        let bytes = |message: &[u8]| siphash128(message).map(u64::to_le_bytes).concat();
        assert_eq!(
            bytes(b""),
            [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93]
        );
        assert_eq!(
            bytes(&[0]),
            [0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45]
        );
    }

    #[test]
    fn the_newest_offset_of_each_key_is_found_up_to_the_last_slot() {
        for (load, keys) in
            [(900_000_000, 900), (950_000_000, 950), (1_000_000_000, 999), (u64::MAX, 999), (1_000_000, 1), (0, 1)]
        {
            let mut map = OffsetMap::new(MapLimits { bytes: 24 * 1000, load });
            let key = |n: i64| format!("key {n}");
            let mut put = 0;
            while !map.is_full() {
                map.put(key(put).as_bytes(), put * 2);
                map.put(key(put).as_bytes(), put * 2 + 1);
                put += 1;
            }
            assert_eq!((put, map.len as i64, map.latest()), (keys, keys, keys * 2 - 1));
            assert!((0..put).all(|n| map.get(key(n).as_bytes()) == Some(n * 2 + 1)));
            assert_eq!(map.get(b"another"), None);
        }
    }
}
