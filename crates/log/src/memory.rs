//! The store that keeps its files in memory, and the model of a crash.
//!
//! A clone is cheap: the bytes are shared, a map of files is copied.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use shore_base::Random;
use shore_base::collections::BTreeMap;

use crate::storage::{FileEntry, FileName, ReadRange, StoreError, StoreOp, StoreReply, StoreRequest};

/// Named files in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    files: BTreeMap<FileName, Arc<File>>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn carry_out(&mut self, request: StoreRequest) -> StoreReply {
        match request {
            StoreRequest::Store { token, ops } => {
                StoreReply::Stored { token, result: ops.into_iter().try_for_each(|op| self.apply(op)) }
            }
            StoreRequest::Load { token, reads } => {
                StoreReply::Loaded { token, result: reads.iter().map(|range| self.read(range)).collect() }
            }
            StoreRequest::List { token, directory } => StoreReply::Listed { token, result: Ok(self.list(&directory)) },
        }
    }

    pub fn apply(&mut self, op: StoreOp) -> Result<(), StoreError> {
        match op {
            StoreOp::Append { file, position, bytes } => {
                check_name(&file)?;
                let end = self.files.get(&file).map_or(0, |held| held.len);
                if position != end {
                    return Err(StoreError::Failed(format!("append at {position} to {file}, which ends at {end}")));
                }
                Arc::make_mut(self.files.entry(file).or_default()).append(bytes);
            }
            StoreOp::Truncate { file, len } => {
                if let Some(held) = self.files.get_mut(&file) {
                    Arc::make_mut(held).truncate(len);
                }
            }
            StoreOp::Replace { file, bytes } => {
                check_name(&file)?;
                let mut held = File::default();
                held.append(bytes);
                self.files.insert(file, Arc::new(held));
            }
            StoreOp::Rename { from, to } => {
                check_name(&to)?;
                if let Some(held) = self.files.remove(&from) {
                    self.files.insert(to, held);
                }
            }
            StoreOp::RenameDirectory { from, to } => {
                check_name(&to)?;
                for name in self.below(&from) {
                    let rest = &name.as_str()[from.as_str().len() + 1..];
                    if let Some(held) = self.files.remove(&name) {
                        self.files.insert(to.join(rest), held);
                    }
                }
            }
            StoreOp::Delete { file } => {
                self.files.remove(&file);
            }
            StoreOp::DeleteDirectory { directory } => {
                for name in self.below(&directory) {
                    self.files.remove(&name);
                }
            }
            StoreOp::Sync => {}
        }
        Ok(())
    }

    pub fn read(&self, range: &ReadRange) -> Result<Bytes, StoreError> {
        let file = self.files.get(&range.file).ok_or_else(|| StoreError::NotFound(range.file.clone()))?;
        Ok(file.read(range.position, range.len))
    }

    /// The files below a directory, by name.
    pub fn list(&self, directory: &FileName) -> Vec<FileEntry> {
        self.files_below(directory).map(|(file, held)| FileEntry { file: file.clone(), len: held.len }).collect()
    }

    /// Bytes in all files.
    pub fn size_bytes(&self) -> u64 {
        self.files.values().map(|file| file.len).sum()
    }

    fn below(&self, directory: &FileName) -> Vec<FileName> {
        self.files_below(directory).map(|(name, _)| name.clone()).collect()
    }

    fn files_below<'a>(&'a self, directory: &'a FileName) -> impl Iterator<Item = (&'a FileName, &'a Arc<File>)> {
        // Names below `a/b` are those between `a/b/` and `a/b0`: '0' follows '/'.
        let first = FileName::new(format!("{directory}/"));
        let past = FileName::new(format!("{directory}0"));
        self.files.range(first..past)
    }
}

fn check_name(file: &FileName) -> Result<(), StoreError> {
    if file.is_well_formed() { Ok(()) } else { Err(StoreError::Failed(format!("not a file's name: {file:?}"))) }
}

/// A file as the slices that were appended to it, by their positions.
#[derive(Clone, Debug, Default)]
struct File {
    parts: Vec<(u64, Bytes)>,
    len: u64,
}

impl File {
    fn append(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            let len = bytes.len() as u64;
            self.parts.push((self.len, bytes));
            self.len += len;
        }
    }

    fn truncate(&mut self, len: u64) {
        if len >= self.len {
            return;
        }
        let kept = self.parts.partition_point(|(start, _)| *start < len);
        self.parts.truncate(kept);
        if let Some((start, bytes)) = self.parts.last_mut() {
            bytes.truncate((len - *start) as usize);
        }
        self.len = len;
    }

    /// One slice where the range lies in one appended part, a copy otherwise.
    fn read(&self, position: u64, len: u64) -> Bytes {
        let end = self.len.min(position.saturating_add(len));
        if position >= end {
            return Bytes::new();
        }
        let first = self.parts.partition_point(|(start, _)| *start <= position) - 1;
        let (start, bytes) = &self.parts[first];
        if end <= start + bytes.len() as u64 {
            return bytes.slice((position - start) as usize..(end - start) as usize);
        }
        let mut joined = BytesMut::with_capacity((end - position) as usize);
        for (start, bytes) in &self.parts[first..] {
            if *start >= end {
                break;
            }
            let from = position.saturating_sub(*start) as usize;
            let to = (end - start).min(bytes.len() as u64) as usize;
            joined.extend_from_slice(&bytes[from..to]);
        }
        joined.freeze()
    }
}

