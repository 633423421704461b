//! Records of `__cluster_metadata`: what a KRaft controller writes and every node replays.
//!
//! A record's value is a frame version (1), the record type's key, its version, and its fields.
//! All versions are flexible. Records are written in the version that metadata.version 30 (Apache
//! Kafka 4.3) prescribes; fields that an older version lacks take their default when it is read.

use bytes::Bytes;
use shore_base::Uuid;

use crate::codec::{DecodeError, Reader, Writer};

/// A record of the metadata log.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataRecord {
    RegisterBroker(RegisterBrokerRecord),
    UnregisterBroker {
        broker_id: i32,
        broker_epoch: i64,
    },
    Topic {
        name: String,
        topic_id: Uuid,
    },
    Partition(PartitionRecord),
    Config(ConfigRecord),
    PartitionChange(PartitionChangeRecord),
    RemoveTopic {
        topic_id: Uuid,
    },
    FeatureLevel {
        name: String,
        level: i16,
    },
    ClientQuota(ClientQuotaRecord),
    ProducerIds {
        broker_id: i32,
        broker_epoch: i64,
        next_producer_id: i64,
    },
    BrokerRegistrationChange(BrokerRegistrationChangeRecord),
    NoOp,
    BeginTransaction {
        name: Option<String>,
    },
    EndTransaction,
    /// What came since the beginning of the transaction does not count.
    AbortTransaction {
        reason: Option<String>,
    },
    RegisterController(RegisterControllerRecord),
    /// Forgets the eligible leader replicas of a topic; of all topics where the name is empty.
    ClearElr {
        topic: String,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegisterBrokerRecord {
    pub broker_id: i32,
    pub incarnation_id: Uuid,
    pub broker_epoch: i64,
    pub end_points: Vec<EndPoint>,
    pub features: Vec<SupportedFeature>,
    pub rack: Option<String>,
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    pub log_dirs: Vec<Uuid>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegisterControllerRecord {
    pub controller_id: i32,
    pub incarnation_id: Uuid,
    pub end_points: Vec<EndPoint>,
    pub features: Vec<SupportedFeature>,
}

/// An address of a listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndPoint {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// 0 is PLAINTEXT.
    pub security_protocol: i16,
}

/// The versions of a feature that a node can run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SupportedFeature {
    pub name: String,
    pub min: i16,
    pub max: i16,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionRecord {
    pub partition: i32,
    pub topic_id: Uuid,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub removing_replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    pub leader: i32,
    pub leader_recovery_state: i8,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: Vec<Uuid>,
    pub eligible_leader_replicas: Option<Vec<i32>>,
    pub last_known_elr: Option<Vec<i32>>,
}

/// What changed of a partition; what is `None` stays as it is. A change of the leader raises the leader
/// epoch, every change the partition epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionChangeRecord {
    pub partition: i32,
    pub topic_id: Uuid,
    pub isr: Option<Vec<i32>>,
    /// -1 is no leader.
    pub leader: Option<i32>,
    pub replicas: Option<Vec<i32>>,
    pub removing_replicas: Option<Vec<i32>>,
    pub adding_replicas: Option<Vec<i32>>,
    pub leader_recovery_state: Option<i8>,
    pub eligible_leader_replicas: Option<Vec<i32>>,
    pub last_known_elr: Option<Vec<i32>>,
    pub directories: Option<Vec<Uuid>>,
}

/// One config of one resource; without a value it is removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigRecord {
    /// 2 is a topic, 4 a broker; an empty broker name is the default for all brokers.
    pub resource_type: i8,
    pub resource_name: String,
    pub name: String,
    pub value: Option<String>,
}

/// One quota of one entity, set or, without a value, removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientQuotaRecord {
    /// Kinds (`user`, `client-id`, `ip`) with a name, or without one for what is true of all that have no quota of
    /// their own.
    pub entity: Vec<(String, Option<String>)>,
    pub key: String,
    pub value: Option<f64>,
}

/// What changed of a broker's registration: 0 is no change, 1 and -1 set and clear.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerRegistrationChangeRecord {
    pub broker_id: i32,
    pub broker_epoch: i64,
    /// 1 fences, -1 unfences.
    pub fenced: i8,
    pub in_controlled_shutdown: i8,
}

const FRAME_VERSION: u32 = 1;

