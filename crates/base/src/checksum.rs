//! Checksums of 32 bits through tables: for every polynomial and every target. The tables are made
//! when they are first needed, since no compression makes them smaller to download.

pub mod crc32c;

use std::sync::LazyLock;

/// The checksum of gzip and of messages before record batches: of Ethernet's polynomial.
pub fn crc32(bytes: &[u8]) -> u32 {
    static TABLES: LazyLock<CrcTables> = LazyLock::new(|| CrcTables::new(0xedb8_8320));
    !TABLES.update(!0, bytes)
}

pub(crate) struct CrcTables {
    /// `of[n][b]` is what byte `b` leaves in the state `n` bytes later.
    of: [[u32; 256]; 16],
}

impl CrcTables {
    /// For this polynomial, its bits reflected.
    pub fn new(polynomial: u32) -> Self {
        let mut of = [[0_u32; 256]; 16];
        for (byte, entry) in of[0].iter_mut().enumerate() {
            let mut state = byte as u32;
            for _ in 0..8 {
                state = (state >> 1) ^ if state & 1 == 1 { polynomial } else { 0 };
            }
            *entry = state;
        }
        for distance in 1..16 {
            of[distance] = of[distance - 1].map(|state| (state >> 8) ^ of[0][(state & 0xff) as usize]);
        }
        Self { of }
    }

    /// The state after `bytes`; sixteen at a time, one table for each.
    pub fn update(&self, mut state: u32, bytes: &[u8]) -> u32 {
        let (chunks, rest) = bytes.as_chunks::<16>();
        for chunk in chunks {
            let mut bytes = *chunk;
            for (byte, state) in bytes.iter_mut().zip(state.to_le_bytes()) {
                *byte ^= state;
            }
            state = 0;
            for (index, byte) in bytes.into_iter().enumerate() {
                state ^= self.of[15 - index][usize::from(byte)];
            }
        }
        for &byte in rest {
            state = (state >> 8) ^ self.of[0][usize::from(state as u8 ^ byte)];
        }
        state
    }
}
