//! Disks. A node's disk is either a real store outside of the world or a model carried out in it:
//! every request takes virtual time, and a crash leaves what a real disk may leave.

use std::collections::VecDeque;

use core::time::Duration;
use shore_base::collections::BTreeMap;
use shore_base::{Instant, Random};
use shore_log::memory::MemoryStore;
use shore_log::storage::{FileName, StoreError, StoreOp, StoreReply, StoreRequest};

/// Where a node's files are.
#[derive(Clone, Debug)]
pub enum Disk {
    /// Carried out in the world.
    Model(DiskModel),
    /// Carried out by the host: requests leave through [`crate::Outward::Store`].
    External,
}

/// How a modelled disk behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskModel {
    /// What a request costs however small it is.
    pub latency: Duration,
    /// What a sync costs on top.
    pub sync: Duration,
    /// Bytes carried per millisecond.
    pub bytes_per_ms: u64,
    /// Bytes that fit.
    pub capacity: Option<u64>,
    pub fault: Option<DiskFault>,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// No space is left, whatever the capacity.
    Full,
    /// Every request fails. Of what should have been stored, any prefix is, the last append of it possibly torn.
    Failing,
}

impl Default for DiskModel {
    /// A middling SSD.
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(100),
            sync: Duration::from_millis(1),
            bytes_per_ms: 500_000,
            capacity: None,
            fault: None,
        }
    }
}

/// How much of what was not synced the operating system keeps back before it writes it on its own.
const DIRTY_OPS: usize = 4_096;
const DIRTY_BYTES: u64 = 8 << 20;

/// A disk at work.
#[derive(Clone)]
pub(crate) struct ModelDisk {
    pub model: DiskModel,
    /// What a reader sees: every op that was carried out.
    seen: Image,
    /// What survives a loss of power for certain.
    synced: Image,
    /// What was carried out since: `synced` and then these give `seen`.
    dirty: VecDeque<StoreOp>,
    dirty_bytes: u64,
    under_way: VecDeque<StoreRequest>,
    busy_until: Instant,
    calls: u64,
    crash_at_call: Option<u64>,
}

/// What a submitted request leads to.
pub(crate) enum Submitted {
    DoneAt(Instant),
    /// The machine is to crash with this request under way.
    Crash,
}

impl ModelDisk {
    pub fn new(model: DiskModel) -> Self {
        Self {
            model,
            seen: Image::default(),
            synced: Image::default(),
            dirty: VecDeque::new(),
            dirty_bytes: 0,
            under_way: VecDeque::new(),
            busy_until: Instant::ZERO,
            calls: 0,
            crash_at_call: None,
        }
    }

    /// How many requests it was ever given.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Asks for a crash while the request that is `calls` ahead is under way.
    pub fn crash_in(&mut self, calls: u64) {
        self.crash_at_call = Some(self.calls + calls.max(1));
    }

    pub fn used_bytes(&self) -> u64 {
        self.seen.sizes.total
    }

    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub fn submit(&mut self, now: Instant, request: StoreRequest) -> Submitted {
        self.calls += 1;
        let cost = self.cost(&request);
        self.under_way.push_back(request);
        if self.crash_at_call.is_some_and(|call| self.calls >= call) {
            self.crash_at_call = None;
            return Submitted::Crash;
        }
        self.busy_until = self.busy_until.max(now) + cost;
        Submitted::DoneAt(self.busy_until)
    }

    fn cost(&self, request: &StoreRequest) -> Duration {
        let (bytes, syncs) = match request {
            StoreRequest::Store { ops, .. } => {
                (ops.iter().map(op_bytes).sum(), ops.iter().filter(|op| matches!(op, StoreOp::Sync)).count() as u32)
            }
            // A range may claim more than there is.
            StoreRequest::Load { reads, .. } => {
                (reads.iter().map(|read| read.len.min(self.seen.sizes.of(&read.file))).sum::<u64>(), 0)
            }
            StoreRequest::List { .. } => (0, 0),
        };
        let carried = Duration::from_micros(bytes.saturating_mul(1_000) / self.model.bytes_per_ms.max(1));
        self.model.latency + carried + self.model.sync * syncs
    }

