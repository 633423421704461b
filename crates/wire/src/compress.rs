//! The codecs of record batches, the same bytes on every target.

use std::fmt;

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

    /// Compresses `bytes`; `None` is Kafka's default level.
    pub fn compress(self, bytes: &[u8], level: Option<i32>) -> Result<Vec<u8>, CompressError> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            codec => Err(CompressError::BadLevel { codec, level: level.unwrap_or_default() }),
        }
    }

    /// Inflates `bytes` to at most `cap` bytes.
    pub fn decompress(self, bytes: &[u8], cap: usize) -> Result<Vec<u8>, CompressError> {
        match self {
            Self::None if bytes.len() > cap => Err(CompressError::TooLarge { codec: self, cap }),
            Self::None => Ok(bytes.to_vec()),
            codec => Err(CompressError::Corrupt { codec, what: "not read yet".to_owned() }),
        }
    }
}
