//! What a batch must be to get into a log, by Kafka's rules, and how it is changed on its way in.

mod messages;

use bytes::Bytes;
use shore_base::Wall;
use shore_wire::batch::{
    self, BatchBuilder, BatchError, BatchOptions, BatchView, ControlKind, Record, Survey, TimestampType,
};
use shore_wire::compress::Codec;
use shore_wire::error::ErrorCode;
use shore_wire::message_set;

use crate::append::{AppendError, RecordError};
use crate::config::{Compression, LogConfig};
use crate::header::BatchHeader;
use crate::log::Log;
use crate::producers::EndMarker;

/// Compressed records may not inflate to more than this.
pub(crate) const INFLATED_MAX: usize = 128 << 20;

/// A leader's batch that passed every check.
pub(crate) struct Checked<'a> {
    pub bytes: Source<'a>,
    /// As the batch will be stored.
    pub header: BatchHeader,
    pub change: Change,
    pub marker: Option<EndMarker>,
    /// -1 where records keep their own timestamps.
    pub log_append_time: i64,
}

pub(crate) enum Source<'a> {
    AsSent(&'a [u8]),
    Rebuilt(Bytes),
}

impl std::ops::Deref for Source<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::AsSent(bytes) => bytes,
            Self::Rebuilt(bytes) => bytes,
        }
    }
}

/// What is changed in the log's copy of a batch, apart from its base offset and leader epoch. The
/// timestamps are under the checksum: changing them mends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    MaxTimestamp,
    LogAppendTime,
}

impl Change {
    pub fn apply(self, copy: &mut [u8], header: &BatchHeader) {
        batch::patch(copy, header.base_offset, header.leader_epoch);
        match self {
            Self::None => {}
            Self::MaxTimestamp => batch::set_max_timestamp(copy, header.max_timestamp),
            Self::LogAppendTime => batch::set_log_append_time(copy, header.max_timestamp),
        }
    }
}

/// Checks a batch that a leader is to append, and says how it will be stored.
pub(crate) fn leader_batch<'a>(
    log: &Log,
    records: &'a [u8],
    leader_epoch: i32,
    from_client: bool,
    now: Wall,
) -> Result<Checked<'a>, AppendError> {
    let partition = log.dir.base_name();
    if from_client && let Some(0 | 1) = message_set::first_magic(records) {
        let (batch, found) = messages::converted(&log.config, records, partition, now)?;
        return checked(log, Source::Rebuilt(batch), found, leader_epoch, now);
    }
    let view = only_batch(records, partition)?;
    check_envelope(&log.config, &view, from_client, partition)?;
    let found = check_records(&log.config, &view, partition, now)?;

    let unknown = || unreadable(&BatchError::UnknownCodec { id: view.attributes() & 0x07 }, partition);
    let source = view.codec().ok_or_else(unknown)?;
    let (target, level) = target_codec(log.config.compression, source);
    // Offsets inside compressed batches are mended, as some old clients get them wrong.
    let rebuild = (source != target && !view.is_control()) || (source != Codec::None && !found.offsets_in_order);
    let bytes = if rebuild {
        Source::Rebuilt(rebuilt(&view, target, level).map_err(|error| unreadable(&error, partition))?)
    } else {
        Source::AsSent(view.bytes())
    };
    checked(log, bytes, found, leader_epoch, now)
}

/// How a batch that passed every check is stored.
fn checked<'a>(
    log: &Log,
    bytes: Source<'a>,
    found: Found,
    leader_epoch: i32,
    now: Wall,
) -> Result<Checked<'a>, AppendError> {
    let partition = log.dir.base_name();
    let mut header = header_of(&bytes).ok_or_else(|| corrupt(partition))?;
    if matches!(bytes, Source::Rebuilt(_)) && header.size > log.config.max_message_bytes {
        return Err(too_large(header.size, partition, log.config.max_message_bytes));
    }
    let stamp = log.config.timestamp_type == TimestampType::LogAppendTime;
    let max_timestamp = if stamp { now.as_millis() } else { found.max_timestamp };
    let change = if stamp {
        Change::LogAppendTime
    } else if header.max_timestamp != max_timestamp || header.is_stamped() {
        Change::MaxTimestamp
    } else {
        Change::None
    };
    header.leader_epoch = leader_epoch;
    header.base_offset = log.end_offset;
    header.last_offset = log.end_offset + i64::from(found.count) - 1;
    header.max_timestamp = max_timestamp;
    header.set_stamped(stamp);
    let log_append_time = if stamp { now.as_millis() } else { -1 };
    Ok(Checked { bytes, header, change, marker: found.marker, log_append_time })
}

