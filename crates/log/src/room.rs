//! Memory that appended bytes are copied into: slices of a few large blocks instead of many small
//! allocations. Blocks grow with use, so that a partition that is hardly written to stays small.

use bytes::{Bytes, BytesMut};

/// The unused rest of the current block. A clone starts with none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    rest: BytesMut,
    last_block: usize,
}

const SMALLEST_BLOCK: usize = 4 * 1024;
const LARGEST_BLOCK: usize = 1024 * 1024;

impl Room {
    /// Copies `bytes` and lets `patch` change the copy.
    pub fn copy(&mut self, bytes: &[u8], patch: impl FnOnce(&mut [u8])) -> Bytes {
        if self.rest.capacity() < bytes.len() {
            self.last_block = (self.last_block * 2).clamp(SMALLEST_BLOCK, LARGEST_BLOCK);
            self.rest = BytesMut::with_capacity(self.last_block.max(bytes.len()));
        }
        self.rest.extend_from_slice(bytes);
        patch(&mut self.rest);
        self.rest.split().freeze()
    }
}
