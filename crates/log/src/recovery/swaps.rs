//! Swaps of segments that a crash interrupted: they are completed, or dropped where they had not begun.
//!
//! The rules are Apache Kafka's. A `.cleaned` file was being written, and a `.swap` file at or above the
//! lowest of these is not whole either: both go. What is left of `.swap` takes the place of every segment
//! that begins within it.

use std::collections::VecDeque;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_wire::batch::BATCH_HEADER;

use crate::clean::{CLEANED_SUFFIX, SWAP_SUFFIX};
use crate::header::BatchHeader;
use crate::index::{Entry, OffsetEntry};
use crate::segment::Kind;
use crate::storage::{FileEntry, FileName, ReadRange, StoreOp};

#[derive(Clone, Debug)]
pub(super) struct Swaps {
    /// All files that stay, those to be swapped in among them.
    files: Vec<FileEntry>,
    /// Segments whose end is not known yet.
    pending: VecDeque<SwapLog>,
    /// The offsets of those whose end is.
    from: i64,
    to: i64,
    ops: Vec<StoreOp>,
}

/// A `.log.swap` file whose last batch is looked for.
#[derive(Clone, Debug)]
struct SwapLog {
    base: i64,
    file: FileName,
    len: u64,
    /// The last entry of its index, until it was read.
    hint: Option<ReadRange>,
    position: u64,
    end: i64,
}

/// What the recovery goes on with.
pub(super) struct Swapped {
    pub files: Vec<FileEntry>,
    /// Under which names the files still are that the ops rename.
    pub aliases: BTreeMap<FileName, FileName>,
    pub ops: Vec<StoreOp>,
}

const SCAN_BYTES: u64 = 1 << 20;

fn stripped(entry: &FileEntry, suffix: &str) -> Option<(FileName, i64, Kind)> {
    let name = entry.file.as_str().strip_suffix(suffix)?;
    let name = FileName::new(name);
    let (base, kind) = Kind::parse(name.base_name())?;
    Some((name, base, kind))
}

impl Swaps {
    pub fn new(files: &[FileEntry]) -> Self {
        let lowest_cleaned = files.iter().filter_map(|entry| stripped(entry, CLEANED_SUFFIX)).map(|(_, base, _)| base);
        let lowest_cleaned = lowest_cleaned.min().unwrap_or(i64::MAX);
        let is_unfinished = |entry: &FileEntry| {
            stripped(entry, CLEANED_SUFFIX).is_some()
                || stripped(entry, SWAP_SUFFIX).is_some_and(|(_, base, _)| base >= lowest_cleaned)
        };
        let (unfinished, files): (Vec<FileEntry>, Vec<FileEntry>) = files.iter().cloned().partition(is_unfinished);
        let ops = unfinished.into_iter().map(|entry| StoreOp::Delete { file: entry.file }).collect();
        let pending = files.iter().filter_map(|entry| match stripped(entry, SWAP_SUFFIX)? {
            (name, base, Kind::Log) => Some(SwapLog {
                base,
                file: entry.file.clone(),
                len: entry.len,
                hint: last_entry(&files, &name),
                position: 0,
                end: base,
            }),
            _ => None,
        });
        let pending = pending.collect();
        Self { files, pending, from: i64::MAX, to: i64::MIN, ops }
    }

    /// What to load next; nothing once all ends are known.
    pub fn want(&self) -> Option<ReadRange> {
        let log = self.pending.front()?;
        let rest = ReadRange { file: log.file.clone(), position: log.position, len: SCAN_BYTES };
        Some(log.hint.clone().unwrap_or(rest))
    }

    pub fn feed(&mut self, bytes: &Bytes) {
        let Some(log) = self.pending.front_mut() else { return };
        if log.hint.take().is_some() {
            if bytes.len() == OffsetEntry::LEN {
                log.position = OffsetEntry::decode(bytes).position.into();
            }
            return;
        }
        let end = log.end;
        let mut rest = &bytes[..];
        while let Some(header) = rest.first_chunk::<BATCH_HEADER>().and_then(BatchHeader::parse) {
            if header.base_offset < log.end {
                break;
            }
            log.end = header.last_offset + 1;
            log.position += u64::from(header.size);
            rest = rest.get(header.size as usize..).unwrap_or(&[]);
        }
        // Where an index does not fit its segment, the segment is looked through from its beginning.
        if log.end == end && log.position > 0 && end == log.base {
            log.position = 0;
        } else if log.end == end || log.position >= log.len {
            (self.from, self.to) = (self.from.min(log.base), self.to.max(log.end));
            self.pending.pop_front();
        }
    }

    pub fn finish(self) -> Swapped {
        let Self { files, from, to, mut ops, .. } = self;
        let (swaps, others): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|entry| stripped(entry, SWAP_SUFFIX).is_some());
        // What was known of producers where a segment begins is as true as before.
        let gives_way = |(base, kind)| (from..to).contains(&base) && !(kind == Kind::Snapshot && base == from);
        let mut stay = BTreeMap::new();
        for entry in others {
            if Kind::parse(entry.file.base_name()).is_some_and(gives_way) {
                ops.push(StoreOp::Delete { file: entry.file });
            } else {
                stay.insert(entry.file, entry.len);
            }
        }
        let mut aliases = BTreeMap::new();
        for entry in swaps {
            let Some((name, ..)) = stripped(&entry, SWAP_SUFFIX) else { continue };
            ops.push(StoreOp::Rename { from: entry.file.clone(), to: name.clone() });
            stay.insert(name.clone(), entry.len);
            aliases.insert(name, entry.file);
        }
        let files = stay.into_iter().map(|(file, len)| FileEntry { file, len }).collect();
        Swapped { files, aliases, ops }
    }
}

/// Where the last entry of a segment's offset index is, which is to be swapped in with it.
fn last_entry(files: &[FileEntry], log: &FileName) -> Option<ReadRange> {
    let index = log.as_str().strip_suffix(".log")?;
    let file = FileName::new(format!("{index}.index{SWAP_SUFFIX}"));
    let len = files.iter().find(|entry| entry.file == file)?.len;
    let position = len.checked_sub(OffsetEntry::LEN as u64)?;
    Some(ReadRange { file, position, len: OffsetEntry::LEN as u64 })
}
