//! The storage seam on a file system: one file per name, below one directory.
//!
//! `Replace` writes beside the file and renames over it. What is written is handed to the operating
//! system at once, so a killed process loses nothing; `Sync` makes it survive a loss of power.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use shore_log::storage::{FileEntry, FileName, ReadRange, StoreError, StoreOp, StoreReply, StoreRequest};

use crate::buffers::{self, Buffers};

/// Files below a directory.
pub struct FileStore {
    root: PathBuf,
    /// What is loaded is read into these.
    buffers: Buffers,
    handles: BTreeMap<FileName, Handle>,
    /// Counts uses, to tell which handle has not been used for longest.
    uses: u64,
    /// Written since the last sync.
    dirty: BTreeSet<FileName>,
    /// Directories in which a name appeared, moved or vanished since the last sync.
    dirty_directories: BTreeSet<PathBuf>,
}

struct Handle {
    file: File,
    len: u64,
    used: u64,
}

/// How many files are kept open.
const MOST_HANDLES: usize = 256;
/// How many appends go into one write.
const GATHERED: usize = 64;
/// What a replacement is called until it is whole.
const UNFINISHED: &str = ".unfinished";

impl FileStore {
    /// Opens the store below `root`, which is created if it is not there.
    pub fn open(root: &Path, buffers: Buffers) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self {
            root: root.to_owned(),
            buffers,
            handles: BTreeMap::new(),
            uses: 0,
            dirty: BTreeSet::new(),
            dirty_directories: BTreeSet::new(),
        })
    }

    pub fn carry_out(&mut self, request: StoreRequest) -> StoreReply {
        match request {
            StoreRequest::Store { token, ops } => StoreReply::Stored { token, result: self.store(&ops) },
            StoreRequest::Load { token, reads } => {
                StoreReply::Loaded { token, result: reads.iter().map(|range| self.load(range)).collect() }
            }
            StoreRequest::List { token, directory } => StoreReply::Listed { token, result: self.list(&directory) },
        }
    }

    fn store(&mut self, mut ops: &[StoreOp]) -> Result<(), StoreError> {
        while let Some(first) = ops.first() {
            let together = appends_in_a_row(ops);
            match first {
                StoreOp::Append { file, position, .. } => self.append(file, *position, &ops[..together])?,
                StoreOp::Truncate { file, len } => self.truncate(file, *len)?,
                StoreOp::Replace { file, bytes } => self.replace(file, bytes)?,
                StoreOp::Rename { from, to } => self.rename(from, to)?,
                StoreOp::RenameDirectory { from, to } => self.rename_directory(from, to)?,
                StoreOp::Delete { file } => self.delete(file)?,
                StoreOp::DeleteDirectory { directory } => self.delete_directory(directory)?,
                StoreOp::Sync => self.sync().map_err(failed)?,
            }
            ops = &ops[together..];
        }
        Ok(())
    }

    fn append(&mut self, name: &FileName, position: u64, ops: &[StoreOp]) -> Result<(), StoreError> {
        let path = self.path(name)?;
        if !self.handles.contains_key(name) {
            let existed = path.exists();
            if !existed && position > 0 {
                return Err(StoreError::Failed(format!("append at {position} to {name}, which is not there")));
            }
            self.create_parents(&path)?;
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
            self.keep(name, options.open(&path).map_err(failed)?).map_err(failed)?;
            if !existed {
                self.mark_directory(&path);
            }
        }
        let handle = self.handles.get_mut(name).expect("it was opened");
        if handle.len != position {
            return Err(StoreError::Failed(format!("append at {position} to {name}, which ends at {}", handle.len)));
        }
        let slices: Vec<&Bytes> = ops
            .iter()
            .map(|op| match op {
                StoreOp::Append { bytes, .. } => bytes,
                _ => unreachable!("a row of appends"),
            })
            .collect();
        self.dirty.insert(name.clone());
        match write_at(&mut handle.file, position, &slices) {
            Ok(()) => {
                handle.len += slices.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
                Ok(())
            }
            Err(error) => {
                // A part of it may be there: the length has to be asked for again.
                self.handles.remove(name);
                Err(failed(error))
            }
        }
    }

    fn truncate(&mut self, name: &FileName, len: u64) -> Result<(), StoreError> {
        let Some(handle) = self.handle(name)? else { return Ok(()) };
        if len < handle.len {
            handle.file.set_len(len).map_err(failed)?;
            handle.len = len;
            self.dirty.insert(name.clone());
        }
        Ok(())
    }

    fn replace(&mut self, name: &FileName, bytes: &Bytes) -> Result<(), StoreError> {
        let path = self.path(name)?;
        self.create_parents(&path)?;
        self.handles.remove(name);
        let unfinished = beside(&path);
        let write = || -> io::Result<()> {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            // After a loss of power the old content must be there or the new one. Where there is no old
            // one, nothing can be lost that was there.
            if path.exists() {
                file.sync_data()?;
            }
            fs::rename(&unfinished, &path)
        };
        write().map_err(failed)?;
        self.dirty.insert(name.clone());
        self.mark_directory(&path);
        Ok(())
    }

    fn rename(&mut self, from: &FileName, to: &FileName) -> Result<(), StoreError> {
        let (old, new) = (self.path(from)?, self.path(to)?);
        if !old.is_file() {
            return Ok(());
        }
        self.create_parents(&new)?;
        self.handles.remove(from);
        self.handles.remove(to);
        fs::rename(&old, &new).map_err(failed)?;
        if self.dirty.remove(from) {
            self.dirty.insert(to.clone());
        }
        self.mark_directory(&old);
        self.mark_directory(&new);
        Ok(())
    }

    fn rename_directory(&mut self, from: &FileName, to: &FileName) -> Result<(), StoreError> {
        let (old, new) = (self.path(from)?, self.path(to)?);
        if old.is_dir() && !new.exists() {
            self.create_parents(&new)?;
            self.handles.retain(|name, _| !name.is_below(from));
            fs::rename(&old, &new).map_err(failed)?;
            let moved: Vec<FileName> = self.dirty.iter().filter(|name| name.is_below(from)).cloned().collect();
            for name in moved {
                self.dirty.remove(&name);
                self.dirty.insert(to.join(&name.as_str()[from.as_str().len() + 1..]));
            }
            self.mark_directory(&old);
            self.mark_directory(&new);
            return Ok(());
        }
        for entry in self.list(from)? {
            let rest = &entry.file.as_str()[from.as_str().len() + 1..];
            self.rename(&entry.file, &to.join(rest))?;
        }
        self.delete_directory(from)
    }

    fn delete(&mut self, name: &FileName) -> Result<(), StoreError> {
        let path = self.path(name)?;
        self.handles.remove(name);
        self.dirty.remove(name);
        match fs::remove_file(&path) {
            Ok(()) => {
                self.mark_directory(&path);
                Ok(())
            }
            Err(error) => absent(error),
        }
    }

    fn delete_directory(&mut self, directory: &FileName) -> Result<(), StoreError> {
        let path = self.path(directory)?;
        self.handles.retain(|name, _| !name.is_below(directory));
        self.dirty.retain(|name| !name.is_below(directory));
        self.dirty_directories.retain(|dirty| !dirty.starts_with(&path));
        match fs::remove_dir_all(&path) {
            Ok(()) => {
                self.mark_directory(&path);
                Ok(())
            }
            Err(error) => absent(error),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        while let Some(name) = self.dirty.first().cloned() {
            let synced = match self.handles.get(&name) {
                Some(handle) => handle.file.sync_data(),
                // Any handle of the file flushes what was written through another.
                None => {
                    OpenOptions::new().write(true).open(self.root.join(name.as_str())).and_then(|file| file.sync_data())
                }
            };
            match synced {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => self.dirty.remove(&name),
            };
        }
        while let Some(directory) = self.dirty_directories.first().cloned() {
            sync_directory(&directory)?;
            self.dirty_directories.remove(&directory);
        }
        Ok(())
    }

    fn load(&mut self, range: &ReadRange) -> Result<Bytes, StoreError> {
        let buffers = self.buffers.clone();
        let Some(handle) = self.handle(&range.file)? else { return Err(StoreError::NotFound(range.file.clone())) };
        let len = range.len.min(handle.len.saturating_sub(range.position));
        let len = usize::try_from(len).map_err(|_| StoreError::Failed("too much to load".to_owned()))?;
        if len < buffers::SMALL {
            let mut bytes = vec![0; len];
            read_at(&mut handle.file, &mut bytes, range.position).map_err(failed)?;
            return Ok(bytes.into());
        }
        let mut buffer = buffers.take(len);
        let read = read_at(&mut handle.file, &mut buffer[..len], range.position);
        let bytes = buffers.share(buffer).slice(..len);
        read.map(|()| bytes).map_err(failed)
    }

    fn list(&self, directory: &FileName) -> Result<Vec<FileEntry>, StoreError> {
        let mut entries = Vec::new();
        list_below(&self.path(directory)?, directory, &mut entries).map_err(failed)?;
        entries.sort_unstable();
        Ok(entries)
    }

    /// The handle of a file, opened if need be; `None` if there is no such file.
    fn handle(&mut self, name: &FileName) -> Result<Option<&mut Handle>, StoreError> {
        if !self.handles.contains_key(name) {
            let path = self.path(name)?;
            match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => self.keep(name, file).map_err(failed)?,
                Err(error) => return absent(error).map(|()| None),
            }
        }
        self.uses += 1;
        let handle = self.handles.get_mut(name).expect("it is open");
        handle.used = self.uses;
        Ok(Some(handle))
    }

    fn keep(&mut self, name: &FileName, file: File) -> io::Result<()> {
        if self.handles.len() >= MOST_HANDLES {
            let oldest = self.handles.iter().min_by_key(|(_, handle)| handle.used).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| self.handles.remove(&oldest));
        }
        let len = file.metadata()?.len();
        self.uses += 1;
        self.handles.insert(name.clone(), Handle { file, len, used: self.uses });
        Ok(())
    }

    fn path(&self, name: &FileName) -> Result<PathBuf, StoreError> {
        if name.is_well_formed() {
            Ok(self.root.join(name.as_str()))
        } else {
            Err(StoreError::Failed(format!("not a file's name: {name:?}")))
        }
    }

    fn create_parents(&mut self, path: &Path) -> Result<(), StoreError> {
        let parent = path.parent().unwrap_or(&self.root);
        if !parent.is_dir() {
            fs::create_dir_all(parent).map_err(failed)?;
            // Each new directory is a name in the one above it.
            let above = parent.ancestors().skip(1).take_while(|above| above.starts_with(&self.root));
            self.dirty_directories.extend(above.map(Path::to_owned));
        }
        Ok(())
    }

    fn mark_directory(&mut self, path: &Path) {
        if let Some(parent) = path.parent() {
            self.dirty_directories.insert(parent.to_owned());
        }
    }
}