const REGISTER_BROKER: u32 = 0;
const UNREGISTER_BROKER: u32 = 1;
const TOPIC: u32 = 2;
const PARTITION: u32 = 3;
const CONFIG: u32 = 4;
const PARTITION_CHANGE: u32 = 5;
const REMOVE_TOPIC: u32 = 9;
const FEATURE_LEVEL: u32 = 12;
const CLIENT_QUOTA: u32 = 14;
const PRODUCER_IDS: u32 = 15;
const BROKER_REGISTRATION_CHANGE: u32 = 17;
const NO_OP: u32 = 20;
const BEGIN_TRANSACTION: u32 = 23;
const END_TRANSACTION: u32 = 24;
const ABORT_TRANSACTION: u32 = 25;
const REGISTER_CONTROLLER: u32 = 27;
const CLEAR_ELR: u32 = 28;

impl MetadataRecord {
    /// The value of the record in the log.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        let (key, version) = self.key_and_version();
        writer.unsigned_varint(FRAME_VERSION);
        writer.unsigned_varint(key);
        writer.unsigned_varint(version);
        self.write(&mut writer);
        writer.into_bytes()
    }

    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let frame_version = reader.unsigned_varint()?;
        if frame_version != FRAME_VERSION {
            return Err(DecodeError::Invalid {
                what: "frame version of a metadata record",
                value: frame_version.into(),
            });
        }
        let (key, version) = (reader.unsigned_varint()?, reader.unsigned_varint()?);
        read(key, version, &mut reader)
    }

    fn key_and_version(&self) -> (u32, u32) {
        match self {
            Self::RegisterBroker(_) => (REGISTER_BROKER, 4),
            Self::UnregisterBroker { .. } => (UNREGISTER_BROKER, 0),
            Self::Topic { .. } => (TOPIC, 0),
            Self::Partition(_) => (PARTITION, 2),
            Self::Config(_) => (CONFIG, 0),
            Self::PartitionChange(_) => (PARTITION_CHANGE, 2),
            Self::RemoveTopic { .. } => (REMOVE_TOPIC, 0),
            Self::FeatureLevel { .. } => (FEATURE_LEVEL, 0),
            Self::ClientQuota(_) => (CLIENT_QUOTA, 0),
            Self::ProducerIds { .. } => (PRODUCER_IDS, 0),
            // The controller takes the lowest version that can say it.
            Self::BrokerRegistrationChange(change) => {
                (BROKER_REGISTRATION_CHANGE, if change.in_controlled_shutdown == 0 { 0 } else { 1 })
            }
            Self::NoOp => (NO_OP, 0),
            Self::BeginTransaction { .. } => (BEGIN_TRANSACTION, 0),
            Self::EndTransaction => (END_TRANSACTION, 0),
            Self::AbortTransaction { .. } => (ABORT_TRANSACTION, 0),
            Self::RegisterController(_) => (REGISTER_CONTROLLER, 0),
            Self::ClearElr { .. } => (CLEAR_ELR, 0),
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::RegisterBroker(record) => write_register_broker(record, writer),
            Self::UnregisterBroker { broker_id, broker_epoch } => {
                writer.i32(*broker_id);
                writer.i64(*broker_epoch);
                writer.no_tagged_fields();
            }
            Self::Topic { name, topic_id } => {
                writer.compact_string(name);
                writer.uuid(*topic_id);
                writer.no_tagged_fields();
            }
            Self::Partition(record) => write_partition(record, writer),
            Self::Config(record) => {
                writer.i8(record.resource_type);
                writer.compact_string(&record.resource_name);
                writer.compact_string(&record.name);
                writer.compact_nullable_string(record.value.as_deref());
                writer.no_tagged_fields();
            }
            Self::PartitionChange(change) => {
                writer.i32(change.partition);
                writer.uuid(change.topic_id);
                let mut fields = Tagged::default();
                fields.add_ids(0, change.isr.as_deref());
                if let Some(leader) = change.leader {
                    fields.add(1, |writer| writer.i32(leader));
                }
                fields.add_ids(2, change.replicas.as_deref());
                fields.add_ids(3, change.removing_replicas.as_deref());
                fields.add_ids(4, change.adding_replicas.as_deref());
                if let Some(state) = change.leader_recovery_state {
                    fields.add(5, |writer| writer.i8(state));
                }
                fields.add_ids(6, change.eligible_leader_replicas.as_deref());
                fields.add_ids(7, change.last_known_elr.as_deref());
                if let Some(directories) = &change.directories {
                    fields.add(8, |writer| write_uuids(directories, writer));
                }
                fields.write(writer);
            }
            Self::RemoveTopic { topic_id } => {
                writer.uuid(*topic_id);
                writer.no_tagged_fields();
            }
            Self::FeatureLevel { name, level } => {
                writer.compact_string(name);
                writer.i16(*level);
                writer.no_tagged_fields();
            }
            Self::ClientQuota(record) => {
                writer.compact_array(&record.entity, |writer, (kind, name)| {
                    writer.compact_string(kind);
                    writer.compact_nullable_string(name.as_deref());
                    writer.no_tagged_fields();
                });
                writer.compact_string(&record.key);
                writer.i64(record.value.unwrap_or_default().to_bits().cast_signed());
                writer.bool(record.value.is_none());
                writer.no_tagged_fields();
            }
            Self::ProducerIds { broker_id, broker_epoch, next_producer_id } => {
                writer.i32(*broker_id);
                writer.i64(*broker_epoch);
                writer.i64(*next_producer_id);
                writer.no_tagged_fields();
            }
            Self::BrokerRegistrationChange(change) => {
                writer.i32(change.broker_id);
                writer.i64(change.broker_epoch);
                let mut fields = Tagged::default();
                for (tag, value) in [(0, change.fenced), (1, change.in_controlled_shutdown)] {
                    if value != 0 {
                        fields.add(tag, |writer| writer.i8(value));
                    }
                }
                fields.write(writer);
            }
            Self::NoOp | Self::EndTransaction => writer.no_tagged_fields(),
            Self::BeginTransaction { name: text } | Self::AbortTransaction { reason: text } => {
                let mut fields = Tagged::default();
                if let Some(text) = text {
                    fields.add(0, |writer| writer.compact_string(text));
                }
                fields.write(writer);
            }
            Self::ClearElr { topic } => {
                writer.compact_string(topic);
                writer.no_tagged_fields();
            }
            Self::RegisterController(record) => {
                writer.i32(record.controller_id);
                writer.uuid(record.incarnation_id);
                // Whether it is ready for a migration from ZooKeeper, of which there is none.
                writer.bool(false);
                write_end_points(&record.end_points, writer);
                write_features(&record.features, writer);
                writer.no_tagged_fields();
            }
        }
    }
}

