//! Records of `__consumer_offsets`: committed offsets and classic groups, in Kafka's own format.
//!
//! A key is a record type followed by its fields; a value is a version followed by its fields; a
//! missing value is a tombstone. Written here: [`OffsetCommitValue`] as version 4 (as version 1 if a
//! client asked for a retention of its own) and [`GroupMetadataValue`] as version 3. Older versions
//! are read as well; types of other protocols (KIP-848 and later) come back as [`GroupRecord::Other`].

use bytes::Bytes;
use kafka_wire_core::StrBytes;
use shore_base::Uuid;

use crate::codec::{DecodeError, Reader, Writer};

const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;
const OFFSET_COMMIT_VALUE: i16 = 4;
const OFFSET_COMMIT_VALUE_WITH_EXPIRY: i16 = 1;
const GROUP_METADATA_VALUE: i16 = 3;
/// The newest version of both values, and the first flexible one.
const FLEXIBLE: i16 = 4;
const TOPIC_ID_TAG: u32 = 0;

/// One record, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    OffsetCommit {
        group: StrBytes,
        topic: StrBytes,
        partition: i32,
        value: Option<OffsetCommitValue>,
    },
    GroupMetadata {
        group: StrBytes,
        value: Option<GroupMetadataValue>,
    },
    /// A record of a protocol that is not served here.
    Other {
        record_type: i16,
    },
}

/// The value of a committed offset.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetCommitValue {
    pub offset: i64,
    /// -1 where the client gave none.
    pub leader_epoch: i32,
    pub metadata: StrBytes,
    pub commit_timestamp: i64,
    /// -1 unless the client asked for a retention of its own (OffsetCommit 2 to 4).
    pub expire_timestamp: i64,
    /// Zero in records of versions before 4.
    pub topic_id: Uuid,
}

/// The value of a classic group: the generation that its members were last given.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMetadataValue {
    pub protocol_type: StrBytes,
    pub generation: i32,
    pub protocol: Option<StrBytes>,
    pub leader: Option<StrBytes>,
    /// -1 in records of versions before 2.
    pub current_state_timestamp: i64,
    pub members: Vec<MemberMetadata>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MemberMetadata {
    pub member_id: StrBytes,
    pub group_instance_id: Option<StrBytes>,
    pub client_id: StrBytes,
    pub client_host: StrBytes,
    /// -1 in records of version 0.
    pub rebalance_timeout: i32,
    pub session_timeout: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

/// A string does not fit its length prefix. Requests of flexible versions can carry such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    pub field: &'static str,
}

impl GroupRecord {
    /// Reads a record. A key of an unknown type is no error, a malformed one is.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, DecodeError> {
        let mut key = Reader::new(key);
        let record_type = key.i16()?;
        let record = match record_type {
            // Type 0 is how the oldest brokers keyed the same record.
            0 | OFFSET_COMMIT => Self::OffsetCommit {
                group: key.string()?.into(),
                topic: key.string()?.into(),
                partition: key.i32()?,
                value: value.map(OffsetCommitValue::decode).transpose()?,
            },
            GROUP_METADATA => Self::GroupMetadata {
                group: key.string()?.into(),
                value: value.map(GroupMetadataValue::decode).transpose()?,
            },
            _ => return Ok(Self::Other { record_type }),
        };
        key.finish()?;
        Ok(record)
    }

    /// Key and value, where no value is a tombstone.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), TooLong> {
        let mut key = Writer::new();
        let value = match self {
            Self::OffsetCommit { group, topic, partition, value } => {
                key.i16(OFFSET_COMMIT);
                put_string(&mut key, "group", group)?;
                put_string(&mut key, "topic", topic)?;
                key.i32(*partition);
                value.as_ref().map(OffsetCommitValue::encode).transpose()?
            }
            Self::GroupMetadata { group, value } => {
                key.i16(GROUP_METADATA);
                put_string(&mut key, "group", group)?;
                value.as_ref().map(GroupMetadataValue::encode).transpose()?
            }
            Self::Other { record_type } => {
                key.i16(*record_type);
                None
            }
        };
        Ok((key.into_bytes(), value))
    }
}

impl OffsetCommitValue {
    fn encode(&self) -> Result<Bytes, TooLong> {
        let mut out = Writer::with_capacity(48 + self.metadata.len());
        if self.expire_timestamp == -1 {
            out.i16(OFFSET_COMMIT_VALUE);
            out.i64(self.offset);
            out.i32(self.leader_epoch);
            out.compact_string(&self.metadata);
            out.i64(self.commit_timestamp);
            if self.topic_id == Uuid::ZERO {
                out.no_tagged_fields();
            } else {
                out.unsigned_varint(1);
                out.unsigned_varint(TOPIC_ID_TAG);
                out.unsigned_varint(16);
                out.uuid(self.topic_id);
            }
        } else {
            out.i16(OFFSET_COMMIT_VALUE_WITH_EXPIRY);
            out.i64(self.offset);
            put_string(&mut out, "metadata", &self.metadata)?;
            out.i64(self.commit_timestamp);
            out.i64(self.expire_timestamp);
        }
        Ok(out.into_bytes())
    }

    fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut value = Reader::new(value);
        let version = version(&mut value)?;
        let mut record = Self {
            offset: value.i64()?,
            leader_epoch: if version >= 3 { value.i32()? } else { -1 },
            metadata: if version >= FLEXIBLE { value.compact_string()? } else { value.string()? }.into(),
            commit_timestamp: value.i64()?,
            expire_timestamp: if version == 1 { value.i64()? } else { -1 },
            topic_id: Uuid::ZERO,
        };
        if version >= FLEXIBLE {
            value.tagged_fields(|tag, field| {
                if tag == TOPIC_ID_TAG {
                    record.topic_id = field.uuid()?;
                }
                Ok(tag == TOPIC_ID_TAG)
            })?;
        }
        value.finish()?;
        Ok(record)
    }
}

impl GroupMetadataValue {
    fn encode(&self) -> Result<Bytes, TooLong> {
        let mut out = Writer::with_capacity(64 + self.members.iter().map(MemberMetadata::size).sum::<usize>());
        out.i16(GROUP_METADATA_VALUE);
        put_string(&mut out, "protocolType", &self.protocol_type)?;
        out.i32(self.generation);
        put_nullable_string(&mut out, "protocol", self.protocol.as_deref())?;
        put_nullable_string(&mut out, "leader", self.leader.as_deref())?;
        out.i64(self.current_state_timestamp);
        out.array_len(self.members.len());
        for member in &self.members {
            member.encode(&mut out)?;
        }
        Ok(out.into_bytes())
    }

    fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut value = Reader::new(value);
        let version = version(&mut value)?;
        let record = if version >= FLEXIBLE {
            let record = Self {
                protocol_type: value.compact_string()?.into(),
                generation: value.i32()?,
                protocol: value.compact_nullable_string()?.map(StrBytes::from),
                leader: value.compact_nullable_string()?.map(StrBytes::from),
                current_state_timestamp: value.i64()?,
                members: value.compact_array(MemberMetadata::decode_flexible)?,
            };
            value.skip_tagged_fields()?;
            record
        } else {
            Self {
                protocol_type: value.string()?.into(),
                generation: value.i32()?,
                protocol: value.nullable_string()?.map(StrBytes::from),
                leader: value.nullable_string()?.map(StrBytes::from),
                current_state_timestamp: if version >= 2 { value.i64()? } else { -1 },
                members: value.array(|value| MemberMetadata::decode(value, version))?,
            }
        };
        value.finish()?;
        Ok(record)
    }
}

impl MemberMetadata {
    fn encode(&self, out: &mut Writer) -> Result<(), TooLong> {
        put_string(out, "memberId", &self.member_id)?;
        put_nullable_string(out, "groupInstanceId", self.group_instance_id.as_deref())?;
        put_string(out, "clientId", &self.client_id)?;
        put_string(out, "clientHost", &self.client_host)?;
        out.i32(self.rebalance_timeout);
        out.i32(self.session_timeout);
        out.bytes(&self.subscription);
        out.bytes(&self.assignment);
        Ok(())
    }

    fn decode(value: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            member_id: value.string()?.into(),
            group_instance_id: if version >= 3 { value.nullable_string()?.map(StrBytes::from) } else { None },
            client_id: value.string()?.into(),
            client_host: value.string()?.into(),
            rebalance_timeout: if version >= 1 { value.i32()? } else { -1 },
            session_timeout: value.i32()?,
            subscription: Bytes::copy_from_slice(value.bytes()?),
            assignment: Bytes::copy_from_slice(value.bytes()?),
        })
    }

    fn decode_flexible(value: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let member = Self {
            member_id: value.compact_string()?.into(),
            group_instance_id: value.compact_nullable_string()?.map(StrBytes::from),
            client_id: value.compact_string()?.into(),
            client_host: value.compact_string()?.into(),
            rebalance_timeout: value.i32()?,
            session_timeout: value.i32()?,
            subscription: Bytes::copy_from_slice(value.compact_bytes()?),
            assignment: Bytes::copy_from_slice(value.compact_bytes()?),
        };
        value.skip_tagged_fields()?;
        Ok(member)
    }

    fn size(&self) -> usize {
        32 + self.member_id.len()
            + self.group_instance_id.as_ref().map_or(0, StrBytes::len)
            + self.client_id.len()
            + self.client_host.len()
            + self.subscription.len()
            + self.assignment.len()
    }
}

fn version(value: &mut Reader<'_>) -> Result<i16, DecodeError> {
    let version = value.i16()?;
    if (0..=FLEXIBLE).contains(&version) {
        Ok(version)
    } else {
        Err(DecodeError::Invalid { what: "version of a group record", value: i64::from(version) })
    }
}

fn put_string(out: &mut Writer, field: &'static str, text: &str) -> Result<(), TooLong> {
    put_nullable_string(out, field, Some(text))
}

