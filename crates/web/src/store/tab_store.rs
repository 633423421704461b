//! Where a tab keeps its cluster: in IndexedDB, or in memory where the browser keeps nothing for it.

use shore_base::collections::BTreeMap;
use shore_log::memory::MemoryStore;
use shore_log::storage::{FileEntry, FileName, ReadRange, StoreError, StoreReply, StoreRequest};

use super::IdbStore;

pub enum TabStore {
    Indexed(Box<IdbStore>),
    Memory(MemoryStore),
}

impl TabStore {
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Indexed(store) => store.bytes(),
            Self::Memory(store) => store.size_bytes(),
        }
    }

    /// Answers requests, in their order.
    pub async fn carry_out(&mut self, requests: Vec<StoreRequest>) -> Vec<StoreReply> {
        match self {
            Self::Indexed(store) => store.carry_out(requests).await,
            Self::Memory(store) => requests.into_iter().map(|request| store.carry_out(request)).collect(),
        }
    }

    /// Keeps something of the host's beside the cluster. In memory nobody would read it again.
    pub async fn put_note(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Indexed(store) => store.put_note(key, bytes).await,
            Self::Memory(_) => Ok(()),
        }
    }

    /// The files below a directory.
    pub fn list(&self, directory: &FileName) -> Vec<FileEntry> {
        match self {
            Self::Indexed(store) => store.list(directory),
            Self::Memory(store) => store.list(directory),
        }
    }

    /// Every file below a directory, if they lie in memory. What lies in IndexedDB is read from there.
    pub fn memory_files(&self, directory: &FileName) -> Option<BTreeMap<String, Vec<u8>>> {
        let Self::Memory(store) = self else { return None };
        let read = |entry: FileEntry| {
            let range = ReadRange { file: entry.file.clone(), position: 0, len: entry.len };
            Some((entry.file.as_str().to_owned(), store.read(&range).ok()?.to_vec()))
        };
        Some(store.list(directory).into_iter().filter_map(read).collect())
    }

    pub fn close(self) {
        match self {
            Self::Indexed(store) => store.close(),
            Self::Memory(_) => {}
        }
    }
}