/// A leader takes one batch of the current format at a time. What follows a whole batch and is no
/// batch is ignored, as Kafka does.
fn only_batch<'a>(records: &'a [u8], partition: &str) -> Result<BatchView<'a>, AppendError> {
    let invalid = |message: String| AppendError::new(ErrorCode::InvalidRecord, message);
    let mut batches = batch::batches(records);
    let first = match batches.next() {
        Some(Ok(view)) => view,
        None | Some(Err(BatchError::Torn { .. })) => return Err(invalid("Record batch has no batches at all".into())),
        Some(Err(BatchError::Magic { magic: magic @ 0..=1 })) => {
            return Err(invalid(format!("Magic {magic} in topic partition {partition} where only 2 is taken")));
        }
        Some(Err(_)) => return Err(corrupt(partition)),
    };
    match batches.next() {
        Some(Ok(_)) => Err(invalid("Compressed outer record has more than one batch".into())),
        _ => Ok(first),
    }
}

fn check_envelope(
    config: &LogConfig,
    view: &BatchView<'_>,
    from_client: bool,
    partition: &str,
) -> Result<(), AppendError> {
    let invalid = |message: String| Err(AppendError::new(ErrorCode::InvalidRecord, message));
    if from_client && view.base_offset() != 0 {
        return invalid(format!(
            "The baseOffset of the record batch in the append to {partition} should be 0, but it is {}",
            view.base_offset()
        ));
    }
    if view.size() as u64 > u64::from(config.max_message_bytes) {
        return Err(too_large(view.size() as u32, partition, config.max_message_bytes));
    }
    if !view.crc_matches() {
        return Err(AppendError::new(
            ErrorCode::CorruptMessage,
            format!("Record is corrupt (stored crc = {}) in topic partition {partition}.", view.crc()),
        ));
    }
    if !from_client {
        return Ok(());
    }
    let (delta, count) = (view.last_offset_delta(), view.count());
    if delta < 0 {
        return invalid(format!("Batch has an invalid offset range: [0, {delta}] in topic partition {partition}"));
    }
    if count <= 0 {
        return invalid(format!("Invalid reported count for record batch: {count} in topic partition {partition}"));
    }
    if i64::from(delta) + 1 != i64::from(count) {
        return invalid(format!(
            "Inconsistent batch offset range [0, {delta}] and count of records {count} in topic partition {partition}"
        ));
    }
    if view.is_control() {
        return invalid(format!("Clients are not allowed to write control records in topic partition {partition}"));
    }
    if view.producer_id() >= 0 && view.base_sequence() < 0 {
        return invalid(format!(
            "Invalid sequence number {} in record batch with producerId {} in topic partition {partition}",
            view.base_sequence(),
            view.producer_id()
        ));
    }
    Ok(())
}

/// What the records of a batch add up to.
struct Found {
    count: i32,
    max_timestamp: i64,
    offsets_in_order: bool,
    marker: Option<EndMarker>,
}

/// How a producer stamped its batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stamped {
    CreateTime,
    /// Which is the broker's to do; `unread` are the keys and values that stay compressed as they are.
    LogAppendTime {
        unread: bool,
    },
}

impl Stamped {
    fn of(kind: TimestampType, unread: bool) -> Self {
        match kind {
            TimestampType::CreateTime => Self::CreateTime,
            TimestampType::LogAppendTime => Self::LogAppendTime { unread },
        }
    }
}

/// The records that are refused, while others may be too.
#[derive(Default)]
struct Refused {
    errors: Vec<RecordError>,
    bad_timestamp: bool,
}

fn check_records(config: &LogConfig, view: &BatchView<'_>, partition: &str, now: Wall) -> Result<Found, AppendError> {
    let stays = |codec: &Codec| *codec != Codec::None && target_codec(config.compression, *codec).0 == *codec;
    let stamped = Stamped::of(view.timestamp_type(), view.codec().as_ref().is_some_and(stays));
    let records = view.records(INFLATED_MAX).map_err(|error| unreadable(&error, partition))?;
    if stamped == Stamped::CreateTime
        && !view.is_control()
        && let Some(survey) = records.survey()
        && is_acceptable(config, &survey, now)
    {
        let Survey { highest_timestamp: max_timestamp, offsets_in_order, .. } = survey;
        return Ok(Found { count: records.count(), max_timestamp, offsets_in_order, marker: None });
    }
    // Something is wrong with a record, or may be: each is looked at by itself.
    let mut found = Found { count: 0, max_timestamp: -1, offsets_in_order: true, marker: None };
    let mut refused = Refused::default();
    for record in &records {
        let record = record.map_err(|error| unreadable(&error, partition))?;
        refused.check(config, &record, found.count, stamped, partition, now);
        if view.is_control() && found.count == 0 {
            found.marker = end_marker(&record);
        }
        found.offsets_in_order &= record.offset_delta == found.count;
        found.max_timestamp = found.max_timestamp.max(record.timestamp);
        found.count += 1;
    }
    refused.finish()?;
    Ok(found)
}

