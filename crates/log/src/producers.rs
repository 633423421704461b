//! What a partition knows of the producers that write to it: the last batches of each, by which a
//! retry is told from a gap, and the transactions that are open.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use shore_base::collections::BTreeMap;
use shore_wire::crc32c::crc32c;
use shore_wire::error::ErrorCode;

use crate::append::Origin;
use crate::header::BatchHeader;
use crate::txn_index::AbortedTransaction;
use crate::verification::Verifications;

/// How many batches of a producer are remembered: the most that a client may have in flight.
const BATCHES: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    pub last_sequence: i32,
    pub last_offset: i64,
    pub offset_delta: i32,
    pub timestamp: i64,
}

impl BatchMetadata {
    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    fn first_sequence(&self) -> i32 {
        if self.last_sequence < self.offset_delta {
            i32::MAX - (self.offset_delta - self.last_sequence) + 1
        } else {
            self.last_sequence - self.offset_delta
        }
    }
}

/// One producer as this partition knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    pub epoch: i16,
    /// Of the coordinator that wrote the last marker; -1 if there was none.
    pub coordinator_epoch: i32,
    pub last_timestamp: i64,
    pub transaction_start: Option<i64>,
    /// Oldest first, of the current epoch.
    batches: [Option<BatchMetadata>; BATCHES],
}

impl ProducerEntry {
    fn new(epoch: i16) -> Self {
        Self { epoch, coordinator_epoch: -1, last_timestamp: -1, transaction_start: None, batches: [None; BATCHES] }
    }

    pub fn batches(&self) -> impl Iterator<Item = &BatchMetadata> {
        self.batches.iter().flatten()
    }

    pub fn last_batch(&self) -> Option<&BatchMetadata> {
        self.batches().last()
    }

    fn last_sequence(&self) -> i32 {
        self.last_batch().map_or(-1, |batch| batch.last_sequence)
    }

    fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches = [None; BATCHES];
        }
    }

    fn add(&mut self, batch: BatchMetadata) {
        match self.batches.iter_mut().find(|slot| slot.is_none()) {
            Some(free) => *free = Some(batch),
            None => {
                self.batches.rotate_left(1);
                self.batches[BATCHES - 1] = Some(batch);
            }
        }
    }
}

/// The marker that ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    pub commit: bool,
    pub coordinator_epoch: i32,
}

/// Why a producer's batch is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: ErrorCode,
    pub message: String,
}

/// All producers of a partition.
#[derive(Clone, Debug, Default)]
pub struct ProducerStates {
    entries: Arc<BTreeMap<i64, ProducerEntry>>,
    /// First offsets of open transactions.
    open: BTreeMap<i64, i64>,
    /// First offsets of ended transactions, with the offset of the marker: they are stable once the
    /// marker is below the high watermark.
    ended: BTreeMap<i64, i64>,
    /// Producers all of whose batches were taken back, and the first of these: what they sent after it may
    /// still arrive, and must not come before it.
    taken_back: BTreeMap<i64, TakenBack>,
    pub(crate) verifications: Verifications,
}

#[derive(Clone, Copy, Debug)]
struct TakenBack {
    epoch: i16,
    sequence: i32,
    timestamp: i64,
}

/// Takes one change back.
#[derive(Clone, Debug)]
pub(crate) struct ProducerUndo {
    producer_id: i64,
    before: Option<ProducerEntry>,
    first: TakenBack,
    opened: Option<i64>,
    ended: Option<i64>,
}