    /// Carries out the oldest request. The random numbers say what a failing disk does.
    pub fn complete(&mut self, random: &mut Random) -> Option<StoreReply> {
        let request = self.under_way.pop_front()?;
        if self.model.fault == Some(DiskFault::Failing) {
            let reply = failed(&request, StoreError::Failed("the disk fails".into()));
            if let StoreRequest::Store { ops, .. } = request {
                // What cannot be carried out ends the prefix; the request fails in any case.
                let _ = surviving_prefix(ops, random).into_iter().try_for_each(|op| self.carry_out(op));
            }
            return Some(reply);
        }
        match request {
            StoreRequest::Store { token, ops } => {
                let fit = self.fitting(&ops);
                let all_fit = fit == ops.len();
                let result = ops.into_iter().take(fit).try_for_each(|op| self.carry_out(op));
                let full = || Err(StoreError::Full(format!("{} bytes are used", self.used_bytes())));
                let result = if all_fit { result } else { result.and_then(|()| full()) };
                Some(StoreReply::Stored { token, result })
            }
            other => Some(self.seen.store.carry_out(other)),
        }
    }

    /// How many of the ops there is space for.
    fn fitting(&self, ops: &[StoreOp]) -> usize {
        let capacity = match (self.model.fault, self.model.capacity) {
            (Some(DiskFault::Full), _) => self.used_bytes(),
            (_, Some(capacity)) => capacity,
            _ => return ops.len(),
        };
        let mut sizes = self.seen.sizes.clone();
        let overflows = |op: &StoreOp| {
            let before = sizes.total;
            sizes.apply(op);
            sizes.total > capacity && sizes.total > before
        };
        ops.iter().position(overflows).unwrap_or(ops.len())
    }

    fn carry_out(&mut self, op: StoreOp) -> Result<(), StoreError> {
        if matches!(op, StoreOp::Sync) {
            for op in self.dirty.drain(..) {
                self.synced.apply(op).expect("it was carried out once");
            }
            self.dirty_bytes = 0;
            return Ok(());
        }
        self.seen.apply(op.clone())?;
        self.dirty_bytes += op_bytes(&op);
        self.dirty.push_back(op);
        while self.dirty.len() > DIRTY_OPS || self.dirty_bytes > DIRTY_BYTES {
            let Some(op) = self.dirty.pop_front() else { break };
            self.dirty_bytes -= op_bytes(&op);
            self.synced.apply(op).expect("it was carried out once");
        }
        Ok(())
    }

    /// The process is killed: what was carried out stays, and of what was under way any prefix, the last
    /// append of it possibly torn.
    pub fn kill(&mut self, random: &mut Random) {
        let ops = self.abandon();
        for op in surviving_prefix(ops, random) {
            // What would have been refused leaves no trace.
            let _ = self.carry_out(op);
        }
    }

    /// The power is gone: any prefix of what was not synced stays, the last append of it possibly torn.
    pub fn lose_power(&mut self, random: &mut Random) {
        let mut ops: Vec<StoreOp> = core::mem::take(&mut self.dirty).into();
        self.dirty_bytes = 0;
        ops.extend(self.abandon());
        for op in surviving_prefix(ops, random) {
            // What would have been refused leaves no trace.
            let _ = self.synced.apply(op);
        }
        self.seen = self.synced.clone();
    }

    /// Forgets what is under way and returns its ops.
    fn abandon(&mut self) -> Vec<StoreOp> {
        self.busy_until = Instant::ZERO;
        let mut ops = Vec::new();
        for request in self.under_way.drain(..) {
            if let StoreRequest::Store { ops: more, .. } = request {
                ops.extend(more);
            }
        }
        ops
    }
}