fn write_register_broker(record: &RegisterBrokerRecord, writer: &mut Writer) {
    writer.i32(record.broker_id);
    // Whether it is a broker that migrates from ZooKeeper.
    writer.bool(false);
    writer.uuid(record.incarnation_id);
    writer.i64(record.broker_epoch);
    write_end_points(&record.end_points, writer);
    write_features(&record.features, writer);
    writer.compact_nullable_string(record.rack.as_deref());
    writer.bool(record.fenced);
    writer.bool(record.in_controlled_shutdown);
    let mut fields = Tagged::default();
    if !record.log_dirs.is_empty() {
        fields.add(0, |writer| write_uuids(&record.log_dirs, writer));
    }
    fields.write(writer);
}

fn write_partition(record: &PartitionRecord, writer: &mut Writer) {
    writer.i32(record.partition);
    writer.uuid(record.topic_id);
    for ids in [&record.replicas, &record.isr, &record.removing_replicas, &record.adding_replicas] {
        write_ids(ids, writer);
    }
    writer.i32(record.leader);
    writer.i32(record.leader_epoch);
    writer.i32(record.partition_epoch);
    write_uuids(&record.directories, writer);
    let mut fields = Tagged::default();
    if record.leader_recovery_state != 0 {
        fields.add(0, |writer| writer.i8(record.leader_recovery_state));
    }
    fields.add_ids(1, record.eligible_leader_replicas.as_deref());
    fields.add_ids(2, record.last_known_elr.as_deref());
    fields.write(writer);
}

/// The tagged fields that a record has, in ascending order of their tags.
#[derive(Default)]
struct Tagged(Vec<(u32, Vec<u8>)>);

impl Tagged {
    fn add(&mut self, tag: u32, write: impl FnOnce(&mut Writer)) {
        let mut writer = Writer::new();
        write(&mut writer);
        self.0.push((tag, writer.into_vec()));
    }

    fn add_ids(&mut self, tag: u32, ids: Option<&[i32]>) {
        if let Some(ids) = ids {
            self.add(tag, |writer| write_ids(ids, writer));
        }
    }