impl ProducerStates {
    pub fn get(&self, producer_id: i64) -> Option<&ProducerEntry> {
        self.entries.get(&producer_id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &ProducerEntry)> {
        self.entries.iter().map(|(&id, entry)| (id, entry))
    }

    /// The batch that this one repeats, if it is one of the last five of its producer.
    pub fn duplicate_of(&self, batch: &BatchHeader) -> Option<BatchMetadata> {
        let entry = self.get(batch.producer_id).filter(|entry| entry.epoch == batch.producer_epoch)?;
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        entry.batches().find(|known| known.first_sequence() == first && known.last_sequence == last).copied()
    }

    /// Whether a batch that is no retry may be appended.
    pub(crate) fn check(
        &self,
        batch: &BatchHeader,
        marker: Option<EndMarker>,
        origin: Origin,
        verify: bool,
    ) -> Result<(), Refused> {
        let (guard, transaction_version) = match origin {
            Origin::Client { guard, .. } | Origin::Coordinator { guard, .. } => (guard, 0),
            Origin::Marker { transaction_version, .. } => (None, transaction_version),
            Origin::Replica => return Ok(()),
        };
        let entry = self.get(batch.producer_id);
        if let Some(marker) = marker {
            self.check_marker_epoch(batch, transaction_version)?;
            return self.check_coordinator(batch.producer_id, marker);
        }
        self.check_producer_epoch(batch.producer_id, batch.producer_epoch)?;
        let is_open =
            entry.is_some_and(|entry| entry.transaction_start.is_some() && entry.epoch == batch.producer_epoch);
        let is_data = batch.is_transactional() && !batch.is_control();
        if verify && is_data && !is_open && !self.verifications.allows(batch.producer_id, guard) {
            return Err(Refused {
                code: ErrorCode::InvalidTxnState,
                message: "Record was not part of an ongoing transaction".to_owned(),
            });
        }
        if matches!(origin, Origin::Client { .. }) {
            self.check_sequence(batch)?;
        }
        if entry.is_some_and(|entry| entry.transaction_start.is_some()) && !batch.is_transactional() {
            return Err(Refused {
                code: ErrorCode::InvalidTxnState,
                message: format!("Expected transactional write from producer {}", batch.producer_id),
            });
        }
        Ok(())
    }

    /// Whether a producer with an old epoch wrote this.
    pub(crate) fn check_producer_epoch(&self, producer_id: i64, epoch: i16) -> Result<(), Refused> {
        match self.get(producer_id) {
            Some(entry) if epoch < entry.epoch => Err(old_epoch(producer_id, epoch, "smaller than", entry.epoch)),
            _ => Ok(()),
        }
    }

    /// Transactions of version 2 end with a larger epoch than they had. A marker that comes again finds
    /// no open transaction, and is appended again.
    fn check_marker_epoch(&self, batch: &BatchHeader, transaction_version: i16) -> Result<(), Refused> {
        let (id, epoch) = (batch.producer_id, batch.producer_epoch);
        let Some(entry) = self.get(id).filter(|entry| transaction_version >= 2 && epoch == entry.epoch) else {
            return self.check_producer_epoch(id, epoch);
        };
        if entry.transaction_start.is_none() || epoch == i16::MAX {
            return Ok(());
        }
        Err(old_epoch(id, epoch, "<=", entry.epoch))
    }

    fn check_coordinator(&self, producer_id: i64, marker: EndMarker) -> Result<(), Refused> {
        match self.get(producer_id) {
            Some(entry) if entry.coordinator_epoch > marker.coordinator_epoch => Err(Refused {
                code: ErrorCode::TransactionCoordinatorFenced,
                message: format!(
                    "Invalid coordinator epoch for producer {producer_id}: {} (zombie), {} (current)",
                    marker.coordinator_epoch, entry.coordinator_epoch
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Whether a client's batch follows the one before it.
    fn check_sequence(&self, batch: &BatchHeader) -> Result<(), Refused> {
        // A producer that nothing is known of may go on anywhere: what was known may have expired.
        let refused = |message| Err(Refused { code: ErrorCode::OutOfOrderSequenceNumber, message });
        let (id, epoch, first) = (batch.producer_id, batch.producer_epoch, batch.base_sequence);
        if let Some(verification) = self.verifications.get(id) {
            let is_new = self.get(id).and_then(ProducerEntry::last_batch).is_none();
            verification.check_sequence(id, first, is_new)?;
        }
        let Some(entry) = self.get(id) else {
            return match self.taken_back.get(&id) {
                Some(lost) if lost.epoch == epoch && lost.sequence != first => refused(format!(
                    "Out of order sequence number for producer {id}: {first} (incoming seq. number), {} could not be stored",
                    lost.sequence
                )),
                _ => Ok(()),
            };
        };
        if epoch != entry.epoch {
            if first != 0 {
                return refused(format!(
                    "Invalid sequence number for new epoch of producer {id}: {epoch} (request epoch), {first} (seq. number), {} (current producer epoch)",
                    entry.epoch
                ));
            }
        } else {
            let last = entry.last_sequence();
            let follows = i64::from(first) == i64::from(last) + 1 || (first == 0 && last == i32::MAX);
            if !follows {
                return refused(format!(
                    "Out of order sequence number for producer {id}: {first} (incoming seq. number), {last} (current end sequence number)"
                ));
            }
        }
        Ok(())
    }

    /// Notes a batch that was appended. Its offsets are those it got. Says how to take that back, and
    /// what transaction it aborted.
    pub(crate) fn append(
        &mut self,
        batch: &BatchHeader,
        marker: Option<EndMarker>,
    ) -> (ProducerUndo, Option<AbortedTransaction>) {
        let id = batch.producer_id;
        let first =
            TakenBack { epoch: batch.producer_epoch, sequence: batch.base_sequence, timestamp: batch.max_timestamp };
        let before = self.get(id).cloned();
        let mut undo = ProducerUndo { producer_id: id, before, first, opened: None, ended: None };
        if batch.is_control() && marker.is_none() {
            // A marker whose transaction was compacted away: only the batch is left of it.
            return (undo, None);
        }
        self.taken_back.remove(&id);
        if batch.is_transactional() {
            self.verifications.appended(batch);
        }
        let entries = Arc::make_mut(&mut self.entries);
        let entry = entries.entry(id).or_insert_with(|| ProducerEntry::new(batch.producer_epoch));
        entry.set_epoch(batch.producer_epoch);
        entry.last_timestamp = batch.max_timestamp;
        let Some(marker) = marker else {
            entry.add(BatchMetadata {
                last_sequence: batch.last_sequence(),
                last_offset: batch.last_offset,
                offset_delta: (batch.last_offset - batch.base_offset) as i32,
                timestamp: batch.max_timestamp,
            });
            if batch.is_transactional() && entry.transaction_start.is_none() {
                entry.transaction_start = Some(batch.base_offset);
                self.open.insert(batch.base_offset, id);
                undo.opened = Some(batch.base_offset);
            }
            return (undo, None);
        };
        entry.coordinator_epoch = marker.coordinator_epoch;
        let Some(start) = entry.transaction_start.take() else { return (undo, None) };
        self.open.remove(&start);
        self.ended.insert(start, batch.last_offset);
        undo.ended = Some(start);
        let aborted = AbortedTransaction {
            producer_id: id,
            first_offset: start,
            last_offset: batch.last_offset,
            last_stable_offset: self.open.keys().next().map_or(batch.last_offset + 1, |&open| open),
        };
        (undo, (!marker.commit).then_some(aborted))
    }

    /// Takes back the last [`ProducerStates::append`] that has not been taken back.
    pub(crate) fn undo(&mut self, undo: ProducerUndo) {
        if let Some(start) = undo.opened {
            self.open.remove(&start);
        }
        if let Some(start) = undo.ended {
            self.ended.remove(&start);
            self.open.insert(start, undo.producer_id);
        }
        let entries = Arc::make_mut(&mut self.entries);
        match undo.before {
            Some(entry) => entries.insert(undo.producer_id, entry),
            None => entries.remove(&undo.producer_id),
        };
        if !entries.contains_key(&undo.producer_id) && undo.first.sequence >= 0 {
            self.taken_back.insert(undo.producer_id, undo.first);
        }
    }

    /// Where what a transaction may still take back begins, as seen at this high watermark.
    pub fn first_unstable_offset(&self, high_watermark: i64) -> Option<i64> {
        let open = self.open.keys().next().copied();
        let unreplicated = self.ended.iter().find(|&(_, &marker)| marker >= high_watermark).map(|(&start, _)| start);
        open.into_iter().chain(unreplicated).min()
    }

    /// Forgets ended transactions that the high watermark has passed.
    pub(crate) fn passed(&mut self, high_watermark: i64) {
        if !self.ended.is_empty() {
            self.ended.retain(|_, &mut marker| marker >= high_watermark);
        }
    }

    /// Forgets producers that have not written for long, except those with an open transaction.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        let expired = |entry: &ProducerEntry| {
            entry.transaction_start.is_none() && now_ms.saturating_sub(entry.last_timestamp) >= expiration_ms
        };
        if self.entries.values().any(expired) {
            Arc::make_mut(&mut self.entries).retain(|_, entry| !expired(entry));
        }
        self.taken_back.retain(|_, lost| now_ms.saturating_sub(lost.timestamp) < expiration_ms);
        self.verifications.expire(now_ms, expiration_ms);
    }

    /// The `.snapshot` file: version, CRC-32C of what follows it, and one entry per producer.
    pub fn encode(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(4 + self.entries.len() * SNAPSHOT_ENTRY_LEN);
        body.put_i32(self.entries.len() as i32);
        for (&id, entry) in self.entries.iter() {
            let last = entry.last_batch();
            body.put_i64(id);
            body.put_i16(entry.epoch);
            body.put_i32(entry.last_sequence());
            body.put_i64(last.map_or(-1, |batch| batch.last_offset));
            body.put_i32(last.map_or(0, |batch| batch.offset_delta));
            body.put_i64(entry.last_timestamp);
            body.put_i32(entry.coordinator_epoch);
            body.put_i64(entry.transaction_start.unwrap_or(-1));
        }
        let mut file = BytesMut::with_capacity(6 + body.len());
        file.put_i16(SNAPSHOT_VERSION);
        file.put_u32(crc32c(&body));
        file.extend_from_slice(&body);
        file.freeze()
    }

    /// `None` if the file is torn, corrupt or of a version that is not known.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, body) = bytes.split_at_checked(6)?;
        let version = i16::from_be_bytes(head[..2].try_into().ok()?);
        let crc = u32::from_be_bytes(head[2..].try_into().ok()?);
        if version != SNAPSHOT_VERSION || crc32c(body) != crc {
            return None;
        }
        let (count, entries) = body.split_at_checked(4)?;
        let count = u32::from_be_bytes(count.try_into().ok()?) as usize;
        if entries.len() != count.checked_mul(SNAPSHOT_ENTRY_LEN)? {
            return None;
        }
        let mut states = Self::default();
        let map = Arc::make_mut(&mut states.entries);
        for bytes in entries.chunks_exact(SNAPSHOT_ENTRY_LEN) {
            let (id, entry) = decode_entry(bytes)?;
            if let Some(start) = entry.transaction_start {
                states.open.insert(start, id);
            }
            map.insert(id, entry);
        }
        Some(states)
    }
}

fn old_epoch(producer_id: i64, epoch: i16, relation: &str, last: i16) -> Refused {
    Refused {
        code: ErrorCode::InvalidProducerEpoch,
        message: format!("Epoch of producer {producer_id} is {epoch}, which is {relation} the last seen epoch {last}"),
    }
}

const SNAPSHOT_VERSION: i16 = 1;
const SNAPSHOT_ENTRY_LEN: usize = 46;

fn decode_entry(bytes: &[u8]) -> Option<(i64, ProducerEntry)> {
    let i32_at = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let i64_at = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let epoch = i16::from_be_bytes(bytes.get(8..10)?.try_into().ok()?);
    let mut entry = ProducerEntry::new(epoch);
    entry.last_timestamp = i64_at(26)?;
    entry.coordinator_epoch = i32_at(34)?;
    entry.transaction_start = Some(i64_at(38)?).filter(|&start| start >= 0);
    let last_offset = i64_at(14)?;
    if last_offset >= 0 {
        let (last_sequence, offset_delta) = (i32_at(10)?, i32_at(22)?);
        entry.add(BatchMetadata { last_sequence, last_offset, offset_delta, timestamp: entry.last_timestamp });
    }
    Some((i64_at(0)?, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, base_sequence: i32, base_offset: i64, count: i32) -> BatchHeader {
        BatchHeader {
            base_offset,
            size: 100,
            leader_epoch: 0,
            attributes: 0,
            last_offset: base_offset + i64::from(count) - 1,
            base_timestamp: 10,
            max_timestamp: 10,
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence,
            count,
        }
    }

    fn after(batches: &[BatchHeader]) -> ProducerStates {
        let mut states = ProducerStates::default();
        for batch in batches {
            states.append(batch, None);
        }
        states
    }

    #[test]
    fn a_producer_whose_first_batch_was_taken_back_begins_with_it_again() {
        let mut states = ProducerStates::default();
        let undos = [batch(1, 0, 0, 3), batch(1, 3, 3, 2)].map(|batch| states.append(&batch, None).0);
        undos.into_iter().rev().for_each(|undo| states.undo(undo));
        let code = |states: &ProducerStates, batch| states.check_sequence(&batch).map_err(|refused| refused.code);
        assert_eq!(code(&states, batch(1, 3, 0, 2)), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(code(&states, batch(1, 0, 0, 3)), Ok(()));
        assert_eq!(code(&states, batch(2, 0, 0, 3)), Ok(()), "a new epoch begins anew");
        states.append(&batch(1, 0, 0, 3), None);
        assert_eq!(code(&states, batch(1, 3, 3, 2)), Ok(()));
    }

    #[test]
    fn a_batch_must_follow_the_last_one_of_its_epoch() {
        let states = after(&[batch(1, 0, 0, 3), batch(1, 3, 3, 2)]);
        let cases = [
            (batch(1, 5, 5, 1), Ok(())),
            (batch(1, 6, 5, 1), Err(ErrorCode::OutOfOrderSequenceNumber)),
            (batch(1, 2, 5, 1), Err(ErrorCode::OutOfOrderSequenceNumber)),
            (batch(2, 0, 5, 1), Ok(())),
            (batch(2, 5, 5, 1), Err(ErrorCode::OutOfOrderSequenceNumber)),
            (batch(0, 5, 5, 1), Err(ErrorCode::InvalidProducerEpoch)),
        ];
        for (next, expected) in cases {
            let checked = states.check(&next, None, Origin::Client { leader_epoch: 0, guard: None }, true);
            assert_eq!(checked.map_err(|refused| refused.code), expected, "{next:?}");
        }
        let mut stranger = batch(0, 400, 5, 1);
        stranger.producer_id = 8;
        assert_eq!(states.check_sequence(&stranger), Ok(()));
    }

    #[test]
    fn the_last_five_batches_are_known_again() {
        let batches: Vec<_> = (0..7).map(|n| batch(0, n * 2, i64::from(n) * 2, 2)).collect();
        let states = after(&batches);
        for (n, repeated) in batches.iter().enumerate() {
            let known = states.duplicate_of(repeated).map(|known| known.first_offset());
            assert_eq!(known, (n >= 2).then_some(repeated.base_offset), "batch {n}");
        }
        assert_eq!(states.duplicate_of(&batch(0, 12, 0, 1)), None, "a part of a batch is not that batch");
        assert_eq!(states.duplicate_of(&batch(1, 12, 0, 2)), None, "nor is one of another epoch");
    }

    #[test]
    fn sequences_wrap() {
        let wrapping = batch(0, i32::MAX - 1, 0, 4);
        let states = after(&[wrapping]);
        assert_eq!(states.check_sequence(&batch(0, 2, 4, 1)), Ok(()));
        assert!(states.duplicate_of(&wrapping).is_some());
        let states = after(&[batch(0, i32::MAX, 0, 1)]);
        assert_eq!(states.check_sequence(&batch(0, 0, 1, 1)), Ok(()));
    }

    #[test]
    fn what_is_undone_never_was() {
        let mut states = after(&[batch(0, 0, 0, 1)]);
        let before = states.clone();
        let mut transactional = batch(0, 1, 1, 1);
        transactional.attributes = 0x10;
        let (opened, _) = states.append(&transactional, None);
        assert_eq!(states.first_unstable_offset(9), Some(1));
        let mut marker = batch(0, -1, 2, 1);
        marker.attributes = 0x30;
        let (ended, _) = states.append(&marker, Some(EndMarker { commit: true, coordinator_epoch: 0 }));
        assert_eq!(states.first_unstable_offset(2), Some(1), "the marker is not below the high watermark");
        assert_eq!(states.first_unstable_offset(3), None);
        states.undo(ended);
        assert_eq!(states.first_unstable_offset(3), Some(1));
        states.undo(opened);
        assert_eq!(states.entries, before.entries);
        assert_eq!(states.first_unstable_offset(3), None);
    }

    #[test]
    fn a_snapshot_keeps_the_last_batch_of_each_producer() {
        let states = after(&[batch(3, 0, 0, 3), batch(3, 3, 3, 2)]);
        let file = states.encode();
        let back = ProducerStates::decode(&file).expect("our own snapshot");
        assert!(back.duplicate_of(&batch(3, 3, 3, 2)).is_some());
        assert!(back.duplicate_of(&batch(3, 0, 0, 3)).is_none());
        for flipped in 0..file.len() {
            let mut bad = file.to_vec();
            bad[flipped] ^= 1;
            assert!(ProducerStates::decode(&bad).is_none(), "byte {flipped}");
        }
        assert!(ProducerStates::decode(&file[..file.len() - 1]).is_none());
    }

    #[test]
    fn producers_expire_by_their_last_timestamp() {
        let mut states = after(&[batch(0, 0, 0, 1)]);
        states.expire(1009, 1000);
        assert!(states.get(7).is_some());
        states.expire(1010, 1000);
        assert!(states.get(7).is_none());
    }
}