/// How many of the first ops are appends to one file, each where the last one ended. At least one.
fn appends_in_a_row(ops: &[StoreOp]) -> usize {
    let mut next = match ops.first() {
        Some(StoreOp::Append { file, position, bytes }) => (file, position + bytes.len() as u64),
        _ => return 1,
    };
    let mut count = 1;
    for op in ops.iter().take(GATHERED).skip(1) {
        match op {
            StoreOp::Append { file, position, bytes } if file == next.0 && *position == next.1 => {
                next.1 += bytes.len() as u64;
                count += 1;
            }
            _ => break,
        }
    }
    count
}

#[cfg(unix)]
fn read_at(file: &mut File, bytes: &mut [u8], position: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, position)
}

#[cfg(not(unix))]
fn read_at(file: &mut File, bytes: &mut [u8], position: u64) -> io::Result<()> {
    io::Read::read_exact(file.seek(SeekFrom::Start(position)).map(|_| file)?, bytes)
}

fn write_at(file: &mut File, position: u64, parts: &[&Bytes]) -> io::Result<()> {
    file.seek(SeekFrom::Start(position))?;
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|bytes| IoSlice::new(bytes)).collect();
    let mut rest = &mut slices[..];
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn list_below(path: &Path, directory: &FileName, entries: &mut Vec<FileEntry>) -> io::Result<()> {
    let listing = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        listing => listing?,
    };
    for entry in listing {
        let entry = entry?;
        // Nobody can ask for a name that is not text, so nobody made it by asking.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let file = directory.join(&name);
        if entry.file_type()?.is_dir() {
            list_below(&entry.path(), &file, entries)?;
        } else if !name.ends_with(UNFINISHED) {
            entries.push(FileEntry { file, len: entry.metadata()?.len() });
        }
    }
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        directory => directory?.sync_all(),
    }
}

