//! The table of files, and how a store's ops become the keys of one transaction. No browser in here.

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_log::storage::{FileEntry, FileName, ReadRange, StoreError, StoreOp};

/// Appends of one turn to one file become one value up to this size.
const MAX_CHUNK: usize = 1024 * 1024;
/// Chunks below this are worth merging with their neighbours.
const SMALL_CHUNK: u32 = 256 * 1024;
/// A run of small chunks is merged when it holds so many bytes, or so many chunks.
const MERGE_BYTES: u32 = 256 * 1024;
const MERGE_CHUNKS: usize = 256;
/// So much is held for merging, in all files. Past it every run begins anew, and the chunks of the old ones stay small.
const HELD_BYTES: usize = 16 * 1024 * 1024;

/// Where a chunk lies: its file's id and its position in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkKey {
    pub file: u64,
    pub position: u64,
}

/// One key written or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Name {
        name: FileName,
        id: u64,
    },
    Unname {
        name: FileName,
    },
    Put {
        key: ChunkKey,
        parts: Vec<Bytes>,
    },
    /// The chunk keeps its first `len` bytes: whoever writes has to read it first.
    Cut {
        key: ChunkKey,
        len: u32,
    },
    Delete {
        key: ChunkKey,
    },
    /// Every chunk of the file at this position or after it.
    DeleteFrom {
        key: ChunkKey,
    },
}

/// What one transaction does, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteSet {
    pub changes: Vec<Change>,
    /// Somebody waits for the medium itself.
    pub sync: bool,
}

/// Every file of the store: what its transactions left behind, and what the planned one will.
#[derive(Clone, Debug, Default)]
pub struct Files {
    by_name: BTreeMap<FileName, File>,
    next_id: u64,
    /// Bytes that runs were given since all of them began anew: at least what they hold.
    held: usize,
}

/// Invariant: chunks are in order, without gaps, the first at position 0, none empty.
#[derive(Clone, Debug, Default)]
struct File {
    id: u64,
    chunks: Vec<Chunk>,
    run: Run,
}

/// Small chunks at a file's end, with their bytes, so that whoever adds the last one of them can write them as one.
#[derive(Clone, Debug, Default)]
struct Run {
    chunks: usize,
    len: u32,
    parts: Vec<Bytes>,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    position: u64,
    len: u32,
}

impl Files {
    /// The table of a store that was read: names, and each file's chunks as (position, length).
    pub fn read(names: Vec<(FileName, u64)>, mut chunks: BTreeMap<u64, Vec<(u64, u32)>>) -> Result<Self, String> {
        let mut files = Self::default();
        for (name, id) in names {
            let mut file = File { id, ..File::default() };
            for (position, len) in chunks.remove(&id).unwrap_or_default() {
                if position != file.len() {
                    return Err(format!("{name} has a gap before position {position}"));
                }
                file.chunks.push(Chunk { position, len });
            }
            files.next_id = files.next_id.max(id + 1);
            files.by_name.insert(name, file);
        }
        Ok(files)
    }

    pub fn list(&self, directory: &FileName) -> Vec<FileEntry> {
        self.by_name
            .iter()
            .filter(|(name, _)| name.is_below(directory))
            .map(|(name, file)| FileEntry { file: name.clone(), len: file.len() })
            .collect()
    }

    pub fn bytes(&self) -> u64 {
        self.by_name.values().map(File::len).sum()
    }

    /// The chunks that hold a range, in order; the range is cut at the file's end.
    pub fn locate(&self, range: &ReadRange) -> Result<Vec<ChunkKey>, StoreError> {
        let file = self.by_name.get(&range.file).ok_or_else(|| StoreError::NotFound(range.file.clone()))?;
        let end = range.position.saturating_add(range.len).min(file.len());
        if range.position >= end {
            return Ok(Vec::new());
        }
        let first = file.chunks.partition_point(|chunk| chunk.end() <= range.position);
        let last = file.chunks.partition_point(|chunk| chunk.position < end);
        Ok(file.chunks[first..last].iter().map(|chunk| ChunkKey { file: file.id, position: chunk.position }).collect())
    }