    fn write(&self, writer: &mut Writer) {
        let fields: Vec<(u32, &[u8])> = self.0.iter().map(|(tag, value)| (*tag, value.as_slice())).collect();
        writer.tagged_fields(&fields);
    }
}

fn write_end_points(end_points: &[EndPoint], writer: &mut Writer) {
    writer.compact_array(end_points, |writer, end_point| {
        writer.compact_string(&end_point.name);
        writer.compact_string(&end_point.host);
        writer.u16(end_point.port);
        writer.i16(end_point.security_protocol);
        writer.no_tagged_fields();
    });
}

fn write_features(features: &[SupportedFeature], writer: &mut Writer) {
    writer.compact_array(features, |writer, feature| {
        writer.compact_string(&feature.name);
        writer.i16(feature.min);
        writer.i16(feature.max);
        writer.no_tagged_fields();
    });
}

fn write_ids(ids: &[i32], writer: &mut Writer) {
    writer.compact_array(ids, |writer, &id| writer.i32(id));
}

fn write_uuids(ids: &[Uuid], writer: &mut Writer) {
    writer.compact_array(ids, |writer, &id| writer.uuid(id));
}

fn read(key: u32, version: u32, reader: &mut Reader<'_>) -> Result<MetadataRecord, DecodeError> {
    let record = match key {
        REGISTER_BROKER => return read_register_broker(version, reader),
        PARTITION => return read_partition(version, reader),
        PARTITION_CHANGE => {
            let mut record = PartitionChangeRecord {
                partition: reader.i32()?,
                topic_id: reader.uuid()?,
                ..PartitionChangeRecord::default()
            };
            reader.tagged_fields(|tag, field| {
                match tag {
                    0 => record.isr = Some(read_ids(field)?),
                    1 => record.leader = Some(field.i32()?),
                    2 => record.replicas = Some(read_ids(field)?),
                    3 => record.removing_replicas = Some(read_ids(field)?),
                    4 => record.adding_replicas = Some(read_ids(field)?),
                    5 => record.leader_recovery_state = Some(field.i8()?),
                    6 => record.eligible_leader_replicas = Some(read_ids(field)?),
                    7 => record.last_known_elr = Some(read_ids(field)?),
                    8 => record.directories = Some(read_uuids(field)?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            return Ok(MetadataRecord::PartitionChange(record));
        }
        BROKER_REGISTRATION_CHANGE => {
            let mut record = BrokerRegistrationChangeRecord {
                broker_id: reader.i32()?,
                broker_epoch: reader.i64()?,
                ..BrokerRegistrationChangeRecord::default()
            };
            reader.tagged_fields(|tag, field| {
                match tag {
                    0 => record.fenced = field.i8()?,
                    1 => record.in_controlled_shutdown = field.i8()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            return Ok(MetadataRecord::BrokerRegistrationChange(record));
        }
        BEGIN_TRANSACTION | ABORT_TRANSACTION => {
            let mut text = None;
            reader.tagged_fields(|tag, field| {
                if tag == 0 {
                    text = field.compact_nullable_string()?.map(str::to_owned);
                }
                Ok(tag == 0)
            })?;
            return Ok(if key == BEGIN_TRANSACTION {
                MetadataRecord::BeginTransaction { name: text }
            } else {
                MetadataRecord::AbortTransaction { reason: text }
            });
        }
        UNREGISTER_BROKER => MetadataRecord::UnregisterBroker { broker_id: reader.i32()?, broker_epoch: reader.i64()? },
        TOPIC => MetadataRecord::Topic { name: reader.compact_string()?.to_owned(), topic_id: reader.uuid()? },
        CONFIG => MetadataRecord::Config(ConfigRecord {
            resource_type: reader.i8()?,
            resource_name: reader.compact_string()?.to_owned(),
            name: reader.compact_string()?.to_owned(),
            value: reader.compact_nullable_string()?.map(str::to_owned),
        }),
        REMOVE_TOPIC => MetadataRecord::RemoveTopic { topic_id: reader.uuid()? },
        FEATURE_LEVEL => {
            MetadataRecord::FeatureLevel { name: reader.compact_string()?.to_owned(), level: reader.i16()? }
        }
        CLIENT_QUOTA => {
            let entity = reader.compact_array(|reader| {
                let kind = reader.compact_string()?.to_owned();
                let name = reader.compact_nullable_string()?.map(str::to_owned);
                reader.skip_tagged_fields()?;
                Ok((kind, name))
            })?;
            let key = reader.compact_string()?.to_owned();
            let value = f64::from_bits(reader.i64()?.cast_unsigned());
            let value = (!reader.bool()?).then_some(value);
            MetadataRecord::ClientQuota(ClientQuotaRecord { entity, key, value })
        }
        PRODUCER_IDS => MetadataRecord::ProducerIds {
            broker_id: reader.i32()?,
            broker_epoch: reader.i64()?,
            next_producer_id: reader.i64()?,
        },
        NO_OP => MetadataRecord::NoOp,
        END_TRANSACTION => MetadataRecord::EndTransaction,
        CLEAR_ELR => MetadataRecord::ClearElr { topic: reader.compact_string()?.to_owned() },
        REGISTER_CONTROLLER => {
            let controller_id = reader.i32()?;
            let incarnation_id = reader.uuid()?;
            reader.bool()?;
            MetadataRecord::RegisterController(RegisterControllerRecord {
                controller_id,
                incarnation_id,
                end_points: read_end_points(reader)?,
                features: read_features(reader)?,
            })
        }
        _ => return Err(DecodeError::Invalid { what: "type of a metadata record", value: key.into() }),
    };
    reader.skip_tagged_fields()?;
    Ok(record)
}

fn read_register_broker(version: u32, reader: &mut Reader<'_>) -> Result<MetadataRecord, DecodeError> {
    let broker_id = reader.i32()?;
    if version >= 2 {
        reader.bool()?;
    }
    let mut record = RegisterBrokerRecord {
        broker_id,
        incarnation_id: reader.uuid()?,
        broker_epoch: reader.i64()?,
        end_points: read_end_points(reader)?,
        features: read_features(reader)?,
        rack: reader.compact_nullable_string()?.map(str::to_owned),
        fenced: reader.bool()?,
        in_controlled_shutdown: version >= 1 && reader.bool()?,
        log_dirs: Vec::new(),
    };
    reader.tagged_fields(|tag, field| {
        if tag == 0 {
            record.log_dirs = read_uuids(field)?;
        }
        Ok(tag == 0)
    })?;
    Ok(MetadataRecord::RegisterBroker(record))
}

fn read_partition(version: u32, reader: &mut Reader<'_>) -> Result<MetadataRecord, DecodeError> {
    let mut record = PartitionRecord {
        partition: reader.i32()?,
        topic_id: reader.uuid()?,
        replicas: read_ids(reader)?,
        isr: read_ids(reader)?,
        removing_replicas: read_ids(reader)?,
        adding_replicas: read_ids(reader)?,
        leader: reader.i32()?,
        leader_epoch: reader.i32()?,
        partition_epoch: reader.i32()?,
        directories: if version >= 1 { read_uuids(reader)? } else { Vec::new() },
        ..PartitionRecord::default()
    };
    reader.tagged_fields(|tag, field| {
        match tag {
            0 => record.leader_recovery_state = field.i8()?,
            1 => record.eligible_leader_replicas = Some(read_ids(field)?),
            2 => record.last_known_elr = Some(read_ids(field)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(MetadataRecord::Partition(record))
}

fn read_end_points(reader: &mut Reader<'_>) -> Result<Vec<EndPoint>, DecodeError> {
    reader.compact_array(|reader| {
        let end_point = EndPoint {
            name: reader.compact_string()?.to_owned(),
            host: reader.compact_string()?.to_owned(),
            port: reader.u16()?,
            security_protocol: reader.i16()?,
        };
        reader.skip_tagged_fields()?;
        Ok(end_point)
    })
}

fn read_features(reader: &mut Reader<'_>) -> Result<Vec<SupportedFeature>, DecodeError> {
    reader.compact_array(|reader| {
        let feature =
            SupportedFeature { name: reader.compact_string()?.to_owned(), min: reader.i16()?, max: reader.i16()? };
        reader.skip_tagged_fields()?;
        Ok(feature)
    })
}

fn read_ids(reader: &mut Reader<'_>) -> Result<Vec<i32>, DecodeError> {
    reader.compact_array(|reader| reader.i32())
}

fn read_uuids(reader: &mut Reader<'_>) -> Result<Vec<Uuid>, DecodeError> {
    reader.compact_array(|reader| reader.uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that Apache Kafka 4.3.1 wrote.
    #[test]
    fn records_are_written_as_kafka_writes_them() {
        let cases = [
            (
                MetadataRecord::BeginTransaction { name: Some("Bootstrap records".to_owned()) },
                "0117000100 12 12 426f6f747374726170207265636f726473",
            ),
            (
                MetadataRecord::FeatureLevel { name: "metadata.version".to_owned(), level: 30 },
                "010c00 11 6d657461646174612e76657273696f6e 001e 00",
            ),
            (
                MetadataRecord::Config(ConfigRecord {
                    resource_type: 4,
                    resource_name: String::new(),
                    name: "min.insync.replicas".to_owned(),
                    value: Some("1".to_owned()),
                }),
                "010400 04 01 14 6d696e2e696e73796e632e7265706c69636173 02 31 00",
            ),
            (MetadataRecord::EndTransaction, "01180000"),
            (
                MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
                    broker_id: 0,
                    broker_epoch: 11,
                    fenced: -1,
                    in_controlled_shutdown: 0,
                }),
                "011100 00000000 000000000000000b 01 00 01 ff",
            ),
        ];
        for (record, hex) in cases {
            let hex: String = hex.split_whitespace().collect();
            let written: String = record.encode().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(written, hex, "{record:?}");
            assert_eq!(MetadataRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn every_record_comes_back_as_it_was_written() {
        let id = Uuid([7; 16]);
        let records = [
            MetadataRecord::RegisterBroker(RegisterBrokerRecord {
                broker_id: 1,
                incarnation_id: id,
                broker_epoch: 9,
                end_points: vec![EndPoint {
                    name: "PLAINTEXT".into(),
                    host: "h".into(),
                    port: 9092,
                    security_protocol: 0,
                }],
                features: vec![SupportedFeature { name: "f".into(), min: 0, max: 2 }],
                rack: Some("r".into()),
                fenced: true,
                in_controlled_shutdown: false,
                log_dirs: vec![id],
            }),
            MetadataRecord::UnregisterBroker { broker_id: 1, broker_epoch: 9 },
            MetadataRecord::Topic { name: "t".into(), topic_id: id },
            MetadataRecord::Partition(PartitionRecord {
                partition: 3,
                topic_id: id,
                replicas: vec![1, 2],
                isr: vec![1],
                leader: 1,
                leader_epoch: 4,
                partition_epoch: 5,
                directories: vec![id, Uuid::ZERO],
                eligible_leader_replicas: Some(vec![2]),
                ..PartitionRecord::default()
            }),
            MetadataRecord::PartitionChange(PartitionChangeRecord {
                partition: 3,
                topic_id: id,
                isr: Some(vec![1]),
                leader: Some(-1),
                ..PartitionChangeRecord::default()
            }),
            MetadataRecord::PartitionChange(PartitionChangeRecord {
                partition: 3,
                topic_id: id,
                replicas: Some(vec![1, 2]),
                removing_replicas: Some(vec![2]),
                adding_replicas: Some(vec![3]),
                leader_recovery_state: Some(1),
                eligible_leader_replicas: Some(vec![2]),
                last_known_elr: Some(vec![]),
                directories: Some(vec![id, id]),
                ..PartitionChangeRecord::default()
            }),
            MetadataRecord::AbortTransaction { reason: None },
            MetadataRecord::AbortTransaction { reason: Some("r".into()) },
            MetadataRecord::ClearElr { topic: String::new() },
            MetadataRecord::RemoveTopic { topic_id: id },
            MetadataRecord::ClientQuota(ClientQuotaRecord {
                entity: vec![("client-id".into(), None), ("user".into(), Some("alice".into()))],
                key: "producer_byte_rate".into(),
                value: Some(1000.0),
            }),
            MetadataRecord::ClientQuota(ClientQuotaRecord { key: "k".into(), ..ClientQuotaRecord::default() }),
            MetadataRecord::ProducerIds { broker_id: 1, broker_epoch: 9, next_producer_id: 1000 },
            MetadataRecord::NoOp,
            MetadataRecord::RegisterController(RegisterControllerRecord {
                controller_id: 1,
                incarnation_id: id,
                ..RegisterControllerRecord::default()
            }),
        ];
        for record in records {
            let bytes = record.encode();
            assert_eq!(MetadataRecord::decode(&bytes), Ok(record));
            for end in 0..bytes.len() {
                assert!(MetadataRecord::decode(&bytes[..end]).is_err());
            }
        }
    }
}