/// A random prefix of the ops; if it ends in an append, that may be torn.
fn surviving_prefix(mut ops: Vec<StoreOp>, random: &mut Random) -> Vec<StoreOp> {
    let keep = random.below(ops.len() as u64 + 1) as usize;
    ops.truncate(keep);
    if let Some(StoreOp::Append { bytes, .. }) = ops.last_mut()
        && random.percent(50)
    {
        bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
    }
    ops
}

fn failed(request: &StoreRequest, error: StoreError) -> StoreReply {
    match request {
        StoreRequest::Store { token, .. } => StoreReply::Stored { token: *token, result: Err(error) },
        StoreRequest::Load { token, .. } => StoreReply::Loaded { token: *token, result: Err(error) },
        StoreRequest::List { token, .. } => StoreReply::Listed { token: *token, result: Err(error) },
    }
}

fn op_bytes(op: &StoreOp) -> u64 {
    match op {
        StoreOp::Append { bytes, .. } | StoreOp::Replace { bytes, .. } => bytes.len() as u64,
        _ => 0,
    }
}

/// The files as they are at one moment.
#[derive(Clone, Default)]
struct Image {
    store: MemoryStore,
    sizes: Sizes,
}

impl Image {
    fn apply(&mut self, op: StoreOp) -> Result<(), StoreError> {
        self.store.apply(op.clone())?;
        self.sizes.apply(&op);
        Ok(())
    }
}

/// The files' lengths, so that a full disk is noticed without asking the store.
#[derive(Clone, Debug, Default)]
struct Sizes {
    files: BTreeMap<FileName, u64>,
    total: u64,
}

impl Sizes {
    fn of(&self, file: &FileName) -> u64 {
        self.files.get(file).copied().unwrap_or(0)
    }

    fn set(&mut self, file: &FileName, len: u64) {
        self.total -= self.of(file);
        self.total += len;
        self.files.insert(file.clone(), len);
    }

    fn remove(&mut self, file: &FileName) -> Option<u64> {
        let len = self.files.remove(file)?;
        self.total -= len;
        Some(len)
    }

    fn below(&self, directory: &FileName) -> Vec<FileName> {
        self.files.keys().filter(|file| file.is_below(directory)).cloned().collect()
    }