    /// Adds one op to the transaction in the making. An op that cannot be carried out changes nothing.
    pub fn plan(&mut self, op: StoreOp, set: &mut WriteSet) -> Result<(), StoreError> {
        if let StoreOp::Append { file: made, .. }
        | StoreOp::Replace { file: made, .. }
        | StoreOp::Rename { to: made, .. }
        | StoreOp::RenameDirectory { to: made, .. } = &op
            && !made.is_well_formed()
        {
            return Err(StoreError::Failed(format!("not a file's name: {made:?}")));
        }
        match op {
            StoreOp::Append { file, position, bytes } => return self.append(file, position, bytes, set),
            StoreOp::Truncate { file, len } => self.truncate(&file, len, set),
            StoreOp::Replace { file, bytes } => self.replace(file, bytes, set),
            StoreOp::Rename { from, to } => self.rename(&from, to, set),
            StoreOp::RenameDirectory { from, to } => {
                for name in self.below(&from) {
                    let rest = &name.as_str()[from.as_str().len() + 1..];
                    let renamed = to.join(rest);
                    self.rename(&name, renamed, set);
                }
            }
            StoreOp::Delete { file } => self.delete(&file, set),
            StoreOp::DeleteDirectory { directory } => {
                for name in self.below(&directory) {
                    self.delete(&name, set);
                }
            }
            StoreOp::Sync => set.sync = true,
        }
        Ok(())
    }

    fn append(&mut self, name: FileName, position: u64, bytes: Bytes, set: &mut WriteSet) -> Result<(), StoreError> {
        let len = self.by_name.get(&name).map_or(0, File::len);
        if position != len {
            return Err(StoreError::Failed(format!("{name} ends at {len}, not at {position}")));
        }
        if self.held + bytes.len() > HELD_BYTES {
            self.held = 0;
            self.by_name.values_mut().for_each(|file| file.run = Run::default());
        }
        self.held += bytes.len();
        let file = self.create(&name, set);
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(last) = file.chunks.last_mut() {
            let last_key = ChunkKey { file: file.id, position: last.position };
            let open = set.changes.iter_mut().rev().take(64).find_map(|change| match change {
                Change::Put { key, parts } if *key == last_key => Some(parts),
                _ => None,
            });
            if let Some(parts) = open
                && last.len as usize + bytes.len() <= MAX_CHUNK
            {
                parts.push(bytes.clone());
                last.len += bytes.len() as u32;
                file.last_chunk_grew(bytes);
                return Ok(());
            }
        }
        let key = ChunkKey { file: file.id, position };
        file.push(Chunk { position, len: bytes.len() as u32 }, bytes.clone());
        match file.merge() {
            Some((key, parts)) => {
                let next = ChunkKey { position: key.position + 1, ..key };
                set.changes.extend([Change::DeleteFrom { key: next }, Change::Put { key, parts }]);
            }
            None => set.changes.push(Change::Put { key, parts: vec![bytes] }),
        }
        Ok(())
    }

    fn truncate(&mut self, name: &FileName, len: u64, set: &mut WriteSet) {
        let Some(file) = self.by_name.get_mut(name).filter(|file| file.len() > len) else { return };
        let keep = file.chunks.partition_point(|chunk| chunk.end() <= len);
        let crossing = file.chunks[keep];
        file.chunks.truncate(keep);
        if crossing.position < len {
            let key = ChunkKey { file: file.id, position: crossing.position };
            let kept = (len - crossing.position) as u32;
            let next = ChunkKey { file: file.id, position: crossing.position + 1 };
            set.changes.push(Change::DeleteFrom { key: next });
            set.changes.push(cut(&set.changes, key, kept));
            file.chunks.push(Chunk { position: crossing.position, len: kept });
        } else {
            set.changes.push(Change::DeleteFrom { key: ChunkKey { file: file.id, position: len } });
        }
        file.run = Run::default();
    }

    fn replace(&mut self, name: FileName, bytes: Bytes, set: &mut WriteSet) {
        let file = self.create(&name, set);
        if !file.chunks.is_empty() {
            set.changes.push(Change::DeleteFrom { key: ChunkKey { file: file.id, position: 0 } });
            file.chunks.clear();
        }
        for (index, part) in chunks_of(&bytes).enumerate() {
            let position = (index * MAX_CHUNK) as u64;
            file.chunks.push(Chunk { position, len: part.len() as u32 });
            set.changes.push(Change::Put { key: ChunkKey { file: file.id, position }, parts: vec![part] });
        }
        file.run = Run::default();
    }

