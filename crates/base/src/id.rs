//! Typed ids.

use core::fmt;

/// A node of the cluster: Kafka's `node.id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub i32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connection, as the host that accepted or dialled it numbers it. Never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Kafka's `Uuid`: printed as 22 characters of URL-safe base64 without padding.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    pub const ZERO: Self = Self([0; 16]);

    /// A random (version 4) id from a seeded stream, never one that Kafka reserves or whose text
    /// starts with a dash (Kafka avoids those because shells take them for options).
    pub fn random(random: &mut crate::Random) -> Self {
        loop {
            let mut bytes = [0; 16];
            random.fill(&mut bytes);
            bytes[6] = (bytes[6] & 0x0f) | 0x40;
            bytes[8] = (bytes[8] & 0x3f) | 0x80;
            let id = Self(bytes);
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// The id that `text` prints, or `None` if it is not 22 characters of URL-safe base64.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        let mut bits = 0_u128;
        for (index, byte) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|&letter| letter == byte)? as u128;
            // 22 digits hold 132 bits: the last digit's low four must be empty.
            if index == 21 {
                if digit & 0xf != 0 {
                    return None;
                }
                bits = (bits << 2) | (digit >> 4);
            } else {
                bits = (bits << 6) | digit;
            }
        }
        Some(Self(bits.to_be_bytes()))
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for index in 0..22 {
            let digit = if index == 21 { (bits & 0x3) << 4 } else { (bits >> (122 - 6 * index)) & 0x3f };
            write!(f, "{}", ALPHABET[digit as usize] as char)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn prints_as_kafka_prints_it() {
        let cases = [
            (Uuid::ZERO, "AAAAAAAAAAAAAAAAAAAAAA"),
            (Uuid(1_u128.to_be_bytes()), "AAAAAAAAAAAAAAAAAAAAAQ"),
            (Uuid([0xff; 16]), "_____________________w"),
        ];
        for (id, text) in cases {
            assert_eq!(id.to_string(), text);
            assert_eq!(Uuid::parse(text), Some(id));
        }
    }

    #[test]
    fn random_ids_come_back_from_their_text() {
        let mut random = Random::stream(1, "ids");
        for _ in 0..1_000 {
            let id = Uuid::random(&mut random);
            assert_eq!(Uuid::parse(&id.to_string()), Some(id));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA=A", "AAAAAAAAAAAAAAAAAAAAAB"] {
            assert_eq!(Uuid::parse(text), None, "{text}");
        }
    }
}