    fn apply(&mut self, op: &StoreOp) {
        match op {
            StoreOp::Append { file, position, bytes } => self.set(file, position + bytes.len() as u64),
            StoreOp::Truncate { file, len } => {
                if self.of(file) > *len {
                    self.set(file, *len);
                }
            }
            StoreOp::Replace { file, bytes } => self.set(file, bytes.len() as u64),
            StoreOp::Rename { from, to } => {
                if let Some(len) = self.remove(from) {
                    self.set(to, len);
                }
            }
            StoreOp::RenameDirectory { from, to } => {
                for file in self.below(from) {
                    if let Some(len) = self.remove(&file) {
                        let rest = &file.as_str()[from.as_str().len() + 1..];
                        self.set(&to.join(rest), len);
                    }
                }
            }
            StoreOp::Delete { file } => {
                self.remove(file);
            }
            StoreOp::DeleteDirectory { directory } => {
                for file in self.below(directory) {
                    self.remove(&file);
                }
            }
            StoreOp::Sync => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shore_log::storage::{ReadRange, Token};

    use super::*;

    fn append(position: u64, bytes: &'static [u8]) -> StoreOp {
        StoreOp::Append { file: "n1/d0/f".into(), position, bytes: Bytes::from_static(bytes) }
    }

    fn store(disk: &mut ModelDisk, token: u64, ops: Vec<StoreOp>) -> Instant {
        match disk.submit(Instant::ZERO, StoreRequest::Store { token: Token(token), ops }) {
            Submitted::DoneAt(at) => at,
            Submitted::Crash => panic!("nobody asked for a crash"),
        }
    }

    fn content(disk: &mut ModelDisk) -> Bytes {
        let read = ReadRange { file: "n1/d0/f".into(), position: 0, len: 1_000 };
        match disk.seen.store.carry_out(StoreRequest::Load { token: Token(0), reads: vec![read] }) {
            StoreReply::Loaded { result: Ok(found), .. } => found[0].clone(),
            _ => Bytes::new(),
        }
    }

    fn done(disk: &mut ModelDisk) -> Result<(), StoreError> {
        match disk.complete(&mut Random::stream(0, "disk")) {
            Some(StoreReply::Stored { result, .. }) => result,
            other => panic!("a store was under way, not {other:?}"),
        }
    }

    #[test]
    fn requests_take_their_time_one_after_the_other() {
        let mut disk = ModelDisk::new(DiskModel::default());
        let first = store(&mut disk, 1, vec![append(0, b"abc")]);
        let second = store(&mut disk, 2, vec![StoreOp::Sync]);
        assert!(Instant::ZERO < first && first < second);
        assert_eq!(content(&mut disk), "");
        assert_eq!(done(&mut disk), Ok(()));
        assert_eq!(content(&mut disk), "abc");
    }

    #[test]
    fn a_kill_leaves_what_was_done_and_a_prefix_of_what_was_not() {
        let mut seen = shore_base::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut disk = ModelDisk::new(DiskModel::default());
            store(&mut disk, 1, vec![append(0, b"done-")]);
            assert_eq!(done(&mut disk), Ok(()));
            store(&mut disk, 2, vec![append(5, b"one"), append(8, b"two")]);
            disk.kill(&mut Random::stream(seed, "crash"));
            let left = content(&mut disk);
            assert!(b"done-onetwo".starts_with(&left) && left.starts_with(b"done-"), "{left:?}");
            seen.insert(left);
        }
        assert_eq!(seen.len(), 7, "every prefix occurs");
    }

    #[test]
    fn a_loss_of_power_takes_only_what_was_not_synced() {
        let mut lost = 0;
        for seed in 0..200 {
            let mut disk = ModelDisk::new(DiskModel::default());
            store(&mut disk, 1, vec![append(0, b"safe-"), StoreOp::Sync]);
            assert_eq!(done(&mut disk), Ok(()));
            store(&mut disk, 2, vec![append(5, b"gone")]);
            assert_eq!(done(&mut disk), Ok(()));
            disk.lose_power(&mut Random::stream(seed, "crash"));
            let left = content(&mut disk);
            assert!(b"safe-gone".starts_with(&left) && left.starts_with(b"safe-"), "{left:?}");
            assert_eq!(disk.used_bytes(), left.len() as u64);
            lost += u32::from(left.len() < 9);
        }
        assert!(lost > 0);
    }

    #[test]
    fn a_failing_disk_leaves_a_prefix_of_what_it_refused() {
        let mut seen = shore_base::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut disk = ModelDisk::new(DiskModel { fault: Some(DiskFault::Failing), ..DiskModel::default() });
            store(&mut disk, 1, vec![append(0, b"one"), append(3, b"two"), StoreOp::Sync]);
            let reply = disk.complete(&mut Random::stream(seed, "disk"));
            assert!(matches!(reply, Some(StoreReply::Stored { result: Err(StoreError::Failed(_)), .. })), "{reply:?}");
            let left = content(&mut disk);
            assert!(b"onetwo".starts_with(&left), "{left:?}");
            seen.insert(left);
        }
        assert_eq!(seen.len(), 7, "every prefix occurs");
    }

    #[test]
    fn a_full_disk_takes_what_frees_space_and_nothing_more() {
        let mut disk = ModelDisk::new(DiskModel { capacity: Some(4), ..DiskModel::default() });
        store(&mut disk, 1, vec![append(0, b"abc"), append(3, b"def")]);
        assert!(matches!(done(&mut disk), Err(StoreError::Full(_))));
        assert_eq!(content(&mut disk), "abc");
        store(&mut disk, 2, vec![StoreOp::Truncate { file: "n1/d0/f".into(), len: 1 }, append(1, b"xyz")]);
        assert_eq!(done(&mut disk), Ok(()));
        assert_eq!(content(&mut disk), "axyz");
    }
}
