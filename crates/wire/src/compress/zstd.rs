//! Zstandard.

use zrip::DecompressError;

use super::{Codec, CompressError, corrupt};

/// What Kafka allows, and what the compressor has: a level beyond its range is taken for the range's end.
const KAFKA_LEVELS: std::ops::RangeInclusive<i32> = -131_072..=22;
const DEFAULT_LEVEL: i32 = 3;
const FASTEST: i32 = -7;
const STRONGEST: i32 = 4;

/// A block holds at most 128 KiB and takes at least a header of three bytes and one of content.
const BLOCK_MAX: usize = 128 * 1024;
const SHORTEST_BLOCK: usize = 4;

pub(super) fn compress(bytes: &[u8], level: Option<i32>) -> Result<Vec<u8>, CompressError> {
    let level = level.unwrap_or(DEFAULT_LEVEL);
    if !KAFKA_LEVELS.contains(&level) {
        return Err(CompressError::BadLevel { codec: Codec::Zstd, level });
    }
    zrip::compress(bytes, level.clamp(FASTEST, STRONGEST)).map_err(|error| corrupt(Codec::Zstd, error))
}

pub(super) fn decompress(bytes: &[u8], cap: usize) -> Result<Vec<u8>, CompressError> {
    // A frame's header names the size to reserve; what its blocks can hold bounds the claim.
    let possible = (bytes.len() / SHORTEST_BLOCK + 1).saturating_mul(BLOCK_MAX);
    zrip::decompress_with_limit(bytes, cap.min(possible)).map_err(|error| match error {
        DecompressError::OutputTooSmall if cap <= possible => CompressError::TooLarge { codec: Codec::Zstd, cap },
        error => corrupt(Codec::Zstd, error),
    })
}
