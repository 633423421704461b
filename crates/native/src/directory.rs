//! The directory of `--data`: one process uses it at a time, and it remembers whose cluster it is.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shore_base::Uuid;

use crate::serve::Failure;

/// Held open, and with it the lock, as long as the process lives.
pub struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Creates the directory if it is not there and takes its lock.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let unusable = |error: io::Error| Failure::Directory(format!("cannot use {}: {error}", path.display()));
        fs::create_dir_all(path).map_err(unusable)?;
        // Apache Kafka's name for it.
        let lock =
            File::options().create(true).truncate(false).write(true).open(path.join(".lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => match node_holder(path) {
                None => Ok(Self { path: path.to_owned(), _lock: lock }),
                Some(pid) => Err(Failure::Locked(format!("{} is in use by process {pid}", path.display()))),
            },
            Err(TryLockError::WouldBlock) => {
                Err(Failure::Locked(format!("{} is in use by another process", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cluster that this directory belongs to; a new directory gets `fresh`.
    pub fn cluster_id(&self, fresh: Uuid) -> Result<Uuid, Failure> {
        let file = self.path.join("cluster.id");
        let unusable = |error: io::Error| Failure::Directory(format!("cannot use {}: {error}", file.display()));
        match fs::read_to_string(&file) {
            Ok(text) => Uuid::parse(text.trim())
                .ok_or_else(|| Failure::Directory(format!("{} holds no cluster id", file.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let draft = file.with_extension("id.tmp");
                let mut written = File::create(&draft).map_err(unusable)?;
                writeln!(written, "{fresh}").and_then(|()| written.sync_all()).map_err(unusable)?;
                fs::rename(&draft, &file).map_err(unusable)?;
                Ok(fresh)
            }
            Err(error) => Err(unusable(error)),
        }
    }
}

/// The process of the npm package that has the directory open. Node knows no locks of the operating
/// system, so it leaves a file that names it; whether that process still runs, only Linux says in a path.
fn node_holder(path: &Path) -> Option<u32> {
    let claim = fs::read_to_string(path.join(".lock.node")).ok()?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let (_, rest) = claim.split_once("\"pid\":")?;
    let pid = rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
    let is_here = claim.contains(&format!("\"host\":\"{}\"", host.trim()));
    (is_here && Path::new("/proc").join(u32::to_string(&pid)).exists()).then_some(pid)
}
