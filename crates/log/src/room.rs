//! Memory that appended bytes are copied into: slices of a few large blocks instead of many small
//! allocations. Blocks grow with use, so that a partition that is hardly written to stays small. A
//! block whose slices are all gone is used again: fresh memory costs more than the copy into it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The unused rest of the current block, and the blocks before it. A clone starts with none.
#[derive(Debug, Default)]
pub(crate) struct Room {
    rest: BytesMut,
    last_block: usize,
    /// Full blocks of the largest size, oldest first: one handle each, without bytes.
    full: VecDeque<BytesMut>,
    /// Blocks that were filled since the last [`Room::shrink`].
    filled: usize,
}

const SMALLEST_BLOCK: usize = 4 * 1024;
const LARGEST_BLOCK: usize = 1024 * 1024;
/// How many full blocks are looked at for one that is free.
const LOOKED_AT: usize = 4;

impl Clone for Room {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Room {
    /// Copies `bytes` and lets `patch` change the copy.
    pub fn copy(&mut self, bytes: &[u8], patch: impl FnOnce(&mut [u8])) -> Bytes {
        if self.rest.capacity() < bytes.len() {
            self.next_block(bytes.len());
        }
        self.rest.extend_from_slice(bytes);
        patch(&mut self.rest);
        self.rest.split().freeze()
    }

    fn next_block(&mut self, needed: usize) {
        let full = std::mem::take(&mut self.rest);
        if self.last_block == LARGEST_BLOCK {
            self.full.push_back(full);
            self.filled += 1;
        }
        let free = self.full.iter_mut().take(LOOKED_AT).position(|block| block.try_reclaim(needed.max(LARGEST_BLOCK)));
        self.rest = match free.and_then(|index| self.full.remove(index)) {
            Some(block) => block,
            None => {
                self.last_block = (self.last_block * 2).clamp(SMALLEST_BLOCK, LARGEST_BLOCK);
                BytesMut::with_capacity(self.last_block.max(needed))
            }
        };
    }

    /// Gives back the memory of blocks that nobody needs: as many free ones are kept as were filled
    /// since the last time. Called when slices were dropped.
    pub fn shrink(&mut self) {
        let mut kept = std::mem::take(&mut self.filled);
        self.full.retain_mut(|block| {
            if !block.try_reclaim(LARGEST_BLOCK) {
                return true;
            }
            let keep = kept > 0;
            kept = kept.saturating_sub(1);
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_keep_what_was_copied() {
        let mut room = Room::default();
        let mut kept = VecDeque::new();
        for n in 0..5_000_u32 {
            let bytes = vec![n as u8; 1 + (n as usize * 37) % 5000];
            let copy = room.copy(&bytes, |copy| copy[0] = 99);
            assert_eq!((copy[0], &copy[1..]), (99, &bytes[1..]));
            kept.push_back((copy.clone(), copy.to_vec()));
            if n % 3 == 0 {
                kept.pop_front();
            }
        }
        assert!(kept.iter().all(|(copy, expected)| copy == expected));
    }

    #[test]
    fn blocks_are_used_again_and_idle_ones_given_back() {
        let mut room = Room::default();
        let large = vec![1; LARGEST_BLOCK / 2];
        for _ in 0..100 {
            drop(room.copy(&large, |_| {}));
        }
        assert!(room.full.len() <= 2, "{}", room.full.len());
        let held: Vec<Bytes> = (0..20).map(|_| room.copy(&large, |_| {})).collect();
        assert!(room.full.len() >= 9);
        room.shrink();
        assert!(room.full.len() >= 9, "blocks in use stay");
        drop(held);
        room.shrink();
        assert!(room.full.is_empty(), "nothing was filled since");
    }
}
