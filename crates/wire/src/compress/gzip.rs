//! gzip, as RFC 1952 has it.

use std::io::{ErrorKind, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Codec, CompressError};

const LEVELS: std::ops::RangeInclusive<i32> = 1..=9;
/// What Kafka calls the default level; zlib takes it for 6.
const DEFAULT_LEVEL: i32 = -1;
const ZLIB_DEFAULT: u32 = 6;

pub(super) fn compress(bytes: &[u8], level: Option<i32>) -> Result<Vec<u8>, CompressError> {
    let level = match level {
        None | Some(DEFAULT_LEVEL) => ZLIB_DEFAULT,
        Some(level) if LEVELS.contains(&level) => level.unsigned_abs(),
        Some(level) => return Err(CompressError::BadLevel { codec: Codec::Gzip, level }),
    };
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(level));
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    Ok(written.expect("a vector takes every byte"))
}

pub(super) fn decompress(bytes: &[u8], cap: usize) -> Result<Vec<u8>, CompressError> {
    // One byte beyond the cap tells data of just that size from too much.
    let mut decoder = MultiGzDecoder::new(bytes).take(cap as u64 + 1);
    let mut inflated = Vec::with_capacity(bytes.len().min(cap));
    decoder.read_to_end(&mut inflated).map_err(|error| CompressError::Corrupt {
        codec: Codec::Gzip,
        what: match error.kind() {
            ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
            _ => error.to_string(),
        },
    })?;
    if inflated.len() > cap {
        return Err(CompressError::TooLarge { codec: Codec::Gzip, cap });
    }
    Ok(inflated)
}
