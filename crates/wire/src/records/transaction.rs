//! Records of `__transaction_state`: what a coordinator knows of a transactional id, in Kafka's own
//! format.
//!
//! The key is a record type and the transactional id, the value a version followed by its fields, a
//! missing value a tombstone. Written here is version 1 of the value; version 0, which is not flexible
//! and knows nothing of producer ids before and after, is read as well.

use bytes::Bytes;
use kafka_wire_core::StrBytes;

use crate::codec::{DecodeError, Reader, Writer};
use crate::records::group::TooLong;

const TRANSACTION: i16 = 0;
const NEWEST: i16 = 1;
/// The first version with tagged fields.
const FLEXIBLE: i16 = 1;

const PREVIOUS_PRODUCER_ID: u32 = 0;
const NEXT_PRODUCER_ID: u32 = 1;
const CLIENT_TRANSACTION_VERSION: u32 = 2;
const NEXT_PRODUCER_EPOCH: u32 = 3;

/// One record, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum TransactionRecord {
    Transaction {
        transactional_id: StrBytes,
        value: Option<TransactionValue>,
    },
    /// A record of a type that is not known here.
    Other {
        record_type: i16,
    },
}

/// The value of a transactional id.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionValue {
    pub producer_id: i64,
    /// The id that the producer had before, -1 if it is not known.
    pub previous_producer_id: i64,
    /// The id that the producer has once the transaction is complete, -1 if it keeps its own.
    pub next_producer_id: i64,
    pub producer_epoch: i16,
    /// The epoch that goes with [`Self::next_producer_id`], -1 as Kafka 4.3 writes it.
    pub next_producer_epoch: i16,
    pub timeout_ms: i32,
    /// The number of its state.
    pub status: i8,
    /// Null while there is no transaction.
    pub partitions: Option<Vec<TransactionPartitions>>,
    pub last_update_timestamp: i64,
    pub start_timestamp: i64,
    /// 2 if the client bumps its epoch with each transaction (KIP-890).
    pub client_transaction_version: i16,
}

/// Partitions of one topic that take part in a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionPartitions {
    pub topic: StrBytes,
    pub partitions: Vec<i32>,
}

impl TransactionRecord {
    /// Reads a record. A key of an unknown type is no error, a malformed one is.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, DecodeError> {
        let mut key = Reader::new(key);
        let record_type = key.i16()?;
        if record_type != TRANSACTION {
            return Ok(Self::Other { record_type });
        }
        let transactional_id = key.string()?.into();
        key.finish()?;
        Ok(Self::Transaction { transactional_id, value: value.map(TransactionValue::decode).transpose()? })
    }

    /// Key and value, where no value is a tombstone.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), TooLong> {
        let mut key = Writer::new();
        match self {
            Self::Transaction { transactional_id, value } => {
                if i16::try_from(transactional_id.len()).is_err() {
                    return Err(TooLong { field: "transactionalId" });
                }
                key.i16(TRANSACTION);
                key.string(transactional_id);
                Ok((key.into_bytes(), value.as_ref().map(TransactionValue::encode)))
            }
            Self::Other { record_type } => {
                key.i16(*record_type);
                Ok((key.into_bytes(), None))
            }
        }
    }
}