fn put_nullable_string(out: &mut Writer, field: &'static str, text: Option<&str>) -> Result<(), TooLong> {
    if text.is_some_and(|text| i16::try_from(text.len()).is_err()) {
        return Err(TooLong { field });
    }
    out.nullable_string(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and values as Apache Kafka 4.3.1 wrote them to `__consumer_offsets`.
    const KAFKAS: &[(&str, &str)] = &[
        // An offset with leader epoch, metadata and topic id.
        (
            "0001000a675f35335f313237333700017400000001",
            "0004000000000000000600000003057365656e000001a1fe12c9e5010010b910f252a61442d7962d247d78cb745f",
        ),
        // One with a retention of the client's own.
        ("0001000a675f36305f313237333700017400000000", "000100000000000000050000000001a1fe12c8b5000001a1fe13b315"),
        // A group that nobody has joined, and one that its last member has left.
        ("00020009675f325f3132373337", "0003000000000000ffffffff000001a1fe12c7f300000000"),
        ("00020009675f325f3132373337", "00030008636f6e73756d657200000002ffffffff000001a1fe12f0c900000000"),
        // A generation of one static member.
        (
            "0002000a675f34355f3137393335",
            "00030008636f6e73756d657200000001000572616e67650026692d34613565363435652d386232612d343236662d616563322d\
             346163353439353432663135000001a1fe14cf4e000000010026692d34613565363435652d386232612d343236662d61656332\
             2d346163353439353432663135000169000161000a2f3132372e302e302e310000753000002710000000000000000178",
        ),
    ];

    #[test]
    fn kafkas_records_are_read_and_written_byte_for_byte() {
        for (key, value) in KAFKAS {
            let (key, value) = (bytes_of(key), bytes_of(value));
            let record = GroupRecord::decode(&key, Some(&value)).expect("Kafka's own record");
            assert_eq!(record.encode(), Ok((key.into(), Some(value.into()))), "{record:?}");
        }
    }

    #[test]
    fn every_field_stands_where_kafka_puts_it() {
        let (key, value) = KAFKAS[4];
        let record = GroupRecord::decode(&bytes_of(key), Some(&bytes_of(value))).expect("Kafka's own record");
        let GroupRecord::GroupMetadata { group, value: Some(value) } = record else { panic!("{record:?}") };
        let member = &value.members[0];
        assert_eq!((&*group, &*value.protocol_type, value.generation), ("g_45_17935", "consumer", 1));
        assert_eq!((value.protocol.as_deref(), value.leader.as_ref()), (Some("range"), Some(&member.member_id)));
        assert_eq!(&*member.member_id, "i-4a5e645e-8b2a-426f-aec2-4ac549542f15");
        assert_eq!((member.group_instance_id.as_deref(), &*member.client_id), (Some("i"), "a"));
        assert_eq!((&*member.client_host, &*member.assignment), ("/127.0.0.1", &b"x"[..]));
        assert_eq!((member.rebalance_timeout, member.session_timeout), (30_000, 10_000));
    }

    #[test]
    fn older_and_newer_versions_are_read() {
        let offset = |key: &str, value: &str| match GroupRecord::decode(&bytes_of(key), Some(&bytes_of(value))) {
            Ok(GroupRecord::OffsetCommit { value: Some(value), .. }) => value,
            other => panic!("{other:?}"),
        };
        let key = "00010001670001740000000a";
        // v0, v2 and v3: no expiry, no expiry, a leader epoch.
        assert_eq!(offset(key, "0000000000000000000700016d0000000000000008").offset, 7);
        assert_eq!(offset(key, "0002000000000000000700016d0000000000000008").commit_timestamp, 8);
        assert_eq!(offset(key, "000300000000000000070000000500016d0000000000000008").leader_epoch, 5);
        // The flexible group value, which nobody writes yet.
        let value = bytes_of("000409636f6e73756d657200000001000000000000000000000100");
        let record = GroupRecord::decode(&bytes_of("0002000167"), Some(&value));
        assert!(matches!(record, Ok(GroupRecord::GroupMetadata { value: Some(_), .. })), "{record:?}");
    }

    #[test]
    fn other_types_are_passed_over_and_malformed_records_refused() {
        let other = GroupRecord::decode(&bytes_of("0003000167"), Some(b"whatever"));
        assert_eq!(other, Ok(GroupRecord::Other { record_type: 3 }));
        let good = bytes_of(KAFKAS[4].1);
        for length in 0..good.len() {
            assert!(GroupRecord::decode(&bytes_of(KAFKAS[4].0), Some(&good[..length])).is_err(), "{length} bytes");
        }
        assert!(GroupRecord::decode(&bytes_of("0002000167"), Some(&bytes_of("0005"))).is_err());
        // A count of members that the bytes cannot hold.
        let claim = bytes_of("000300000000000000000000000000000000000000000000007fffffff");
        assert!(GroupRecord::decode(&bytes_of("0002000167"), Some(&claim)).is_err());
    }

    #[test]
    fn a_string_that_does_not_fit_is_refused() {
        let group = GroupRecord::GroupMetadata { group: "g".repeat(40_000).into(), value: None };
        assert_eq!(group.encode(), Err(TooLong { field: "group" }));
    }

    fn bytes_of(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |digit: u8| char::from(digit).to_digit(16).expect("a hexadecimal digit") as u8;
        digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }
}
