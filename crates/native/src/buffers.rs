//! Memory that sockets and files are read into, used again and again.
//!
//! A fresh megabyte costs more (the kernel clears every page of it) than the checksum over it, so a
//! buffer whose frames are done with comes back here instead of going to the allocator. A buffer is
//! always initialised to its full length, so that reading into it needs no clearing.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The smallest buffer: what a quiet connection reads into. Files have what is smaller allocated.
pub const SMALL: usize = 16 << 10;
/// The largest buffer that is kept for reuse.
const LARGEST_KEPT: usize = 4 << 20;
/// How many bytes are kept for reuse.
const KEPT: usize = 16 << 20;

#[derive(Clone, Default)]
pub struct Buffers {
    free: Arc<Mutex<Free>>,
}

#[derive(Default)]
struct Free {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Buffers {
    /// A buffer of at least `len` bytes, rounded up to a power of two.
    pub fn take(&self, len: usize) -> Vec<u8> {
        let len = len.max(SMALL).next_power_of_two();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match free.buffers.iter().position(|buffer| buffer.len() == len) {
            Some(index) => {
                free.bytes -= len;
                free.buffers.swap_remove(index)
            }
            None => vec![0; len],
        }
    }

    pub fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() <= LARGEST_KEPT && free.bytes + buffer.len() <= KEPT {
            free.bytes += buffer.len();
            free.buffers.push(buffer);
        }
    }

    /// The buffer as shared bytes; it comes back when the last slice of it is dropped.
    pub fn share(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Shared { buffer, home: self.clone() })
    }

    /// Gives what is kept back to the allocator.
    pub fn trim(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = Free::default();
    }
}

struct Shared {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_last_slice() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(100_000);
        buffer[7] = 42;
        let bytes = buffers.share(buffer);
        let slice = bytes.slice(7..8);
        drop(bytes);
        assert_eq!(buffers.free.lock().unwrap().buffers.len(), 0);
        drop(slice);
        assert_eq!(buffers.take(100_000)[7], 42, "the same memory again");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = Buffers::default();
        let taken: Vec<_> = (0..8).map(|_| buffers.take(LARGEST_KEPT)).collect();
        taken.into_iter().for_each(|buffer| buffers.give_back(buffer));
        assert!(buffers.free.lock().unwrap().bytes <= KEPT);
        buffers.give_back(buffers.take(LARGEST_KEPT + 1));
        assert!(buffers.free.lock().unwrap().buffers.iter().all(|buffer| buffer.len() <= LARGEST_KEPT));
    }
}