    fn rename(&mut self, from: &FileName, to: FileName, set: &mut WriteSet) {
        if *from == to || !self.by_name.contains_key(from) {
            return;
        }
        self.delete(&to, set);
        let file = self.by_name.remove(from).expect("looked up above");
        set.changes.push(Change::Unname { name: from.clone() });
        set.changes.push(Change::Name { name: to.clone(), id: file.id });
        self.by_name.insert(to, file);
    }

    fn delete(&mut self, name: &FileName, set: &mut WriteSet) {
        let Some(file) = self.by_name.remove(name) else { return };
        set.changes.push(Change::Unname { name: name.clone() });
        if !file.chunks.is_empty() {
            set.changes.push(Change::DeleteFrom { key: ChunkKey { file: file.id, position: 0 } });
        }
    }

    fn create(&mut self, name: &FileName, set: &mut WriteSet) -> &mut File {
        let next_id = &mut self.next_id;
        self.by_name.entry(name.clone()).or_insert_with(|| {
            let id = *next_id;
            *next_id += 1;
            set.changes.push(Change::Name { name: name.clone(), id });
            File { id, ..File::default() }
        })
    }

    fn below(&self, directory: &FileName) -> Vec<FileName> {
        self.by_name.keys().filter(|name| name.is_below(directory)).cloned().collect()
    }
}

/// A chunk shortened: from the bytes at hand if this very transaction writes it, else from the store.
fn cut(changes: &[Change], key: ChunkKey, len: u32) -> Change {
    let written = changes.iter().rev().find_map(|change| match change {
        Change::Put { key: put, parts } if *put == key => Some(parts),
        _ => None,
    });
    let Some(parts) = written else { return Change::Cut { key, len } };
    let mut left = len as usize;
    let mut kept = Vec::new();
    for part in parts {
        let take = part.len().min(left);
        if take > 0 {
            kept.push(part.slice(..take));
        }
        left -= take;
    }
    Change::Put { key, parts: kept }
}

fn chunks_of(bytes: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    (0..bytes.len()).step_by(MAX_CHUNK).map(|start| bytes.slice(start..(start + MAX_CHUNK).min(bytes.len())))
}

impl File {
    fn len(&self) -> u64 {
        self.chunks.last().map_or(0, Chunk::end)
    }

    fn push(&mut self, chunk: Chunk, bytes: Bytes) {
        self.chunks.push(chunk);
        self.run.chunks += 1;
        self.hold(chunk.len, bytes);
    }

    /// A chunk that is not part of the run stays out of it.
    fn last_chunk_grew(&mut self, bytes: Bytes) {
        if self.run.chunks > 0 {
            let len = self.chunks.last().map_or(0, |chunk| chunk.len);
            self.hold(len, bytes);
        }
    }

    /// Adds bytes to the run, whose last chunk now is so long.
    fn hold(&mut self, last_chunk: u32, bytes: Bytes) {
        if last_chunk < SMALL_CHUNK {
            self.run.len += bytes.len() as u32;
            self.run.parts.push(bytes);
        } else {
            self.run = Run::default();
        }
    }

    /// Makes one chunk of a run that is long enough, and says where it lies and what is in it.
    fn merge(&mut self) -> Option<(ChunkKey, Vec<Bytes>)> {
        let run = &self.run;
        if run.chunks < 2 || (run.len < MERGE_BYTES && run.chunks < MERGE_CHUNKS) {
            return None;
        }
        let first = self.chunks.len() - run.chunks;
        let merged = Chunk { position: self.chunks[first].position, len: run.len };
        let parts = run.parts.clone();
        self.chunks.truncate(first);
        self.chunks.push(merged);
        self.run.chunks = 1;
        if merged.len >= SMALL_CHUNK {
            self.run = Run::default();
        }
        Some((ChunkKey { file: self.id, position: merged.position }, parts))
    }
}