/// Whether none of the records that were surveyed would be refused.
fn is_acceptable(config: &LogConfig, survey: &Survey, now: Wall) -> bool {
    let in_range = |timestamp| is_in_range(config, timestamp, now);
    (survey.every_record_has_a_key || !config.cleanup_policy.compact)
        && (config.timestamp_type == TimestampType::LogAppendTime
            || survey.lowest_timestamp == i64::MAX
            || in_range(survey.lowest_timestamp) && in_range(survey.highest_timestamp))
}

/// Whether a topic whose producers stamp the records takes this timestamp.
fn is_in_range(config: &LogConfig, timestamp: i64, now: Wall) -> bool {
    let age = now.as_millis().saturating_sub(timestamp);
    age <= config.timestamp_before_max_ms && age.saturating_neg() <= config.timestamp_after_max_ms
}

impl Refused {
    #[inline]
    fn check(
        &mut self,
        config: &LogConfig,
        record: &Record<'_>,
        index: i32,
        stamped: Stamped,
        partition: &str,
        now: Wall,
    ) {
        if config.cleanup_policy.compact && record.key.is_none() {
            let message = format!("Compacted topic cannot accept message without key in topic partition {partition}");
            self.errors.push(RecordError { index, message });
        } else if let Some(message) = check_timestamp(config, record, stamped, now) {
            self.bad_timestamp = true;
            self.errors.push(RecordError { index, message });
        }
    }

    fn finish(self) -> Result<(), AppendError> {
        let Self { errors, bad_timestamp } = self;
        if errors.is_empty() {
            return Ok(());
        }
        let (code, message) = if bad_timestamp {
            (ErrorCode::InvalidTimestamp, "One or more records have been rejected due to invalid timestamp".to_owned())
        } else {
            let shown: Vec<String> = errors.iter().take(3).map(RecordError::to_string).collect();
            let message = format!(
                "One or more records have been rejected due to {} record errors in total, and only showing the first three errors at most: [{}]",
                errors.len(),
                shown.join(", ")
            );
            (ErrorCode::InvalidRecord, message)
        };
        Err(AppendError { code, message, records: errors })
    }
}

fn check_timestamp(config: &LogConfig, record: &Record<'_>, stamped: Stamped, now: Wall) -> Option<String> {
    let timestamp = record.timestamp;
    if config.timestamp_type == TimestampType::CreateTime && timestamp != -1 {
        return (!is_in_range(config, timestamp, now)).then(|| {
            let now = now.as_millis();
            format!(
                "Timestamp {timestamp} of message with offset {} is out of range. The timestamp should be within [{}, {}]",
                record.offset,
                now.wrapping_sub(config.timestamp_before_max_ms),
                now.wrapping_add(config.timestamp_after_max_ms)
            )
        });
    }
    let Stamped::LogAppendTime { unread } = stamped else { return None };
    // Java names the class of the record; it does not read the keys and values of one that it need not compress.
    let (class, missing) = if unread { ("PartialDefaultRecord", -1) } else { ("DefaultRecord", 0) };
    let size = |bytes: Option<&[u8]>| bytes.map_or(missing, |bytes| bytes.len() as i64);
    Some(format!(
        "Invalid timestamp type in message {class}(offset={}, timestamp={timestamp}, key={} bytes, value={} bytes). \
         Producer should not set timestamp type to LogAppendTime.",
        record.offset,
        size(record.key),
        size(record.value)
    ))
}

/// The codec that a batch is stored with, and its level.
fn target_codec(compression: Compression, source: Codec) -> (Codec, Option<i32>) {
    match compression {
        Compression::Producer => (source, None),
        Compression::Uncompressed => (Codec::None, None),
        Compression::Gzip { level } => (Codec::Gzip, Some(level)),
        Compression::Snappy => (Codec::Snappy, None),
        Compression::Lz4 { level } => (Codec::Lz4, Some(level)),
        Compression::Zstd { level } => (Codec::Zstd, Some(level)),
    }
}