/// Elsewhere directories cannot be synced, nor have to be.
#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn absent(error: io::Error) -> Result<(), StoreError> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(()),
        _ => Err(failed(error)),
    }
}

fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full(error.to_string()),
        _ => StoreError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use shore_log::storage::Token;
    use shore_log::suite;

    use super::*;

    /// A directory that is gone afterwards.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name = format!("shore-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn opened(scratch: Scratch) -> (Scratch, FileStore) {
        let store = FileStore::open(&scratch.0, Buffers::default()).expect("a scratch directory");
        (scratch, store)
    }

    fn store(store: &mut FileStore, ops: Vec<StoreOp>) -> Result<(), StoreError> {
        match store.carry_out(StoreRequest::Store { token: Token(0), ops }) {
            StoreReply::Stored { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_file_store_passes_the_suite() {
        suite::run(
            || opened(Scratch::new()),
            |(_, store), request| store.carry_out(request),
            |(scratch, _)| opened(scratch),
        )
        .expect("the suite");
    }

    #[test]
    fn handles_are_bounded() {
        let (_scratch, mut files) = opened(Scratch::new());
        let name = |n: usize| FileName::new(format!("d/{n}"));
        for round in 0..2 {
            for n in 0..MOST_HANDLES + 20 {
                let append = StoreOp::Append { file: name(n), position: round, bytes: Bytes::from_static(b"x") };
                store(&mut files, vec![append]).expect("an append");
            }
        }
        assert_eq!(files.handles.len(), MOST_HANDLES);
        store(&mut files, vec![StoreOp::Sync]).expect("a sync");
        assert!(files.dirty.is_empty() && files.dirty_directories.is_empty());
    }

    #[test]
    fn a_load_ends_where_its_file_ends_though_its_memory_held_something_else() {
        let (_scratch, mut files) = opened(Scratch::new());
        let name = FileName::from("d/a");
        let content: Bytes = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let append = StoreOp::Append { file: name.clone(), position: 0, bytes: content.clone() };
        store(&mut files, vec![append]).expect("an append");
        for (position, len, expected) in [(0, 90_000, 90_000), (1, 99_000, 99_000), (60_000, 90_000, 40_000), (5, 7, 7)]
        {
            let loaded = files.load(&ReadRange { file: name.clone(), position, len }).expect("a load");
            assert_eq!(loaded, content.slice(position as usize..position as usize + expected), "{position}, {len}");
        }
    }

    #[test]
    fn a_half_written_replacement_is_not_a_file() {
        let (scratch, mut files) = opened(Scratch::new());
        let name = FileName::from("d/a");
        store(&mut files, vec![StoreOp::Replace { file: name.clone(), bytes: Bytes::from_static(b"old") }])
            .expect("it");
        fs::write(beside(&scratch.0.join("d/a")), b"ne").expect("written");
        let names: Vec<_> = files.list(&FileName::from("d")).expect("a listing");
        assert_eq!(names, [FileEntry { file: name, len: 3 }]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_from_others_until_there_is_room() {
        let (scratch, mut files) = opened(Scratch::new());
        let name = FileName::from("d/a");
        let append = || StoreOp::Append { file: name.clone(), position: 0, bytes: Bytes::from_static(b"x") };
        fs::create_dir_all(scratch.0.join("d")).expect("a directory");
        std::os::unix::fs::symlink("/dev/full", scratch.0.join("d/a")).expect("a link");
        assert!(matches!(store(&mut files, vec![append()]), Err(StoreError::Full(_))));
        assert!(matches!(store(&mut files, vec![append()]), Err(StoreError::Full(_))));
        fs::remove_file(scratch.0.join("d/a")).expect("room");
        assert_eq!(store(&mut files, vec![append()]), Ok(()));
        assert_eq!(fs::read(scratch.0.join("d/a")).expect("a file"), b"x");
    }
}
