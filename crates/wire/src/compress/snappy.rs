//! Snappy in the framing of xerial's Java library, which Kafka's clients use, and bare, which some
//! other clients send.
//!
//! ```text
//! 82 "SNAPPY" 00, version i32 = 1, compatible version i32 = 1,
//! then blocks: length i32, a bare Snappy block
//! ```

use snap::raw::{Decoder, Encoder, decompress_len};

use super::{Codec, CompressError, corrupt};
use crate::codec::Reader;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const VERSION: i32 = 1;
/// What a block holds before compression, as in xerial's library.
const BLOCK: usize = 32 * 1024;
/// No element of Snappy makes more than 64 bytes of three.
const BEST_RATIO: usize = 22;

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(16 + bytes.len() / 2);
    framed.extend_from_slice(&MAGIC);
    framed.extend_from_slice(&VERSION.to_be_bytes());
    framed.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = Encoder::new();
    for block in bytes.chunks(BLOCK) {
        let compressed = encoder.compress_vec(block).expect("a block is within Snappy's limits");
        framed.extend_from_slice(&(compressed.len() as i32).to_be_bytes());
        framed.extend_from_slice(&compressed);
    }
    framed
}

pub(super) fn decompress(bytes: &[u8], cap: usize) -> Result<Vec<u8>, CompressError> {
    let mut inflated = Vec::new();
    let Some(blocks) = bytes.strip_prefix(&MAGIC) else {
        append_block(&mut inflated, bytes, cap)?;
        return Ok(inflated);
    };
    let mut reader = Reader::new(blocks);
    let cut_off = |_| corrupt(Codec::Snappy, "it is cut off");
    let _version = reader.i32().map_err(cut_off)?;
    let compatible = reader.i32().map_err(cut_off)?;
    if compatible > VERSION {
        return Err(corrupt(Codec::Snappy, "its framing is of a newer version"));
    }
    while !reader.is_empty() {
        // A stream may have been continued with a header of its own.
        if reader.rest().starts_with(&MAGIC) {
            reader.take(MAGIC.len() + 8).map_err(cut_off)?;
            continue;
        }
        let length = reader.i32().map_err(cut_off)?;
        let length = usize::try_from(length).map_err(|_| corrupt(Codec::Snappy, "a block has a negative length"))?;
        append_block(&mut inflated, reader.take(length).map_err(cut_off)?, cap)?;
    }
    Ok(inflated)
}

fn append_block(inflated: &mut Vec<u8>, block: &[u8], cap: usize) -> Result<(), CompressError> {
    let length = decompress_len(block).map_err(|error| corrupt(Codec::Snappy, error))?;
    if length > block.len().saturating_mul(BEST_RATIO) {
        return Err(corrupt(Codec::Snappy, "a block says that it holds more than it can"));
    }
    if length > cap - inflated.len() {
        return Err(CompressError::TooLarge { codec: Codec::Snappy, cap });
    }
    let start = inflated.len();
    inflated.resize(start + length, 0);
    Decoder::new().decompress(block, &mut inflated[start..]).map_err(|error| corrupt(Codec::Snappy, error))?;
    Ok(())
}