impl TransactionValue {
    fn encode(&self) -> Bytes {
        let mut out = Writer::with_capacity(64);
        out.i16(NEWEST);
        out.i64(self.producer_id);
        out.i16(self.producer_epoch);
        out.i32(self.timeout_ms);
        out.i8(self.status);
        out.compact_nullable_array(self.partitions.as_deref(), |out, topic| {
            out.compact_string(&topic.topic);
            out.compact_array(&topic.partitions, |out, partition| out.i32(*partition));
            out.no_tagged_fields();
        });
        out.i64(self.last_update_timestamp);
        out.i64(self.start_timestamp);
        let (previous, next) = (self.previous_producer_id.to_be_bytes(), self.next_producer_id.to_be_bytes());
        let (version, epoch) = (self.client_transaction_version.to_be_bytes(), self.next_producer_epoch.to_be_bytes());
        // A field at its default is left out.
        let tagged: [(bool, (u32, &[u8])); 4] = [
            (self.previous_producer_id != -1, (PREVIOUS_PRODUCER_ID, &previous)),
            (self.next_producer_id != -1, (NEXT_PRODUCER_ID, &next)),
            (self.client_transaction_version != 0, (CLIENT_TRANSACTION_VERSION, &version)),
            (self.next_producer_epoch != -1, (NEXT_PRODUCER_EPOCH, &epoch)),
        ];
        let tagged: Vec<(u32, &[u8])> = tagged.into_iter().filter(|(told, _)| *told).map(|(_, field)| field).collect();
        out.tagged_fields(&tagged);
        out.into_bytes()
    }

    fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut value = Reader::new(value);
        let version = value.i16()?;
        if !(0..=NEWEST).contains(&version) {
            return Err(DecodeError::Invalid { what: "version of a transaction record", value: i64::from(version) });
        }
        let is_flexible = version >= FLEXIBLE;
        let mut record = Self {
            producer_id: value.i64()?,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch: value.i16()?,
            next_producer_epoch: -1,
            timeout_ms: value.i32()?,
            status: value.i8()?,
            partitions: if is_flexible {
                value.compact_nullable_array(TransactionPartitions::decode_flexible)?
            } else {
                nullable_array(&mut value)?
            },
            last_update_timestamp: value.i64()?,
            start_timestamp: value.i64()?,
            client_transaction_version: 0,
        };
        if is_flexible {
            value.tagged_fields(|tag, field| {
                match tag {
                    PREVIOUS_PRODUCER_ID => record.previous_producer_id = field.i64()?,
                    NEXT_PRODUCER_ID => record.next_producer_id = field.i64()?,
                    CLIENT_TRANSACTION_VERSION => record.client_transaction_version = field.i16()?,
                    NEXT_PRODUCER_EPOCH => record.next_producer_epoch = field.i16()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        value.finish()?;
        Ok(record)
    }
}

fn nullable_array(value: &mut Reader<'_>) -> Result<Option<Vec<TransactionPartitions>>, DecodeError> {
    let Some(count) = value.nullable_array_len()? else { return Ok(None) };
    (0..count).map(|_| TransactionPartitions::decode(value)).collect::<Result<Vec<_>, _>>().map(Some)
}

impl TransactionPartitions {
    fn decode(value: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { topic: value.string()?.into(), partitions: value.array(Reader::i32)? })
    }

    fn decode_flexible(value: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let topic = Self { topic: value.compact_string()?.into(), partitions: value.compact_array(Reader::i32)? };
        value.skip_tagged_fields()?;
        Ok(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(producer_id: i64, producer_epoch: i16, status: i8) -> TransactionValue {
        TransactionValue {
            producer_id,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch,
            next_producer_epoch: -1,
            timeout_ms: 60_000,
            status,
            partitions: None,
            last_update_timestamp: 1_795_000_000_001,
            start_timestamp: 1_795_000_000_000,
            client_transaction_version: 0,
        }
    }

    fn partitions(topic: &str, partitions: &[i32]) -> TransactionPartitions {
        TransactionPartitions { topic: topic.into(), partitions: partitions.to_vec() }
    }

    /// Keys and values as the classes of Apache Kafka 4.3.1 write them, with what they say.
    fn kafkas() -> Vec<(&'static str, &'static str, &'static str, TransactionValue)> {
        vec![
            (
                "empty",
                "00000005656d707479",
                "000100000000000003e800000000ea600000000001a1ee565e00ffffffffffffffff00",
                TransactionValue { last_update_timestamp: 1_795_000_000_000, start_timestamp: -1, ..value(1000, 0, 0) },
            ),
            (
                "größe",
                "000000076772c3b6c39f65",
                "000100000000000003e97fff000000010203076f726465727303000000000000000700135f5f636f6e73756d65725f6f66667365\
                 7473020000003100000001a1ee565e01000001a1ee565e0003000800000000000003e8010800000000000003ea02020002",
                TransactionValue {
                    previous_producer_id: 1000,
                    next_producer_id: 1002,
                    timeout_ms: 1,
                    partitions: Some(vec![partitions("orders", &[0, 7]), partitions("__consumer_offsets", &[49])]),
                    client_transaction_version: 2,
                    ..value(1001, i16::MAX, 2)
                },
            ),
            (
                "done",
                "00000004646f6e65",
                "00017fffffffffffffff0003000dbba00401000001a1ee565e01000001a1ee565e000300087fffffffffffffff0202000203020005",
                TransactionValue {
                    previous_producer_id: i64::MAX,
                    timeout_ms: 900_000,
                    partitions: Some(Vec::new()),
                    client_transaction_version: 2,
                    next_producer_epoch: 5,
                    ..value(i64::MAX, 3, 4)
                },
            ),
        ]
    }

    #[test]
    fn kafkas_records_are_read_and_written_byte_for_byte() {
        for (id, key, value, expected) in kafkas() {
            let (key, value) = (bytes_of(key), bytes_of(value));
            let record = TransactionRecord::decode(&key, Some(&value)).expect("Kafka's own record");
            let expected = TransactionRecord::Transaction { transactional_id: id.into(), value: Some(expected) };
            assert_eq!(record, expected);
            assert_eq!(record.encode(), Ok((key.into(), Some(value.into()))), "{id}");
        }
        let tombstone = TransactionRecord::Transaction { transactional_id: "done".into(), value: None };
        assert_eq!(tombstone.encode(), Ok((bytes_of("00000004646f6e65").into(), None)));
    }

    #[test]
    fn records_of_version_0_are_read() {
        for (text, status, partitions, start) in [
            (
                "0000000000000000000700010000ea600100000001000174000000010000000100000000000000050000000000000004",
                1,
                Some(vec![partitions("t", &[1])]),
                4,
            ),
            ("0000000000000000000700010000ea6000ffffffff0000000000000005ffffffffffffffff", 0, None, -1),
        ] {
            let record = TransactionRecord::decode(&bytes_of("000000036f6c64"), Some(&bytes_of(text)));
            let expected = TransactionValue {
                partitions,
                last_update_timestamp: 5,
                start_timestamp: start,
                ..value(7, 1, status)
            };
            let expected = TransactionRecord::Transaction { transactional_id: "old".into(), value: Some(expected) };
            assert_eq!(record, Ok(expected));
        }
    }

    #[test]
    fn other_types_are_passed_over_and_malformed_records_refused() {
        let other = TransactionRecord::decode(&bytes_of("0001000174"), Some(b"whatever"));
        assert_eq!(other, Ok(TransactionRecord::Other { record_type: 1 }));
        for (_, key, value, _) in kafkas() {
            let (key, value) = (bytes_of(key), bytes_of(value));
            for length in 0..value.len() {
                assert!(TransactionRecord::decode(&key, Some(&value[..length])).is_err(), "{length} bytes");
            }
        }
        assert!(TransactionRecord::decode(&bytes_of("0000000174"), Some(&bytes_of("0002"))).is_err());
        // A count of topics that the bytes cannot hold, in both shapes.
        for claim in ["0000000000000000000700010000ea60017fffffff", "0001000000000000000700010000ea6001ffffffff0f"] {
            assert!(TransactionRecord::decode(&bytes_of("0000000174"), Some(&bytes_of(claim))).is_err(), "{claim}");
        }
    }

    #[test]
    fn an_id_that_does_not_fit_is_refused() {
        let record = TransactionRecord::Transaction { transactional_id: "t".repeat(40_000).into(), value: None };
        assert_eq!(record.encode(), Err(TooLong { field: "transactionalId" }));
    }

    fn bytes_of(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |digit: u8| char::from(digit).to_digit(16).expect("a hexadecimal digit") as u8;
        digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }
}
