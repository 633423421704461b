//! The node's store, below the seam of `shore_log::storage`.
//!
//! Memory answers at once. Files are written and synced by a thread of their own; while it works, what
//! the node asks for collects and goes to it as one batch.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::Waker;
use shore_log::memory::MemoryStore;
use shore_log::storage::{StoreReply, StoreRequest};

use crate::buffers::Buffers;
use crate::file_store::FileStore;

pub enum Store {
    Memory(MemoryStore),
    Files(FileThread),
    #[cfg(test)]
    Sick(tests::SickStore),
}

impl Store {
    pub fn memory() -> Self {
        Self::Memory(MemoryStore::default())
    }

    pub fn files(directory: &Path, buffers: Buffers, waker: Arc<Waker>) -> std::io::Result<Self> {
        Ok(Self::Files(FileThread::start(FileStore::open(directory, buffers)?, waker)?))
    }

    pub fn ask(&mut self, request: StoreRequest, replies: &mut Vec<StoreReply>) {
        match self {
            Self::Memory(store) => replies.push(store.carry_out(request)),
            Self::Files(thread) => thread.waiting.push(request),
            #[cfg(test)]
            Self::Sick(store) => replies.push(store.carry_out(request)),
        }
    }

    /// Sends on what was asked this turn and takes the answers that came.
    pub fn flush(&mut self, replies: &mut Vec<StoreReply>) {
        if let Self::Files(thread) = self {
            thread.flush(replies);
        }
    }

    /// Forgets what a node that is gone has asked for, and waits for what is being carried out.
    pub fn settle(&mut self) {
        if let Self::Files(thread) = self {
            thread.waiting.clear();
            if thread.busy {
                thread.busy = false;
                let _ = thread.replies.recv();
            }
        }
    }
}

pub struct FileThread {
    requests: Sender<Vec<StoreRequest>>,
    replies: Receiver<Vec<StoreReply>>,
    waiting: Vec<StoreRequest>,
    /// A batch is with the thread.
    busy: bool,
}

impl FileThread {
    fn start(mut store: FileStore, waker: Arc<Waker>) -> std::io::Result<Self> {
        let (requests, inbox) = channel::<Vec<StoreRequest>>();
        let (outbox, replies) = channel();
        thread::Builder::new().name("files".to_owned()).spawn(move || {
            for batch in inbox {
                let done = batch.into_iter().map(|request| store.carry_out(request)).collect();
                if outbox.send(done).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests, replies, waiting: Vec::new(), busy: false })
    }

    fn flush(&mut self, replies: &mut Vec<StoreReply>) {
        if self.busy
            && let Ok(done) = self.replies.try_recv()
        {
            replies.extend(done);
            self.busy = false;
        }
        if !self.busy && !self.waiting.is_empty() {
            self.busy = true;
            self.requests.send(std::mem::take(&mut self.waiting)).expect("the file thread outlives its host");
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Mutex;

    use shore_log::storage::StoreError;

    use super::*;

    /// How a store in memory does, as a test decides.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    pub enum Health {
        #[default]
        Well,
        Full,
        ReadOnly,
        /// The next write panics, as a bug would.
        Breaking,
    }

    pub struct SickStore {
        pub store: MemoryStore,
        pub health: Arc<Mutex<Health>>,
    }

    impl SickStore {
        pub fn carry_out(&mut self, request: StoreRequest) -> StoreReply {
            let mut health = self.health.lock().expect("nobody panics with it");
            match (*health, request) {
                (Health::Full, StoreRequest::Store { token, .. }) => {
                    StoreReply::Stored { token, result: Err(StoreError::Full("No space left on device".to_owned())) }
                }
                (Health::ReadOnly, StoreRequest::Store { token, .. }) => {
                    StoreReply::Stored { token, result: Err(StoreError::Failed("Read-only file system".to_owned())) }
                }
                (Health::Breaking, StoreRequest::Store { .. }) => {
                    *health = Health::Well;
                    drop(health);
                    panic!("broken on purpose")
                }
                (_, request) => self.store.carry_out(request),
            }
        }
    }
}