/// The same records in a batch of another codec, with offsets in order.
fn rebuilt(view: &BatchView<'_>, codec: Codec, level: Option<i32>) -> Result<Bytes, BatchError> {
    let mut builder = BatchBuilder::new(BatchOptions {
        codec,
        level,
        producer_id: view.producer_id(),
        producer_epoch: view.producer_epoch(),
        base_sequence: view.base_sequence(),
        transactional: view.is_transactional(),
        control: view.is_control(),
        ..BatchOptions::default()
    });
    for record in &view.records(INFLATED_MAX)? {
        let record = record?;
        builder.append(record.timestamp, record.key, record.value, record.headers);
    }
    Ok(builder.finish())
}

/// The batches that a leader sent to its follower: whole, intact and in order from `end_offset` on.
pub(crate) fn replica_batches(
    records: &[u8],
    end_offset: i64,
) -> Result<Vec<(BatchHeader, Option<EndMarker>)>, AppendError> {
    let mut found = Vec::new();
    let mut next = end_offset;
    for view in batch::batches(records) {
        let view = match view {
            Ok(view) => view,
            // A fetch may end within a batch.
            Err(BatchError::Torn { .. }) => break,
            Err(error) => return Err(AppendError::new(ErrorCode::CorruptMessage, error.to_string())),
        };
        let Some(batch) = stored_batch(view.bytes(), next) else {
            return Err(AppendError::new(
                ErrorCode::CorruptMessage,
                format!("Batch at offset {} is corrupt or not above offset {next}", view.base_offset()),
            ));
        };
        next = batch.0.last_offset + 1;
        found.push(batch);
    }
    Ok(found)
}

/// A whole batch of the disk or of another replica, if it is intact and not below `lowest_offset`.
pub(crate) fn stored_batch(bytes: &[u8], lowest_offset: i64) -> Option<(BatchHeader, Option<EndMarker>)> {
    let view = BatchView::parse(bytes).ok()?;
    let header = header_of(view.bytes())?;
    if header.base_offset < lowest_offset || !view.crc_matches() {
        return None;
    }
    let marker = if header.is_control() { marker_in(&view) } else { None };
    Some((header, marker))
}

/// Offset and timestamp of the first record of a stored batch that has at least this timestamp and offset.
pub(crate) fn first_record_at(bytes: &[u8], timestamp: i64, offset: i64) -> Result<Option<(i64, i64)>, BatchError> {
    for record in &BatchView::parse(bytes)?.records(INFLATED_MAX)? {
        let record = record?;
        if record.timestamp >= timestamp && record.offset >= offset {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}

pub(crate) fn marker_in(view: &BatchView<'_>) -> Option<EndMarker> {
    let records = view.records(INFLATED_MAX).ok()?;
    end_marker(&records.iter().next()?.ok()?)
}

/// A marker's value is its version and the coordinator's epoch.
fn end_marker(record: &Record<'_>) -> Option<EndMarker> {
    let commit = match ControlKind::of(record)? {
        ControlKind::Commit => true,
        ControlKind::Abort => false,
        _ => return None,
    };
    let coordinator_epoch = i32::from_be_bytes(record.value?.get(2..6)?.try_into().ok()?);
    Some(EndMarker { commit, coordinator_epoch })
}

fn header_of(bytes: &[u8]) -> Option<BatchHeader> {
    BatchHeader::parse(bytes.first_chunk()?)
}

fn too_large(size: u32, partition: &str, max: u32) -> AppendError {
    AppendError::new(
        ErrorCode::MessageTooLarge,
        format!(
            "The record batch size in the append to {partition} is {size} bytes which exceeds the maximum configured value of {max}."
        ),
    )
}

fn corrupt(partition: &str) -> AppendError {
    AppendError::new(ErrorCode::CorruptMessage, format!("Record is corrupt in topic partition {partition}."))
}

/// Kafka does not expect a codec it does not know, nor bytes that do not inflate: its answer says so.
fn unreadable(error: &BatchError, partition: &str) -> AppendError {
    let code = match error {
        BatchError::UnknownCodec { .. } | BatchError::Compression(_) => ErrorCode::UnknownServerError,
        _ => ErrorCode::InvalidRecord,
    };
    AppendError::new(code, format!("{error} in topic partition {partition}"))
}
