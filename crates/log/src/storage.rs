//! The storage seam: named files behind messages.
//!
//! The core never waits for a disk. It emits a [`StoreRequest`] and goes on; the host carries it out
//! and hands back a [`StoreReply`] with the same [`Token`]. Segments, indexes and producer state live
//! once, above this seam; memory, files and IndexedDB are backends below it.
//!
//! What the core relies on, and nothing more:
//! - Requests of one node are carried out in the order of their emission; the ops of one `Store` in
//!   theirs. A `Load` sees every `Store` emitted before it.
//! - After a crash any prefix of the ops since the last completed `Sync` may be there, the last append
//!   of that prefix possibly torn. `Replace` and `Rename` are atomic.
//! - A failed `Store` may have carried out any prefix of its ops.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A file's name: `/`-separated, beginning with node and disk, as in
/// `n1/d0/orders-0/00000000000000000000.log`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Arc<str>);

impl FileName {
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file called `name` in this directory.
    pub fn join(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0).into())
    }

    /// The last part of the name.
    pub fn base_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Whether every part of the name is one that a file system keeps below its root. Backends refuse
    /// to create anything else.
    pub fn is_well_formed(&self) -> bool {
        self.0.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\\']))
    }

    /// Whether this is a file somewhere below `directory`.
    pub fn is_below(&self, directory: &Self) -> bool {
        self.0.strip_prefix(&*directory.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for FileName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// Names a request and its reply. Unique within one run of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// One change to the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// Writes `bytes` at `position`, which is the file's end; creates the file at position 0.
    /// Parts are written one after the other, as if joined.
    Append { file: FileName, position: u64, bytes: Bytes },
    /// Cuts the file to `len` bytes. No effect on a file that is absent or no longer than that.
    Truncate { file: FileName, len: u64 },
    /// Makes the file hold exactly `bytes`: all of them or, after a crash, what it held before.
    Replace { file: FileName, bytes: Bytes },
    /// Moves a file, over another one if there is one. No effect on a file that is absent.
    Rename { from: FileName, to: FileName },
    /// Moves every file below the directory `from` to the same place below `to`.
    RenameDirectory { from: FileName, to: FileName },
    /// No effect on a file that is absent.
    Delete { file: FileName },
    /// Deletes every file below the directory.
    DeleteDirectory { directory: FileName },
    /// Everything emitted before this survives a loss of power once the request is answered.
    Sync,
}

/// A range of a file. Where the file ends earlier, the reply is shorter; an absent file is
/// [`StoreError::NotFound`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRange {
    pub file: FileName,
    pub position: u64,
    pub len: u64,
}

/// What a node asks of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreRequest {
    Store {
        token: Token,
        ops: Vec<StoreOp>,
    },
    Load {
        token: Token,
        reads: Vec<ReadRange>,
    },
    /// The files below a directory, by name.
    List {
        token: Token,
        directory: FileName,
    },
}

/// What the host answers, in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreReply {
    Stored {
        token: Token,
        result: Result<(), StoreError>,
    },
    /// One entry per range asked for.
    Loaded {
        token: Token,
        result: Result<Vec<Bytes>, StoreError>,
    },
    Listed {
        token: Token,
        result: Result<Vec<FileEntry>, StoreError>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileEntry {
    pub file: FileName,
    pub len: u64,
}

/// Why a request failed. A sick disk is an event, not a bug: the core answers
/// KAFKA_STORAGE_ERROR and goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No space is left, or a quota is used up.
    Full(String),
    /// A file that was asked for is not there.
    NotFound(FileName),
    /// Anything else, in the words of the host.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(why) => write!(f, "no space left: {why}"),
            Self::NotFound(file) => write!(f, "no such file: {file}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}