impl Chunk {
    const fn end(&self) -> u64 {
        self.position + self.len as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(name: &str, position: u64, bytes: &'static str) -> StoreOp {
        StoreOp::Append { file: name.into(), position, bytes: Bytes::from_static(bytes.as_bytes()) }
    }

    fn put(file: u64, position: u64, parts: &[&'static str]) -> Change {
        let parts = parts.iter().map(|part| Bytes::from_static(part.as_bytes())).collect();
        Change::Put { key: ChunkKey { file, position }, parts }
    }

    fn plan(files: &mut Files, ops: Vec<StoreOp>) -> Vec<Change> {
        let mut set = WriteSet::default();
        for op in ops {
            files.plan(op, &mut set).expect("can be carried out");
        }
        set.changes
    }

    #[test]
    fn appends_of_one_turn_are_one_value_and_later_ones_are_new_keys() {
        let mut files = Files::default();
        let name = Change::Name { name: "n1/a".into(), id: 0 };
        assert_eq!(
            plan(&mut files, vec![append("n1/a", 0, "one"), append("n1/a", 3, "two")]),
            [name, put(0, 0, &["one", "two"])]
        );
        assert_eq!(plan(&mut files, vec![append("n1/a", 6, "three")]), [put(0, 6, &["three"])]);
        assert_eq!(files.list(&"n1".into()), [FileEntry { file: "n1/a".into(), len: 11 }]);
    }

    #[test]
    fn an_append_that_is_not_at_the_end_is_refused_and_changes_nothing() {
        let mut files = Files::default();
        let mut set = WriteSet::default();
        assert!(files.plan(append("n1/a", 3, "x"), &mut set).is_err());
        assert_eq!((set, files.list(&"n1".into())), (WriteSet::default(), vec![]));
    }

    #[test]
    fn a_truncation_reads_what_was_written_before_and_cuts_what_is_being_written() {
        let mut files = Files::default();
        plan(&mut files, vec![append("n1/a", 0, "abcdef")]);
        let next = Change::DeleteFrom { key: ChunkKey { file: 0, position: 1 } };
        let cut = Change::Cut { key: ChunkKey { file: 0, position: 0 }, len: 4 };
        assert_eq!(plan(&mut files, vec![StoreOp::Truncate { file: "n1/a".into(), len: 4 }]), [next, cut]);
        let truncated =
            plan(&mut files, vec![append("n1/a", 4, "gh"), StoreOp::Truncate { file: "n1/a".into(), len: 5 }]);
        assert_eq!(truncated.last(), Some(&put(0, 4, &["g"])));
        assert_eq!(plan(&mut files, vec![StoreOp::Truncate { file: "n1/a".into(), len: 9 }]), []);
    }

    #[test]
    fn a_rename_moves_a_name_and_no_bytes() {
        let mut files = Files::default();
        plan(&mut files, vec![append("n1/a/x", 0, "x"), append("n1/b/x", 0, "old")]);
        let renamed = plan(&mut files, vec![StoreOp::RenameDirectory { from: "n1/a".into(), to: "n1/b".into() }]);
        assert_eq!(
            renamed,
            [
                Change::Unname { name: "n1/b/x".into() },
                Change::DeleteFrom { key: ChunkKey { file: 1, position: 0 } },
                Change::Unname { name: "n1/a/x".into() },
                Change::Name { name: "n1/b/x".into(), id: 0 },
            ]
        );
        assert_eq!(files.list(&"n1".into()), [FileEntry { file: "n1/b/x".into(), len: 1 }]);
    }

    #[test]
    fn a_file_made_anew_never_shares_keys_with_the_deleted_one() {
        let mut files = Files::default();
        plan(&mut files, vec![append("n1/a", 0, "x")]);
        let changes = plan(&mut files, vec![StoreOp::Delete { file: "n1/a".into() }, append("n1/a", 0, "y")]);
        assert_eq!(changes.last(), Some(&put(1, 0, &["y"])));
    }

    #[test]
    fn ranges_find_their_chunks() {
        let mut files = Files::default();
        for (position, text) in [(0, "abc"), (3, "def"), (6, "ghi")] {
            plan(&mut files, vec![append("n1/a", position, text)]);
        }
        let locate = |position, len| {
            let range = ReadRange { file: "n1/a".into(), position, len };
            files.locate(&range).unwrap().iter().map(|key| key.position).collect::<Vec<_>>()
        };
        assert_eq!(locate(0, 3), [0]);
        assert_eq!(locate(2, 2), [0, 3]);
        assert_eq!(locate(4, u64::MAX), [3, 6]);
        assert_eq!(locate(9, 5), []);
        assert_eq!(locate(4, 0), []);
        let absent = ReadRange { file: "n1/b".into(), position: 0, len: 1 };
        assert_eq!(files.locate(&absent), Err(StoreError::NotFound("n1/b".into())));
    }

    /// Appends "x" so often, each time in a transaction of its own; the last transaction.
    fn append_often(files: &mut Files, times: usize) -> Vec<Change> {
        let from = files.list(&"n1".into()).first().map_or(0, |entry| entry.len);
        let positions = from..from + times as u64;
        positions.map(|position| plan(files, vec![append("n1/a", position, "x")])).last().expect("some")
    }

    #[test]
    fn the_append_that_makes_a_run_long_enough_writes_it_as_one_chunk() {
        let mut files = Files::default();
        append_often(&mut files, MERGE_CHUNKS - 1);
        let merging = append_often(&mut files, 1);
        let next = Change::DeleteFrom { key: ChunkKey { file: 0, position: 1 } };
        assert_eq!(merging, [next, put(0, 0, &["x"; MERGE_CHUNKS])]);
        let whole = ReadRange { file: "n1/a".into(), position: 5, len: 1 };
        assert_eq!(files.locate(&whole).unwrap(), [ChunkKey { file: 0, position: 0 }]);
        assert_eq!(append_often(&mut files, 1), [put(0, MERGE_CHUNKS as u64, &["x"])]);
        assert_eq!(files.list(&"n1".into())[0].len, MERGE_CHUNKS as u64 + 1);
    }

    #[test]
    fn a_merged_chunk_that_is_still_small_begins_the_next_run() {
        let mut files = Files::default();
        append_often(&mut files, MERGE_CHUNKS);
        let merging = append_often(&mut files, MERGE_CHUNKS - 1);
        assert_eq!(merging.last(), Some(&put(0, 0, &["x"; 2 * MERGE_CHUNKS - 1])));
    }

    #[test]
    fn a_merge_takes_in_what_grew_within_a_transaction() {
        let mut files = Files::default();
        plan(&mut files, vec![append("n1/a", 0, "a"), append("n1/a", 1, "b")]);
        let merging = append_often(&mut files, MERGE_CHUNKS - 1);
        let parts: Vec<&str> = ["a", "b"].into_iter().chain(["x"; MERGE_CHUNKS - 1]).collect();
        assert_eq!(merging.last(), Some(&put(0, 0, &parts)));
    }

    #[test]
    fn a_run_begins_anew_behind_a_large_chunk_a_truncation_and_a_store_that_was_read() {
        const LARGE: &str = match str::from_utf8(&[b'l'; SMALL_CHUNK as usize]) {
            Ok(text) => text,
            Err(_) => unreachable!(),
        };
        let mut files = Files::default();
        append_often(&mut files, 1);
        plan(&mut files, vec![append("n1/a", 1, LARGE)]);
        let position = |files: &Files| files.list(&"n1".into())[0].len;
        for shortened in [false, true] {
            if shortened {
                plan(&mut files, vec![StoreOp::Truncate { file: "n1/a".into(), len: 10 }]);
            }
            let first = position(&files);
            let merging = append_often(&mut files, MERGE_CHUNKS);
            assert_eq!(merging.last(), Some(&put(0, first, &["x"; MERGE_CHUNKS])));
        }
        let chunks = BTreeMap::from([(0, (0..MERGE_CHUNKS as u64).map(|position| (position, 1)).collect())]);
        let mut files = Files::read(vec![("n1/a".into(), 0)], chunks).expect("no gap");
        assert_eq!(append_often(&mut files, 1), [put(0, MERGE_CHUNKS as u64, &["x"])]);
    }

    #[test]
    fn what_is_held_for_merging_is_bounded() {
        const MIB: &[u8] = &[0; 1 << 20];
        let mut files = Files::default();
        append_often(&mut files, MERGE_CHUNKS - 1);
        for mib in 0..=(HELD_BYTES / MIB.len()) as u64 {
            let op = StoreOp::Append {
                file: "n1/b".into(),
                position: mib * MIB.len() as u64,
                bytes: Bytes::from_static(MIB),
            };
            plan(&mut files, vec![op]);
        }
        assert_eq!(append_often(&mut files, 1), [put(0, MERGE_CHUNKS as u64 - 1, &["x"])]);
    }

    #[test]
    fn a_store_with_a_gap_is_refused() {
        let chunks = BTreeMap::from([(0, vec![(0, 3), (4, 1)])]);
        assert!(Files::read(vec![("n1/a".into(), 0)], chunks).is_err());
    }
}
