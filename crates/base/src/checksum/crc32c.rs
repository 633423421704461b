//! CRC-32C where no instruction helps, WebAssembly above all.
//!
//! Modulo the CRC-32C polynomial, `x^(8*290) = x^(8*136) + x^(8*113) + x^(8*107) + x^(8*32) + 1`.
//! So a byte may be taken out of a message if it is XORed into the bytes 154, 177, 183, 258 and 290
//! places behind it. Doing so for all but the last few hundred bytes takes five XORs a word, and
//! only the rest goes through tables.

use std::sync::LazyLock;

use super::CrcTables;

/// How far behind a byte the bytes lie that it is folded into.
const DISTANCES: [usize; 5] = [154, 177, 183, 258, HISTORY];
/// The greatest distance: as many folded bytes are looked back at.
const HISTORY: usize = 290;
/// Folded at once; less than the smallest distance, so that a step never needs its own result.
const STEP: usize = 64;
const WORDS: usize = STEP / 8;
/// Folded between two moves of the history.
const BLOCK: usize = 4096;
/// From here on folding pays.
const SHORTEST: usize = 768;
/// What is left for the tables: the history's length and up to a step.
const TAIL: usize = (HISTORY + STEP).next_multiple_of(STEP);

/// The checksum of everything summed up in `crc`, followed by `bytes`.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    let state = !crc;
    if bytes.len() < SHORTEST {
        return !TABLES.update(state, bytes);
    }
    let (folded, tail) = bytes.split_at((bytes.len() - HISTORY) / STEP * STEP);
    // The folded bytes, behind those of the block before.
    let mut scratch = [0; HISTORY + BLOCK];
    // What the state stands for lies before the message; here it is folded into its first four bytes.
    scratch[..4].copy_from_slice(&state.to_le_bytes());
    for block in folded.chunks(BLOCK) {
        for (index, step) in block.as_chunks::<STEP>().0.iter().enumerate() {
            let at = index * STEP;
            let window = scratch[at..].first_chunk_mut().expect("a block fits behind the history");
            fold_step(window, step);
        }
        scratch.copy_within(block.len()..block.len() + HISTORY, 0);
    }
    !TABLES.update(0, &fold_into_tail(&scratch, tail)[..tail.len()])
}

/// Folds `step` at the end of `window`, whose first bytes are already folded.
#[inline(always)]
fn fold_step(window: &mut [u8; HISTORY + STEP], step: &[u8; STEP]) {
    let folded = gather(window, step);
    for (target, word) in window[HISTORY..].as_chunks_mut::<8>().0.iter_mut().zip(folded) {
        *target = word.to_le_bytes();
    }
}

/// `step` with what the bytes before it are folded into.
#[inline(always)]
fn gather(window: &[u8; HISTORY + STEP], step: &[u8; STEP]) -> [u64; WORDS] {
    let mut words = words_at(step, 0);
    for distance in DISTANCES {
        for (word, other) in words.iter_mut().zip(words_at(window, HISTORY - distance)) {
            *word ^= other;
        }
    }
    words
}

#[inline(always)]
fn words_at<const N: usize>(bytes: &[u8; N], at: usize) -> [u64; WORDS] {
    let words = bytes[at..at + STEP].as_chunks::<8>().0;
    std::array::from_fn(|index| u64::from_le_bytes(words[index]))
}

/// The message's last bytes with everything before folded into them. They are not folded further.
fn fold_into_tail(scratch: &[u8; HISTORY + BLOCK], tail: &[u8]) -> [u8; TAIL] {
    let mut message = [0; TAIL];
    message[..tail.len()].copy_from_slice(tail);
    let mut past = [0; HISTORY + TAIL];
    past[..HISTORY].copy_from_slice(&scratch[..HISTORY]);
    let mut result = [0; TAIL];
    let steps = message.as_chunks::<STEP>().0.iter().zip(result.as_chunks_mut::<STEP>().0);
    for (index, (step, target)) in steps.enumerate() {
        let window = past[index * STEP..].first_chunk().expect("the tail fits behind the history");
        for (target, word) in target.as_chunks_mut::<8>().0.iter_mut().zip(gather(window, step)) {
            *target = word.to_le_bytes();
        }
    }
    result
}

/// The polynomial, its bits reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;
static TABLES: LazyLock<CrcTables> = LazyLock::new(|| CrcTables::new(POLYNOMIAL));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    fn bit_by_bit(crc: u32, bytes: &[u8]) -> u32 {
        let mut state = !crc;
        for &byte in bytes {
            state ^= u32::from(byte);
            for _ in 0..8 {
                state = (state >> 1) ^ if state & 1 == 1 { POLYNOMIAL } else { 0 };
            }
        }
        !state
    }

    #[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
    #[cfg_attr(not(target_arch = "wasm32"), test)]
    fn folding_changes_no_checksum() {
        let mut bytes = vec![0; 3 * BLOCK + 100];
        Random::stream(3, "crc").fill(&mut bytes);
        let around = |length: usize| length.saturating_sub(3)..length + 4;
        let lengths = [0, 16, SHORTEST, SHORTEST + STEP, HISTORY + BLOCK, HISTORY + STEP + BLOCK, 2 * BLOCK, 3 * BLOCK]
            .into_iter()
            .flat_map(around);
        for length in lengths {
            for start in [0, 1, 7] {
                for crc in [0, 0x1234_5678] {
                    let bytes = &bytes[start..start + length];
                    assert_eq!(update(crc, bytes), bit_by_bit(crc, bytes), "{length} bytes from {start} on {crc:#x}");
                }
            }
        }
    }
}