/// A store that can lose power: it remembers what was carried out since the last completed sync.
#[derive(Clone, Debug, Default)]
pub struct CrashingStore {
    synced: MemoryStore,
    /// Carried out since, in order.
    unsynced: Vec<StoreOp>,
    current: MemoryStore,
}

impl CrashingStore {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn carry_out(&mut self, request: StoreRequest) -> StoreReply {
        if let StoreRequest::Store { token, ops } = request {
            StoreReply::Stored { token, result: ops.into_iter().try_for_each(|op| self.apply(op)) }
        } else {
            self.current.carry_out(request)
        }
    }

    pub fn apply(&mut self, op: StoreOp) -> Result<(), StoreError> {
        self.current.apply(op.clone())?;
        if op == StoreOp::Sync {
            self.synced = self.current.clone();
            self.unsynced.clear();
        } else {
            self.unsynced.push(op);
        }
        Ok(())
    }

    pub fn current(&self) -> &MemoryStore {
        &self.current
    }

    /// How many ops a crash may take back.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Loses power: a random prefix of the ops since the last sync survives, its last append possibly
    /// torn. What is there afterwards counts as synced.
    pub fn crash(&mut self, random: &mut Random) {
        let kept = random.below(self.unsynced.len() as u64 + 1) as usize;
        let torn = match self.unsynced.get(kept) {
            Some(StoreOp::Append { bytes, .. }) => random.below(bytes.len() as u64 + 1) as usize,
            _ => 0,
        };
        self.crash_at(kept, torn);
    }

    /// Loses power so that `kept` of the ops since the last sync survive, and `torn` bytes of the
    /// append after them, if it is one.
    pub fn crash_at(&mut self, kept: usize, torn: usize) {
        let mut ops = std::mem::take(&mut self.unsynced).into_iter();
        let mut survivor = std::mem::take(&mut self.synced);
        let survives = "an op that was carried out once can be carried out again";
        for op in ops.by_ref().take(kept) {
            survivor.apply(op).expect(survives);
        }
        if let Some(StoreOp::Append { file, position, bytes }) = ops.next().filter(|_| torn > 0) {
            let bytes = bytes.slice(..torn.min(bytes.len()));
            survivor.apply(StoreOp::Append { file, position, bytes }).expect(survives);
        }
        self.current = survivor.clone();
        self.synced = survivor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Token;
    use crate::suite;

    #[test]
    fn the_memory_store_passes_the_suite() {
        let count = suite::run(MemoryStore::new, MemoryStore::carry_out, |store| store);
        assert!(count.expect("the suite") > 20);
    }

    #[test]
    fn the_crashing_store_passes_the_suite() {
        let reopened = |mut store: CrashingStore| {
            store.crash_at(store.unsynced(), 0);
            store
        };
        suite::run(CrashingStore::new, CrashingStore::carry_out, reopened).expect("the suite");
    }

    #[test]
    fn a_crash_keeps_a_prefix_and_tears_only_the_append_after_it() {
        let append = |position, text: &'static str| StoreOp::Append {
            file: "f".into(),
            position,
            bytes: Bytes::from_static(text.as_bytes()),
        };
        let ops = vec![
            append(0, "abc"),
            StoreOp::Sync,
            append(3, "def"),
            StoreOp::Replace { file: "g".into(), bytes: Bytes::from_static(b"new") },
            append(6, "ghi"),
        ];
        let mut before = CrashingStore::new();
        before.carry_out(StoreRequest::Store { token: Token(1), ops });
        let after = |kept, torn| {
            let mut store = before.clone();
            store.crash_at(kept, torn);
            let len = |file: &str| {
                store
                    .current()
                    .read(&ReadRange { file: file.into(), position: 0, len: 99 })
                    .map_or(0, |bytes| bytes.len())
            };
            (len("f"), len("g"))
        };
        assert_eq!(after(0, 0), (3, 0));
        assert_eq!(after(0, 2), (5, 0));
        assert_eq!(after(1, 2), (6, 0), "a replacement is never torn");
        assert_eq!(after(2, 1), (7, 3));
        assert_eq!(after(3, 0), (9, 3));
    }
}
