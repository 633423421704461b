//! The codecs of record batches, the same bytes on every target.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::fmt;

/// What a batch may inflate to at most, however long it is.
pub const MAX_INFLATED: usize = 64 * 1024 * 1024;

/// What `compressed` bytes may inflate to: a short batch of one repeated byte may grow a thousandfold,
/// but not to the last byte of memory.
pub fn inflation_cap(compressed: usize) -> usize {
    const ALWAYS: usize = 16 * 1024 * 1024;
    const RATIO: usize = 1024;
    compressed.saturating_mul(RATIO).clamp(ALWAYS, MAX_INFLATED)
}

/// A codec, by the low three bits of a batch's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Why bytes could not be compressed or inflated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompressError {
    /// They are not what the codec writes.
    Corrupt { codec: Codec, what: String },
    /// They inflate to more than the caller allows.
    TooLarge { codec: Codec, cap: usize },
    /// The codec has no such level.
    BadLevel { codec: Codec, level: i32 },
}

impl fmt::Display for CompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { codec, what } => write!(f, "corrupt {} data: {what}", codec.name()),
            Self::TooLarge { codec, cap } => write!(f, "{} data inflates to more than {cap} bytes", codec.name()),
            Self::BadLevel { codec, level } => write!(f, "{} has no level {level}", codec.name()),
        }
    }
}

impl std::error::Error for CompressError {}

impl Codec {
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec that a batch's attributes name, or `None` if they name none.
    pub const fn from_attributes(attributes: i16) -> Option<Self> {
        match attributes & 0x07 {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The codec that a `compression.type` names; `producer` and `uncompressed` are no codecs.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The bits in a batch's attributes.
    pub const fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Kafka's name: `zstd`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Compresses `bytes`; `None` is Kafka's default level. Levels of codecs that have none are ignored.
    pub fn compress(self, bytes: &[u8], level: Option<i32>) -> Result<Vec<u8>, CompressError> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => gzip::compress(bytes, level),
            Self::Snappy => Ok(snappy::compress(bytes)),
            Self::Lz4 => Ok(lz4::compress(bytes)),
            Self::Zstd => zstd::compress(bytes, level),
        }
    }

    /// As [`Codec::compress`], for messages of format 0: their LZ4 has another checksum of its header.
    pub(crate) fn compress_format_0(self, bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
        let mut compressed = self.compress(bytes, None)?;
        if self == Self::Lz4 {
            lz4::break_checksum(&mut compressed);
        }
        Ok(compressed)
    }

    /// Likewise the other way: some clients wrote the one checksum, some the other, so none is looked at.
    pub(crate) fn decompress_format_0(self, bytes: &[u8], cap: usize) -> Result<Vec<u8>, CompressError> {
        match self {
            Self::Lz4 => lz4::decompress(bytes, cap, true),
            _ => self.decompress(bytes, cap),
        }
    }

    /// Inflates `bytes` to at most `cap` bytes. No more is allocated than `bytes` can be worth.
    pub fn decompress(self, bytes: &[u8], cap: usize) -> Result<Vec<u8>, CompressError> {
        match self {
            Self::None if bytes.len() > cap => Err(CompressError::TooLarge { codec: self, cap }),
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => gzip::decompress(bytes, cap),
            Self::Snappy => snappy::decompress(bytes, cap),
            Self::Lz4 => lz4::decompress(bytes, cap, false),
            Self::Zstd => zstd::decompress(bytes, cap),
        }
    }
}

fn corrupt(codec: Codec, what: impl fmt::Display) -> CompressError {
    CompressError::Corrupt { codec, what: what.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crc32c::crc32c;
    use shore_base::Random;

    /// Inputs of every nature: none, little, repeated, textual, random, and longer than any block.
    fn inputs() -> Vec<Vec<u8>> {
        let mut random = Random::stream(7, "compression");
        let mut noise = vec![0; 70_000];
        random.fill(&mut noise);
        let orders: Vec<u8> = (0..9_000)
            .flat_map(|id| {
                let price = random.below(100_000);
                format!(r#"{{"id":{id},"item":"item-{}","price":{price}}}"#, id % 37).into_bytes()
            })
            .collect();
        vec![
            Vec::new(),
            vec![42],
            b"a b".to_vec(),
            vec![b'x'; 300_000],
            noise.clone(),
            orders[..16_384].to_vec(),
            orders[..65_536].to_vec(),
            [orders, noise].concat(),
        ]
    }

    /// The checksums of what each codec makes of [`inputs`]. The same table holds on every target:
    /// a compressor whose output depends on the target would make replays diverge.
    #[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
    #[cfg_attr(not(target_arch = "wasm32"), test)]
    fn the_bytes_are_the_same_on_every_target() {
        let compressed: Vec<(&str, Vec<u32>)> = Codec::ALL
            .into_iter()
            .map(|codec| {
                let sums = inputs().into_iter().map(|input| crc32c(&codec.compress(&input, None).unwrap()));
                (codec.name(), sums.collect())
            })
            .collect();
        assert_eq!(compressed, EXPECTED.map(|(name, sums)| (name, sums.to_vec())));
    }

    #[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
    #[cfg_attr(not(target_arch = "wasm32"), test)]
    fn what_is_compressed_inflates_to_itself_and_to_no_less_than_it_is() {
        for codec in Codec::ALL {
            for input in inputs() {
                let compressed = codec.compress(&input, None).unwrap();
                assert_eq!(codec.decompress(&compressed, input.len()).as_ref(), Ok(&input), "{}", codec.name());
                if let Some(less) = input.len().checked_sub(1) {
                    assert_eq!(
                        codec.decompress(&compressed, less),
                        Err(CompressError::TooLarge { codec, cap: less }),
                        "{} of {} bytes",
                        codec.name(),
                        input.len()
                    );
                }
            }
        }
    }

    #[rustfmt::skip]
    const EXPECTED: [(&str, [u32; 8]); 5] = [
        ("none", [0x0000_0000, 0x1922_f5b7, 0x1c72_4a5e, 0x82ed_96af, 0x632f_20af, 0xd073_4c8a, 0xb6dd_2c06, 0xf984_1db9]),
        ("gzip", [0x7ad1_f8f5, 0x77fa_32c2, 0x2c40_0cd8, 0x6ef0_91ff, 0x2beb_8e98, 0x3b80_6706, 0xa3ba_4faa, 0xb6ec_8ebb]),
        ("snappy", [0xca77_3491, 0x7ab1_7843, 0xc4a3_3ace, 0xb8a6_689d, 0xaf86_4ebc, 0xf647_9387, 0xdfa0_594d, 0xc958_e319]),
        ("lz4", [0xa36c_d84b, 0x6f8b_b38d, 0x1564_59a0, 0x302a_bc4c, 0x22ed_228f, 0xf737_da15, 0xe673_5cc8, 0xd69d_c8ec]),
        ("zstd", [0x5174_fddb, 0xd8b2_22ca, 0x463d_0b2a, 0xd960_aa0f, 0x49ff_1975, 0x56ae_2c43, 0xf46b_48cf, 0xd72e_b52d]),
    ];
}
